//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/image/draw"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
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

// engineSizes are what is sent: the fixtures as they are, the same pictures as a
// phone makes them, and nearly the largest that the engine takes. Requests are
// fewer the longer they take.
var engineSizes = []struct {
	name       string
	megapixels float64 // 0: as they are
	requests   int
}{
	{"fixtures", 0, 32},
	{"12 megapixels", 12, 16},
	{"39 megapixels", 39, 8},
}

func measureEngine(ctx context.Context, url string, pid int, photos string, progress func(string)) ([]engineFigures, error) {
	client := api.New(url, &http.Client{Timeout: 2 * time.Minute})
	var out []engineFigures
	for _, size := range engineSizes {
		progress(fmt.Sprintf("engine: %d requests by %d callers, photos: %s", size.requests, engineCallers, size.name))
		var pictures [2][]byte
		for i, name := range []string{"passport.jpg", "selfie.jpg"} {
			b, err := os.ReadFile(filepath.Join(photos, name))
			if err == nil && size.megapixels > 0 {
				b, err = enlarge(b, size.megapixels*1e6)
			}
			if err != nil {
				return nil, err
			}
			pictures[i] = b
		}
		req := &api.VerifyRequest{
			DocumentTypes: []string{api.Passport}, DocumentFront: pictures[0],
			Selfies: [][]byte{pictures[1]}, LivenessMode: api.LivenessNone,
		}
		f, err := hammer(ctx, client, pid, req, size.requests)
		if err != nil {
			return nil, err
		}
		f.Photos = size.name
		out = append(out, f)
	}
	return out, nil
}

func hammer(ctx context.Context, client *api.Client, pid int, req *api.VerifyRequest, requests int) (engineFigures, error) {
	f := engineFigures{Callers: engineCallers, Requests: requests}
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
	for range engineCallers {
		all.Go(func() {
			for next.Add(1) <= int64(requests) && ctx.Err() == nil {
				sent := time.Now()
				report, err := client.Verify(ctx, req)
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
	f.CPUPerCall = float64((after - cpu).Milliseconds()) / float64(requests)
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
