package upstream_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const callbackSecret = "secret-of-the-callbacks-0123456789"

var acme = proof.Caller{ID: "shop", Tenant: "acme", Application: "Acme", Liveness: []proof.LivenessMode{proof.LivenessPassive}}

// bridge is the journey with the door that callbacks come in by, and the local 1Kosmos that
// sends them.
type bridge struct {
	*journey.Service
	*localKosmos
	store *store.Store
	told  chan map[string]any // callbacks that the door is done with
}

// bridgeTo makes one whose tenant reaches 1Kosmos as fill says.
func bridgeTo(t *testing.T, fill func(k *localKosmos, v1 *blockid.V1Client, tenant *journey.Tenant)) *bridge {
	t.Helper()
	b := &bridge{told: make(chan map[string]any, 16)}
	server := httptest.NewUnstartedServer(nil)
	t.Cleanup(server.Close)
	b.localKosmos = startKosmos(t, blockid.Secp256k1, kosmos.Webhook{
		URL: "http://" + server.Listener.Addr().String() + in.CallbackPrefix + "acme/" + callbackSecret, Secret: callbackSecret,
	})
	v1, err := blockid.NewV1Client(blockid.V1Config{DNS: b.dns, Token: kosmosToken, HTTPClient: b.client(), Now: b.now})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := vault.Create(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	keys, err := vault.Open(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = store.OpenSQLite(t.Context(), filepath.Join(dir, "k.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	// Nothing but a callback makes a poll due within this hour.
	tenant := journey.Tenant{
		ID: "acme", DefaultLiveness: proof.LivenessPassive, LinkTTL: time.Hour, Deadline: 2 * time.Hour, PollFirst: time.Hour, PollMax: time.Hour, PollGiveUp: 3,
		StepUp: journey.StepUpRules{Timeout: 5 * time.Minute, MaxTimeout: 5 * time.Minute, Poll: time.Hour, ResultTTL: time.Hour},
	}
	fill(b.localKosmos, v1, &tenant)
	b.Service = journey.New(journey.Options{
		Store: b.store, Vault: keys, Tenants: []journey.Tenant{tenant}, PublicURL: "https://bridge.example.test", Now: b.now,
		Callers: func(string, string) (proof.Caller, bool) { return acme, true },
	})
	door, err := in.New(in.Options{
		Events: struct{ in.Events }{}, Callers: struct{ in.Authenticator }{}, Store: b.store, Hasher: keys, Proofing: b.Service, Now: b.now,
		Tenants: []in.Tenant{{ID: "acme", CallbackSecrets: []string{callbackSecret}, CallbackHMAC: []string{callbackSecret}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var said map[string]any
		if err != nil || json.Unmarshal(body, &said) != nil {
			t.Errorf("a callback %q: %v", body, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		door.ServeHTTP(w, r)
		b.told <- said
	})
	server.Start()
	return b
}

// due takes the jobs that are due now.
func (b *bridge) due(t *testing.T) (list []proof.Job) {
	t.Helper()
	claimed, err := b.store.Claim(t.Context(), "test", b.now(), 100, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claimed {
		list = append(list, c.Job)
		if err := b.store.Finish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// heard waits for the callback about a proofing ("idv") or a step-up ("login").
func (b *bridge) heard(t *testing.T, category, ours string) {
	t.Helper()
	for {
		select {
		case said := <-b.told:
			if said["eventCategory"] != category {
				continue // of the enrolment before
			}
			if text, _ := json.Marshal(said); strings.Contains(string(text), ours) {
				t.Fatalf("the callback names our id, so this shows nothing: %s", text)
			}
			return
		case <-time.After(2 * time.Minute):
			t.Fatal("no callback")
		}
	}
}

// follow runs the one job that a callback made due.
func (b *bridge) follow(t *testing.T, kind, id string) {
	t.Helper()
	due := b.due(t)
	if len(due) != 1 || due[0].Kind != kind || due[0].Key != id {
		t.Fatalf("due: %+v", due)
	}
	if next, err := b.Handlers()[kind](t.Context(), due[0]); err != nil || !next.IsZero() {
		t.Fatal(next, err)
	}
}

// TestCallbackOfVerification: that a person declined is known as soon as 1Kosmos tells that
// something happened, though it names nothing but its own session.
func TestCallbackOfVerification(t *testing.T) {
	for name, upstreamOf := range map[string]func(k *localKosmos, v1 *blockid.V1Client) journey.Upstream{
		"blockid": func(k *localKosmos, _ *blockid.V1Client) journey.Upstream {
			return upstream.NewBlockID(k.link, []upstream.Workflow{{DVC: "selfie", DocumentTypes: []proof.DocumentType{proof.Passport}, Liveness: proof.LivenessPassive}}, "urn:test", k.now)
		},
		"v1": func(_ *localKosmos, v1 *blockid.V1Client) journey.Upstream {
			return upstream.NewV1(v1, []proof.LivenessMode{proof.LivenessPassive}, "urn:test")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := bridgeTo(t, func(k *localKosmos, v1 *blockid.V1Client, tenant *journey.Tenant) {
				tenant.Upstream = upstreamOf(k, v1)
			})
			s, err := b.Start(t.Context(), acme, journey.StartRequest{DocumentTypes: []proof.DocumentType{proof.Passport}})
			if err != nil {
				t.Fatal(err)
			}
			_, cookie, err := b.Open(t.Context(), s.SessionID, last(s.SessionURL), "", "")
			if err != nil {
				t.Fatal(err)
			}
			view, err := b.Consent(t.Context(), s.SessionID, cookie, proof.Passport)
			if err != nil || view.UpstreamURL == "" {
				t.Fatal(view, err)
			}
			if due := b.due(t); len(due) > 0 {
				t.Fatal(due)
			}
			b.post(t, view.UpstreamURL+"/decline", "", nil)
			b.heard(t, "idv", s.SessionID)
			b.follow(t, journey.JobPoll, s.SessionID)
			if r, err := b.Result(t.Context(), acme, s.SessionID, ""); err != nil || !r.Verification.Status.Terminal() || r.Verification.Status == proof.Verified {
				t.Fatal(r, err)
			}
		})
	}
}

// TestCallbackOfChallenge: likewise. What an OpenID login answers only the browser brings, so
// that its callback has nothing to lead to.
func TestCallbackOfChallenge(t *testing.T) {
	for name, c := range map[string]struct {
		backend func(t *testing.T, k *localKosmos, v1 *blockid.V1Client) journey.StepUp
		blind   bool
	}{
		"uwl": {backend: func(_ *testing.T, k *localKosmos, _ *blockid.V1Client) journey.StepUp {
			return upstream.NewUWL(k.link, 0, k.now)
		}},
		"v1": {backend: func(_ *testing.T, k *localKosmos, v1 *blockid.V1Client) journey.StepUp {
			return upstream.NewV1StepUp(v1, k.now)
		}},
		"workflow": {backend: func(_ *testing.T, k *localKosmos, _ *blockid.V1Client) journey.StepUp {
			return upstream.NewWorkflow(k.link, upstream.WorkflowConfig{ID: kosmosWorkflow, Node: kosmosNode}, k.now)
		}},
		"oidc": {blind: true, backend: func(t *testing.T, k *localKosmos, _ *blockid.V1Client) journey.StepUp {
			b, err := upstream.NewOIDC(upstream.OIDCConfig{
				DiscoveryURL: k.base + "/oauth2/community/default/.well-known/openid-configuration", ClientID: kosmosClient, ClientSecret: kosmosSecret,
				HTTPClient: k.client(), Eligibility: upstream.Eligibility(k.link), Now: k.now,
			})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := bridgeTo(t, func(k *localKosmos, v1 *blockid.V1Client, tenant *journey.Tenant) {
				tenant.StepUp.Backend = c.backend(t, k, v1)
			})
			b.prove(t, "ann", "ann", true)
			s, err := b.StartChallenge(t.Context(), acme, journey.ChallengeStart{Request: proof.ChallengeRequest{UserIdentifier: "ann"}})
			if err != nil || s.Refused != "" {
				t.Fatal(s, err)
			}
			view, _, err := b.OpenChallenge(t.Context(), s.ChallengeID, last(s.ChallengeURL), "", "", netip.MustParseAddr("203.0.113.7"))
			if err != nil || view.UpstreamURL == "" {
				t.Fatal(view, err)
			}
			b.due(t) // opening the link polls
			person := b.browser()
			at, _ := person.page(t, view.UpstreamURL)
			person.post(t, at+"/decline", "", nil)
			b.heard(t, "login", s.ChallengeID)
			if c.blind {
				if due := b.due(t); slices.ContainsFunc(due, func(j proof.Job) bool { return j.Kind == journey.JobChallengePoll }) {
					t.Fatal(due)
				}
				return
			}
			b.follow(t, journey.JobChallengePoll, s.ChallengeID)
			if r, err := b.ChallengeResult(t.Context(), acme, s.ChallengeID, "", ""); err != nil || r.Status != proof.ChallengeFailed || r.Reason != proof.ReasonDeclined {
				t.Fatal(r, err)
			}
		})
	}
}

func last(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
