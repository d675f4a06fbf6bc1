package blockid_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

var faceRequest = blockid.UWLRequest{AuthType: blockid.AuthFace, Metadata: map[string]string{"purpose": "authentication", "application": "Shop"}}

// newSession opens a session at f.
func newSession(t *testing.T, f *fake, c *blockid.Client) blockid.UWLSession {
	t.Helper()
	s, err := c.NewSession(t.Context(), faceRequest)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answerWith answers the session as the app of wallet does; change edits the
// answer first.
func (f *fake) answerWith(t *testing.T, wallet *fakeKey, user string, change ...func(map[string]any)) {
	t.Helper()
	f.set(func() {
		s := f.sessions[fakeUWL]
		var a map[string]any
		text := strings.NewReplacer("SEALED", wallet.seal(s.creator, user), "KEY", wallet.public()).Replace(golden(t, "uwl.answer.json"))
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		for _, c := range change {
			c(a)
		}
		b, _ := json.Marshal(a)
		s.status, s.body = 200, string(b)
	})
}

const fakeUser = `{"did":"` + fakeDID + `","userid":"j.doe","kosmoscope":{"score":0.93}}`

func TestUWL(t *testing.T) {
	for _, curve := range []string{"secp256k1", "P-256"} {
		t.Run(curve, func(t *testing.T) {
			f, ctx, wallet := startFake(t, curve), t.Context(), newFakeKey(curve)
			c := f.client(t)
			s := newSession(t, f, c)
			if s.ID != fakeUWL || s.URL != f.srv.URL+"/sessions/session/"+fakeUWL {
				t.Errorf("session %q %q", s.ID, s.URL)
			}
			sameJSON(t, "create", f.last(t).Body, strings.ReplaceAll(golden(t, "uwl.create.request.json"), "DNS", f.dns))
			if own, _ := c.ServiceKey(ctx, blockid.ServiceDocuverify); own == nil || f.last(t).Header.Get("publickey") != s.Key.Public().String() {
				t.Error("the session has no key of its own")
			}
			if again := newSession(t, f, c); again.Key.Public().String() == s.Key.Public().String() {
				t.Error("two sessions with one key")
			} else {
				s = again
			}

			a, err := c.SessionAnswer(ctx, s)
			if err != nil || a.Status != blockid.StatusPending {
				t.Fatalf("404: %v %v", a, err)
			}
			f.set(func() {
				f.sessions[fakeUWL].status, f.sessions[fakeUWL].body = 400, `{"code":400,"message":"Session expired"}`
			})
			if a, err = c.SessionAnswer(ctx, s); err != nil || a.Status != blockid.StatusExpired {
				t.Fatalf("400: %v %v", a, err)
			}

			f.answerWith(t, wallet, fakeUser)
			if a, err = c.SessionAnswer(ctx, s); err != nil {
				t.Fatal(err)
			}
			if a.Status != blockid.StatusSuccess || a.SessionID != s.ID || a.DID != fakeDID || a.PublicKey.String() != wallet.public() ||
				string(a.User["kosmoscope"]) != `{"score":0.93}` || a.IAL != "IAL1" || a.Extra["createdTS"] == nil || a.Belongs {
				t.Errorf("%+v", *a)
			}
			for _, v := range []any{*a, s, blockid.UserInfo{UserIDs: []string{fakeDID}}, blockid.User{Username: fakeDID}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
					if out := fmt.Sprintf(verb, v); strings.Contains(out, fakeDID) || strings.Contains(out, "session/") || strings.Contains(out, fakeUWL) {
						t.Errorf("%s prints %s", verb, out)
					}
				}
			}

			// Who the wallet belongs to is for the admin console to say.
			f.set(func() { f.plain[pathUserInfo] = strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", wallet.public()) })
			for user, belongs := range map[string]bool{"j.doe": true, "J.DOE": true, "other": true, "j.do": false, "ſomebody": false} {
				if a, err = c.Authenticate(ctx, s, user); err != nil || a.Belongs != belongs || len(a.UserIDs) != 2 {
					t.Errorf("%s: %v %v", user, a, err)
				}
			}
			f.set(func() {
				f.plain[pathUserInfo] = strings.ReplaceAll(strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", wallet.public()), "j.doe", "\u212aim")
			})
			if a, err = c.Authenticate(ctx, s, "kim"); err != nil || a.Belongs { // the Kelvin sign is no K
				t.Errorf("%v %v", a, err)
			}
			f.set(func() {
				f.plain[pathUserInfo] = strings.ReplaceAll(strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", wallet.public()), "j.doe", "zoë")
			})
			for user, belongs := range map[string]bool{"zoë": true, "ZOë": true, "zoË": false} {
				if a, err = c.Authenticate(ctx, s, user); err != nil || a.Belongs != belongs {
					t.Errorf("%s: %v %v", user, a, err)
				}
			}
		})
	}
}

func TestUWLAnswersThatDoNotCount(t *testing.T) {
	const secp = "secp256k1"
	wallet := newFakeKey(secp)
	flip := func(m map[string]any) {
		raw, _ := base64.StdEncoding.DecodeString(m["data"].(string))
		raw[20] ^= 1
		m["data"] = base64.StdEncoding.EncodeToString(raw)
	}
	with := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	for name, c := range map[string]struct {
		user   string
		change func(map[string]any)
		kind   blockid.Kind
	}{
		"corrupt ciphertext":           {fakeUser, flip, blockid.KindDecrypt},
		"short ciphertext":             {fakeUser, with("data", "AAAA"), blockid.KindDecrypt},
		"not base64":                   {fakeUser, with("data", "!!"), blockid.KindDecrypt},
		"no ciphertext":                {fakeUser, with("data", nil), blockid.KindMalformed},
		"in clear":                     {fakeUser, with("data", map[string]string{"did": fakeDID}), blockid.KindMalformed},
		"no key":                       {fakeUser, with("publicKey", ""), blockid.KindAnswerKey},
		"key of the other curve":       {fakeUser, with("publicKey", newFakeKey("P-256").public()), blockid.KindAnswerKey},
		"key is no point":              {fakeUser, with("publicKey", base64.StdEncoding.EncodeToString(make([]byte, 64))), blockid.KindAnswerKey},
		"key too long":                 {fakeUser, with("publicKey", strings.Repeat("A", 4096)), blockid.KindAnswerKey},
		"somebody's key, not theirs":   {fakeUser, with("publicKey", newFakeKey(secp).public()), blockid.KindDecrypt},
		"another session's":            {fakeUser, with("sessionId", fakeSession), blockid.KindMalformed},
		"no session's":                 {fakeUser, with("sessionId", nil), blockid.KindMalformed},
		"another session's inside":     {fakeUser, with("sessionInfo", map[string]any{"sessionId": fakeSession}), blockid.KindMalformed},
		"no wallet":                    {`{"userid":"j.doe"}`, nil, blockid.KindUntrustedAnswer},
		"a wallet that is a path":      {`{"did":".."}`, nil, blockid.KindUntrustedAnswer},
		"a wallet of another type":     {`{"did":{}}`, nil, blockid.KindUntrustedAnswer},
		"two wallets":                  {fakeUser, with("did", "ffff"), blockid.KindMalformed},
		"data is no JSON":              {`did`, nil, blockid.KindMalformed},
		"data with a field twice":      {`{"did":"a","did":"` + fakeDID + `"}`, nil, blockid.KindMalformed},
		"an error inside a success":    {fakeUser, func(m map[string]any) { clear(m); m["code"], m["message"] = 403, "private words" }, blockid.KindUnauthorized},
		"a wallet that nobody has":     {`{"did":"feedfeed"}`, nil, blockid.KindUntrustedAnswer},
		"a wallet that is not theirs":  {fakeUser, nil, blockid.KindUntrustedAnswer}, // user info has another key
		"sealed by itself, a good one": {fakeUser, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t, secp)
			cl := f.client(t)
			s := newSession(t, f, cl)
			known := wallet
			if c.kind == blockid.KindUntrustedAnswer {
				known = newFakeKey(secp)
			}
			f.set(func() { f.plain[pathUserInfo] = strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", known.public()) })
			change := c.change
			if change == nil {
				change = func(map[string]any) {}
			}
			f.answerWith(t, wallet, c.user, change)
			a, err := cl.Authenticate(t.Context(), s, "j.doe")
			if blockid.KindOf(err) != c.kind || (a != nil) != (c.kind == "") {
				t.Fatalf("%v, %v; want %q", a, err, c.kind)
			}
			if err != nil && (strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), "j.doe")) {
				t.Errorf("says too much: %v", err)
			}
		})
	}
}

// An answer captured from one session opens in no other, because each session
// has a key of its own.
func TestUWLAnswerOfAnotherSessionDoesNotOpen(t *testing.T) {
	f, wallet := startFake(t, "secp256k1"), newFakeKey("secp256k1")
	c := f.client(t)
	f.set(func() { f.plain[pathUserInfo] = strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", wallet.public()) })
	first := newSession(t, f, c)
	f.answerWith(t, wallet, fakeUser)
	if a, err := c.Authenticate(t.Context(), first, "j.doe"); err != nil || !a.Belongs {
		t.Fatal(a, err)
	}
	var captured string
	f.set(func() { captured = f.sessions[fakeUWL].body })
	// The fake gives every session the same id, so that nothing but the key tells
	// the two apart.
	second := newSession(t, f, c)
	f.set(func() { f.sessions[fakeUWL].status, f.sessions[fakeUWL].body = 200, captured })
	if _, err := c.Authenticate(t.Context(), second, "j.doe"); blockid.KindOf(err) != blockid.KindDecrypt {
		t.Fatal(err)
	}
	// And nobody reads the answer with another key.
	if _, err := c.Authenticate(t.Context(), first, "j.doe"); blockid.KindOf(err) != blockid.KindUnauthorized {
		t.Fatal(err)
	}
}

func TestUWLErrors(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t, func(cfg *blockid.Config) { cfg.Timeout = 2 * time.Second })
	s := newSession(t, f, c)
	ctx := t.Context()
	for name, tt := range map[string]struct {
		status  int
		typ     string
		body    string
		header  string
		kind    blockid.Kind
		pending bool
		expired bool
		retry   time.Duration
	}{
		"nobody answered":          {status: 404, typ: "application/json", body: `{"code":404}`, pending: true},
		"nobody answered, no body": {status: 404, pending: true},
		"a gateway's 404":          {status: 404, typ: "text/html", body: "<html>", kind: blockid.KindMalformed},
		"expired":                  {status: 400, typ: "application/json", body: `{"message":"expired"}`, expired: true},
		"a gateway's 400":          {status: 400, typ: "text/html", body: "<html>", kind: blockid.KindMalformed},
		"a bad header":             {status: 400, typ: "application/json", body: `{"errors":[{"message":"This header should not be empty","param":"requestid"}]}`, kind: blockid.KindInvalid},
		"a header it cannot open":  {status: 400, typ: "application/json", body: `{"message":"This header can't be decrypted"}`, kind: blockid.KindDecrypt},
		"licence":                  {status: 401, typ: "application/json", body: `{"code":401,"message":"Invalid or Unauthorized License"}`, kind: blockid.KindUnauthorized},
		"refused":                  {status: 403, typ: "application/json", body: `{"code":403,"message":"Authentication failed"}`, kind: blockid.KindUnauthorized},
		"slow down":                {status: 429, typ: "application/json", body: `{"message":"x"}`, header: "7", kind: blockid.KindRateLimited, retry: 7 * time.Second},
		"slow down, in the body":   {status: 429, typ: "application/json", body: `{"message":"x","retryAfterSeconds":9}`, kind: blockid.KindRateLimited, retry: 9 * time.Second},
		"down":                     {status: 503, typ: "text/html", body: "<html>", kind: blockid.KindUpstream},
		"redirect":                 {status: 302, kind: blockid.KindMalformed},
		"a web page":               {status: 200, typ: "text/html", body: "<html>", kind: blockid.KindMalformed},
		"empty":                    {status: 200, typ: "application/json", kind: blockid.KindMalformed},
		"a list":                   {status: 200, typ: "application/json", body: `[]`, kind: blockid.KindMalformed},
		"cut short":                {status: 200, typ: "application/json", body: `{"sessionId":`, kind: blockid.KindMalformed},
	} {
		f.set(func() {
			f.override[pathUWL] = func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil
				if tt.typ != "" {
					w.Header().Set("Content-Type", tt.typ)
				}
				if tt.header != "" {
					w.Header().Set("Retry-After", tt.header)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, tt.body)
			}
		})
		a, err := c.SessionAnswer(ctx, s)
		var e *blockid.Error
		switch {
		case tt.pending, tt.expired:
			if err != nil || a.Status != blockid.StatusPending && tt.pending || a.Status != blockid.StatusExpired && tt.expired {
				t.Errorf("%s: %v %v", name, a, err)
			}
		case !errors.As(err, &e) || e.Kind != tt.kind || e.RetryAfter != tt.retry:
			t.Errorf("%s: %v, want %s", name, err, tt.kind)
		}
	}

	// Only 201 says that a session was created (reference 11).
	f.set(func() {
		f.override[pathUWLNew] = func(w http.ResponseWriter, r *http.Request) { writeJSON(w, 200, map[string]string{"sessionId": "x"}) }
	})
	if _, err := c.NewSession(ctx, faceRequest); blockid.KindOf(err) != blockid.KindMalformed {
		t.Errorf("200: %v", err)
	}
	for _, id := range []string{"", "..", "a b", strings.Repeat("x", 200)} {
		f.set(func() {
			f.override[pathUWLNew] = func(w http.ResponseWriter, r *http.Request) { writeJSON(w, 201, map[string]string{"sessionId": id}) }
		})
		if _, err := c.NewSession(ctx, faceRequest); blockid.KindOf(err) != blockid.KindMalformed {
			t.Errorf("session id %q: %v", id, err)
		}
	}
	for _, bad := range []blockid.UWLSession{{}, {ID: "x"}, {ID: "..", Key: s.Key}} {
		if _, err := c.SessionAnswer(ctx, bad); blockid.KindOf(err) != blockid.KindInvalid {
			t.Error(err)
		}
	}
	if _, err := c.NewSession(ctx, blockid.UWLRequest{}); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	if _, err := c.Authenticate(ctx, s, ""); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
}

// The sessions service rotates its key in the middle of a session: our key for
// the session stays, so its answer is still for us.
func TestUWLSurvivesRotation(t *testing.T) {
	f, wallet := startFake(t, "secp256k1"), newFakeKey("secp256k1")
	c := f.client(t)
	s := newSession(t, f, c)
	f.answerWith(t, wallet, fakeUser)
	f.set(func() { f.keys["sessions"] = newFakeKey("secp256k1") })
	if a, err := c.SessionAnswer(t.Context(), s); err != nil || a.DID != fakeDID {
		t.Fatal(a, err)
	}
}

func TestUWLAtOnce(t *testing.T) {
	f, wallet := startFake(t, "secp256k1"), newFakeKey("secp256k1")
	c := f.client(t)
	f.set(func() { f.plain[pathUserInfo] = strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", wallet.public()) })
	s := newSession(t, f, c)
	f.answerWith(t, wallet, fakeUser)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a, err := c.Authenticate(t.Context(), s, "j.doe"); err != nil || !a.Belongs {
				t.Error(a, err)
			}
		})
	}
	wg.Wait()
}

// What an error body holds besides the vendor's fields is kept, up to a bound,
// and never printed.
func TestErrorExtra(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"none":    {`{"code":403,"message":"m","status":false}`, ""},
		"a block": {`{"code":403,"message":"m","kosmoscope":{"reason":"face_mismatch"}}`, `{"reason":"face_mismatch"}`},
		"twice":   {`{"code":403,"kosmoscope":{},"kosmoscope":{"reason":"x"}}`, ""},
		"long":    {`{"code":403,"message":"` + strings.Repeat("x", 8<<10) + `","kosmoscope":{}}`, ""},
		"many":    {`{"code":403,"kosmoscope":{}` + manyFields(20) + `}`, ""},
	} {
		e := blockid.AnswerError(403, http.Header{"Content-Type": {"application/json"}}, []byte(c.body), time.Now())
		if got := string(e.Extra["kosmoscope"]); got != c.want || strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e.Error()), "face_mismatch") {
			t.Errorf("%s: %s", name, got)
		}
	}
	e := blockid.ErrorInSuccess([]byte(`{"code":409,"message":"m","kosmoscope":{"reason":"user_disabled"}}`))
	if e == nil || string(e.Extra["kosmoscope"]) != `{"reason":"user_disabled"}` {
		t.Errorf("%+v", e)
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"f%d":1`, i)
	}
	return b.String()
}

func TestUserInfo(t *testing.T) {
	f, key := startFake(t, "secp256k1"), newFakeKey("secp256k1")
	c := f.client(t)
	f.set(func() { f.plain[pathUserInfo] = strings.ReplaceAll(golden(t, "userinfo.json"), "KEY", key.public()) })
	u, err := c.UserByDID(t.Context(), fakeDID)
	if err != nil || u.PublicKey.String() != key.public() || strings.Join(u.UserIDs, " ") != "other j.doe" || u.ID == "" || u.PersonID == "" ||
		u.CommunityID == "" || u.Extra["poi_ial"] == nil {
		t.Errorf("%+v %v", *u, err)
	}
	if f.last(t).Header.Get("X-TenantTag") != "acme" {
		t.Error("no tenant tag")
	}
	f.set(func() { f.plain[pathUserInfo] = `{"userIdList":["a",7],"publicKey":"AAAA"}` })
	if u, err = c.UserByDID(t.Context(), fakeDID); err != nil || u.PublicKey != nil || u.UserIDs[0] != "a" {
		t.Errorf("%+v %v", u, err)
	}
	f.set(func() { f.plain[pathUserInfo] = `{}` })
	if _, err = c.UserByDID(t.Context(), fakeDID); blockid.KindOf(err) != blockid.KindNotFound {
		t.Error(err)
	}
	if _, err = c.UserByDID(t.Context(), "nobody"); blockid.KindOf(err) != blockid.KindNotFound {
		t.Error(err)
	}
	for _, did := range []string{"", ".", ".."} {
		if _, err = c.UserByDID(t.Context(), did); blockid.KindOf(err) != blockid.KindInvalid {
			t.Error(err)
		}
	}
}

func TestFetchUser(t *testing.T) {
	f := startFake(t, "secp256k1")
	c, ctx := f.client(t), t.Context()
	var w struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(golden(t, "users.json")), &w); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.users = w.Data })
	u, err := c.FetchUser(ctx, fakeModule, "j.doe")
	if err != nil || u.UID != "1" || !u.Disabled || !u.Locked || u.Status != "disabled" || u.ModuleID != fakeModule || u.Username != "j.doe" {
		t.Errorf("%+v %v", u, err)
	}
	sameJSON(t, "request", f.last(t).Body, golden(t, "users.request.json"))
	if u, err = c.FetchUser(ctx, fakeModule, "J.Doe2"); err != nil || u.UID != "2" || u.Disabled {
		t.Errorf("%+v %v", u, err)
	}
	is := func(module, name string, kind blockid.Kind, status int) {
		t.Helper()
		var e *blockid.Error
		if u, err := c.FetchUser(ctx, module, name); !errors.As(err, &e) || e.Kind != kind || e.HTTPStatus != status {
			t.Errorf("%+v %v", u, err)
		}
	}
	is(fakeModule, "j", blockid.KindNotFound, 0) // others begin like this
	is("directory", "j.doe", blockid.KindInvalid, 405)
	is("5f00", "j.doe", blockid.KindNotFound, 404)
	is("", "j.doe", blockid.KindInvalid, 0)
	is(fakeModule, "", blockid.KindInvalid, 0)

	many := func(n int, more ...string) {
		f.set(func() {
			f.users = nil
			for i := range n {
				f.users = append(f.users, map[string]any{"username": fmt.Sprintf("j%d", i), "uid": "x"})
			}
			for i, name := range more {
				f.users = append(f.users, map[string]any{"username": name, "uid": fmt.Sprint(i)})
			}
		})
	}
	many(60, "J", "j") // both on the last page; the exact one counts
	if u, err = c.FetchUser(ctx, fakeModule, "j"); err != nil || u.UID != "1" {
		t.Errorf("%+v %v", u, err)
	}
	many(24, "J", "j") // the exact one is on a page after the other
	if u, err = c.FetchUser(ctx, fakeModule, "j"); err != nil || u.UID != "1" {
		t.Errorf("%+v %v", u, err)
	}
	many(60, "J")
	if u, err = c.FetchUser(ctx, fakeModule, "j"); err != nil || u.UID != "0" {
		t.Errorf("%+v %v", u, err)
	}
	many(0, "KIM", "Kim")
	is(fakeModule, "kim", blockid.KindMalformed, 0)
	many(0, "kim", "kim")
	is(fakeModule, "kim", blockid.KindMalformed, 0)
	many(0, "\u212aim")
	is(fakeModule, "kim", blockid.KindNotFound, 0)
	many(1000, "j")
	is(fakeModule, "j", blockid.KindMalformed, 0)

	for body, kind := range map[string]blockid.Kind{
		`{}`:            blockid.KindMalformed,
		`{"data":7}`:    blockid.KindMalformed,
		`{"data":null}`: blockid.KindMalformed,
		`{"code":404,"message":"Auth module is not found."}`: blockid.KindNotFound,
		`{"data":"AAAA"}`: blockid.KindDecrypt,
	} {
		f.set(func() {
			f.override[pathUsers] = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, body)
			}
		})
		if u, err := c.FetchUser(ctx, fakeModule, "j"); blockid.KindOf(err) != kind {
			t.Errorf("%s: %+v %v", body, u, err)
		}
	}
	for disabled, want := range map[string]bool{`true`: true, `"true"`: true, `1`: true, `{}`: true, `false`: false, `"false"`: false, `null`: false, `0`: false} {
		users, _, err := blockid.ParseUsers([]byte(`{"data":[{"username":"j","disabled":` + disabled + `}]}`))
		if err != nil || users[0].Disabled != want {
			t.Errorf("disabled %s: %+v %v", disabled, users, err)
		}
	}
}

func TestWorkflow(t *testing.T) {
	f := startFake(t, "secp256k1")
	c, ctx := f.client(t), t.Context()
	f.set(func() {
		f.plain[pathWFCreate] = strings.ReplaceAll(golden(t, "workflow.create.json"), "DNS", f.dns)
		f.plain[pathWFNode] = golden(t, "workflow.node.json")
	})
	w, err := c.CreateWorkflow(ctx, "wf-liveid", map[string]string{"username": "j.doe", "callbackUrl": "https://bridge.example/c/1/return"})
	if err != nil || w.ID != "wfi-0001" || w.URL != f.srv.URL+"/workflow/wfi-0001" {
		t.Fatalf("%q %q %v", w.ID, w.URL, err)
	}
	sameJSON(t, "create", f.last(t).Body, golden(t, "workflow.create.request.json"))
	// The content of a node's answer is our guess.
	r, err := c.WorkflowNode(ctx, w, "face")
	if err != nil || r.Status != blockid.WorkflowCompleted || !r.Sealed || string(r.Body["username"]) != `"j.doe"` {
		t.Fatalf("%+v %v", r, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if out := fmt.Sprintf(verb+verb, *r, w); strings.Contains(out, "doe") || strings.Contains(out, "wfi-") {
			t.Errorf("prints %s", out)
		}
	}
	for wire, want := range map[string]blockid.WorkflowStatus{
		"pending": blockid.WorkflowPending, "Started": blockid.WorkflowStarted, "EXPIRED": blockid.WorkflowExpired,
		"failed": blockid.WorkflowFailed, "success": blockid.WorkflowUnknown,
	} {
		f.set(func() { f.plain[pathWFNode] = `{"status":"` + wire + `"}` })
		if r, err := c.WorkflowNode(ctx, w, "face"); err != nil || r.Status != want || r.WireStatus != wire {
			t.Errorf("%s: %+v %v", wire, r, err)
		}
	}
	for body, kind := range map[string]blockid.Kind{
		`{}`: blockid.KindMalformed, `{"status":7}`: blockid.KindMalformed, `completed`: blockid.KindMalformed,
		`{"status":"failed","status":"completed"}`:              blockid.KindMalformed,
		`{"status":"completed","wfInstanceId":"another"}`:       blockid.KindMalformed,
		`{"code":404,"message":"no such instance","status":""}`: blockid.KindNotFound,
	} {
		f.set(func() { f.plain[pathWFNode] = body })
		if r, err := c.WorkflowNode(ctx, w, "face"); blockid.KindOf(err) != kind {
			t.Errorf("%s: %+v %v", body, r, err)
		}
	}
	if _, err := c.WorkflowNode(ctx, blockid.WorkflowInstance{ID: w.ID}, "face"); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	// An answer sealed for another instance does not open.
	f.set(func() { f.plain[pathWFNode] = golden(t, "workflow.node.json") })
	var captured []byte
	f.set(func() {
		key, theirs := f.keys["workflowapi"], w.Key.Public().String()
		captured, _ = json.Marshal(map[string]string{"data": key.seal(theirs, golden(t, "workflow.node.json")), "publicKey": key.public()})
		f.override[pathWFNode] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(captured)
		}
	})
	if r, err = c.WorkflowNode(ctx, w, "face"); err != nil || r.Status != blockid.WorkflowCompleted {
		t.Error(r, err)
	}
	other, err := blockid.GenerateKey(w.Key.Curve())
	if err != nil {
		t.Fatal(err)
	}
	if r, err = c.WorkflowNode(ctx, blockid.WorkflowInstance{ID: w.ID, Key: other}, "face"); blockid.KindOf(err) != blockid.KindDecrypt {
		t.Error(r, err)
	}
	// The service rotates its key, and answers with the new one.
	f.set(func() {
		delete(f.override, pathWFNode)
		f.keys["workflowapi"] = newFakeKey("secp256k1")
	})
	if r, err = c.WorkflowNode(ctx, w, "face"); err != nil || r.Status != blockid.WorkflowCompleted {
		t.Error(r, err)
	}
	// A key that the service does not publish, however good the seal.
	f.set(func() {
		clear(f.hits)
		f.override[pathWFNode] = func(rw http.ResponseWriter, r *http.Request) {
			stranger := newFakeKey("secp256k1")
			writeJSON(rw, 200, map[string]string{"data": stranger.seal(r.Header.Get("publickey"), golden(t, "workflow.node.json")), "publicKey": stranger.public()})
		}
	})
	if r, err = c.WorkflowNode(ctx, w, "face"); blockid.KindOf(err) != blockid.KindUntrustedAnswer || r != nil {
		t.Error(r, err)
	}
	if a, b := f.count(pathWFNode), f.count(pathInfo); a != 2 || b != 1 {
		t.Errorf("%d attempts, %d refreshes", a, b)
	}
	// Some answers come in clear; the caller is told so.
	f.set(func() {
		f.override[pathWFNode] = func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, 200, map[string]string{"status": "completed"})
		}
	})
	if r, err = c.WorkflowNode(ctx, w, "face"); err != nil || r.Status != blockid.WorkflowCompleted || r.Sealed {
		t.Errorf("%+v %v", r, err)
	}
	for body, kind := range map[string]blockid.Kind{
		`{"wfInstanceId":"a","wfInstanceUrl":"https://evil.example/x"}`: blockid.KindUntrustedHost,
		`{"wfInstanceId":"a","wfInstanceUrl":"http://DNS/x"}`:           blockid.KindUntrustedHost,
		`{"wfInstanceId":"..","wfInstanceUrl":"https://DNS/x"}`:         blockid.KindMalformed,
		`{"wfInstanceId":"a"}`: blockid.KindMalformed,
	} {
		f.set(func() { f.plain[pathWFCreate] = strings.ReplaceAll(body, "DNS", f.dns) })
		if _, err := c.CreateWorkflow(ctx, "wf-liveid", nil); blockid.KindOf(err) != kind {
			t.Errorf("%s: %v", body, err)
		}
	}
	f.set(func() { delete(f.plain, pathWFCreate) })
	if _, err := c.CreateWorkflow(ctx, "wf-other", nil); blockid.KindOf(err) != blockid.KindNotFound {
		t.Error(err)
	}
	if _, err := c.CreateWorkflow(ctx, "", nil); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	if _, err := c.WorkflowNode(ctx, w, ".."); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	for _, base := range []string{"http://acme.example/workflowapi", "workflowapi", "https://"} {
		cfg := f.config()
		cfg.WorkflowBase = base
		if _, err := blockid.NewClient(cfg); blockid.KindOf(err) != blockid.KindConfig {
			t.Errorf("%s: %v", base, err)
		}
	}
	f.set(func() { f.plain[pathWFCreate] = strings.ReplaceAll(golden(t, "workflow.create.json"), "DNS", f.dns) })
	elsewhere := f.client(t, func(cfg *blockid.Config) { cfg.WorkflowBase = f.srv.URL + "/workflowapi/" })
	if _, err := elsewhere.CreateWorkflow(ctx, "wf-liveid", nil); err != nil {
		t.Error(err)
	}
}

func TestSameUser(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"stella@example.test", "STELLA@Example.Test", true}, {"", "", true}, {"j", "J", true}, {"é", "é", true},
		{"\u017ftella", "stella", false}, {"\u212aate", "kate", false}, {"\u212aate", "Kate", false}, {"é", "É", false}, {"stra\u00dfe", "strasse", false},
		{"j", "j ", false}, {"j", "", false}, {"[", "{", false}, {"@", "`", false},
	} {
		if blockid.SameUser(c.a, c.b) != c.same || blockid.SameUser(c.b, c.a) != c.same {
			t.Errorf("%q and %q: not %v", c.a, c.b, c.same)
		}
	}
}

func TestV1StepUp(t *testing.T) {
	answer, status := "", 200
	var path, body string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 4096)
		n, _ := r.Body.Read(b)
		path, body = r.Method+" "+r.URL.Path, string(b[:n])
		if r.Header.Get("Authorization") != "Bearer token" {
			t.Error("no token")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, strings.ReplaceAll(answer, "HOST", r.Host))
	}))
	defer srv.Close()
	cfg := blockid.V1Config{DNS: strings.TrimPrefix(srv.URL, "https://"), Token: "token", HTTPClient: srv.Client()}
	c, err := blockid.NewV1Client(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	answer, status = `{"challenge_id":"ch-1","challenge_url":"https://HOST/x","expires_at":"2026-01-01T00:05:00Z"}`, 201
	s, err := c.StepUp(ctx, blockid.V1StepUpRequest{UserID: "j.doe", ReasonCode: "new_device", TimeoutSeconds: 300})
	if err != nil || s.ID != "ch-1" || s.URL != srv.URL+"/x" || s.ExpiresAt.Unix() != 1767225900 || path != "POST /v1/auth/stepup" {
		t.Fatalf("%q %q %v %v %s", s.ID, s.URL, s.ExpiresAt, err, path)
	}
	sameJSON(t, "request", body, golden(t, "bearer.stepup.request.json"))
	if out := fmt.Sprintf("%v %#v", s, blockid.V1StepUpResult{UserID: "j.doe"}); strings.Contains(out, "ch-1") || strings.Contains(out, "doe") {
		t.Error(out)
	}
	for body, kind := range map[string]blockid.Kind{
		`{"challenge_id":"ch-1"}`: blockid.KindMalformed, `{"challenge_id":"ch-1","challenge_url":"https://evil.example/x"}`: blockid.KindUntrustedHost,
		`{"challenge_id":".","challenge_url":"https://HOST/x"}`: blockid.KindMalformed, `[]`: blockid.KindMalformed,
		`{"statusCode":409,"error":"Conflict","message":"m"}`: blockid.KindInvalid,
	} {
		answer = body
		if _, err := c.StepUp(ctx, blockid.V1StepUpRequest{UserID: "j"}); blockid.KindOf(err) != kind {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := c.StepUp(ctx, blockid.V1StepUpRequest{}); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}

	answer, status = golden(t, "bearer.stepup.json"), 200
	r, err := c.StepUpResult(ctx, "ch-1")
	if err != nil || r.MatchResult != "match" || r.Confidence == nil || *r.Confidence != 0.93 || r.WireStatus != "completed" || r.Extra["future"] == nil ||
		path != "GET /v1/auth/stepup/ch-1" {
		t.Fatalf("%+v %v %s", *r, err, path)
	}
	for _, odd := range []string{`null`, `"0.9"`, `93`, `-1`, `1e400`, `{}`} {
		answer = `{"match_result":"match","confidence":` + odd + `}`
		if r, err := c.StepUpResult(ctx, "ch-1"); err == nil && r.Confidence != nil {
			t.Errorf("confidence %s is %v", odd, *r.Confidence)
		}
	}
	for body, kind := range map[string]blockid.Kind{
		`{"challenge_id":"ch-2","match_result":"match"}`: blockid.KindMalformed, `{}`: blockid.KindMalformed,
		`{"match_result":"no_match","match_result":"match"}`: blockid.KindMalformed, `{"code":404,"message":"m"}`: blockid.KindNotFound,
		`{"match_result":"match","user_id":""}`: blockid.KindMalformed, `{"match_result":"match","user_id":{"name":"j"}}`: blockid.KindMalformed,
		`{"match_result":"match","user_id":["j"]}`: blockid.KindMalformed, `{"match_result":"match","user_id":true}`: blockid.KindMalformed,
	} {
		answer = body
		if r, err := c.StepUpResult(ctx, "ch-1"); blockid.KindOf(err) != kind {
			t.Errorf("%s: %+v %v", body, r, err)
		}
	}
	for user, want := range map[string]string{`null`: "", `"j.doe"`: "j.doe", `17`: "17"} {
		answer = `{"match_result":"match","user_id":` + user + `}`
		if r, err := c.StepUpResult(ctx, "ch-1"); err != nil || r.UserID != want {
			t.Errorf("%s: %v", user, err)
		}
	}
	if _, err := c.StepUpResult(ctx, ".."); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	cfg.StepUpResultPath = "/v2/{id}/status"
	if c, err = blockid.NewV1Client(cfg); err != nil {
		t.Fatal(err)
	}
	answer = golden(t, "bearer.stepup.json")
	if _, err := c.StepUpResult(ctx, "ch-1"); err != nil || path != "GET /v2/ch-1/status" {
		t.Error(err, path)
	}
	for _, bad := range []string{"v1/{id}", "/v1", "/v1/{id}/{id}", "/v1 /{id}"} {
		cfg.StepUpResultPath = bad
		if _, err := blockid.NewV1Client(cfg); blockid.KindOf(err) != blockid.KindConfig {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
