// Package whole_test drives the built program from outside, as three real
// processes (engine, local 1Kosmos, bridge) on real sockets: it kills them, breaks
// what is between them, and sends what should not be sent.
//
//	person, flow ──HTTP──▶ bridge ──TLS──▶ proxy ──TLS──▶ local 1Kosmos ──HTTP──▶ engine
//	                                       (ours: faults)
//
// Nothing here looks into the program but through its sockets, its files, its
// database and its logs.
package whole_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
	"github.com/kosmoscope/kosmoscope/test/program"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait, for polls and for leases, so more of them go at a time
	// than there are processors.
	_ = flag.Set("test.parallel", "8")
	os.Exit(program.Main(m, common.close))
}

// common is what all tests share: documents and faces, and one engine, which
// keeps nothing.
var common commons

type commons struct {
	once   sync.Once
	err    error
	dir    string
	models string
	engine *program.Process
	url    string
}

var errSkip = errors.New("skip")

func (c *commons) open(t *testing.T) {
	t.Helper()
	c.once.Do(func() { c.err = c.make(t) })
	if errors.Is(c.err, errSkip) && os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") == "" {
		t.Skip(c.err)
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
}

func (c *commons) make(t *testing.T) (err error) {
	if c.models = os.Getenv("KOSMOSCOPE_MODELS"); c.models == "" {
		c.models = "../../bin/models"
	}
	if c.models, err = filepath.Abs(c.models); err != nil {
		return err
	}
	if _, err := models.Open(c.models); err != nil {
		return fmt.Errorf("%w: no models, so nothing can be verified: %w", errSkip, err)
	}
	if c.dir, err = os.MkdirTemp("", "kosmoscope-whole-*"); err != nil {
		return err
	}
	if err := paint(c.dir); errors.Is(err, specimen.ErrNoFaces) {
		return fmt.Errorf("%w: %w", errSkip, err)
	} else if err != nil {
		return err
	}
	port := program.FreePort(t)
	c.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	c.engine, err = startEngine(t, c.dir, c.models, port)
	return err
}

// paint makes the pictures that are used here: a good passport, scanned flat, its
// holder from another photograph, and somebody else. (Package fixtures makes many
// more, which takes the race detector most of a minute.)
func paint(dir string) error {
	where, err := specimen.FacesDir()
	if err != nil {
		return err
	}
	faces, err := specimen.Faces(where)
	if err != nil {
		return err
	}
	holder, ok := specimen.FindFace(faces, "1c")
	same, ok2 := specimen.FindFace(faces, "3b")
	other, ok3 := specimen.FindFace(faces, "3a")
	if !ok || !ok2 || !ok3 {
		return errors.New("the package with the faces has other faces now")
	}
	front, _ := specimen.Passport(holder.Portrait()).Render()
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "passport.jpg"), specimen.JPEG(specimen.Photograph(front, 0, 7), 92), 0o600),
		os.WriteFile(filepath.Join(dir, "selfie.jpg"), specimen.JPEG(same.Selfie(), 92), 0o600),
		os.WriteFile(filepath.Join(dir, "other.jpg"), specimen.JPEG(other.Selfie(), 92), 0o600),
	)
}

func startEngine(t *testing.T, dir, models string, port int) (*program.Process, error) {
	e, err := program.Start(dir, "engine", program.BuildPlain(t),
		"engine", "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--models", models, "--queue", "64", "--log-level", "debug")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return e, e.Ready(ctx, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/healthz", port))
}

func (c *commons) close() error {
	if c.dir == "" {
		return nil
	}
	defer os.RemoveAll(c.dir)
	if c.engine == nil || !c.engine.Running() {
		return nil // it never came up: the test that wanted it said so
	}
	return errors.Join(c.engine.Stop(patience), sound(c.engine))
}

func fixture(name string) string { return filepath.Join(common.dir, name) }

// sound looks for what no process may ever print.
func sound(p *program.Process) error {
	for _, bad := range []string{"DATA RACE", "panic:", "panicked", "fatal error:", "goroutine "} {
		if log := p.Log(); strings.Contains(log, bad) {
			at := strings.Index(log, bad)
			return fmt.Errorf("the log of %s holds %q:\n%s", p.Name, bad, log[max(0, at-500):min(len(log), at+3000)])
		}
	}
	return nil
}

// plan says how a world differs from the usual one.
type plan struct {
	store   string // default: a SQLite file of its own
	profile string // default blockid
	engine  string // URL; default the common engine
	timeout string // for one call to 1Kosmos; default 10s
	bridges int    // default 1; several are reached by turns under one address

	backends bool   // besides the usual tenant one for each way to step up
	limits   string // of step-ups, as YAML in braces; default: those of the program
	session  string // how long a session for a step-up lasts at 1Kosmos; default 60s
}

// world is a bridge, or several on one store, a local 1Kosmos and what is
// between them.
type world struct {
	t       *testing.T
	dir     string
	store   string
	url     string // of the bridge, as the world knows it
	bridges []*program.Process
	direct  []string // address of each bridge
	configs []string // configuration file of each bridge
	turns   *balancer
	kosmos  *program.Process
	dns     string // of the local 1Kosmos: the proxy's
	proxy   *proxy
	client  *http.Client // of the flow that calls the nodes
}

// Credentials in every world.
const (
	licenseKey    = "license-3f1c9d6e5b7a4820"
	v1Token       = "v1-token-5d0e7b9c2a6f4813"
	bearer        = "connector-token-8e2b6f4a1c9d7035"
	strictBearer  = "strict-token-7a5c3e1f9b8d6042"
	signedBearer  = "signed-token-1b3d5f7a9c8e6420"
	signedSecret  = "signed-secret-0a2c4e6f8b9d7531"
	levelBearer   = "level-token-6f8a0c2e4b9d7513"
	oauthClient   = "kosmoscope"
	oauthSecret   = "oauth-secret-2d4f6a8c0e1b3957"
	workflowID    = "wf-whole-liveid"
	workflowNode  = "liveid-node"
	basicUser     = "descope"
	basicPassword = "basic-password-9c7e5a3f1b8d6024"
	apiKey        = "api-key-4d6f8b0a2c9e7135"
)

func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	common.open(t)
	w := &world{t: t, dir: t.TempDir(), client: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	for _, dir := range []string{"logs", "data/bridge", "data/kosmos"} {
		if err := os.MkdirAll(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if p.engine == "" {
		p.engine = common.url
	}
	if p.timeout == "" {
		p.timeout = "10s"
	}
	port := program.FreePort(t)
	w.dns = fmt.Sprintf("localhost:%d", program.FreePort(t))
	w.addresses(p)
	t.Cleanup(w.end)
	w.startKosmos(port, p)
	w.proxy = newProxy(t, w.dns, port, w.path("data/kosmos/ca.pem"))
	if err := os.WriteFile(w.path("proxy-ca.pem"), authority(t).pem, 0o600); err != nil {
		t.Fatal(err)
	}
	w.startBridges(p)
	return w
}

// as is the same world for a part of its test.
func (w *world) as(t *testing.T) *world {
	part := *w
	part.t = t
	return &part
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// addresses finds out where the bridges will be: 1Kosmos must know where it may
// send browsers back to.
func (w *world) addresses(p plan) {
	w.t.Helper()
	for range max(1, p.bridges) {
		w.direct = append(w.direct, fmt.Sprintf("http://localhost:%d", program.FreePort(w.t)))
	}
	w.url = w.direct[0]
	if len(w.direct) > 1 {
		w.turns = newBalancer(w.t, w.direct)
		w.url = w.turns.url
	}
}

func (w *world) startKosmos(port int, p plan) {
	w.t.Helper()
	type dvc struct {
		ID       string `json:"id"`
		Liveness string `json:"liveness_mode"`
		Selfie   bool   `json:"selfie"`
	}
	config, err := json.Marshal(map[string]any{
		"listen": fmt.Sprintf("127.0.0.1:%d", port), "dns": w.dns, "community": "default", "license_key": licenseKey,
		"v1_tokens": []string{v1Token}, "engine_url": p.engine, "data": "data/kosmos", "log_level": "debug",
		"dvcs":             []dvc{{"still", "none", true}, {"active", "active", true}},
		"step_up_liveness": "none", "step_up_ttl": p.session,
		"workflows":     []fields{{"id": workflowID, "node": workflowNode}},
		"oauth_clients": []fields{{"client_id": oauthClient, "client_secret": oauthSecret, "redirect_uris": []string{w.url + "/c/return"}}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path("kosmos.json"), config, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.kosmos, err = program.Start(w.path("logs"), "kosmos", program.Build(w.t), "sandbox", "kosmos", "--config", w.path("kosmos.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	// Its certificates appear before it listens.
	eventually(w.t, "the local 1Kosmos makes its certificates", func() (bool, string) {
		_, err := os.Stat(w.path("data/kosmos/ca.pem"))
		return err == nil, w.kosmos.Tail()
	})
	w.kosmosReady()
}

func (w *world) kosmosReady() {
	w.t.Helper()
	b, err := os.ReadFile(w.path("kosmos.json"))
	var config struct{ Listen string }
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	client := trusting(w.t, w.path("data/kosmos/ca.pem"))
	defer client.CloseIdleConnections()
	if err := w.kosmos.Ready(ctx, client, "https://localhost"+config.Listen[strings.LastIndex(config.Listen, ":"):]+"/caas/sd"); err != nil {
		w.t.Fatal(err)
	}
}

const kosmosBlockID = `
      profile: blockid
      community: default
      license_key: ` + licenseKey + `
      workflows:
        - { dvc_id: still, document_types: [passport, id_card, drivers_license], liveness_mode: none }
        - { dvc_id: active, document_types: [passport, id_card], liveness_mode: active }`

const kosmosV1 = `
      profile: v1
      v1: { token: ` + v1Token + `, liveness_modes: [none, passive, active], minimum_level: %s }`

func (w *world) startBridges(p plan) {
	w.t.Helper()
	w.store = p.store
	if w.store == "" {
		w.store = "sqlite:" + w.path("data/bridge/kosmoscope.db")
	}
	profile := kosmosBlockID
	if p.profile == "v1" {
		profile = fmt.Sprintf(kosmosV1, "any")
	}
	tenant := func(id, profile, stepUp string) string {
		if p.session != "" {
			stepUp += ", session_ttl: " + p.session
		}
		if p.limits != "" {
			stepUp += ", limits: " + p.limits
		}
		return `
  - id: ` + id + `
    kosmos:` + profile + `
      dns: ` + w.dns + `
      ca_file: ` + w.path("proxy-ca.pem") + `
      timeout: ` + p.timeout + `
    poll: { first: 100ms, max: 500ms, give_up: 3 }
    step_up: { poll: 100ms, without_liveness: true` + stepUp + ` }`
	}
	tenants := tenant("main", profile, "")
	more := ""
	if p.profile == "v1" {
		tenants += tenant("level", fmt.Sprintf(kosmosV1, "IAL2"), "")
		more = `
  - { id: level, tenant: level, application: Whole test, bearer: ` + levelBearer + `, liveness_modes: [none] }`
	}
	if p.backends {
		for name, settings := range backendSettings(w.dns) {
			with := profile
			if name == "v1" {
				with += `
      v1: { token: ` + v1Token + ` }`
			}
			tenants += tenant("by-"+name, with, ", backend: "+name+settings)
			more += `
  - { id: by-` + name + `, tenant: by-` + name + `, application: Whole test, bearer: ` + backendBearer(name) + `, liveness_modes: [none], callback_urls: ["` + w.url + `/"] }`
		}
	}
	for i, direct := range w.direct {
		config := `public_url: ` + w.url + `
listen: 127.0.0.1:` + direct[strings.LastIndex(direct, ":")+1:] + `
store: ` + w.store + `
master_key: ` + w.path("data/bridge/master.key") + `
log_level: debug
geo: { without_tables: true } # reading them takes the race detector six seconds at each start
tenants:` + tenants + `
callers:
  - id: connector
    tenant: main
    application: Whole test
    bearer: ` + bearer + `
    liveness_modes: [none, active]
    callback_urls: ["` + w.url + `/"]
  - { id: strict, tenant: main, application: Whole test, bearer: ` + strictBearer + ` }
  - { id: signed, tenant: main, application: Whole test, bearer: ` + signedBearer + `, hmac_secret: ` + signedSecret + `, liveness_modes: [none] }
  - { id: basic, tenant: main, application: Whole test, basic: { username: ` + basicUser + `, password: ` + basicPassword + ` }, liveness_modes: [none] }
  - { id: key, tenant: main, application: Whole test, api_key: { header: X-Api-Key, value: ` + apiKey + ` }, liveness_modes: [none] }` + more + `
`
		file := w.path(fmt.Sprintf("bridge%d.yaml", i))
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.configs = append(w.configs, file)
		b, err := program.Start(w.path("logs"), fmt.Sprintf("bridge%d", i), program.Build(w.t), "serve", "--config", file)
		if err != nil {
			w.t.Fatal(err)
		}
		w.bridges = append(w.bridges, b)
		w.bridgeReady(i) // one after the other: the first makes the master key
	}
}

func (w *world) bridgeReady(i int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.bridges[i].Ready(ctx, w.client, w.direct[i]+"/healthz"); err != nil {
		w.t.Fatal(err)
	}
}

// backendSettings are the ways to step up besides the usual one, and what each needs.
func backendSettings(dns string) map[string]string {
	return map[string]string{
		"v1":       "",
		"workflow": ", workflow: { id: " + workflowID + ", node: " + workflowNode + " }",
		"oidc": ", oidc: { discovery_url: \"https://" + dns + "/oauth2/community/default/.well-known/openid-configuration\", client_id: " +
			oauthClient + ", client_secret: " + oauthSecret + " }",
	}
}

func backendBearer(name string) string { return "token-of-backend-" + name + "-5e7a9c1b" }

// crash ends a bridge with kill -9 and starts it again.
func (w *world) crash(i int) {
	w.t.Helper()
	w.kill(w.bridges[i])
	w.again(w.bridges[i])
	w.bridgeReady(i)
}

func (w *world) kill(p *program.Process) {
	w.t.Helper()
	if err := p.Kill(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) again(p *program.Process) {
	w.t.Helper()
	if err := p.Again(); err != nil {
		w.t.Fatal(err)
	}
}

// end ends the processes as Ctrl-C does and sees that they go cleanly.
func (w *world) end() {
	var all []*program.Process
	all = append(all, w.bridges...)
	if w.kosmos != nil {
		all = append(all, w.kosmos)
	}
	for _, p := range all {
		if p.Running() {
			if err := p.Stop(patience); err != nil {
				w.t.Error(err)
			}
		}
		if err := sound(p); err != nil {
			w.t.Error(err)
		}
		if w.t.Failed() {
			w.t.Logf("the end of the log of %s:\n%s", p.Name, p.Tail())
		}
	}
	w.client.CloseIdleConnections()
}

// patience is how long anything may take. The longest are a job of a process that
// was killed, which is free again after 30 s, and an engine that stays away, which
// the local 1Kosmos gives up after 38 s.
const patience = 4 * time.Minute

// eventually waits until check holds; its text says how it stands.
func eventually(t *testing.T, what string, check func() (bool, string)) {
	t.Helper()
	every(t, 25*time.Millisecond, what, check)
}

func every(t *testing.T, distance time.Duration, what string, check func() (bool, string)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(distance)
	defer tick.Stop()
	for {
		ok, state := check()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s; it stands at: %s", patience, what, state)
		}
	}
}

// await waits for something to arrive.
func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("not within %s: %s", patience, what)
	}
	return v
}

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func do(client *http.Client, req *http.Request) (answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return answer{res.StatusCode, res.Header, b}, err
}

// post calls a node with whatever body; headers are pairs of name and value.
func (w *world) post(base, path, body string, headers ...string) (answer, error) {
	return w.call(http.MethodPost, base+path, body, headers...)
}

func (w *world) call(method, url, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return do(w.client, req)
}

// started is the answer of node 1Kosmos IDV.
type started struct {
	SessionID  string `json:"session_id"`
	SessionURL string `json:"session_url"`
	Status     string `json:"status"`
}

type fields map[string]any

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// start calls node 1Kosmos IDV for a passport and still photos, unless in says otherwise.
func (w *world) start(in fields) started {
	w.t.Helper()
	return w.startAs(bearer, in)
}

func (w *world) startAs(token string, in fields) (s started) {
	w.t.Helper()
	all := fields{"document_types": "passport", "liveness_mode": "none"}
	for name, value := range in {
		all[name] = value
	}
	a, err := w.post(w.url, "/descope/v1/idv", encode(w.t, all), "Authorization", "Bearer "+token)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, &s); err != nil || a.status != http.StatusOK || s.SessionID == "" {
		w.t.Fatalf("node IDV answered %d %s", a.status, a.body)
	}
	return s
}

// result is the answer of node 1Kosmos IDV Result.
type result struct {
	SessionID      *string           `json:"session_id"`
	Status         string            `json:"status"`
	Reason         string            `json:"reason"` // "" for null
	IALLevel       string            `json:"ial_level"`
	IALSource      string            `json:"ial_source"`
	Claims         map[string]string `json:"claims"`
	VerifiedClaims json.RawMessage   `json:"verified_claims"`

	raw []byte
}

func (r result) String() string { return r.Status + " " + r.Reason }

func (w *world) result(id string) result {
	w.t.Helper()
	return w.resultAt(w.url, bearer, id)
}

// resultAt also holds every answer to what holds for all of them.
func (w *world) resultAt(base, token, id string) (r result) {
	w.t.Helper()
	a, err := w.post(base, "/descope/v1/idv/result", encode(w.t, fields{"session_id": id}), "Authorization", "Bearer "+token)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, &r); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("node IDV Result answered %d %s", a.status, a.body)
	}
	r.raw = a.body
	if r.Status != "verified" && (r.Claims != nil || r.IALLevel != "" || !bytes.Equal(r.VerifiedClaims, []byte("null"))) {
		w.t.Fatalf("claims or a level of somebody who is not verified: %s", a.body)
	}
	if r.Reason != "" && !documented(w.t, r.Reason) {
		w.t.Errorf("reason %q is not in docs/reasons.md", r.Reason)
	}
	return r
}

// becomes waits for a status and reason, and lets nothing be verified that should not be.
func (w *world) becomes(id, status, reason string) result {
	w.t.Helper()
	var r result
	eventually(w.t, fmt.Sprintf("%s becomes %s %s", id, status, reason), func() (bool, string) {
		r = w.result(id)
		if terminal(r.Status) && r.Status != status {
			w.t.Fatalf("%s ended as %s; want %s %s", id, r, status, reason)
		}
		return r.Status == status && r.Reason == reason, r.String()
	})
	return r
}

// verified waits for the verdict and looks at what was read from the passport.
func (w *world) verified(id string) result {
	w.t.Helper()
	r := w.becomes(id, "verified", "")
	if r.Claims["family_name"] != "ERIKSSON" || r.Claims["birthdate"] != "1974-08-12" {
		w.t.Errorf("verified, with claims %v", r.Claims)
	}
	if _, ok := r.Claims["document_number"]; ok {
		w.t.Error("the document number is shown to a caller that is not entitled to it")
	}
	return r
}

func terminal(status string) bool {
	switch status {
	case "verified", "failed", "expired", "abandoned":
		return true
	}
	return false
}

var reasons = sync.OnceValues(func() (map[string]bool, error) {
	b, err := os.ReadFile("../../docs/reasons.md")
	all := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllSubmatch(b, -1) {
		all[string(m[1])] = true
	}
	return all, err
})

func documented(t *testing.T, reason string) bool {
	t.Helper()
	all, err := reasons()
	if err != nil {
		t.Fatal(err)
	}
	return all[reason]
}
