package engine

import (
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

var openFaces = sync.OnceValues(func() (*face.Engine, error) {
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin", "models")
	}
	cache, err := models.Open(dir)
	if err != nil {
		return nil, err
	}
	return face.Open(cache, face.SetFull)
})

// ObserveForTest gives the mesh of the one face in a picture.
func ObserveForTest(t testing.TB, img image.Image) ([]liveness.Point, error) {
	e, err := openFaces()
	if err != nil {
		t.Skip(err)
	}
	rgba := image.NewRGBA(img.Bounds())
	draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
	s, err := realFaces{engine: e}.Observe(rgba)
	return s.Face.Mesh, err
}
