package kosmos

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Engine judges photos. The client of internal/engine/api is one.
type Engine interface {
	Verify(ctx context.Context, r *api.VerifyRequest) (*api.Report, error)
	Document(ctx context.Context, r *api.DocumentRequest) (*api.Report, error)
	Selfie(ctx context.Context, r *api.SelfieRequest) (*api.Report, error)
	Match(ctx context.Context, r *api.MatchRequest) (*api.Report, error)
	Challenge(ctx context.Context) (*api.Challenge, error)
	Frame(ctx context.Context, r *api.FrameRequest) (*api.FrameReport, error)
}

// DVC is one verification workflow of the tenant, named by its dvcID. What a
// session of it must prove is fixed here, because the wire has no field for it.
type DVC struct {
	ID            string
	Liveness      string   // api.LivenessNone, LivenessPassive or LivenessActive; empty means none
	Selfie        bool     // compare a selfie with the portrait on the document
	DocumentTypes []string // api.Passport, api.DriversLicense, api.IDCard; empty means all three
}

// OAuthClient is one client of the tenant's OpenID provider.
type OAuthClient struct {
	ID           string
	Secret       string
	RedirectURIs []string // compared exactly
	PKCEOptional bool     // take an authorization request without a code challenge
}

// Workflow is one workflow of the Workflow API.
type Workflow struct {
	ID   string // as callers name it
	Node string // id of the node that holds its result
	Kind string // "liveid", a face check of an enrolled user
}

// Options says what the tenant is. DNS, LicenseKey, Engine and DataDir are required.
type Options struct {
	Listen     string   // address for Run, e.g. "127.0.0.1:8443"
	DNS        string   // host:port that clients use, e.g. "localhost:8443"
	Aliases    []string // further host:port names of the same tenant
	Community  string   // default "default"
	TenantTag  string   // default "kosmoscope"
	LicenseKey string
	DVCs       []DVC
	V1Tokens   []string // bearer tokens of the /v1 profile; none means nobody gets in

	Clients   []OAuthClient // of the OpenID provider; none means nobody gets in
	Workflows []Workflow    // of the Workflow API
	Webhooks  []Webhook     // told when something ends, beside those that clients add

	Engine  Engine
	DataDir string // made if absent, mode 0700

	SessionTTL    time.Duration   // default 7 days (reference 2.1)
	PIITTL        time.Duration   // how long an outcome is kept; default 1 hour
	MaxAttempts   int             // photos of each side, and sequences; default 3
	AllowedSkew   time.Duration   // of a request id; default 60 s
	EngineTimeout time.Duration   // of one call; default 60 s
	EngineRetries []time.Duration // waits before trying to get a verdict again; default 500 ms to 20 s, 37.5 s in all
	Curve         blockid.Curve   // of the service keys made at the first start; default secp256k1

	// Liveness that a face check asks of the engine. The default is the strictest,
	// api.LivenessActive: whoever runs the server must ask for less.
	StepUpLiveness string
	StepUpTTL      time.Duration // of a UWL session; default 60 s (reference 4.2)
	StepUpAttempts int           // comparisons and sequences of one face check that may fail; default 3

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
}

// Server is a running local 1Kosmos. Make one with New, end it with Close.
type Server struct {
	opt    Options
	log    *slog.Logger
	now    func() time.Time
	store  *store
	users  *Directory
	cert   tls.Certificate
	keys   *keyring
	replay replayGuard
	limit  limiter
	stepUpDesk
	oauthDesk
	webhookDesk

	tenantID, communityID string
	proofKey              []byte // HS256
	logKey                []byte // of logName
	handler               http.Handler

	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	work   sync.WaitGroup
	judges sync.WaitGroup
	active sync.Map      // ids of sessions being judged by this process
	slots  chan struct{} // verdicts asked for at the same time
	wires  sync.Mutex    // held while a picture is laid out: one at a time
	closed sync.Once

	uploading sync.Map      // ids of sessions that a photo is being sent to
	uploads   chan struct{} // photos being received and looked at, of all sessions
	patience  patience
}

// patience is how long the server waits for uploads.
type patience struct {
	place  time.Duration // until one of the uploads before it is done
	upload time.Duration // for one to arrive: a phone on a slow line
	drain  time.Duration // for what is still arriving of one that is refused
}

// New opens the data directory, makes what is missing in it, and resumes
// judging the sessions that were waiting for a verdict.
func New(o Options) (*Server, error) {
	switch {
	case o.DNS == "":
		return nil, errors.New("kosmos: DNS is required")
	case o.LicenseKey == "":
		return nil, errors.New("kosmos: LicenseKey is required")
	case o.Engine == nil:
		return nil, errors.New("kosmos: Engine is required")
	case o.DataDir == "":
		return nil, errors.New("kosmos: DataDir is required")
	}
	o.Community = cmp.Or(o.Community, "default")
	o.TenantTag = cmp.Or(o.TenantTag, "kosmoscope")
	o.SessionTTL = cmp.Or(o.SessionTTL, 7*24*time.Hour)
	o.PIITTL = cmp.Or(o.PIITTL, defaultPIITTL)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 3)
	o.StepUpLiveness = cmp.Or(o.StepUpLiveness, api.LivenessActive)
	o.StepUpTTL = cmp.Or(o.StepUpTTL, 60*time.Second)
	o.StepUpAttempts = cmp.Or(o.StepUpAttempts, 3)
	o.AllowedSkew = cmp.Or(o.AllowedSkew, defaultAllowedSkew)
	o.EngineTimeout = cmp.Or(o.EngineTimeout, 60*time.Second)
	o.Curve = cmp.Or(o.Curve, blockid.Secp256k1)
	if o.EngineRetries == nil {
		// Longer in all than the engine lets a request wait (30 s), so that a queue
		// which was full for a moment fails nobody.
		o.EngineRetries = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 10 * time.Second, 20 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if !validLiveness(o.StepUpLiveness) {
		return nil, fmt.Errorf("kosmos: unknown StepUpLiveness %q", o.StepUpLiveness)
	}
	for i, d := range o.DVCs {
		if d.ID == "" {
			return nil, fmt.Errorf("kosmos: DVC %d has no ID", i)
		}
		if !validLiveness(cmp.Or(d.Liveness, api.LivenessNone)) {
			return nil, fmt.Errorf("kosmos: DVC %q: unknown liveness %q", d.ID, d.Liveness)
		}
		for _, t := range d.DocumentTypes {
			if wireType(t) == "" {
				return nil, fmt.Errorf("kosmos: DVC %q: unknown document type %q", d.ID, t)
			}
		}
	}

	ctx, stop := context.WithCancel(context.Background())
	s := &Server{opt: o, log: o.Logger, now: o.Now, ctx: ctx, stop: stop, slots: make(chan struct{}, 2),
		uploads: make(chan struct{}, maxUploads), patience: patience{10 * time.Second, 90 * time.Second, 3 * time.Second}}
	if err := s.open(ctx); err != nil {
		stop()
		if s.store != nil {
			_ = s.store.db.Close()
		}
		return nil, fmt.Errorf("kosmos: %w", err)
	}
	s.handler = s.routes()
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	var err error
	if s.store, err = openStore(ctx, s.opt.DataDir); err != nil {
		return err
	}
	var hosts []string
	for _, h := range s.hosts() {
		if host, _, err := net.SplitHostPort(h); err == nil {
			h = host
		}
		hosts = append(hosts, h)
	}
	if s.cert, err = authority(s.opt.DataDir, hosts, s.now()); err != nil {
		return err
	}
	if s.keys, err = openKeyring(ctx, s.store, s.opt.Curve); err != nil {
		return err
	}
	if s.proofKey, err = s.store.secret(ctx, "proof", false, randomKey); err != nil {
		return err
	}
	if s.logKey, err = s.store.secret(ctx, "log", false, randomKey); err != nil {
		return err
	}
	s.tenantID = hexID(12, "tenant", s.opt.TenantTag)
	s.communityID = hexID(12, "community", s.opt.TenantTag, s.opt.Community)

	if s.users, err = newDirectory(ctx, s.store, s.now); err != nil {
		return err
	}
	if err := s.seed(ctx); err != nil {
		return err
	}
	if err := s.openStepUp(ctx); err != nil {
		return err
	}
	if err := s.openOAuth(ctx); err != nil {
		return err
	}
	if err := s.openWebhooks(ctx); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	s.work.Go(func() { s.sweepEvery(time.Minute) })
	s.work.Go(func() { s.callbackEvery(300 * time.Millisecond) })
	return nil
}

// hexID derives a stable identifier of n bytes, in lower-case hex.
func hexID(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:n])
}

// logName is what the log calls a session, whose id opens its page: the same
// in every line, and of no use to anybody else.
func (s *Server) logName(id string) string {
	mac := hmac.New(sha256.New, s.logKey)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil)[:6])
}

func (s *Server) hosts() []string { return append([]string{s.opt.DNS}, s.opt.Aliases...) }

// CAFile is the path of the certificate authority that clients must trust (PEM).
func (s *Server) CAFile() string { return filepath.Join(s.opt.DataDir, caFileName) }

// TLSConfig is the server's side of its TLS connections.
func (s *Server) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.cert}, NextProtos: []string{"h2", "http/1.1"}}
}

// Handler serves the whole tenant: API and capture pages.
func (s *Server) Handler() http.Handler { return s.handler }

// RotateKeys replaces the key pairs of the named services, or of all. What was
// sealed to an old key no longer opens, which is what clients meet when
// 1Kosmos rotates.
func (s *Server) RotateKeys(ctx context.Context, services ...string) error {
	return s.keys.rotate(ctx, s.store, services...)
}

// Events is the history of a session, oldest first.
func (s *Server) Events(ctx context.Context, sessionID string) ([]Event, error) {
	return s.store.events(ctx, sessionID)
}

// Serve answers on ln until ctx ends, then lets running requests finish. It
// does not Close the server.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		TLSConfig:         s.TLSConfig(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // an upload takes patience.upload
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(ln, "", "") }()
	select {
	case err := <-done:
		return fmt.Errorf("kosmos: serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	<-done
	if err != nil {
		_ = srv.Close()
		return fmt.Errorf("kosmos: shut down: %w", err)
	}
	return nil
}

// Close ends background work and closes the database. A session that is being
// judged stays so and is resumed by the next New.
func (s *Server) Close() error {
	var err error
	s.closed.Do(func() {
		s.stop()
		s.work.Wait()
		s.judges.Wait()
		s.callbackClient.CloseIdleConnections()
		err = s.store.db.Close()
	})
	return err
}

// Run listens on o.Listen and serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	s, err := New(o)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("kosmos: %w", err)
	}
	return s.Serve(ctx, ln)
}

func (s *Server) sweepEvery(d time.Duration) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		if err := s.Sweep(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Error("kosmos: sweep", "error", err)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// resume takes up the sessions that wait for a verdict nobody is working on:
// those of a process that died, and those whose verdict could not be stored.
func (s *Server) resume(ctx context.Context) error {
	waiting, err := s.store.judging(ctx)
	for _, id := range waiting {
		s.judgeSoon(id)
	}
	return err
}

// Sweep expires sessions whose time has passed, purges outcomes older than
// PIITTL and takes up verdicts that were left behind. The server does so every
// minute by itself.
func (s *Server) Sweep(ctx context.Context) error {
	now := s.now()
	s.limit.sweep(now)
	if err := s.resume(ctx); err != nil {
		return err
	}
	due, err := s.store.due(ctx, now)
	if err != nil {
		return err
	}
	for _, id := range due {
		if err := s.store.expire(ctx, id, now); err != nil {
			return err
		}
	}
	if err := s.sweepStepUps(ctx, now); err != nil {
		return err
	}
	for _, sweep := range []func(context.Context, time.Time) error{s.sweepSequences, s.sweepMessages, s.sweepEvents, s.sweepCallbacks} {
		if err := sweep(ctx, now); err != nil {
			return err
		}
	}
	return s.store.purge(ctx, now.Add(-s.opt.PIITTL), now.Add(-rowTTL))
}
