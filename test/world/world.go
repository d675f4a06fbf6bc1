package world

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
	"github.com/kosmoscope/kosmoscope/test/program"
)

// ErrLacking says that nothing can be verified on this machine: the models or the
// photographs are not installed.
var ErrLacking = errors.New("world: models or photographs are missing")

// Plan is what a world is made for.
type Plan struct {
	Root string // of the repository, for its bin/models; default ../..
	// Program is the built program; "" builds it, which only a test can.
	Program string
	// Tenant is more of the bridge's configuration of its tenant: YAML in the block style,
	// without indentation. It may use the world's addresses.
	Tenant func(w *World) string
}

// patience is how long any one thing may take.
const patience = 4 * time.Minute

// World is one bridge with everything behind it. One serves many tests at a time:
// users are told apart by their names.
type World struct {
	Bridge string // origin of the bridge
	Kosmos string // origin of the local 1Kosmos
	CAFile string // who signed the local 1Kosmos' certificate

	// Photos: a passport, its holder from another photograph, and somebody else with a
	// passport of their own.
	Passport, Selfie           string
	OtherPassport, OtherSelfie string

	dir       string
	processes []*program.Process // in the order in which they began
	client    *http.Client
	people    atomic.Uint32
}

// Tenant of the bridge, and credential of the caller that enrols people.
const (
	Tenant     = "main"
	bearer     = "connector-token-8e2b6f4a1c9d7035"
	licenseKey = "license-3f1c9d6e5b7a4820"
)

// Start runs a world. t may be nil where the plan names the program. What the test program builds and starts is removed by Close
// and by program.Main. The error is ErrLacking where nothing can be verified.
func Start(t testing.TB, p Plan) (w *World, err error) {
	if p.Root == "" {
		p.Root = filepath.Join("..", "..")
	}
	from := os.Getenv("KOSMOSCOPE_MODELS")
	if from == "" {
		from = filepath.Join(p.Root, "bin", "models")
	}
	if from, err = filepath.Abs(from); err != nil {
		return nil, err
	}
	if _, err := models.Open(from); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLacking, err)
	}
	w = &World{client: &http.Client{Timeout: patience}}
	if w.dir, err = os.MkdirTemp("", "kosmoscope-world-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err = os.MkdirAll(w.path("kosmos"), 0o700); err != nil {
		return w, err
	}
	if err = w.paint(); err != nil {
		return w, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w, w.run(ctx, t, from, p)
}

func (w *World) path(name string) string { return filepath.Join(w.dir, name) }

// Config is the bridge's configuration file: its process is the one that has it as
// an argument.
func (w *World) Config() string { return w.path("bridge.yaml") }

// Log is the end of what the bridge has printed.
func (w *World) Log() string { return w.processes[len(w.processes)-1].Tail() }

func (w *World) run(ctx context.Context, t testing.TB, models string, p Plan) error {
	var ports [3]int
	engineFile, file := p.Program, p.Program
	if t != nil {
		for i := range ports {
			ports[i] = program.FreePort(t)
		}
		// The race detector makes the engine's arithmetic ten times slower.
		engineFile, file = program.BuildPlain(t), program.Build(t)
	} else if err := freePorts(ports[:]); err != nil {
		return err
	}
	enginePort, kosmosPort, bridgePort := ports[0], ports[1], ports[2]
	engine := fmt.Sprintf("http://127.0.0.1:%d", enginePort)
	dns := fmt.Sprintf("localhost:%d", kosmosPort)
	w.Bridge, w.Kosmos, w.CAFile = fmt.Sprintf("http://localhost:%d", bridgePort), "https://"+dns, w.path("kosmos/ca.pem")

	if err := w.start(engineFile, "engine", "engine", "serve", "--listen", strings.TrimPrefix(engine, "http://"), "--models", models, "--queue", "64"); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"listen": fmt.Sprintf("127.0.0.1:%d", kosmosPort), "dns": dns, "community": "default", "license_key": licenseKey,
		"engine_url": engine, "data": "kosmos", "log_level": "info", "step_up_liveness": "none",
		"dvcs": []map[string]any{
			{"id": "still", "liveness_mode": "none", "selfie": true},
			{"id": "active", "liveness_mode": "active", "selfie": true},
		},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.path("kosmos.json"), config, 0o600); err != nil {
		return err
	}
	if err := w.start(file, "kosmos", "sandbox", "kosmos", "--config", w.path("kosmos.json")); err != nil {
		return err
	}
	if err := w.processes[0].Ready(ctx, w.client, engine+"/healthz"); err != nil {
		return err
	}
	kosmos, err := w.trusting(ctx)
	if err != nil {
		return err
	}
	defer kosmos.CloseIdleConnections()
	if err := w.processes[1].Ready(ctx, kosmos, w.Kosmos+"/caas/sd"); err != nil {
		return err
	}
	more := ""
	if p.Tenant != nil {
		for line := range strings.Lines(p.Tenant(w)) {
			more += "    " + line
		}
	}
	bridge := fmt.Sprintf(bridgeConfig, w.Bridge, bridgePort, w.path("kosmoscope.db"), w.path("master.key"), Tenant, dns, w.CAFile, licenseKey, more, bearer)
	if err := os.WriteFile(w.Config(), []byte(bridge), 0o600); err != nil {
		return err
	}
	if err := w.start(file, "bridge", "serve", "--config", w.Config()); err != nil {
		return err
	}
	return w.processes[2].Ready(ctx, w.client, w.Bridge+"/healthz")
}

// freePorts asks the system for ports.
func freePorts(ports []int) error {
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return nil
}

const bridgeConfig = `public_url: %[1]s
listen: 127.0.0.1:%[2]d
store: sqlite:%[3]s
master_key: %[4]s
trusted_proxies: [127.0.0.0/8, "::1/128"] # so that each person comes from a network of their own
geo: { without_tables: true } # reading them takes the race detector six seconds
tenants:
  - id: %[5]s
    kosmos:
      profile: blockid
      dns: %[6]s
      ca_file: %[7]s
      community: default
      license_key: %[8]s
      workflows:
        - { dvc_id: still, document_types: [passport, id_card, drivers_license], liveness_mode: none }
        - { dvc_id: active, document_types: [passport, id_card], liveness_mode: active }
    poll: { first: 100ms, max: 500ms, give_up: 3 }
    step_up:
      poll: 100ms
      without_liveness: true
      limits: { subject_starts: { max: 1000, per: 10m }, subject_failures: { max: 1000, per: 15m } }
%[9]scallers:
  - { id: connector, tenant: %[5]s, application: World, bearer: %[10]s, liveness_modes: [none] }
`

func (w *World) start(file, name string, args ...string) error {
	p, err := program.Start(w.dir, name, file, args...)
	if err != nil {
		return err
	}
	w.processes = append(w.processes, p)
	return nil
}

// trusting waits until the local 1Kosmos has made its certificates.
func (w *World) trusting(ctx context.Context) (*http.Client, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		transport, err := w.Transport()
		if err == nil {
			return &http.Client{Transport: transport, Timeout: patience}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the local 1Kosmos did not come up: %w\n%s", err, w.processes[1].Tail())
		case <-tick.C:
		}
	}
}

// Transport trusts the local 1Kosmos.
func (w *World) Transport() (*http.Transport, error) {
	pem, err := os.ReadFile(w.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", w.CAFile)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}, nil
}

// paint makes the pictures, each scanned flat.
func (w *World) paint() error {
	where, err := specimen.FacesDir()
	if errors.Is(err, specimen.ErrNoFaces) {
		return fmt.Errorf("%w: %w", ErrLacking, err)
	} else if err != nil {
		return err
	}
	faces, err := specimen.Faces(where)
	if err != nil {
		return err
	}
	w.Passport, w.Selfie = w.path("passport.jpg"), w.path("selfie.jpg")
	w.OtherPassport, w.OtherSelfie = w.path("other-passport.jpg"), w.path("other-selfie.jpg")
	find := func(name string) (f specimen.Face) {
		f, ok := specimen.FindFace(faces, name)
		if !ok {
			err = errors.Join(err, fmt.Errorf("the package with the faces has no %s now", name))
		}
		return f
	}
	holder, same, other := find("1c"), find("3b"), find("3a")
	if err != nil {
		return err
	}
	mine, _ := specimen.Passport(holder.Portrait()).Render()
	stranger := specimen.Passport(other.Portrait())
	stranger.Surname, stranger.GivenNames, stranger.Number, stranger.BirthDate = "Strange", "Tess", "X12345674", "1980-02-03"
	theirs, _ := stranger.Render()
	write := func(to string, b []byte) { err = errors.Join(err, os.WriteFile(to, b, 0o600)) }
	write(w.Passport, specimen.JPEG(specimen.Photograph(mine, 0, 7), 92))
	write(w.Selfie, specimen.JPEG(same.Selfie(), 92))
	write(w.OtherPassport, specimen.JPEG(specimen.Photograph(theirs, 0, 8), 92))
	write(w.OtherSelfie, specimen.JPEG(other.Selfie(), 92))
	return err
}

// Close ends the processes, and looks for what none may ever print.
func (w *World) Close() (err error) {
	for i := len(w.processes) - 1; i >= 0; i-- {
		p := w.processes[i]
		if !p.Running() {
			err = errors.Join(err, fmt.Errorf("%s had ended by itself\n%s", p.Name, p.Tail()))
			continue
		}
		err = errors.Join(err, p.Stop(40*time.Second))
		for _, bad := range []string{"DATA RACE", "panic:", "panicked", "fatal error:", "goroutine "} {
			log := p.Log()
			if at := strings.Index(log, bad); at >= 0 {
				err = errors.Join(err, fmt.Errorf("the log of %s holds %q:\n%s", p.Name, bad, log[max(0, at-500):min(len(log), at+3000)]))
			}
		}
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// Call posts JSON to a node of door A as the world's caller, and reads its answer.
func (w *World) Call(ctx context.Context, node string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Bridge+"/descope/v1/"+node, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("node %s answered %s: %s", node, res.Status, b)
	}
	return json.Unmarshal(b, out)
}

// Enrol verifies the holder of the passport as user, through door A, and has them
// agree that their face is kept.
func (w *World) Enrol(ctx context.Context, user string) error {
	p, err := w.Person()
	if err != nil {
		return err
	}
	return w.EnrolAs(ctx, p, user)
}

// EnrolAs is Enrol with a person of one's own.
func (w *World) EnrolAs(ctx context.Context, p *Person, user string) error {
	defer p.Leave()
	var begun struct {
		ID  string `json:"session_id"`
		URL string `json:"session_url"`
	}
	if err := w.Call(ctx, "idv", map[string]any{"user_identifier": user, "liveness_mode": "none", "document_types": []string{"passport"}}, &begun); err != nil {
		return err
	}
	p.Enrol = true
	end, err := p.Visit(ctx, begun.URL, "about:")
	if err != nil {
		return err
	}
	var result struct {
		Status, Reason string
		Enrolled       *bool
	}
	if err := w.Call(ctx, "idv/result", map[string]string{"session_id": begun.ID}, &result); err != nil {
		return err
	}
	if result.Status != "verified" || result.Enrolled == nil || !*result.Enrolled {
		return fmt.Errorf("world: enrolling %s came to %s (%s), enrolled %v, at the page: %s", user, result.Status, result.Reason, result.Enrolled, end.Text)
	}
	return nil
}
