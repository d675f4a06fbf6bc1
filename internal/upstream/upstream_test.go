package upstream_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// tenant is a 1Kosmos of a few lines whose session result the test chooses.
type tenant struct {
	key    *blockid.PrivateKey
	result string // decrypted
	ial    string // decrypted; "" is 404
	status int    // of the result, if not 200
	web    *httptest.Server
	sent   map[string]any // the last create, decrypted
}

func newTenant(t *testing.T, curve blockid.Curve) *tenant {
	t.Helper()
	key, err := blockid.GenerateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	k := &tenant{key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	shared := func(r *http.Request) *blockid.SharedKey {
		theirs, err := blockid.ParsePublicKey(blockid.Auto, r.Header.Get("publickey"))
		if err != nil {
			t.Error(err)
			return nil
		}
		s, err := k.key.Shared(theirs)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	mux.HandleFunc("POST /api/r1/system/community_info/fetch", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{
			"tenant":    map[string]any{"id": "t", "tenanttag": "acme", "otherDNS": []string{}},
			"community": map[string]any{"id": "c", "tenantid": "t", "name": "default", "publicKey": k.key.Public().String()},
		})
	})
	mux.HandleFunc("GET /caas/sd", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"licenses": k.web.URL + "/licenses", "docuverify": k.web.URL + "/docuverify", "adminconsole": k.web.URL})
	})
	mux.HandleFunc("GET /docuverify/publickeys", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"publicKey": k.key.Public().String()})
	})
	mux.HandleFunc("POST /docuverify/document_share_session/create", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Data string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		plain, err := shared(r).Open(in.Data)
		if err != nil {
			t.Error(err)
		}
		_ = json.Unmarshal(plain, &k.sent)
		answer(w, map[string]string{"sessionId": "s1", "url": k.web.URL + "/idproofing/session/s1"})
	})
	mux.HandleFunc("POST /docuverify/v3/document_share_session/result", func(w http.ResponseWriter, r *http.Request) {
		if k.status != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(k.status)
			fmt.Fprint(w, `{"code":1,"message":"private words of the vendor"}`)
			return
		}
		data, _ := shared(r).Seal([]byte(k.result))
		answer(w, map[string]string{"data": data, "publicKey": k.key.Public().String()})
	})
	mux.HandleFunc("GET /api/r1/community/default/userid/{user}/ial", func(w http.ResponseWriter, r *http.Request) {
		if k.ial == "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message":"User not found"}`)
			return
		}
		data, _ := shared(r).Seal([]byte(k.ial))
		answer(w, map[string]string{"data": data})
	})
	k.web = httptest.NewTLSServer(mux)
	t.Cleanup(k.web.Close)
	return k
}

func (k *tenant) upstream(t *testing.T) (*upstream.BlockID, *int) {
	t.Helper()
	made := 0
	connect := upstream.Connect(blockid.Config{
		DNS: strings.TrimPrefix(k.web.URL, "https://"), Community: "default", LicenseKey: "license", HTTPClient: k.web.Client(),
	}, func(_ context.Context, c blockid.Curve) (*blockid.PrivateKey, error) {
		made++
		return blockid.GenerateKey(c)
	})
	return upstream.NewBlockID(connect, []upstream.Workflow{
		{DVC: "still", DocumentTypes: []proof.DocumentType{proof.Passport, proof.IDCard}, Liveness: proof.LivenessNone},
		{DVC: "live", DocumentTypes: []proof.DocumentType{proof.Passport}, Liveness: proof.LivenessActive},
	}, "urn:label", time.Now), &made
}

var (
	ctx     = context.Background()
	session = proof.Upstream{SessionID: "s1", DVC: "still"}
)

// One key pair, on whatever curve the tenant is found to use.
func TestStart(t *testing.T) {
	for _, curve := range []blockid.Curve{blockid.Secp256k1, blockid.P256} {
		k := newTenant(t, curve)
		up, made := k.upstream(t)
		r := journey.StartUpstream{Verification: "v1", DocumentType: proof.IDCard, Liveness: proof.LivenessNone, Request: proof.Request{
			UserIdentifier: "jane", Expected: proof.Expected{GivenName: "Jane", FamilyName: "Doe"},
		}}
		for range 2 {
			s, err := up.Start(ctx, r)
			if err != nil || s.SessionID != "s1" || s.DVC != "still" || s.URL != k.web.URL+"/idproofing/session/s1" {
				t.Fatalf("%s: %+v %v", curve, s, err)
			}
		}
		if *made != 1 {
			t.Errorf("%s: %d key pairs", curve, *made)
		}
		request := k.sent["sessionRequest"].(map[string]any)
		sent := fmt.Sprintf("%v %v %v", k.sent["dvcID"], request["documentType"], request["user"])
		if want := "still idcard_object map[firstname:Jane lastname:Doe uid:v1 username:jane]"; sent != want {
			t.Errorf("%s: sent %s, want %s", curve, sent, want)
		}
	}
}

func TestSupports(t *testing.T) {
	up := upstream.NewBlockID(nil, []upstream.Workflow{{DVC: "a", DocumentTypes: []proof.DocumentType{proof.Passport}, Liveness: proof.LivenessActive}}, "", time.Now)
	if !up.Supports(proof.Passport, proof.LivenessActive) || up.Supports(proof.Passport, proof.LivenessNone) || up.Supports(proof.IDCard, proof.LivenessActive) {
		t.Error("workflows are not what was configured")
	}
	if _, err := up.Start(ctx, journey.StartUpstream{DocumentType: proof.IDCard, Liveness: proof.LivenessActive}); proof.ReasonOf(err) != proof.ReasonUpstreamRejected {
		t.Errorf("got %v", err)
	}
}

const document = `"document":{"documentType":"PASSPORT","country":"UT","documentId":"L898902C3","firstName":"ANNA","lastName":"ERIKSSON","dob":"19740812","doe":"20340415","gender":"1"%s}`

func TestPoll(t *testing.T) {
	good := fmt.Sprintf(`{"sessionResult":"SUCCESS","sessionId":"s1","sessionData":{"documentType":"ppt_object"},`+document+`%s}`, "%s", "%s")
	failed := `{"sessionResult":"FAILED","sessionId":"s1","errorInfo":{"message":"%s","%s":"%s"}%s}`
	jwt := func(result string) string {
		return `,"proof_jwt":"eyJhbGciOiJIUzI1NiJ9.` + base64.RawURLEncoding.EncodeToString([]byte(`{"version":"1.0","result":`+result+`}`)) + `.c2ln"`
	}
	for _, c := range []struct {
		name, result string
		status       proof.Status
		reason       proof.Reason
		errReason    proof.Reason
	}{
		{"in progress", `{"responseStatus":"INPROGRESS","id":"s1"}`, proof.InProgress, "", ""},
		{"success", fmt.Sprintf(good, "", ""), proof.Verified, "", ""},
		{"success with checks", fmt.Sprintf(good, jwt(`{"face_compare":{"verified":true}}`), ""), proof.Verified, "", ""},
		{"success against its own checks", fmt.Sprintf(good, jwt(`{"face_compare":{"verified":false}}`), ""), proof.Failed, proof.ReasonProviderRejected, ""},
		{"success against the engine's checks", fmt.Sprintf(good, "", `,"kosmoscope":{"checks":[{"name":"face_match","outcome":"fail"}]}`), proof.Failed, proof.ReasonProviderRejected, ""},
		{"success with a check that could not tell", fmt.Sprintf(good, "", `,"kosmoscope":{"checks":[{"name":"face_match","outcome":"cannot_tell"}]}`), proof.Failed, proof.ReasonProviderRejected, ""},
		{"success with a reason against it", fmt.Sprintf(good, "", `,"kosmoscope":{"reason":"face_mismatch"}`), proof.Failed, proof.ReasonFaceMismatch, ""},
		{"success with a reason that nobody knows", fmt.Sprintf(good, "", `,"kosmoscope":{"reason":"splendid"}`), proof.Failed, proof.ReasonProviderRejected, ""},
		{"success with a check of no known outcome", fmt.Sprintf(good, "", `,"kosmoscope":{"checks":[{"name":"odd","outcome":"splendid"}]}`), "", "", proof.ReasonUpstreamMalformed},
		{"success with a broken block", fmt.Sprintf(good, "", `,"kosmoscope":7`), "", "", proof.ReasonUpstreamMalformed},
		{"success with a score in words", fmt.Sprintf(good, "", `,"kosmoscope":{"checks":[{"name":"face_match","outcome":"fail","score":"0.1"}]}`), "", "", proof.ReasonUpstreamMalformed},
		{"success with checks twice", fmt.Sprintf(good, "", `,"kosmoscope":{"checks":[{"outcome":"fail"}],"Checks":[]}`), "", "", proof.ReasonUpstreamMalformed},
		{"success with a block of another name", fmt.Sprintf(good, "", `,"KosmoScope":{"checks":[{"outcome":"fail"}]}`), "", "", proof.ReasonUpstreamMalformed},
		{"success with a null block", fmt.Sprintf(good, "", `,"kosmoscope":null`), proof.Verified, "", ""},
		{"a failed check is not hidden by a block", fmt.Sprintf(good, jwt(`{"face_compare":{"verified":false}}`), `,"kosmoscope":{}`), proof.Failed, proof.ReasonProviderRejected, ""},
		{"a proof that is none", fmt.Sprintf(good, `,"proof_jwt":"garbage"`, ""), "", "", proof.ReasonUpstreamMalformed},
		{"success without a document", `{"sessionResult":"SUCCESS","sessionId":"s1"}`, "", "", proof.ReasonUpstreamMalformed},
		{"expired document", fmt.Sprintf(failed, "x", "reason_code", "IDV0011", ""), proof.Failed, proof.ReasonDocumentExpired, ""},
		{"the other spelling", fmt.Sprintf(failed, "x", "reasonCode", "IDV0006", ""), proof.Failed, proof.ReasonDocumentUnsupported, ""},
		{"invalid", fmt.Sprintf(failed, "x", "reasonCode", "IDV0005", ""), proof.Failed, proof.ReasonDocumentInvalid, ""},
		{"names", fmt.Sprintf(failed, "Module 'firstname check' failed", "reason_code", "IDV0010", ""), proof.Failed, proof.ReasonExpectedMismatch, ""},
		{"not the names", fmt.Sprintf(failed, "x", "reason_code", "IDV0010", ""), proof.Failed, proof.ReasonDocumentNotVerified, ""},
		{"capture", fmt.Sprintf(failed, "x", "reason_code", "IDV0001", ""), proof.Failed, proof.ReasonCaptureFailed, ""},
		{"retries", fmt.Sprintf(failed, "x", "reason_code", "IDV0014", ""), proof.Failed, proof.ReasonRetriesExhausted, ""},
		{"a code of tomorrow", fmt.Sprintf(failed, "x", "reason_code", "IDV0999", ""), proof.Failed, proof.ReasonProviderRejected, ""},
		{"the engine's own reason", fmt.Sprintf(failed, "x", "reason_code", "IDV0007", `,"kosmoscope":{"reason":"face_mismatch"}`), proof.Failed, proof.ReasonFaceMismatch, ""},
		{"a made-up reason", fmt.Sprintf(failed, "x", "reason_code", "IDV0011", `,"kosmoscope":{"reason":"<script>"}`), proof.Failed, proof.ReasonDocumentExpired, ""},
		{"a broken block", fmt.Sprintf(failed, "x", "reason_code", "IDV0011", `,"kosmoscope":7`), proof.Failed, proof.ReasonDocumentExpired, ""},
		{"expired", `{"sessionResult":"EXPIRED","sessionId":"s1"}`, proof.Expired, proof.ReasonTimeLimit, ""},
		{"abandoned", `{"sessionResult":"ABANDONED","sessionId":"s1"}`, proof.Abandoned, proof.ReasonAbandoned, ""},
		{"unheard of", `{"sessionResult":"SPLENDID","sessionId":"s1"}`, "", "", proof.ReasonUpstreamUnknown},
		{"success of no session in particular", `{"sessionResult":"EXPIRED"}`, "", "", proof.ReasonUpstreamMalformed},
		{"nothing", `{}`, "", "", proof.ReasonUpstreamMalformed},
		{"another session", `{"sessionResult":"EXPIRED","sessionId":"s2"}`, "", "", proof.ReasonUpstreamMalformed},
		{"not JSON", `SUCCESS`, "", "", proof.ReasonUpstreamMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTenant(t, blockid.Secp256k1)
			k.result = c.result
			up, _ := k.upstream(t)
			p, err := up.Poll(ctx, session)
			if c.errReason != "" {
				if proof.ReasonOf(err) != c.errReason {
					t.Errorf("got %+v %v, want %s", p, err, c.errReason)
				}
				return
			}
			if err != nil || p.Status != c.status || p.Reason != c.reason {
				t.Errorf("got %s %s %v, want %s %s", p.Status, p.Reason, err, c.status, c.reason)
			}
		})
	}
}

func TestOutcome(t *testing.T) {
	k := newTenant(t, blockid.Secp256k1)
	up, _ := k.upstream(t)
	k.result = fmt.Sprintf(`{"sessionResult":"SUCCESS","sessionId":"s1","sessionData":{"documentType":"ppt_object"},`+document+`}`, "")
	p, err := up.Poll(ctx, session)
	if err != nil {
		t.Fatal(err)
	}
	want := proof.Claims{
		GivenName: "ANNA", FamilyName: "ERIKSSON", BirthDate: "1974-08-12", Gender: "female", DocumentType: proof.Passport,
		DocumentNumber: "L898902C3", IssuingCountry: "UT", ExpiryDate: "2034-04-15",
	}
	if p.Outcome.Claims != want || p.Outcome.Framework != "urn:label" || p.Outcome.Assessed != nil || p.Asserted.Level != "" {
		t.Errorf("got %+v", p.Outcome)
	}

	k.result = k.result[:len(k.result)-1] + `,"kosmoscope":{"framework":"urn:engine","assessed":false,"engine":{"name":"e","version":"1"},
		"checks":[{"name":"face_match","outcome":"pass","score":0.9,"threshold":0.8,"duration_ms":3},{"name":"sharpness","outcome":"pass","score":412.5}],
		"evidence":[{"type":"document","document_type":"passport","country":"UTO"}]}}`
	if p, err = up.Poll(ctx, session); err != nil {
		t.Fatal(err)
	}
	o := p.Outcome
	if o.Framework != "urn:engine" || o.Assessed == nil || *o.Assessed || o.Engine != "e 1" || len(o.Checks) != 2 || *o.Checks[0].Score != 0.9 ||
		*o.Checks[1].Score != 412.5 || len(o.Evidence) != 1 || o.Evidence[0].Country != "UTO" {
		t.Errorf("got %+v", o)
	}
}

func TestErrorsKeepTheVendorsWordsOut(t *testing.T) {
	for status, c := range map[int]struct {
		reason    proof.Reason
		temporary bool
	}{
		400: {proof.ReasonUpstreamRejected, false},
		401: {proof.ReasonUpstreamAuth, false},
		404: {proof.ReasonUpstreamRejected, false},
		429: {proof.ReasonUpstreamRateLimited, true},
		500: {proof.ReasonUpstreamUnavailable, true},
		503: {proof.ReasonUpstreamUnavailable, true},
	} {
		k := newTenant(t, blockid.Secp256k1)
		k.status = status
		up, _ := k.upstream(t)
		_, err := up.Poll(ctx, session)
		e, ok := err.(*proof.Error)
		if !ok || e.Reason != c.reason || e.Temporary != c.temporary || strings.Contains(err.Error(), "private words") {
			t.Errorf("%d: %v", status, err)
		}
	}
	k := newTenant(t, blockid.Secp256k1)
	up, _ := k.upstream(t)
	k.web.Close()
	if _, err := up.Start(ctx, journey.StartUpstream{DocumentType: proof.Passport, Liveness: proof.LivenessNone}); proof.ReasonOf(err) != proof.ReasonUpstreamUnavailable {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAssurance(t *testing.T) {
	k := newTenant(t, blockid.Secp256k1)
	up, _ := k.upstream(t)
	if a, err := up.Assurance(ctx, "nobody"); err != nil || a.Level != "" {
		t.Errorf("unknown user: %+v %v", a, err)
	}
	k.ial = `{"user":{"username":"jane"},"did":{}}`
	if a, err := up.Assurance(ctx, "jane"); err != nil || a.Level != "" {
		t.Errorf("no wallet: %+v %v", a, err)
	}
	k.ial = `{"user":{"username":"jane"},"did":{"a":{"value":"IAL1","proofs":[]}}}`
	if a, err := up.Assurance(ctx, "jane"); err != nil || a.Level != "IAL1" {
		t.Errorf("IAL1: %+v %v", a, err)
	}
	k.ial = `{"user":{"username":"jane"},"did":{"a":{"value":"IAL2","proofs":[{"type":"dl_affidavit","proof":"garbage"}]}}}`
	if a, err := up.Assurance(ctx, "jane"); err != nil || a.Level != "IAL1" || !a.ExpiresAt.IsZero() {
		t.Errorf("IAL2 on an unreadable proof: %+v %v", a, err)
	}
	k.ial = `{"user":{"username":"john"},"did":{"a":{"value":"IAL2","proofs":[]}}}`
	if a, err := up.Assurance(ctx, "jane"); err == nil || a.Level != "" {
		t.Errorf("another user's level: %+v", a)
	}
}

func TestV1(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		minimum      blockid.Level
		status       proof.Status
		reason       proof.Reason
		level        string
		errReason    proof.Reason
	}{
		{"pending", `{"status":"pending"}`, blockid.IAL2, proof.InProgress, "", "", ""},
		{"level reached", `{"status":"completed","result":{"ial_level":"IAL2"}}`, blockid.IAL2, proof.Verified, "", "IAL2", ""},
		{"other case", `{"status":"Completed","result":{"ial_level":"IAL2"}}`, blockid.IAL2, proof.Verified, "", "IAL2", ""},
		{"level not reached", `{"status":"completed","result":{"ial_level":"IAL2"}}`, blockid.IAL3, "", "", "", proof.ReasonUpstreamUnknown},
		{"no level", `{"status":"completed","result":{}}`, blockid.IAL2, "", "", "", proof.ReasonUpstreamUnknown},
		{"no level needed", `{"status":"completed","result":{}}`, blockid.LevelNone, proof.Verified, "", "", ""},
		{"against its own checks", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"checks":[{"name":"face_match","outcome":"fail"}]}}`, blockid.IAL2, proof.Failed, proof.ReasonProviderRejected, "", ""},
		{"with a check that could not tell", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"checks":[{"name":"face_match","outcome":"cannot_tell"}]}}`, blockid.IAL2, proof.Failed, proof.ReasonProviderRejected, "", ""},
		{"with a broken block", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"assessed":"false"}}`, blockid.IAL2, "", "", "", proof.ReasonUpstreamMalformed},
		{"failed, with a broken block", `{"status":"failed","kosmoscope":7}`, blockid.IAL2, proof.Failed, proof.ReasonProviderRejected, "", ""},
		{"an engine that nobody assessed asserts no level", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"assessed":false,"framework":"e"}}`, blockid.IAL2, proof.Verified, "", "", ""},
		{"enrolled", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"enrolled":true}}`, blockid.IAL2, proof.Verified, "", "IAL2", ""},
		{"not enrolled", `{"status":"completed","result":{"ial_level":"IAL2"},"kosmoscope":{"enrolled":false}}`, blockid.IAL2, proof.Verified, "", "IAL2", ""},
		{"conflict", `{"status":"failed","kosmoscope":{"reason":"enrolment_conflict","enrolled":false}}`, blockid.IAL2, proof.Failed, proof.ReasonEnrolmentConflict, "", ""},
		{"failed", `{"status":"failed"}`, blockid.IAL2, proof.Failed, proof.ReasonProviderRejected, "", ""},
		{"failed with a reason", `{"status":"failed","kosmoscope":{"reason":"face_mismatch"}}`, blockid.IAL2, proof.Failed, proof.ReasonFaceMismatch, "", ""},
		{"expired", `{"status":"expired"}`, blockid.IAL2, proof.Expired, proof.ReasonTimeLimit, "", ""},
		{"abandoned", `{"status":"abandoned"}`, blockid.IAL2, proof.Abandoned, proof.ReasonAbandoned, "", ""},
		{"unheard of", `{"status":"splendid"}`, blockid.IAL2, "", "", "", proof.ReasonUpstreamUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.Header.Get("Authorization") != "Bearer token" {
					t.Error("no token")
				}
				if r.URL.Path == "/v1/verify/sessions" {
					fmt.Fprintf(w, `{"session_id":"s1","session_url":"https://%s/s/1"}`, r.Host)
					return
				}
				fmt.Fprint(w, c.answer)
			}))
			defer web.Close()
			client, err := blockid.NewV1Client(blockid.V1Config{
				DNS: strings.TrimPrefix(web.URL, "https://"), Token: "token", HTTPClient: web.Client(), Judge: upstream.JudgeFrom(c.minimum),
			})
			if err != nil {
				t.Fatal(err)
			}
			up := upstream.NewV1(client, []proof.LivenessMode{proof.LivenessActive}, "urn:label")
			s, err := up.Start(ctx, journey.StartUpstream{DocumentTypes: []proof.DocumentType{proof.Passport}, Liveness: proof.LivenessActive})
			if err != nil || s.SessionID != "s1" {
				t.Fatalf("%+v %v", s, err)
			}
			p, err := up.Poll(ctx, proof.Upstream{SessionID: s.SessionID})
			if c.errReason != "" {
				if proof.ReasonOf(err) != c.errReason {
					t.Errorf("got %+v %v, want %s", p, err, c.errReason)
				}
				return
			}
			if err != nil || p.Status != c.status || p.Reason != c.reason || p.Asserted.Level != c.level {
				t.Errorf("got %+v %v", p, err)
			}
			if e := p.Outcome.Enrolled; (e != nil) != strings.Contains(c.answer, `"enrolled":`) || e != nil && *e != strings.Contains(c.answer, `"enrolled":true`) {
				t.Errorf("enrolled %v", e)
			}
			if nist := p.Outcome.Framework == upstream.FrameworkNIST; nist != (c.level != "") {
				t.Errorf("framework %s", p.Outcome.Framework)
			}
		})
	}
}

// Whatever the engine can say is a reason that callers are told.
func TestEveryReasonOfTheEngineIsKnown(t *testing.T) {
	b, err := os.ReadFile("../engine/api/api.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`Reason\w+ += "(\w+)"`).FindAllSubmatch(b, -1)
	if len(found) < 15 {
		t.Fatalf("only %d reasons found", len(found))
	}
	for _, m := range found {
		if !proof.Reason(m[1]).Known() {
			t.Errorf("%s is not in internal/proof/reason.go", m[1])
		}
	}
}
