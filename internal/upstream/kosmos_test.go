package upstream_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
	"github.com/kosmoscope/kosmoscope/internal/upstream/stepuptest"
)

// Every backend against the real local 1Kosmos, whose engine alone is a
// stand-in. Where the reference says that a shape is unknown, both sides are our
// guess; the names of those tests say so.

func TestUWLContract(t *testing.T) {
	for _, curve := range []blockid.Curve{blockid.Secp256k1, blockid.P256} {
		t.Run(string(curve), func(t *testing.T) {
			stepuptest.Suite(t, func(t *testing.T) *stepuptest.Harness {
				k := startKosmos(t, curve)
				h := k.harness(upstream.NewUWL(k.link, 0, k.now))
				h.Scan, h.Lifetime = true, time.Minute
				return h
			})
		})
	}
}

// What a step-up's result looks like in the V1 profile is our guess.
func TestV1ContractAgainstOurGuess(t *testing.T) {
	stepuptest.Suite(t, func(t *testing.T) *stepuptest.Harness {
		k := startKosmos(t, blockid.Secp256k1)
		client, err := blockid.NewV1Client(blockid.V1Config{DNS: k.dns, Token: kosmosToken, HTTPClient: k.client(), Now: k.now})
		if err != nil {
			t.Fatal(err)
		}
		h := k.harness(upstream.NewV1StepUp(client, k.now))
		h.NamesUser, h.Lifetime = true, 5*time.Minute
		return h
	})
}

// What a workflow takes in metaData and puts into a node's result is our guess.
func TestWorkflowContractAgainstOurGuess(t *testing.T) {
	stepuptest.Suite(t, func(t *testing.T) *stepuptest.Harness {
		k := startKosmos(t, blockid.Secp256k1)
		h := k.harness(upstream.NewWorkflow(k.link, upstream.WorkflowConfig{ID: kosmosWorkflow, Node: kosmosNode, TTL: 10 * time.Minute}, k.now))
		h.NamesUser, h.Lifetime = true, 10*time.Minute
		return h
	})
}

// Which acr and amr an ID token carries, and how a refusal reads, is our guess.
func TestOIDCContractAgainstOurGuess(t *testing.T) {
	stepuptest.Suite(t, func(t *testing.T) *stepuptest.Harness {
		k := startKosmos(t, blockid.Secp256k1)
		backend, err := upstream.NewOIDC(upstream.OIDCConfig{
			DiscoveryURL: k.base + "/oauth2/community/default/.well-known/openid-configuration",
			ClientID:     kosmosClient, ClientSecret: kosmosSecret, HTTPClient: k.client(),
			Eligibility: upstream.Eligibility(k.link), Now: k.now,
		})
		if err != nil {
			t.Fatal(err)
		}
		h := k.harness(backend)
		h.NamesUser, h.LinkNamesUser, h.OnceOnly, h.EndsHere, h.Lifetime = true, true, true, true, 5*time.Minute
		return h
	})
}

const (
	kosmosLicense  = "kosmos-license"
	kosmosToken    = "kosmos-token"
	kosmosWorkflow = "wf-liveid"
	kosmosNode     = "face"
	kosmosClient   = "bridge"
	kosmosSecret   = "a-secret-of-the-bridge-for-tests"
	kosmosReturn   = "https://bridge.example.test/c/return"
)

// localKosmos is a running local 1Kosmos with its clock, and people's browsers.
type localKosmos struct {
	t      *testing.T
	server *kosmos.Server
	dns    string
	base   string
	web    *http.Client // of a browser: it follows no redirect by itself
	wire   *stepuptest.Wire
	link   *upstream.Connector

	mu   sync.Mutex
	time time.Time
}

func (k *localKosmos) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.time
}

func (k *localKosmos) advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.time = k.time.Add(d)
}

func startKosmos(t *testing.T, curve blockid.Curve, webhooks ...kosmos.Webhook) *localKosmos {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &localKosmos{t: t, dns: fmt.Sprintf("localhost:%d", ln.Addr().(*net.TCPAddr).Port), time: time.Now()}
	k.base = "https://" + k.dns
	k.server, err = kosmos.New(kosmos.Options{
		DNS: k.dns, LicenseKey: kosmosLicense, V1Tokens: []string{kosmosToken},
		DVCs:      []kosmos.DVC{{ID: "selfie", Selfie: true, DocumentTypes: []string{api.Passport}}},
		Clients:   []kosmos.OAuthClient{{ID: kosmosClient, Secret: kosmosSecret, RedirectURIs: []string{kosmosReturn}}},
		Workflows: []kosmos.Workflow{{ID: kosmosWorkflow, Node: kosmosNode, Kind: "liveid"}},
		Engine:    faceEngine{}, DataDir: t.TempDir(), EngineRetries: []time.Duration{1}, Curve: curve,
		StepUpLiveness: api.LivenessNone, Webhooks: webhooks, Now: k.now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(k.server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	k.web = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	k.wire = &stepuptest.Wire{Next: transport}
	k.link = upstream.Connect(blockid.Config{
		DNS: k.dns, Community: "default", LicenseKey: kosmosLicense, HTTPClient: k.client(), Now: k.now,
	}, func(_ context.Context, c blockid.Curve) (*blockid.PrivateKey, error) { return blockid.GenerateKey(c) })

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := k.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// client is the bridge's, whose wire the suite holds.
func (k *localKosmos) client() *http.Client { return &http.Client{Transport: k.wire} }

func (k *localKosmos) harness(backend journey.StepUp) *stepuptest.Harness {
	return &stepuptest.Harness{
		Backend: backend, Wire: k.wire, ReturnURL: kosmosReturn, Now: k.now, Advance: k.advance,
		Enrol:   func(t *testing.T, user string, face stepuptest.Face) { k.prove(t, user, face, true) },
		Know:    func(t *testing.T, user string) { k.prove(t, user, "anybody", false) },
		Disable: k.disable, Answer: k.answer, Decline: k.decline,
		Attempts: 10, PerSession: 3,
	}
}

// prove takes a person through a proofing at the capture page.
func (k *localKosmos) prove(t *testing.T, user string, face stepuptest.Face, enrol bool) {
	t.Helper()
	client, err := blockid.NewClient(blockid.Config{DNS: k.dns, Community: "default", LicenseKey: kosmosLicense, HTTPClient: k.web, Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.CreateIDV(t.Context(), blockid.IDVRequest{DVCID: "selfie", DocumentType: blockid.Passport, User: blockid.IDVUser{Username: user}})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{}
	if enrol {
		form.Set("enrol", "yes")
	}
	k.post(t, s.URL+"/start", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
	typ, body := photoForm(nil, kosmosPhoto("document of "+string(face)))
	k.post(t, s.URL+"/document", typ, body)
	typ, body = photoForm(nil, kosmosPhoto(string(face)))
	k.post(t, s.URL+"/selfie", typ, body)
	k.post(t, s.URL+"/submit", "", nil)
	for {
		r, err := client.IDVResult(t.Context(), "selfie", s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r.Status == blockid.StatusSuccess {
			var block struct{ Enrolled bool }
			if err := json.Unmarshal(r.Extra["kosmoscope"], &block); err != nil || block.Enrolled != enrol {
				t.Fatalf("enrolled %v, %v", block.Enrolled, err)
			}
			return
		}
		if r.Status.Final() {
			t.Fatalf("proofing ended as %s: %s %+v", r.Status, r.Extra["kosmoscope"], *r.Failure)
		}
	}
}

func (k *localKosmos) disable(t *testing.T, user string) {
	t.Helper()
	if err := k.server.Directory().SetDisabled(t.Context(), user, true, "test"); err != nil {
		t.Fatal(err)
	}
}

// page goes where the session leads, as a browser, and returns the address of
// the authenticator. Where it is sent back to us at once, it returns that instead.
func (k *localKosmos) page(t *testing.T, address string) (authenticator string, back *url.URL) {
	t.Helper()
	for range 5 {
		if strings.HasPrefix(address, kosmosReturn) {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			return "", u
		}
		if strings.Contains(address, "/authenticator/") && !strings.HasSuffix(address, "/return") {
			return address, nil
		}
		res := k.do(t, http.MethodGet, address, "text/html", "", nil)
		if res.location == "" {
			t.Fatalf("%d, and nowhere to go", res.status)
		}
		address = res.location
	}
	t.Fatal("redirects without end")
	return "", nil
}

// browser is k as a person with a browser of their own sees it.
func (k *localKosmos) browser() *localKosmos {
	jar, _ := cookiejar.New(nil)
	web := *k.web
	web.Jar = jar
	return &localKosmos{t: k.t, base: k.base, web: &web}
}

// faceState is what the authenticator says to scripts.
type faceState struct {
	State         string `json:"state"`
	Reason        string `json:"reason"`
	Nonce         string `json:"nonce"`
	AccountNeeded bool   `json:"account_needed"`
	ReturnURL     string `json:"return_url"`
}

func (k *localKosmos) answer(t *testing.T, s proof.StepUpSession, user string, face stepuptest.Face) proof.StepUpSession {
	t.Helper()
	k = k.browser()
	at, back := k.page(t, s.URL)
	if back != nil {
		return returned(s, back)
	}
	var f faceState
	k.json(t, http.MethodGet, at+"/state", "", nil, &f)
	for f.State == "open" && f.Nonce != "" {
		fields := [][2]string{{"nonce", f.Nonce}}
		if f.AccountNeeded {
			fields = append(fields, [2]string{"account", user})
		}
		typ, body := photoForm(fields, kosmosPhoto(string(face)))
		k.json(t, http.MethodPost, at+"/face", typ, body, &f)
	}
	return k.goBack(t, s, f)
}

func (k *localKosmos) decline(t *testing.T, s proof.StepUpSession) proof.StepUpSession {
	t.Helper()
	k = k.browser()
	at, _ := k.page(t, s.URL)
	var f faceState
	k.json(t, http.MethodPost, at+"/decline", "", nil, &f)
	return k.goBack(t, s, f)
}

func (k *localKosmos) goBack(t *testing.T, s proof.StepUpSession, f faceState) proof.StepUpSession {
	t.Helper()
	if f.ReturnURL == "" || f.State == "open" {
		return s
	}
	if _, back := k.page(t, k.base+f.ReturnURL); back != nil {
		return returned(s, back)
	}
	return s
}

// returned is the session after our own page took the browser back.
func returned(s proof.StepUpSession, u *url.URL) proof.StepUpSession {
	q := u.Query()
	if q.Get("state") == "" { // the other ways bring nothing that we read
		return s
	}
	s.Returned = map[string]string{}
	for name := range q {
		s.Returned[name] = q.Get(name)
	}
	return s
}

type webAnswer struct {
	status   int
	location string
	body     []byte
}

func (k *localKosmos) do(t *testing.T, method, address, accept, contentType string, body io.Reader) webAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := k.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := webAnswer{status: res.StatusCode, body: b}
	if to, err := res.Location(); err == nil {
		a.location = to.String()
	}
	return a
}

func (k *localKosmos) json(t *testing.T, method, address, contentType string, body io.Reader, v any) {
	t.Helper()
	a := k.do(t, method, address, "application/json", contentType, body)
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%d: %v", a.status, err)
	}
}

func (k *localKosmos) post(t *testing.T, address, contentType string, body io.Reader) {
	t.Helper()
	if a := k.do(t, http.MethodPost, address, "application/json", contentType, body); a.status != http.StatusOK {
		t.Fatalf("%d: %s", a.status, a.body)
	}
}

func photoForm(fields [][2]string, photo []byte) (contentType string, body io.Reader) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		_ = w.WriteField(f[0], f[1])
	}
	part, _ := w.CreateFormFile("file", "photo.jpg")
	_, _ = part.Write(photo)
	_ = w.Close()
	return w.FormDataContentType(), &b
}

// kosmosPhoto is a photo of its own for every subject.
func kosmosPhoto(of string) []byte {
	sum := sha256.Sum256([]byte(of))
	img := image.NewRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 * 32 {
		img.Set(i%32, i/32, color.RGBA{sum[i/32%32], sum[i%32], sum[0], 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// faceEngine judges by the bytes of a picture: one file is one face.
type faceEngine struct{}

func faceTemplate(photo []byte) []byte {
	sum := sha256.Sum256(photo)
	return fmt.Appendf(nil, "template %x", sum)
}

func verdict(outcome api.Outcome, reason string, checks ...string) *api.Report {
	r := &api.Report{
		Verdict: outcome, Reason: reason, Evidence: []api.Evidence{},
		Engine: api.Info{Name: "kosmoscope-engine", Version: "test", Framework: "test-framework"},
	}
	score, threshold := stepuptest.Score, 0.5
	if outcome != api.Pass {
		score = 0.12
	}
	for _, c := range checks {
		check := api.Check{Name: c, Outcome: outcome}
		if c == api.CheckFaceMatch {
			check.Score, check.Threshold = &score, &threshold
		}
		r.Checks = append(r.Checks, check)
	}
	return r
}

func (faceEngine) Verify(_ context.Context, q *api.VerifyRequest) (*api.Report, error) {
	r := verdict(api.Pass, "", api.CheckDocumentImage, api.CheckDocumentType, api.CheckMRZ, api.CheckMRZDigits, api.CheckDocumentExpiry,
		api.CheckDocumentPortrait, api.CheckSelfie, api.CheckFaceMatch)
	r.Evidence = []api.Evidence{{Type: "document", DocumentType: api.Passport, Format: "TD3", Country: "UTO"}}
	r.Document = &api.Document{
		Type: api.Passport, Format: "TD3", IssuingCountry: "UTO", Number: "L898902C3", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
		Nationality: "UTO", BirthDate: "1974-08-12", Sex: "F", ExpiryDate: "2034-04-15", MRZ: []string{"P<UTO", "L898902C3"},
	}
	r.Portrait = q.DocumentFront
	if q.Templates {
		r.Templates = &api.Templates{Selfie: faceTemplate(q.Selfies[0]), Portrait: faceTemplate(q.DocumentFront)}
	}
	return r, nil
}

func (faceEngine) Document(context.Context, *api.DocumentRequest) (*api.Report, error) {
	return verdict(api.Pass, "", api.CheckDocumentImage), nil
}

func (faceEngine) Selfie(context.Context, *api.SelfieRequest) (*api.Report, error) {
	return verdict(api.Pass, "", api.CheckSelfie), nil
}

func (faceEngine) Challenge(context.Context) (*api.Challenge, error) {
	return nil, errors.New("these tests show photos")
}

func (faceEngine) Frame(context.Context, *api.FrameRequest) (*api.FrameReport, error) {
	return nil, errors.New("these tests show photos")
}

func (faceEngine) Match(_ context.Context, q *api.MatchRequest) (*api.Report, error) {
	probes := slices.Clone(q.Probes)
	for _, s := range q.Selfies {
		probes = append(probes, faceTemplate(s))
	}
	for _, p := range probes {
		if !bytes.Equal(p, q.References[0]) {
			return verdict(api.Fail, api.ReasonFaceMismatch, api.CheckFaceMatch), nil
		}
	}
	return verdict(api.Pass, "", api.CheckSelfie, api.CheckFaceMatch), nil
}
