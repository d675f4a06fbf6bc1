package upstream_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream/stepuptest"
)

// Every backend against a 1Kosmos that says whatever the suite wants. As in
// kosmos_test.go, what the reference leaves open is as we guess.

// words are the fields of an answer, and the block if there is one.
func words(block string, fields map[string]any) string {
	if block != "" {
		fields["kosmoscope"] = json.RawMessage(block)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (h *handMade) forger(kind string, say func(stepuptest.Answer)) *stepuptest.Forger {
	return &stepuptest.Forger{
		Backend: h.backend(kind), Request: handRequest, Unsealed: kind == "v1",
		Say: func(t *testing.T, s proof.StepUpSession, a stepuptest.Answer) proof.StepUpSession {
			if a.Stranger {
				var err error
				if h.stranger, err = blockid.GenerateKey(blockid.Secp256k1); err != nil {
					t.Fatal(err)
				}
			}
			say(a)
			return s
		},
	}
}

func TestUWLTrust(t *testing.T) {
	stepuptest.Trust(t, func(t *testing.T) *stepuptest.Forger {
		h := newHandMade(t)
		return h.forger("uwl", func(a stepuptest.Answer) {
			if a.Session {
				h.session = "0" + handID[1:]
			}
			// Whose wallet it is counts, and the answer always says that it is jane's.
			h.plain["/userdid/"+h.did+"/userinfo"] = fmt.Sprintf(`{"userIdList":[%q],"publicKey":%q}`, a.User, h.wallet.Public().String())
			h.answer = words(a.Block, map[string]any{"did": h.did, "userid": "jane"})
		})
	})
}

func TestWorkflowTrustAgainstOurGuess(t *testing.T) {
	stepuptest.Trust(t, func(t *testing.T) *stepuptest.Forger {
		h := newHandMade(t)
		return h.forger("workflow", func(a stepuptest.Answer) {
			fields := map[string]any{"status": "completed", "match_result": "match", "username": a.User}
			if a.Session {
				fields["wfInstanceId"] = "wfi-2"
			}
			h.answer = words(a.Block, fields)
		})
	})
}

func TestV1TrustAgainstOurGuess(t *testing.T) {
	stepuptest.Trust(t, func(t *testing.T) *stepuptest.Forger {
		h := newHandMade(t)
		return h.forger("v1", func(a stepuptest.Answer) {
			fields := map[string]any{"challenge_id": "ch1", "match_result": "match", "user_id": a.User}
			if a.Session {
				fields["challenge_id"] = "ch2"
			}
			h.answer = words(a.Block, fields)
		})
	})
}

func TestOIDCTrustAgainstOurGuess(t *testing.T) {
	stepuptest.Trust(t, func(t *testing.T) *stepuptest.Forger {
		p := newIDP(t)
		delete(p.claims, "kosmoscope")
		return &stepuptest.Forger{
			Backend: p.client(nil),
			Request: journey.OpenStepUp{
				Challenge: oidcChallenge, Deadline: p.now.Add(10 * time.Minute), ReturnURL: oidcReturn,
				Request: proof.ChallengeRequest{UserIdentifier: oidcUser},
			},
			Say: func(t *testing.T, s proof.StepUpSession, a stepuptest.Answer) proof.StepUpSession {
				u, err := url.Parse(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.nonce = u.Query().Get("nonce"); a.Session {
					p.nonce = "x" + p.nonce[1:] + "x"
				}
				if a.Stranger {
					p.sign = signWith(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k1"}})
				}
				if p.claims["username"] = a.User; a.Block != "" {
					p.claims["kosmoscope"] = json.RawMessage(a.Block)
				}
				s.Returned = map[string]string{"code": "c1", "state": s.State}
				return s
			},
		}
	})
}

// A rotated key of the workflow service is looked for where it is published, and
// one that is not there is nobody's.
func TestWorkflowKeyRotation(t *testing.T) {
	h := newHandMade(t)
	b := h.backend("workflow")
	o, err := b.Open(ctx, handRequest)
	if err != nil {
		t.Fatal(err)
	}
	poll := func() (journey.StepUpProgress, error) {
		return b.Poll(ctx, journey.PollStepUp{StepUpSession: o.StepUpSession, UserIdentifier: "jane"})
	}
	h.answer = `{"status":"completed","username":"jane","match_result":"match"}`
	if h.stranger, err = blockid.GenerateKey(blockid.Secp256k1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if p, err := poll(); proof.ReasonOf(err) != proof.ReasonAnswerUntrusted || p != (journey.StepUpProgress{}) {
			t.Errorf("not published: %+v %v", p, err)
		}
	}
	h.service = h.stranger
	if p, err := poll(); err != nil || p.Status != proof.ChallengeMatch {
		t.Errorf("published since: %+v %v", p, err)
	}
}
