package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

// Options for Run.
type Options struct {
	Listen     string // host:port on loopback; port 0 takes a free one
	ModelsDir  string // cache of package models
	Set        string // models.SetFull or models.SetUnencumbered; default full
	Profile    string // engine.Permissive, Standard or Strict; default standard
	Version    string // of the program, for reports
	Bounds     Bounds
	Now        func() time.Time    // default time.Now
	Log        *slog.Logger        // default slog.Default
	Ready      func(addr net.Addr) // called once, when the service listens
	Thresholds engine.Thresholds   // zero means those of Profile

	AllowVirtualCameras bool // see engine.Config; for tests only
	PassiveCounts       bool // see engine.Config
}

// goMemory is what Go's part of the process should stay under; the networks
// and ONNX Runtime take about 150 MB beside it, outside Go's heap. The program
// is to stay under 700 MB in all.
const goMemory = 400 << 20

// Run serves the engine until ctx ends, then lets running requests finish, for
// at most as long as one may take. Missing or changed models are logged and do
// not end it: every check is then cannot_tell. It sets this process' memory
// limit, unless GOMEMLIMIT does.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Set == "" {
		o.Set = models.SetFull
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(goMemory)
	}
	v, closeModels, err := engine.Open(o.ModelsDir, o.Set, engine.Config{Version: o.Version, Profile: o.Profile, Thresholds: o.Thresholds, Now: o.Now, Log: o.Log,
		AllowVirtualCameras: o.AllowVirtualCameras, PassiveCounts: o.PassiveCounts})
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer closeModels()

	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("engine: listen: %w", err)
	}
	bounds := o.Bounds.withDefaults()
	srv := &http.Server{
		Handler:           Handler(v, bounds, o.Log),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	_, present := v.Models()
	o.Log.Info("engine: listening", "addr", ln.Addr().String(), "models", present, "set", o.Set, "profile", v.Info().Profile, "workers", bounds.Workers)
	if o.Ready != nil {
		o.Ready(ln.Addr())
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("engine: serve: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), bounds.Timeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		return fmt.Errorf("engine: shut down: %w", errors.Join(err, srv.Close()))
	}
	return nil
}

// Models lists what the cache in dir holds, for `kosmoscope engine models`.
// When the cache is missing or was changed, the list is what it should hold,
// and the error says so.
func Models(dir string) ([]models.Entry, error) {
	c, err := models.Open(dir)
	if err == nil {
		return c.List(), nil
	}
	known, knownErr := models.Known()
	if knownErr != nil {
		return nil, knownErr
	}
	return known, err
}
