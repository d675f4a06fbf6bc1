package upstream_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// handMade is the transport to a 1Kosmos of a few lines. Answers are by method
// and path; what is sealed in them is sealed for whoever asked.
type handMade struct {
	t       testing.TB
	service *blockid.PrivateKey // of every service
	wallet  *blockid.PrivateKey
	did     string

	status  int               // of the answer that counts, if not 200
	answer  string            // of a UWL session, as the wallet says it; of a workflow's node; of /v1
	clear   bool              // the workflow's answer is not sealed
	plain   map[string]string // decrypted answers of the admin console, by path
	users   string            // answer of the users service
	usersAt int               // its status, if not 200
	noUsers bool              // the directory has no such service
	refuse  string            // body of a refused create
	opened  string            // body of the last create, decrypted
	creator string            // public key of the last UWL session

	stranger *blockid.PrivateKey // what seals the answer that counts, instead of the right key
	session  string              // which UWL session the answer names, instead of the right one
}

const handID = "7d0b4a3b-9d55-4a4f-8a2a-5e0e0f3c7c12"

func newHandMade(t testing.TB) *handMade {
	t.Helper()
	h := &handMade{t: t, did: strings.Repeat("ab", 20), plain: map[string]string{}}
	for _, k := range []**blockid.PrivateKey{&h.service, &h.wallet} {
		var err error
		if *k, err = blockid.GenerateKey(blockid.Secp256k1); err != nil {
			t.Fatal(err)
		}
	}
	h.eligible("jane")
	h.plain["/userdid/"+h.did+"/userinfo"] = `{"userIdList":["someone","jane"],"publicKey":"` + h.wallet.Public().String() + `"}`
	h.users = `{"page":{"index":0,"total":1,"size":25},"data":[{"username":"jane","uid":"1","disabled":false}]}`
	return h
}

func (h *handMade) eligible(user string) {
	h.plain["/userid/"+user+"/ial"] = `{"user":{"authModuleId":"m","uid":"1","username":"` + user + `"},"did":{"` + h.did + `":{"value":"IAL1","proofs":[]}}}`
}

func (h *handMade) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	var shared *blockid.SharedKey
	if p := r.Header.Get("publickey"); p != "" {
		theirs, err := blockid.ParsePublicKey(blockid.Auto, p)
		if err != nil {
			h.t.Error(err)
		}
		if shared, err = h.service.Shared(theirs); err != nil {
			h.t.Error(err)
		}
	}
	sealed := func(plain string) string {
		data, _ := shared.Seal([]byte(plain))
		return `{"data":"` + data + `"}`
	}
	path := r.URL.Path
	status, out := 404, `{"code":404,"message":"not found"}`
	switch {
	case path == "/api/r1/system/community_info/fetch":
		status, out = 200, `{"tenant":{"id":"t","tenanttag":"acme"},"community":{"id":"c","name":"default","publicKey":"`+h.service.Public().String()+`"}}`
	case path == "/caas/sd":
		users := `,"user_management":"https://acme.test/users-mgmt"`
		if h.noUsers {
			users = ""
		}
		status, out = 200, `{"licenses":"https://acme.test/licenses","adminconsole":"https://acme.test","docuverify":"https://acme.test/docuverify","sessions":"https://acme.test/sessions"`+users+`}`
	case strings.HasSuffix(path, "/publickeys"):
		status, out = 200, `{"publicKey":"`+h.service.Public().String()+`"}`
	case strings.HasPrefix(path, "/api/r1/community/default/"):
		if plain, ok := h.plain[strings.TrimPrefix(path, "/api/r1/community/default")]; ok {
			status, out = 200, sealed(plain)
		}
	case strings.HasSuffix(path, "/users/fetch"):
		if status, out = 200, h.users; h.usersAt != 0 {
			status = h.usersAt
		}
	case h.refuse != "" && r.Method != http.MethodGet:
		status, out = h.status, h.refuse
	case path == "/sessions/session/new":
		h.opened, h.creator = string(body), r.Header.Get("publickey")
		status, out = 201, `{"sessionId":"`+handID+`"}`
	case strings.HasSuffix(path, "/response"):
		switch {
		case h.status != 0:
			status, out = h.status, h.answer
		case h.answer != "":
			theirs, _ := blockid.ParsePublicKey(blockid.Auto, h.creator)
			sealer := cmp.Or(h.stranger, h.wallet)
			s, _ := sealer.Shared(theirs)
			data, _ := s.Seal([]byte(h.answer))
			status, out = 200, `{"sessionId":"`+cmp.Or(h.session, handID)+`","data":"`+data+`","publicKey":"`+sealer.Public().String()+`"}`
		}
	case strings.HasSuffix(path, "/create"):
		var in struct{ Data string }
		_ = json.Unmarshal(body, &in)
		plain, err := shared.Open(in.Data)
		if err != nil {
			h.t.Error(err)
		}
		h.opened = string(plain)
		status, out = 200, sealed(`{"wfInstanceId":"wfi-1","wfInstanceUrl":"https://acme.test/w/1"}`)
	case strings.Contains(path, "/node/"):
		switch status, out = 200, h.answer; {
		case h.stranger != nil:
			theirs, _ := blockid.ParsePublicKey(blockid.Auto, r.Header.Get("publickey"))
			s, _ := h.stranger.Shared(theirs)
			data, _ := s.Seal([]byte(h.answer))
			out = `{"data":"` + data + `","publicKey":"` + h.stranger.Public().String() + `"}`
		case !h.clear:
			out = sealed(h.answer)
		}
	case path == "/v1/auth/stepup":
		h.opened = string(body)
		status, out = 201, `{"challenge_id":"ch1","challenge_url":"https://acme.test/c/1","expires_at":"2030-01-01T00:05:00Z"}`
	case path == "/v1/auth/stepup/ch1":
		status, out = 200, h.answer
	}
	res := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(out)), ContentLength: int64(len(out))}
	if status == 429 {
		res.Header.Set("Retry-After", "60")
	}
	return res, nil
}

var handNow = func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func (h *handMade) backend(kind string) journey.StepUp {
	h.t.Helper()
	client := &http.Client{Transport: h}
	link := upstream.Connect(blockid.Config{DNS: "acme.test", Community: "default", LicenseKey: "l", HTTPClient: client},
		func(_ context.Context, c blockid.Curve) (*blockid.PrivateKey, error) { return blockid.GenerateKey(c) })
	switch kind {
	case "uwl":
		return upstream.NewUWL(link, 0, handNow)
	case "workflow":
		return upstream.NewWorkflow(link, upstream.WorkflowConfig{ID: "wf", Node: "face"}, handNow)
	}
	v1, err := blockid.NewV1Client(blockid.V1Config{DNS: "acme.test", Token: "token", HTTPClient: client})
	if err != nil {
		h.t.Fatal(err)
	}
	return upstream.NewV1StepUp(v1, handNow)
}

var handRequest = journey.OpenStepUp{
	Challenge: "c1", Deadline: handNow().Add(4 * time.Minute), PageURL: "https://bridge.test/c/1", ReturnURL: "https://bridge.test/c/return", Application: "Shop", MaskedAccount: "j•••",
	Request: proof.ChallengeRequest{UserIdentifier: "jane", ReasonCode: "new_device", Transaction: "Send 20 EUR"},
}

// What is sent, word for word. What a workflow takes besides callbackUrl, and all
// that the app shows, is our guess.
func TestStepUpRequests(t *testing.T) {
	for kind, want := range map[string]string{
		"uwl": `{"origin":{"tag":"acme","url":"https://acme.test","communityName":"default","communityId":"c","authPage":"blockid://authenticate"},"scopes":"did,userid","authtype":"Face",` +
			`"metadata":{"account":"j•••","application":"Shop","purpose":"authentication","reason_code":"new_device","transaction":"Send 20 EUR"}}`,
		"workflow": `{"workflowId":"wf","metaData":{"account":"j•••","application":"Shop","callbackUrl":"https://bridge.test/c/1","purpose":"authentication","reason_code":"new_device","transaction":"Send 20 EUR","username":"jane"}}`,
		"v1":       `{"user_id":"jane","reason_code":"new_device","timeout_seconds":240}`,
	} {
		h := newHandMade(t)
		b := h.backend(kind)
		o, err := b.Open(ctx, handRequest)
		if err != nil || b.Backend() != kind {
			t.Fatal(kind, err)
		}
		if h.opened != want {
			t.Errorf("%s sent\n%s, want\n%s", kind, h.opened, want)
		}
		ends := map[string]time.Time{"uwl": handNow().Add(time.Minute), "v1": handRequest.Deadline}[kind]
		if !o.Ends.Equal(ends) || o.Scan != (kind == "uwl") {
			t.Errorf("%s: ends %s, scan %v", kind, o.Ends, o.Scan)
		}
	}
}

func TestEligibility(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*handMade)
		reason    proof.Reason // empty: eligible
		temporary bool
	}{
		"enrolled": {func(*handMade) {}, "", false},
		"unknown":  {func(h *handMade) { delete(h.plain, "/userid/jane/ial") }, proof.ReasonUserUnknown, false},
		"no wallet": {func(h *handMade) {
			h.plain["/userid/jane/ial"] = `{"user":{"authModuleId":"m","username":"jane"},"did":{}}`
		}, proof.ReasonUserNotEnrolled, false},
		"no wallets said":                   {func(h *handMade) { h.plain["/userid/jane/ial"] = `{"user":{"authModuleId":"m","username":"jane"}}` }, proof.ReasonUserNotEnrolled, false},
		"another user's level":              {func(h *handMade) { h.plain["/userid/jane/ial"] = `{"user":{"username":"john"},"did":{"x":{}}}` }, proof.ReasonUpstreamMalformed, false},
		"disabled":                          {func(h *handMade) { h.users = strings.Replace(h.users, "false", "true", 1) }, proof.ReasonUserDisabled, false},
		"gone meanwhile":                    {func(h *handMade) { h.users = `{"page":{"total":0},"data":[]}` }, proof.ReasonUserUnknown, false},
		"only others of a similar name":     {func(h *handMade) { h.users = strings.Replace(h.users, "jane", "jane2", 1) }, proof.ReasonUserUnknown, false},
		"no users service: nobody can tell": {func(h *handMade) { h.noUsers = true }, "", false},
		"a directory that may not be asked": {func(h *handMade) { h.usersAt, h.users = 405, `{"code":405,"message":"not allowed"}` }, "", false},
		"no such module":                    {func(h *handMade) { h.usersAt, h.users = 404, `{"code":404,"message":"Auth module is not found."}` }, proof.ReasonUpstreamRejected, false},
		"users service down":                {func(h *handMade) { h.usersAt, h.users = 503, `{}` }, proof.ReasonUpstreamUnavailable, true},
		"users service answers a web page":  {func(h *handMade) { h.users = `<html>` }, proof.ReasonUpstreamMalformed, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandMade(t)
			c.change(h)
			for _, kind := range []string{"uwl", "workflow"} {
				o, err := h.backend(kind).Open(ctx, handRequest)
				var e *proof.Error
				switch {
				case c.reason == "" && err != nil, c.reason != "" && (!errors.As(err, &e) || e.Reason != c.reason || e.Temporary != c.temporary || o.URL != ""):
					t.Errorf("%s: got %v, want %q", kind, err, c.reason)
				case err != nil && strings.Contains(err.Error(), "jane"):
					t.Errorf("%s: tells who: %v", kind, err)
				}
			}
		})
	}
}

// The profiles that refuse by themselves say why in the local 1Kosmos' block;
// without it nobody can tell a refused user from a refused licence.
func TestRefusedOpen(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		reason proof.Reason
		wait   time.Duration
	}{
		"unknown":     {404, `{"message":"m","kosmoscope":{"reason":"user_unknown"}}`, proof.ReasonUserUnknown, 0},
		"un-enrolled": {409, `{"message":"m","kosmoscope":{"reason":"user_not_enrolled"}}`, proof.ReasonUserNotEnrolled, 0},
		"disabled":    {403, `{"message":"m","kosmoscope":{"reason":"user_disabled"}}`, proof.ReasonUserDisabled, 0},
		"limited":     {429, `{"message":"m","kosmoscope":{"reason":"too_many_attempts"}}`, proof.ReasonTooManyAttempts, time.Minute},
		"bare 404":    {404, `{"message":"m"}`, proof.ReasonUpstreamRejected, 0},
		"bare 403":    {403, `{"message":"m"}`, proof.ReasonUpstreamAuth, 0},
		"bare 429":    {429, `{"message":"m"}`, proof.ReasonUpstreamRateLimited, time.Minute},
		"made up":     {409, `{"message":"m","kosmoscope":{"reason":"face_mismatch"}}`, proof.ReasonUpstreamRejected, 0},
		"down":        {500, `{"message":"m","kosmoscope":{"reason":"user_disabled"}}`, proof.ReasonUpstreamUnavailable, 0},
	} {
		for _, kind := range []string{"uwl", "workflow", "v1"} {
			h := newHandMade(t)
			h.status, h.refuse = c.status, c.body
			_, err := h.backend(kind).Open(ctx, handRequest)
			var e *proof.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.RetryAfter != c.wait {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
}

type polled struct {
	name, answer string
	status       proof.ChallengeStatus
	reason       proof.Reason // also of an error, when status is empty
	score        float64
	liveness     proof.LivenessMode
}

func (c polled) check(t *testing.T, h *handMade, b journey.StepUp) {
	t.Helper()
	o, err := b.Open(ctx, handRequest)
	if err != nil {
		t.Fatal(err)
	}
	h.answer = c.answer
	p, err := b.Poll(ctx, journey.PollStepUp{StepUpSession: o.StepUpSession, UserIdentifier: "jane"})
	if c.status == "" {
		if proof.ReasonOf(err) != c.reason || p != (journey.StepUpProgress{}) {
			t.Errorf("%s: got %+v %v, want the error %s", c.name, p, err, c.reason)
		}
		return
	}
	score := 0.0
	if p.Confidence != nil {
		score = *p.Confidence
	}
	if err != nil || p.Status != c.status || p.Reason != c.reason || score != c.score || p.Liveness != c.liveness {
		t.Errorf("%s: got %+v %v, want %+v", c.name, p, err, c)
	}
}

func TestUWLPoll(t *testing.T) {
	answer := func(block string) string {
		return `{"did":"` + strings.Repeat("ab", 20) + `","userid":"jane"` + block + `}`
	}
	for _, c := range []polled{
		{"nobody yet", ``, proof.ChallengePending, "", 0, ""},
		{"as 1Kosmos answers", answer(``), proof.ChallengeMatch, "", 0, ""},
		{"a block of another name", answer(`,"Kosmoscope":{"liveness":"none"}`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"a block beside one of another name", answer(`,"kosmoscope":{"liveness":"none"},"Kosmoscope":{}`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"two blocks", answer(`,"kosmoscope":{"liveness":"none"},"kosmoscope":{"liveness":"active"}`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"no block", answer(`,"kosmoscope":null`), proof.ChallengeMatch, "", 0, ""},
		{"with the block", answer(`,"kosmoscope":{"score":0.93,"liveness":"none","session":"` + handID + `"}`), proof.ChallengeMatch, "", 0.93, proof.LivenessNone},
		{"a score of percent", answer(`,"kosmoscope":{"score":93,"liveness":"none"}`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"a liveness of tomorrow", answer(`,"kosmoscope":{"score":0.93,"liveness":"splendid"}`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"a broken block", answer(`,"kosmoscope":7`), "", proof.ReasonUpstreamMalformed, 0, ""},
		{"against its own checks", answer(`,"kosmoscope":{"score":0.93,"checks":[{"name":"face_match","outcome":"fail"}]}`), proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""},
		{"against its own word", answer(`,"kosmoscope":{"match_result":"no_match","reason":"face_mismatch"}`), proof.ChallengeNoMatch, proof.ReasonFaceMismatch, 0, ""},
		{"an unheard-of word", answer(`,"kosmoscope":{"match_result":"perhaps"}`), "", proof.ReasonUpstreamUnknown, 0, ""},
		{"made for another session", answer(`,"kosmoscope":{"session":"another"}`), "", proof.ReasonAnswerReplayed, 0, ""},
		{"no wallet", `{"userid":"jane"}`, "", proof.ReasonAnswerUntrusted, 0, ""},
		{"a wallet that nobody has", `{"did":"00"}`, "", proof.ReasonAnswerUntrusted, 0, ""},
	} {
		h := newHandMade(t)
		c.check(t, h, h.backend("uwl"))
	}

	// Whose wallet it is, the admin console says, not the answer.
	h := newHandMade(t)
	h.plain["/userdid/"+h.did+"/userinfo"] = `{"userIdList":["john"],"publicKey":"` + h.wallet.Public().String() + `"}`
	polled{"another's wallet", answer(``), proof.ChallengeNoMatch, proof.ReasonSubjectMismatch, 0, ""}.check(t, h, h.backend("uwl"))
	h = newHandMade(t)
	h.plain["/userdid/"+h.did+"/userinfo"] = `{"userIdList":["jane"],"publicKey":"` + h.service.Public().String() + `"}`
	polled{"another's key", answer(``), "", proof.ReasonAnswerUntrusted, 0, ""}.check(t, h, h.backend("uwl"))
	h = newHandMade(t)
	h.plain["/userdid/"+h.did+"/userinfo"] = `{"userIdList":["jane"]}`
	polled{"no key", answer(``), "", proof.ReasonAnswerUntrusted, 0, ""}.check(t, h, h.backend("uwl"))

	// The one refusal that is a verdict is that with the block: against our guess.
	for _, c := range []struct {
		status int
		body   string
		polled
	}{
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"face_mismatch"}}`, polled{"mismatch", "", proof.ChallengeNoMatch, proof.ReasonFaceMismatch, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"declined"}}`, polled{"declined", "", proof.ChallengeFailed, proof.ReasonDeclined, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"liveness_failed"}}`, polled{"liveness failed", "", proof.ChallengeNoMatch, proof.ReasonLivenessFailed, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"liveness_replayed"}}`, polled{"liveness replayed", "", proof.ChallengeNoMatch, proof.ReasonLivenessReplayed, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"liveness_incomplete"}}`, polled{"liveness incomplete", "", proof.ChallengeFailed, proof.ReasonLivenessIncomplete, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"liveness_weak"}}`, polled{"liveness weak", "", proof.ChallengeFailed, proof.ReasonLivenessWeak, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"abandoned"}}`, polled{"abandoned", "", proof.ChallengeFailed, proof.ReasonAbandoned, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"engine_error"}}`, polled{"engine error", "", proof.ChallengeFailed, proof.ReasonEngineError, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","reason":"splendid"}}`, polled{"made up", "", proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"match"}}`, polled{"a match that is a refusal", "", "", proof.ReasonUpstreamAuth, 0, ""}},
		{403, `{"code":403,"message":"m","kosmoscope":{"match_result":"no_match","score":"0.1"}}`, polled{"a broken block", "", "", proof.ReasonUpstreamAuth, 0, ""}},
		{403, `{"code":403,"message":"m"}`, polled{"bare", "", "", proof.ReasonUpstreamAuth, 0, ""}},
		{401, `{"code":401,"message":"m","kosmoscope":{"match_result":"no_match"}}`, polled{"401", "", "", proof.ReasonUpstreamAuth, 0, ""}},
		{400, `{"message":"Session expired"}`, polled{"expired", "", proof.ChallengeExpired, proof.ReasonTimeLimit, 0, ""}},
		{404, `{"message":"not yet"}`, polled{"pending", "", proof.ChallengePending, "", 0, ""}},
	} {
		h := newHandMade(t)
		h.status = c.status
		c.answer = c.body
		c.check(t, h, h.backend("uwl"))
	}
}

// The content of a node's answer is our guess.
func TestWorkflowPollAgainstOurGuess(t *testing.T) {
	for _, c := range []polled{
		{"pending", `{"status":"pending"}`, proof.ChallengePending, "", 0, ""},
		{"started", `{"status":"started","match_result":"match"}`, proof.ChallengePending, "", 0, ""},
		{"match", `{"status":"completed","username":"JANE","match_result":"match","kosmoscope":{"score":0.8,"liveness":"passive"}}`, proof.ChallengeMatch, "", 0.8, proof.LivenessPassive},
		{"a match of nobody", `{"status":"completed","match_result":"match"}`, "", proof.ReasonUpstreamUnknown, 0, ""},
		{"a match of another", `{"status":"completed","username":"john","match_result":"match"}`, proof.ChallengeNoMatch, proof.ReasonSubjectMismatch, 0, ""},
		{"done, and no word of a match", `{"status":"completed","username":"jane"}`, "", proof.ReasonUpstreamUnknown, 0, ""},
		{"done, without", `{"status":"completed","username":"jane","match_result":"no_match"}`, proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""},
		{"failed", `{"status":"failed"}`, proof.ChallengeFailed, proof.ReasonProviderRejected, 0, ""},
		{"failed with a match", `{"status":"failed","username":"jane","match_result":"match"}`, proof.ChallengeFailed, proof.ReasonProviderRejected, 0, ""},
		{"failed with a reason", `{"status":"failed","match_result":"no_match","kosmoscope":{"reason":"face_mismatch"}}`, proof.ChallengeNoMatch, proof.ReasonFaceMismatch, 0, ""},
		{"expired", `{"status":"expired","match_result":"match"}`, proof.ChallengeExpired, proof.ReasonTimeLimit, 0, ""},
		{"unheard of", `{"status":"splendid","username":"jane","match_result":"match"}`, "", proof.ReasonUpstreamUnknown, 0, ""},
		{"another instance's", `{"status":"completed","wfInstanceId":"wfi-2","username":"jane","match_result":"match"}`, "", proof.ReasonUpstreamMalformed, 0, ""},
	} {
		h := newHandMade(t)
		c.check(t, h, h.backend("workflow"))
	}
	h := newHandMade(t)
	h.clear = true
	polled{"in clear", `{"status":"completed","username":"jane","match_result":"match"}`, "", proof.ReasonAnswerUntrusted, 0, ""}.check(t, h, h.backend("workflow"))
	// No seal says that it is not the person, and none is needed for that.
	polled{"no, in clear, with a broken block", `{"status":"failed","match_result":"no_match","kosmoscope":7}`, proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""}.check(t, h, h.backend("workflow"))
}

// What match_result can say is our guess.
func TestV1StepUpPollAgainstOurGuess(t *testing.T) {
	for _, c := range []polled{
		{"pending", `{"match_result":"pending","confidence":null}`, proof.ChallengePending, "", 0, ""},
		{"match", `{"match_result":"match","confidence":0.9}`, proof.ChallengeMatch, "", 0.9, ""},
		{"match without a score", `{"match_result":"Match"}`, proof.ChallengeMatch, "", 0, ""},
		{"of another user", `{"match_result":"match","user_id":"john"}`, proof.ChallengeNoMatch, proof.ReasonSubjectMismatch, 0, ""},
		{"of the user", `{"match_result":"match","user_id":"JANE"}`, proof.ChallengeMatch, "", 0, ""},
		{"of no user in particular", `{"match_result":"match","user_id":null}`, proof.ChallengeMatch, "", 0, ""},
		{"of a user without a name", `{"match_result":"match","user_id":""}`, "", proof.ReasonUpstreamMalformed, 0, ""},
		{"of a number", `{"match_result":"match","user_id":7}`, proof.ChallengeNoMatch, proof.ReasonSubjectMismatch, 0, ""},
		{"of several users", `{"match_result":"match","user_id":["jane","john"]}`, "", proof.ReasonUpstreamMalformed, 0, ""},
		{"no match, with a broken block", `{"match_result":"no_match","kosmoscope":7}`, proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""},
		{"of another challenge", `{"challenge_id":"ch2","match_result":"match"}`, "", proof.ReasonUpstreamMalformed, 0, ""},
		{"no match", `{"match_result":"no_match","confidence":0.1,"kosmoscope":{"reason":"face_uncertain"}}`, proof.ChallengeNoMatch, proof.ReasonFaceUncertain, 0, ""},
		{"no match, no reason", `{"match_result":"no_match"}`, proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""},
		{"against its own checks", `{"match_result":"match","confidence":0.9,"kosmoscope":{"checks":[{"name":"liveness","outcome":"fail"}]}}`, proof.ChallengeNoMatch, proof.ReasonProviderRejected, 0, ""},
		{"expired", `{"match_result":"expired"}`, proof.ChallengeExpired, proof.ReasonTimeLimit, 0, ""},
		{"done, and no word of a match", `{"status":"completed"}`, "", proof.ReasonUpstreamUnknown, 0, ""},
		{"unheard of", `{"match_result":"splendid"}`, "", proof.ReasonUpstreamUnknown, 0, ""},
	} {
		h := newHandMade(t)
		c.check(t, h, h.backend("v1"))
	}
}

// A stranger who has the session's link, and knows the victim's DID, answers in
// the victim's place with a key of their own.
func TestUWLForgedAnswer(t *testing.T) {
	k := startKosmos(t, blockid.Secp256k1)
	k.prove(t, "victim", "victim's face", true)
	k.prove(t, "stranger", "stranger's face", true)
	b := upstream.NewUWL(k.link, 0, k.now)
	client, err := blockid.NewClient(blockid.Config{DNS: k.dns, Community: "default", LicenseKey: kosmosLicense, HTTPClient: k.web, Now: k.now})
	if err != nil {
		t.Fatal(err)
	}
	ial, err := client.IAL(t.Context(), "victim")
	if err != nil || len(ial.Wallets) != 1 {
		t.Fatal(ial, err)
	}
	service, err := client.ServiceKey(t.Context(), blockid.ServiceSessions)
	if err != nil {
		t.Fatal(err)
	}
	open := func() proof.StepUpSession {
		t.Helper()
		r := handRequest
		r.Request.UserIdentifier, r.Deadline = "victim", k.now().Add(5*time.Minute)
		o, err := b.Open(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return o.StepUpSession
	}
	// authenticate posts an answer as an app does.
	authenticate := func(s proof.StepUpSession, key *blockid.PrivateKey, did, data, public string) int {
		t.Helper()
		shared, err := key.Shared(service)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := json.Marshal(blockid.RequestID{TS: k.now().Unix(), AppID: "app", UUID: uuid.NewString()})
		sealed, _ := shared.Seal(id)
		body, _ := json.Marshal(map[string]string{"data": data, "publicKey": public, "did": did, "appid": "app"})
		req, err := http.NewRequest(http.MethodPost, s.URL+"/authenticate", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("publickey", key.Public().String())
		req.Header.Set("requestid", sealed)
		res, err := k.web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	answerTo := func(s proof.StepUpSession, key *blockid.PrivateKey, did string) string {
		t.Helper()
		var info struct {
			PublicKey string `json:"publicKey"`
		}
		k.json(t, http.MethodGet, s.URL, "", nil, &info)
		creator, err := blockid.ParsePublicKey(blockid.Auto, info.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := key.Shared(creator)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := shared.Seal([]byte(fmt.Sprintf(`{"did":%q,"userid":"victim","kosmoscope":{"score":1,"match_result":"match","session":%q}}`, did, s.ID)))
		return data
	}
	forger, err := blockid.GenerateKey(blockid.Secp256k1)
	if err != nil {
		t.Fatal(err)
	}
	poll := func(s proof.StepUpSession) (journey.StepUpProgress, error) {
		return b.Poll(t.Context(), journey.PollStepUp{StepUpSession: s, UserIdentifier: "victim"})
	}
	refused := func(name string, s proof.StepUpSession, reason proof.Reason) {
		t.Helper()
		if p, err := poll(s); proof.ReasonOf(err) != reason || p != (journey.StepUpProgress{}) {
			t.Errorf("%s: %+v %v, want %s", name, p, err, reason)
		}
	}

	s, did := open(), ial.Wallets[0].DID
	if code := authenticate(s, forger, did, answerTo(s, forger, did), forger.Public().String()); code != 200 {
		t.Fatalf("the service cannot know better, and said %d", code)
	}
	refused("the victim's DID with another key", s, proof.ReasonAnswerUntrusted)

	s = open()
	if code := authenticate(s, forger, "00", answerTo(s, forger, "00"), forger.Public().String()); code != 200 {
		t.Fatal(code)
	}
	refused("a DID of nobody", s, proof.ReasonAnswerUntrusted)

	// An answer of the victim's own, sealed for an earlier session.
	first := open()
	k.answer(t, first, "victim", "victim's face")
	if p, err := poll(first); err != nil || p.Status != proof.ChallengeMatch {
		t.Fatal(p, err)
	}
	s = open()
	captured := answerTo(first, forger, did) // as good as any that is sealed for the other session
	if code := authenticate(s, forger, did, captured, forger.Public().String()); code != 200 {
		t.Fatal(code)
	}
	refused("sealed for another session", s, proof.ReasonUpstreamCiphertext)

	// Whatever the service itself refuses leaves the session as it was.
	s = open()
	other, err := blockid.GenerateKey(blockid.P256)
	if err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]int{
		"a key on the other curve":  authenticate(s, forger, did, answerTo(s, forger, did), other.Public().String()),
		"another's public key":      authenticate(s, forger, did, answerTo(s, forger, did), ial.Wallets[0].DID),
		"a ciphertext that is none": authenticate(s, forger, did, "AAAA", forger.Public().String()),
	} {
		if code < 400 {
			t.Errorf("%s: %d", name, code)
		}
	}
	if p, err := poll(s); err != nil || p.Status != proof.ChallengePending {
		t.Error(p, err)
	}
	k.answer(t, s, "victim", "victim's face")
	if p, err := poll(s); err != nil || p.Status != proof.ChallengeMatch {
		t.Error(p, err)
	}
	// And a second answer comes too late.
	if code := authenticate(s, forger, did, answerTo(s, forger, did), forger.Public().String()); code < 400 {
		t.Errorf("a second answer: %d", code)
	}
	if p, err := poll(s); err != nil || p.Status != proof.ChallengeMatch {
		t.Error(p, err)
	}
}

// The level that the local 1Kosmos has for somebody whom only its engine
// verified is none that 1Kosmos asserts.
func TestAssuranceThatNobodyAssessed(t *testing.T) {
	k := newTenant(t, blockid.Secp256k1)
	up, _ := k.upstream(t)
	for block, want := range map[string]string{
		``: "IAL2", `,"kosmoscope":{"assessed":false}`: "", `,"kosmoscope":{"assessed":true}`: "IAL2", `,"kosmoscope":{}`: "IAL2",
	} {
		k.ial = `{"user":{"username":"jane"},"did":{"a":{"value":"IAL2","proofs":[]}}` + block + `}`
		if a, err := up.Assurance(ctx, "jane"); err != nil || a.Level != want {
			t.Errorf("%s: %+v %v", block, a, err)
		}
	}
	for _, block := range []string{`7`, `[]`, `{"assessed":"false"}`, `{"assessed":false,"Assessed":true}`} {
		k.ial = `{"user":{"username":"jane"},"did":{"a":{"value":"IAL2","proofs":[]}},"kosmoscope":` + block + `}`
		if a, err := up.Assurance(ctx, "jane"); proof.ReasonOf(err) != proof.ReasonUpstreamMalformed || a != (journey.Assertion{}) {
			t.Errorf("%s: %+v %v", block, a, err)
		}
	}
}

func TestEnrolled(t *testing.T) {
	k := newTenant(t, blockid.Secp256k1)
	up, _ := k.upstream(t)
	yes, no := true, false
	for block, want := range map[string]*bool{``: nil, `,"kosmoscope":{"enrolled":true}`: &yes, `,"kosmoscope":{"enrolled":false}`: &no} {
		k.result = fmt.Sprintf(`{"sessionResult":"SUCCESS","sessionId":"s1","sessionData":{"documentType":"ppt_object"},`+document+`%s}`, "", block)
		p, err := up.Poll(ctx, session)
		if got := p.Outcome.Enrolled; err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %v %v", block, got, err)
		}
	}
}

// FuzzStepUpAnswers: whatever an answer holds, a match takes all the words that
// make one, read by another reader.
func FuzzStepUpAnswers(f *testing.F) {
	for _, s := range []string{
		`{"status":"completed","username":"jane","match_result":"match","kosmoscope":{"score":0.8,"liveness":"none","checks":[{"name":"face_match","outcome":"pass"}]}}`,
		`{"status":"failed","match_result":"no_match","kosmoscope":{"match_result":"no_match","reason":"face_mismatch"}}`,
		`{"did":"abababababababababababababababababababab","kosmoscope":{"score":1e9,"session":"x"}}`,
		`{"challenge_id":"ch1","match_result":"match","confidence":0.9,"user_id":"john"}`, `{"match_result":"match","user_id":["jane"]}`, `{}`,
		`{"match_result":"match","kosmoscope":{"liveness":"none","checks":[{"outcome":"cannot_tell"}]}}`, `{"match_result":"match","kosmoscope":{"liveness":"none","Liveness":"active"}}`, `[]`, `null`, `{"kosmoscope":7}`,
	} {
		f.Add([]byte(s))
	}
	type way struct {
		hand    *handMade
		backend journey.StepUp
		session proof.StepUpSession
	}
	ways := map[string]way{}
	for _, kind := range []string{"uwl", "workflow", "v1"} {
		h := newHandMade(f)
		b := h.backend(kind)
		o, err := b.Open(ctx, handRequest)
		if err != nil {
			f.Fatal(err)
		}
		ways[kind] = way{h, b, o.StepUpSession}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		for kind, w := range ways {
			w.hand.answer = string(b)
			p, err := w.backend.Poll(ctx, journey.PollStepUp{StepUpSession: w.session, UserIdentifier: "jane"})
			var e *proof.Error
			if err != nil && (!errors.As(err, &e) || !e.Reason.Known() || p != (journey.StepUpProgress{})) {
				t.Errorf("%s: %+v %v", kind, p, err)
			}
			if err == nil && (p.Reason == "") != (p.Status == proof.ChallengePending || p.Status == proof.ChallengeMatch) || p.Reason != "" && !p.Reason.Known() {
				t.Errorf("%s: %+v", kind, p)
			}
			if p.Status != proof.ChallengeMatch {
				continue
			}
			var said map[string]any
			if json.Unmarshal(b, &said) != nil {
				t.Fatalf("%s: a match of no JSON", kind)
			}
			is := func(name, want string) bool { s, _ := said[name].(string); return strings.EqualFold(s, want) }
			good := map[string]bool{
				"uwl":      is("did", w.hand.did),
				"workflow": is("status", "completed") && is("match_result", "match") && is("username", "jane"),
				"v1":       is("match_result", "match") && (said["user_id"] == nil || is("user_id", "jane")),
			}
			if !good[kind] {
				t.Errorf("%s: a match of %s", kind, b)
			}
			if block := said["kosmoscope"]; block != nil {
				x, _ := block.(map[string]any)
				checks, _ := x["checks"].([]any)
				for _, c := range checks {
					if one, _ := c.(map[string]any); one["outcome"] != nil && one["outcome"] != "pass" {
						t.Errorf("%s: a match against its checks: %s", kind, b)
					}
				}
				if x == nil || !p.Liveness.Valid() {
					t.Errorf("%s: a match with a broken block, or one that hides the liveness: %s", kind, b)
				}
			}
			if c := p.Confidence; c != nil && !(*c >= 0 && *c <= 1) || p.Liveness != "" && !p.Liveness.Valid() {
				t.Errorf("%s: %+v", kind, p)
			}
		}
	})
}
