//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/image/draw"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval/material"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// engineFigures are those of one size of photo. The loop is closed: each of the
// callers asks again as soon as it has its answer.
type engineFigures struct {
	Photos     string  `json:"photos"`
	Callers    int     `json:"callers"`
	Requests   int     `json:"requests"`
	Errors     int64   `json:"errors"`
	PerSecond  float64 `json:"per_s"`
	P50        float64 `json:"p50_ms"`
	Max        float64 `json:"max_ms"`
	CPUPerCall float64 `json:"engine_cpu_ms_per_request"`
	RSS        float64 `json:"rss_max_mb"`  // the most of samples, 10 a second
	Peak       float64 `json:"rss_peak_mb"` // the kernel's, since the engine started
	FirstError string  `json:"first_error,omitempty"`
}

const engineCallers = 8

// engineLoad is one kind of request, asked by so many callers.
type engineLoad struct {
	name              string
	callers, requests int
	req               *api.VerifyRequest
}

// engineLoads are what is sent: a passport and a selfie as the fixtures have them
// (1600 x 1200); the passport with a whole sequence of active liveness, by one caller
// and by eight; a licence of two sides, whose text is read besides; and the same
// pictures as a phone makes them, and nearly the largest that the engine takes. What
// takes most memory comes last, for a peak stays. Requests are fewer the longer they
// take.
func engineLoads(ctx context.Context, client *api.Client, photos, modelsDir string) ([]engineLoad, error) {
	passport, err := os.ReadFile(filepath.Join(photos, "passport.jpg"))
	if err != nil {
		return nil, err
	}
	selfie, err := os.ReadFile(filepath.Join(photos, "selfie.jpg"))
	if err != nil {
		return nil, err
	}
	front, back, sequence, err := rendered(ctx, client, modelsDir)
	if err != nil {
		return nil, fmt.Errorf("rendering for the engine: %w", err)
	}
	still := func(types string, megapixels float64, pictures ...[]byte) (*api.VerifyRequest, error) {
		large := make([][]byte, len(pictures))
		for i, b := range pictures {
			if large[i] = b; megapixels > 0 {
				if large[i], err = enlarge(b, megapixels*1e6); err != nil {
					return nil, err
				}
			}
		}
		req := &api.VerifyRequest{DocumentTypes: []string{types}, DocumentFront: large[0], Selfies: large[len(large)-1:], LivenessMode: api.LivenessNone}
		if len(large) == 3 {
			req.DocumentBack = large[1]
		}
		return req, nil
	}
	live := &api.VerifyRequest{DocumentTypes: []string{api.Passport}, DocumentFront: passport, LivenessMode: api.LivenessActive, Liveness: sequence}
	frames := fmt.Sprintf("passport and %d frames", len(sequence.Frames))
	list := []engineLoad{
		{"fixtures", engineCallers, 32, nil}, {frames, 1, 6, live}, {frames, engineCallers, 16, live}, {"licence", engineCallers, 16, nil},
		{"12 megapixels", engineCallers, 16, nil}, {"39 megapixels", engineCallers, 8, nil}, {"licence, 39 megapixels", engineCallers, 8, nil},
	}
	for i, size := range []float64{0, 0, 0, 0, 12, 39, 39} {
		switch {
		case list[i].req != nil:
			continue
		case strings.HasPrefix(list[i].name, "licence"):
			list[i].req, err = still(api.DriversLicense, size, front, back, selfie)
		default:
			list[i].req, err = still(api.Passport, size, passport, selfie)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// rendered gives the two sides of a licence of the fixtures' holder, and a sequence
// that a rendered head of theirs did for the engine.
func rendered(ctx context.Context, client *api.Client, modelsDir string) (front, back []byte, live *api.Liveness, err error) {
	where, err := specimen.FacesDir()
	if err != nil {
		return nil, nil, nil, err
	}
	faces, err := specimen.Faces(where)
	if err != nil {
		return nil, nil, nil, err
	}
	holder, ok := specimen.FindFace(faces, "1c")
	same, ok2 := specimen.FindFace(faces, "3b")
	if !ok || !ok2 {
		return nil, nil, nil, specimen.ErrNoFaces
	}
	tools, closeTools, err := material.Open(modelsDir)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, closeTools()) }()
	licence := specimen.USLicence(holder.Portrait())
	symbol, err := tools.Barcode(ctx, licence.AAMVA())
	if err != nil {
		return nil, nil, nil, err
	}
	f, b := licence.Render(symbol)
	front, back = specimen.JPEG(specimen.Photograph(f, 1, 7), 92), specimen.JPEG(specimen.Photograph(b, 1, 8), 92)
	mesh, err := tools.Mesh(same.Selfie())
	if err != nil {
		return nil, nil, nil, err
	}
	head, err := specimen.NewHead(same.Selfie(), mesh)
	if err != nil {
		return nil, nil, nil, err
	}
	for range 5 { // some draws are judged incomplete
		if live, err = sequence(ctx, client, head); err != nil {
			return nil, nil, nil, err
		}
		if live != nil {
			return front, back, live, nil
		}
	}
	return nil, nil, nil, errors.New("no sequence of the rendered head was done to its end")
}

// sequence has a head do what the engine draws, a picture every quarter of a second,
// and gives the frames that the engine wanted kept; nil if it was not done to its end.
func sequence(ctx context.Context, client *api.Client, head *specimen.Head) (*api.Liveness, error) {
	c, err := client.Challenge(ctx)
	if err != nil {
		return nil, err
	}
	live := &api.Liveness{Challenge: *c, Camera: "Integrated Camera"}
	var earlier []json.RawMessage
	action, since, n := 0, time.Duration(0), uint64(0)
	for at := time.Duration(0); at.Milliseconds() < c.TotalMS; at += 250 * time.Millisecond {
		n++
		picture := head.Frame(specimen.Act(c.Actions[action], at-since, at), specimen.Camera{}, 1, n)
		f := api.Frame{Image: specimen.JPEG(picture, 88), Action: action, ReceivedMS: at.Milliseconds() + 120, CapturedMS: at.Milliseconds()}
		rep, err := client.Frame(ctx, &api.FrameRequest{Challenge: *c, Frame: f, Earlier: earlier})
		switch {
		case err != nil:
			return nil, err
		case rep.Over:
			return nil, nil
		case rep.Keep:
			live.Frames, earlier = append(live.Frames, f), append(earlier, rep.Measure)
		}
		if rep.Done {
			if action++; action == len(c.Actions) {
				return live, nil
			}
			since = at
		}
	}
	return nil, nil
}

func measureEngine(ctx context.Context, url string, pid int, photos, modelsDir string, progress func(string)) ([]engineFigures, error) {
	client := api.New(url, &http.Client{Timeout: 2 * time.Minute})
	progress("engine: rendering a licence, and a head that does a sequence")
	loads, err := engineLoads(ctx, client, photos, modelsDir)
	if err != nil {
		return nil, err
	}
	var out []engineFigures
	for _, l := range loads {
		progress(fmt.Sprintf("engine: %d requests by %d callers, photos: %s", l.requests, l.callers, l.name))
		f, err := hammer(ctx, client, pid, l)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func hammer(ctx context.Context, client *api.Client, pid int, l engineLoad) (engineFigures, error) {
	f := engineFigures{Photos: l.name, Callers: l.callers, Requests: l.requests}
	cpu, err := cpuOf(pid)
	if err != nil {
		return f, err
	}
	stop := watch(ctx, pid)
	latency := hdrhistogram.New(1, (3 * time.Minute).Microseconds(), 3)
	var mu sync.Mutex
	var next atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for range l.callers {
		all.Go(func() {
			for next.Add(1) <= int64(l.requests) && ctx.Err() == nil {
				sent := time.Now()
				report, err := client.Verify(ctx, l.req)
				took := time.Since(sent)
				if err == nil && report.Verdict != api.Pass {
					err = fmt.Errorf("verdict %s (%s) on good photos", report.Verdict, report.Reason)
				}
				mu.Lock()
				if err == nil {
					latency.RecordValue(took.Microseconds())
				} else if f.Errors++; f.FirstError == "" {
					f.FirstError = err.Error()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	took := time.Since(begun).Seconds()
	f.RSS = stop()
	m, err := memoryOf(pid)
	if err != nil {
		return f, err
	}
	after, err := cpuOf(pid)
	if err != nil {
		return f, err
	}
	f.Peak = m.Peak
	f.CPUPerCall = float64((after - cpu).Milliseconds()) / float64(l.requests)
	f.PerSecond = float64(latency.TotalCount()) / took
	f.P50, f.Max = float64(latency.ValueAtQuantile(50))/1000, float64(latency.ValueAtQuantile(100))/1000
	return f, ctx.Err()
}

// enlarge scales a picture to that many pixels, or a few less.
func enlarge(b []byte, pixels float64) ([]byte, error) {
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	size := img.Bounds().Size()
	scale := math.Sqrt(pixels / float64(size.X*size.Y))
	w, h := int(float64(size.X)*scale), int(float64(size.Y)*scale)
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(to, to.Bounds(), img, img.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	err = jpeg.Encode(&out, to, &jpeg.Options{Quality: 90})
	return out.Bytes(), err
}
