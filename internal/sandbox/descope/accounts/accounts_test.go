package accounts_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/session"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

var (
	_ runner.Accounts         = (*accounts.Accounts)(nil)
	_ runner.ExternalAccounts = (*accounts.Accounts)(nil)
)

const projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Places by address, for tests.
var (
	berlin  = netip.MustParseAddr("78.55.20.10")
	potsdam = netip.MustParseAddr("78.55.20.11")
	lisbon  = netip.MustParseAddr("80.172.40.10")
	sydney  = netip.MustParseAddr("49.180.20.30")
	nowhere = netip.MustParseAddr("9.9.9.9")
)

func geo(a netip.Addr) (country, city string, lat, lon, radius float64, ok bool) {
	switch a {
	case berlin:
		return "DE", "Berlin", 52.52, 13.40, 20, true
	case potsdam:
		return "DE", "Potsdam", 52.39, 13.06, 20, true
	case lisbon:
		return "PT", "Lisbon", 38.72, -9.14, 20, true
	case sydney:
		return "AU", "Sydney", -33.87, 151.21, 20, true
	case netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("100.64.0.1"):
		return "US", "never", 1, 1, 1, true
	}
	return "", "", 0, 0, 0, false
}

func open(t *testing.T, change ...func(*accounts.Options)) (*accounts.Accounts, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	o := accounts.Options{ProjectID: projectID, BaseURL: "http://127.0.0.1:1", Algorithm: "ES384", Geo: geo, Now: c.now}
	for _, f := range change {
		f(&o)
	}
	a, err := accounts.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a, c
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func refused(t *testing.T, err error, want *project.Error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// invalid demands an error about what was sent.
func invalid(t *testing.T, what string, err error) {
	t.Helper()
	if e, ok := errors.AsType[*project.Error](err); !ok || e.Status != 400 {
		t.Errorf("%s: %v", what, err)
	}
}

// signUp makes somebody by a code.
func signUp(t *testing.T, a *accounts.Accounts, email string) *project.User {
	t.Helper()
	must(a.SendCode(t.Context(), email, true, nil))(t)
	u, _, err := a.VerifyCode(t.Context(), email, a.Mail()[0].Code)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func login(t *testing.T, a *accounts.Accounts, u *project.User, b project.Browser) *project.AuthInfo {
	t.Helper()
	return must(a.Issue(t.Context(), project.Grant{UserID: u.UserID, AMR: []string{"email"}, Browser: b}))(t)
}

// payload reads the claims of a token without checking it.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	var m map[string]any
	if err != nil || json.Unmarshal(b, &m) != nil {
		t.Fatalf("no claims: %q", token)
	}
	return m
}

func TestCodes(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()

	_, err := a.SendCode(ctx, "ada@example.org", false, nil)
	refused(t, err, project.ErrNoUser)
	_, err = a.SendCode(ctx, "no address", true, nil)
	invalid(t, "no address", err)

	masked := must(a.SendCode(ctx, "Ada@Example.org", true, map[string]any{"givenName": "Ada"}))(t)
	if masked != "a***@e***.org" {
		t.Errorf("masked %q", masked)
	}
	m := a.Mail()[0]
	if m.To != "ada@example.org" || !regexp.MustCompile(`^\d{6}$`).MatchString(m.Code) || m.Expires.Sub(m.At) != 10*time.Minute {
		t.Errorf("mail %+v", m)
	}
	if _, err := a.User(ctx, "ada@example.org"); !errors.Is(err, project.ErrNoUser) {
		t.Error("there before the code was verified")
	}
	wrong := "000000"
	if m.Code == wrong {
		wrong = "000001"
	}
	for range 5 {
		_, _, err := a.VerifyCode(ctx, "ada@example.org", wrong)
		refused(t, err, project.ErrCode)
	}
	_, _, err = a.VerifyCode(ctx, "ada@example.org", m.Code)
	refused(t, err, project.ErrCode) // five tries were all

	must(a.SendCode(ctx, "ada@example.org", true, nil))(t)
	c.pass(10 * time.Minute)
	_, _, err = a.VerifyCode(ctx, "ada@example.org", a.Mail()[0].Code)
	refused(t, err, project.ErrCode) // too old

	must(a.SendCode(ctx, "ada@example.org", true, map[string]any{"givenName": "Ada"}))(t)
	first := a.Mail()[0].Code
	must(a.SendCode(ctx, "ada@example.org", true, map[string]any{"givenName": "Ada"}))(t)
	if second := a.Mail()[0].Code; first != second {
		_, _, err = a.VerifyCode(ctx, "ada@example.org", first)
		refused(t, err, project.ErrCode) // the second one is in its place
	}
	u, firstSeen, err := a.VerifyCode(ctx, "ADA@example.org", " "+a.Mail()[0].Code+" ")
	if err != nil || !firstSeen || !u.VerifiedEmail || u.Email != "ada@example.org" || u.GivenName != "Ada" || u.Status != "enabled" {
		t.Fatalf("%+v %v %v", u, firstSeen, err)
	}
	if !regexp.MustCompile(`^U2[0-9A-Za-z]{26}$`).MatchString(u.UserID) {
		t.Errorf("user id %q", u.UserID)
	}
	_, _, err = a.VerifyCode(ctx, "ada@example.org", a.Mail()[0].Code)
	refused(t, err, project.ErrCode) // used

	// A code of somebody else's is none.
	must(a.SendCode(ctx, "bob@example.org", true, nil))(t)
	bob := a.Mail()[0].Code
	must(a.SendCode(ctx, "ada@example.org", false, nil))(t)
	if bob != a.Mail()[0].Code {
		_, _, err = a.VerifyCode(ctx, "ada@example.org", bob)
		refused(t, err, project.ErrCode)
	}

	// It goes to the address that the user has, and not after that has changed.
	must(a.UpdateUser(ctx, u.UserID, map[string]any{"email": "new@example.org"}, nil))(t)
	must(a.SendCode(ctx, "ada@example.org", false, nil))(t)
	m = a.Mail()[0]
	if m.To != "new@example.org" {
		t.Errorf("to %s", m.To)
	}
	if u = must(a.User(ctx, u.UserID))(t); u.VerifiedEmail {
		t.Error("verified an address that nobody proved")
	}
	must(a.UpdateUser(ctx, u.UserID, map[string]any{"email": "third@example.org"}, nil))(t)
	_, _, err = a.VerifyCode(ctx, "ada@example.org", m.Code)
	refused(t, err, project.ErrCode)

	c.pass(time.Hour)
	for range 30 {
		must(a.SendCode(ctx, "bob@example.org", true, nil))(t)
	}
	_, err = a.SendCode(ctx, "bob@example.org", true, nil)
	if e, ok := errors.AsType[*project.Error](err); !ok || e.Status != 429 {
		t.Errorf("31 codes: %v", err)
	}
	if n := len(a.Mail()); n > 100 {
		t.Errorf("%d mails", n)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()
	if err := a.DefineAttributes(ctx, []accounts.Attribute{
		{Name: "kosmosIal", Type: 1}, {Name: "age", Type: 2}, {Name: "ok", Type: 3},
		{Name: "color", Type: 4, Options: []accounts.AttributeOption{{Value: "red"}}}, {Name: "colors", Type: 5, Options: []accounts.AttributeOption{{Value: "red"}}},
	}); err != nil {
		t.Fatal(err)
	}
	for what, list := range map[string][]accounts.Attribute{
		"type 8": {{Name: "x", Type: 8}}, "type 0": {{Name: "x"}}, "name": {{Name: "a.b", Type: 1}}, "again": {{Name: "age", Type: 1}},
	} {
		invalid(t, what, a.DefineAttributes(ctx, list))
	}
	u := must(a.Create(ctx, project.User{LoginIDs: []string{"Ada@Example.org", "ada"}, Email: "ada@example.org"}))(t)
	if u.Status != "invited" || !slices.Equal(u.LoginIDs, []string{"ada@example.org", "ada"}) || u.CreatedTime != c.now().Unix() {
		t.Errorf("%+v", u)
	}
	_, err := a.Create(ctx, project.User{LoginIDs: []string{"ada"}})
	refused(t, err, project.ErrExists)
	_, err = a.Create(ctx, project.User{LoginIDs: []string{u.UserID}})
	refused(t, err, project.ErrExists)

	c.pass(time.Minute)
	v := must(a.UpdateUser(ctx, u.UserID, map[string]any{"name": "Ada L", "verifiedEmail": true}, map[string]any{
		"kosmosIal": "IAL2", "age": 36.0, "ok": true, "color": "red", "colors": []any{"red"},
	}))(t)
	if v.Name != "Ada L" || !v.VerifiedEmail || v.CustomAttributes["kosmosIal"] != "IAL2" || v.ModifiedTime <= u.ModifiedTime || v.Status != "invited" {
		t.Errorf("%+v", v)
	}
	for what, change := range map[string][2]map[string]any{
		"undefined": {nil, {"kosmosStatus": "verified"}}, "number as text": {nil, {"age": "36"}}, "text as number": {nil, {"kosmosIal": 2.0}},
		"no option": {nil, {"color": "blue"}}, "object": {nil, {"kosmosIal": map[string]any{}}}, "long": {nil, {"kosmosIal": strings.Repeat("x", 1001)}},
		"property": {{"userId": "U2x"}, nil}, "status": {{"status": "disabled"}, nil}, "type": {{"name": 1.0}, nil}, "email": {{"email": "@"}, nil},
		"control": {{"name": "a\x00b"}, nil},
	} {
		_, err := a.UpdateUser(ctx, u.UserID, change[0], change[1])
		invalid(t, what, err)
	}
	if w := must(a.User(ctx, "ADA@example.org"))(t); w.Name != "Ada L" || len(w.CustomAttributes) != 5 {
		t.Errorf("changed by what was refused: %+v", w)
	}
	v.CustomAttributes["kosmosIal"] = "forged" // a copy
	if w := must(a.User(ctx, "ada"))(t); w.CustomAttributes["kosmosIal"] != "IAL2" {
		t.Error("what was given out is what is kept")
	}

	if err := a.DropAttributes(ctx, []string{"kosmosIal"}); err != nil {
		t.Fatal(err)
	}
	if w := must(a.User(ctx, "ada"))(t); w.CustomAttributes["kosmosIal"] != nil {
		t.Error("outlives its definition")
	}
	invalid(t, "dropped twice", a.DropAttributes(ctx, []string{"kosmosIal"}))

	x, firstSeen, err := a.SignUpOrIn(ctx, "eve", map[string]any{"givenName": "Eve", "loginId": "eve"})
	if err != nil || !firstSeen || x.GivenName != "Eve" || x.Status != "enabled" {
		t.Errorf("%+v %v %v", x, firstSeen, err)
	}
	x, firstSeen, err = a.SignUpOrIn(ctx, "eve", map[string]any{"givenName": "Mallory"})
	if err != nil || firstSeen || x.GivenName != "Eve" {
		t.Errorf("%+v %v %v", x, firstSeen, err)
	}

	for what, q := range map[string]accounts.Query{
		"text": {Text: "ADA L"}, "login": {LoginIDs: []string{"ADA@example.org"}}, "email": {Emails: []string{"ada@example.org"}},
		"attribute": {CustomAttributes: map[string]any{"age": 36.0}}, "one of": {CustomAttributes: map[string]any{"colors": "red"}}, "status": {Statuses: []string{"invited"}},
	} {
		users, total, err := a.Search(ctx, q)
		if err != nil || total != 1 || len(users) != 1 || users[0].UserID != u.UserID {
			t.Errorf("%s: %d %v", what, total, err)
		}
	}
	users, total, err := a.Search(ctx, accounts.Query{Limit: 1, Page: 1})
	if err != nil || total != 2 || len(users) != 1 || users[0].UserID != x.UserID {
		t.Errorf("page: %d %v", total, err)
	}
	if users, total, _ := a.Search(ctx, accounts.Query{Page: 1 << 40}); total != 2 || len(users) != 0 {
		t.Errorf("far page: %d of %d", len(users), total)
	}
	if _, _, err := a.Search(ctx, accounts.Query{Limit: -1}); err == nil {
		t.Error("limit -1")
	}
}

// TestSessions checks tokens by the verifier that the shop uses.
func TestSessions(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"RS256", "ES384"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			a, c := open(t, func(o *accounts.Options) { o.Algorithm = algorithm })
			ctx := t.Context()
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(a.JWKS())
			}))
			defer srv.Close()
			verifier := session.New(srv.URL, projectID, srv.Client(), c.now)
			u := signUp(t, a, "ada@example.org")

			i := must(a.Issue(ctx, project.Grant{
				UserID: u.UserID, AMR: []string{"email"}, SteppedUp: true, FirstSeen: true, Claims: map[string]any{"kosmos_ial": "IAL2", "none": nil},
			}))(t)
			if !i.FirstSeen || i.User.UserID != u.UserID || i.SessionExpiration != c.now().Add(10*time.Minute).Unix() || i.TrustedDeviceJWT != "" {
				t.Errorf("%+v", i)
			}
			s := must(verifier.Verify(ctx, i.SessionJWT))(t)
			if !s.SteppedUp || s.UserID != u.UserID || s.Claims["kosmos_ial"] != "IAL2" || s.Claims["iss"] != projectID || s.Claims["rexp"] != "2026-03-29T12:00:00Z" {
				t.Errorf("%+v", s)
			}
			if _, err := verifier.Verify(ctx, i.RefreshJWT); err == nil {
				t.Error("a refresh token is no session")
			}
			if h := must(a.Holder(ctx, i.RefreshJWT))(t); h.UserID != u.UserID {
				t.Errorf("%+v", h)
			}
			_, err := a.Holder(ctx, i.SessionJWT)
			refused(t, err, project.ErrToken)

			// Refreshed late in the step-up: su ends with it, and so does the token.
			c.pass(9 * time.Minute)
			r := must(a.Refresh(ctx, i.RefreshJWT))(t)
			s = must(verifier.Verify(ctx, r.SessionJWT))(t)
			if !s.SteppedUp || s.Expires.Sub(c.now()) != time.Minute || s.Claims["kosmos_ial"] != "IAL2" || r.RefreshJWT != "" {
				t.Errorf("%+v", s)
			}
			c.pass(time.Minute)
			s = must(verifier.Verify(ctx, must(a.Refresh(ctx, i.RefreshJWT))(t).SessionJWT))(t)
			if _, ok := s.Claims["su"]; ok || s.SteppedUp || s.Expires.Sub(c.now()) != 10*time.Minute {
				t.Errorf("%+v", s)
			}

			// The key before stays good, the one before that does not.
			for n, want := range []bool{true, false} {
				if err := a.RotateKey(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := a.Refresh(ctx, i.RefreshJWT); (err == nil) != want {
					t.Errorf("after %d rotations: %v", n+1, err)
				}
			}
			i = login(t, a, u, project.Browser{})
			c.pass(28*24*time.Hour - time.Second)
			if s := must(verifier.Verify(ctx, must(a.Refresh(ctx, i.RefreshJWT))(t).SessionJWT))(t); s.Expires.Sub(c.now()) != time.Second {
				t.Errorf("outlives its refresh token: %+v", s)
			}
			c.pass(time.Second)
			_, err = a.Refresh(ctx, i.RefreshJWT)
			refused(t, err, project.ErrToken)
		})
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	other, _ := open(t)
	ctx := t.Context()
	u, v := signUp(t, a, "ada@example.org"), signUp(t, a, "bob@example.org")
	bob := login(t, a, v, project.Browser{})
	live := func(i *project.AuthInfo) bool {
		_, err := a.Refresh(ctx, i.RefreshJWT)
		_, holds := a.Holder(ctx, i.RefreshJWT)
		if (err == nil) != (holds == nil) {
			t.Errorf("%v, but %v", err, holds)
		}
		return err == nil
	}
	for what, end := range map[string]struct {
		do   func(token string) error
		both bool
	}{
		"logout":     {func(token string) error { return a.Logout(ctx, token) }, false},
		"logout all": {func(token string) error { return a.LogoutAll(ctx, token) }, true},
		"of a user":  {func(string) error { return a.LogoutUser(ctx, "ada@example.org") }, true},
		"disabled": {func(string) error {
			_, err := a.Edit(ctx, u.UserID, func(u *project.User) error { u.Status = "disabled"; return nil })
			return err
		}, true},
	} {
		one, two := login(t, a, u, project.Browser{}), login(t, a, u, project.Browser{})
		if err := end.do(one.RefreshJWT); err != nil {
			t.Fatal(what, err)
		}
		if live(one) || live(two) == end.both || !live(bob) {
			t.Errorf("%s: %v %v %v", what, live(one), live(two), live(bob))
		}
		refused(t, a.Logout(ctx, one.RefreshJWT), project.ErrToken)
		must(a.Edit(ctx, u.UserID, func(u *project.User) error { u.Status = "enabled"; return nil }))(t)
		if live(one) {
			t.Errorf("%s: back again", what)
		}
	}
	for what, token := range map[string]string{
		"nothing": "", "something": "a.b.c", "cut": bob.RefreshJWT[:len(bob.RefreshJWT)-4], "another's": login(t, other, signUp(t, other, "ada@example.org"), project.Browser{}).RefreshJWT,
		"long": strings.Repeat("a", 1<<20), "unsigned": "eyJhbGciOiJub25lIn0.e30.",
	} {
		if _, err := a.Refresh(ctx, token); !errors.Is(err, project.ErrToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// More sessions than are kept: the oldest end.
	c.pass(time.Second)
	for range 50 {
		login(t, a, v, project.Browser{})
	}
	if live(bob) {
		t.Error("51 sessions")
	}
	must(a.Edit(ctx, v.UserID, func(u *project.User) error { u.Status = "disabled"; return nil }))(t)
	_, err := a.Issue(ctx, project.Grant{UserID: v.UserID})
	refused(t, err, project.ErrDisabled)
	_, err = a.SendCode(ctx, "bob@example.org", true, nil)
	refused(t, err, project.ErrDisabled)
	_, _, err = a.SignUpOrIn(ctx, "bob@example.org", nil)
	refused(t, err, project.ErrDisabled)
	_, err = a.Issue(ctx, project.Grant{UserID: "U2none"})
	refused(t, err, project.ErrNoUser)
	_, err = a.Issue(ctx, project.Grant{UserID: u.UserID, Claims: map[string]any{"su": true}})
	invalid(t, "a claim with a meaning", err)
}

func TestRotatingRefresh(t *testing.T) {
	t.Parallel()
	a, _ := open(t, func(o *accounts.Options) { o.RotateRefresh = true })
	ctx := t.Context()
	i := login(t, a, signUp(t, a, "ada@example.org"), project.Browser{})
	next := must(a.Refresh(ctx, i.RefreshJWT))(t)
	if next.RefreshJWT == "" || next.RefreshJWT == i.RefreshJWT {
		t.Fatal("not rotated")
	}
	after := must(a.Refresh(ctx, next.RefreshJWT))(t)
	_, err := a.Refresh(ctx, i.RefreshJWT)
	refused(t, err, project.ErrToken)
	_, err = a.Refresh(ctx, after.RefreshJWT) // somebody has an old one: nobody goes on
	refused(t, err, project.ErrToken)
}

func TestManagedSessions(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()
	u, v := signUp(t, a, "ada@example.org"), signUp(t, a, "bob@example.org")
	i, bob := login(t, a, u, project.Browser{}), login(t, a, v, project.Browser{})

	_, err := a.SignIn(ctx, accounts.SignIn{LoginID: "ada@example.org", StepUp: true}, false)
	invalid(t, "step-up without a JWT", err)
	for _, token := range []string{bob.RefreshJWT, bob.SessionJWT} {
		_, err = a.SignIn(ctx, accounts.SignIn{LoginID: "ada@example.org", StepUp: true, JWT: token}, false)
		invalid(t, "step-up with somebody else's", err)
	}
	_, err = a.SignIn(ctx, accounts.SignIn{LoginID: "ada@example.org", MFA: true, JWT: "a.b.c"}, false)
	refused(t, err, project.ErrToken)
	for _, token := range []string{i.RefreshJWT, i.SessionJWT} {
		s := must(a.SignIn(ctx, accounts.SignIn{LoginID: u.UserID, StepUp: true, MFA: true, JWT: token, CustomClaims: map[string]any{"k": 1.0}}, false))(t)
		p := payload(t, s.SessionJWT)
		if p["su"] != true || p["k"] != 1.0 || len(p["amr"].([]any)) != 2 {
			t.Errorf("%v", p)
		}
	}
	s := must(a.SignIn(ctx, accounts.SignIn{LoginID: u.UserID, RevokeOthers: true, RefreshDuration: 60}, false))(t)
	_, err = a.Refresh(ctx, i.RefreshJWT)
	refused(t, err, project.ErrToken)
	if p := payload(t, s.RefreshJWT); p["exp"] != float64(c.now().Unix()+60) {
		t.Errorf("%v", p)
	}
	_, err = a.SignIn(ctx, accounts.SignIn{LoginID: u.UserID, RefreshDuration: -1}, false)
	invalid(t, "duration", err)

	jwt := must(a.UpdateJWT(ctx, s.SessionJWT, map[string]any{"kosmos": "yes"}, 0))(t)
	if p, was := payload(t, jwt), payload(t, s.SessionJWT); p["kosmos"] != "yes" || p["exp"] != was["exp"] || p["drn"] != "DS" || p["sub"] != u.UserID {
		t.Errorf("%v", p)
	}
	jwt = must(a.UpdateJWT(ctx, s.RefreshJWT, map[string]any{"kosmos": "yes"}, 120))(t)
	c.pass(90 * time.Second)
	if p := payload(t, must(a.Refresh(ctx, jwt))(t).SessionJWT); p["kosmos"] != "yes" {
		t.Errorf("%v", p)
	}
	_, err = a.UpdateJWT(ctx, jwt, map[string]any{"su": true}, 0)
	invalid(t, "su by hand", err)
	_, err = a.UpdateJWT(ctx, "a.b.c", nil, 0)
	refused(t, err, project.ErrToken)
	_, err = a.UpdateJWT(ctx, payloadOnly(jwt), nil, 0)
	refused(t, err, project.ErrToken)
}

// payloadOnly is a token with a signature of nothing.
func payloadOnly(token string) string { return token[:strings.LastIndexByte(token, '.')+1] }

func TestDevices(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()
	u, v := signUp(t, a, "ada@example.org"), signUp(t, a, "bob@example.org")
	laptop := project.Browser{Addr: berlin, Device: "laptop", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Chrome/156 Safari/537"}
	risk := func(u *project.User, b project.Browser) project.Risk { return must(a.Risk(ctx, u.UserID, b))(t) }

	if k := risk(u, laptop); k.KnownDevice || k.TrustedDevice || k.Score != 0 || k.Country != "DE" || k.IP != berlin.String() || len(k.LastIPs) != 0 {
		t.Errorf("before any login: %+v", k)
	}
	i := must(a.Issue(ctx, project.Grant{UserID: u.UserID, Browser: laptop, TrustDevice: true}))(t)
	trusting := laptop
	trusting.DTD = i.TrustedDeviceJWT
	phone := project.Browser{Addr: berlin, Device: "phone"}
	phoneWithToken := phone
	phoneWithToken.DTD = i.TrustedDeviceJWT
	untold := project.Browser{Addr: berlin}
	for what, test := range map[string]struct {
		u              *project.User
		b              project.Browser
		known, trusted bool
	}{
		"the device":               {u, trusting, true, true},
		"without its token":        {u, laptop, true, false},
		"another one":              {u, phone, false, false},
		"another with its token":   {u, phoneWithToken, false, false},
		"one that cannot be told":  {u, untold, false, false},
		"somebody else":            {v, trusting, false, false},
		"a session for its token":  {u, project.Browser{Device: "laptop", DTD: i.RefreshJWT}, true, false},
		"something for its token":  {u, project.Browser{Device: "laptop", DTD: "x"}, true, false},
		"when the trust is over":   {u, project.Browser{Device: "laptop", DTD: i.TrustedDeviceJWT, Now: c.now().Add(28 * 24 * time.Hour)}, true, false},
		"before it was ever there": {u, project.Browser{Device: "laptop", Now: c.now().Add(-time.Minute)}, false, false},
	} {
		if k := risk(test.u, test.b); k.KnownDevice != test.known || k.TrustedDevice != test.trusted {
			t.Errorf("%s: %+v", what, k)
		}
	}
	list := a.TrustedDevices(ctx, []string{"ada@example.org", "nobody"})
	if len(list) != 1 || list[0].Name != "Chrome on Linux" || list[0].UserID != u.UserID {
		t.Fatalf("%+v", list)
	}
	login(t, a, u, laptop) // does not take the trust away
	if k := risk(u, trusting); !k.TrustedDevice {
		t.Errorf("%+v", k)
	}
	if err := a.RemoveTrustedDevices(ctx, "ada@example.org", []string{list[0].ID}); err != nil {
		t.Fatal(err)
	}
	if k := risk(u, trusting); k.TrustedDevice || !k.KnownDevice {
		t.Errorf("%+v", k)
	}
	_, err := a.Risk(ctx, "U2none", laptop)
	refused(t, err, project.ErrNoUser)
}

func TestRisk(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()
	u := signUp(t, a, "ada@example.org")
	start := c.now()
	at := func(addr netip.Addr, later time.Duration) project.Browser {
		return project.Browser{Addr: addr, Device: "laptop", Now: start.Add(later)}
	}
	login(t, a, u, at(berlin, 0))
	for what, test := range map[string]struct {
		b      project.Browser
		travel bool
		score  float64
	}{
		"the same":                         {at(berlin, time.Hour), false, 0},
		"next door":                        {at(potsdam, time.Minute), false, 0.1},
		"Lisbon at once":                   {at(lisbon, 0), true, 0.7},
		"Lisbon in two hours":              {at(lisbon, 2*time.Hour), true, 0.7},
		"Lisbon in three hours":            {at(lisbon, 3*time.Hour), false, 0.3},
		"the other side an hour later":     {at(sydney, time.Hour), true, 0.7},
		"the other side a day later":       {at(sydney, 24*time.Hour), false, 0.3},
		"unknown place":                    {at(nowhere, 0), false, 0.1},
		"private":                          {at(netip.MustParseAddr("192.168.1.5"), 0), false, 0.1},
		"loopback":                         {at(netip.MustParseAddr("127.0.0.1"), 0), false, 0.1},
		"behind a provider's NAT":          {at(netip.MustParseAddr("100.64.0.1"), 0), false, 0.1},
		"without an address":               {project.Browser{Device: "laptop", Now: start}, false, 0},
		"IPv4 in IPv6":                     {at(netip.MustParseAddr("::ffff:78.55.20.10"), time.Hour), false, 0},
		"new device":                       {project.Browser{Addr: berlin, Device: "phone", Now: start}, false, 0.2},
		"VPN":                              {project.Browser{Addr: berlin, Device: "laptop", Now: start, VPN: true}, false, 0.2},
		"everything that speaks against":   {project.Browser{Addr: sydney, Now: start, VPN: true, Bot: true}, true, 1},
		"earlier than the first login was": {at(sydney, -time.Hour), false, 0},
	} {
		k := must(a.Risk(ctx, u.UserID, test.b))(t)
		if k.ImpossibleTravel != test.travel || k.Score != test.score || k.VPN != test.b.VPN || k.Bot != test.b.Bot {
			t.Errorf("%s: %+v", what, k)
		}
		if test.b.Addr.IsPrivate() || test.b.Addr.IsLoopback() {
			if k.Country != "" || k.City != "" {
				t.Errorf("%s has a place: %+v", what, k)
			}
		}
	}
	if k := must(a.Risk(ctx, "", at(sydney, 0)))(t); k.Country != "AU" || k.ImpossibleTravel || k.Score != 0 || k.LastIPs != nil {
		t.Errorf("of nobody: %+v", k)
	}

	// The order is that of the browsers' times; a login without a place does not hide
	// where the one before was.
	login(t, a, u, at(lisbon, 10*time.Hour))
	login(t, a, u, at(potsdam, 5*time.Hour))
	login(t, a, u, at(nowhere, 10*time.Hour+time.Minute))
	k := must(a.Risk(ctx, u.UserID, at(sydney, 11*time.Hour)))(t)
	if k.LastIP != nowhere.String() || k.LastCountry != "" || !k.ImpossibleTravel ||
		!slices.Equal(k.LastIPs, []string{nowhere.String(), lisbon.String(), potsdam.String(), berlin.String()}) ||
		!slices.Equal(k.LastCountries, []string{"PT", "DE"}) || !slices.Equal(k.LastCities, []string{"Lisbon", "Potsdam", "Berlin"}) {
		t.Errorf("%+v", k)
	}
	if k := must(a.Risk(ctx, u.UserID, at(berlin, 6*time.Hour)))(t); k.LastCity != "Potsdam" || len(k.LastIPs) != 2 {
		t.Errorf("what is yet to come is known: %+v", k)
	}
	h := a.History(ctx, []string{u.UserID, "nobody"})
	if len(h) != 4 || h[1].City != "Lisbon" || h[1].LoginTime != start.Add(10*time.Hour).Unix() {
		t.Errorf("%+v", h)
	}
	for n := range 120 {
		login(t, a, u, project.Browser{Addr: netip.AddrFrom4([4]byte{9, 9, 8, byte(n)}), Device: strings.Repeat("d", n+1), Now: start.Add(time.Hour * 20)})
	}
	if k := must(a.Risk(ctx, u.UserID, at(berlin, 21*time.Hour)))(t); len(k.LastIPs) != 20 || len(a.History(ctx, []string{u.UserID})) != 100 {
		t.Errorf("unbounded: %d", len(k.LastIPs))
	}
	all := must(a.Users(ctx))(t)
	if len(all) != 1 || len(all[0].Devices) != 50 || len(all[0].Logins) != 100 || all[0].Email != "ada@example.org" {
		t.Errorf("%d devices", len(all[0].Devices))
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	a, c := open(t)
	ctx := t.Context()
	var heard []accounts.Event
	a.OnEvent(func(e accounts.Event) {
		heard = append(heard, e)
		if e.Action == "UserDeleted" { // calling back is allowed
			_ = a.Record(ctx, accounts.Event{Action: "Heard", Type: "info"})
		}
	})
	u := signUp(t, a, "ada@example.org")
	_, _, err := a.VerifyCode(ctx, "ada@example.org", "x")
	refused(t, err, project.ErrCode)
	c.pass(time.Minute)
	login(t, a, u, project.Browser{Addr: berlin, UserAgent: "Mobile"})
	if err := a.Record(ctx, accounts.Event{Action: "KosmosIdvCompleted", Type: "info", UserID: u.UserID, Data: map[string]any{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	e := heard[3]
	if e.Action != "LoginSucceed" || e.Method != "otp" || e.Geo != "DE" || e.RemoteAddress != berlin.String() || e.Device != "Mobile" || e.UserID != u.UserID ||
		!slices.Equal(e.LoginIDs, []string{"ada@example.org"}) {
		t.Errorf("%+v", e)
	}
	actions := func(q accounts.AuditQuery) (list []string) {
		events, total := a.Audit(ctx, q)
		if len(events) != total && q.Size == 0 {
			t.Errorf("%d of %d", len(events), total)
		}
		for _, e := range events {
			list = append(list, e.Action)
		}
		return list
	}
	for what, test := range map[string]struct {
		q    accounts.AuditQuery
		want []string
	}{
		"all":       {accounts.AuditQuery{OldestFirst: true}, []string{"LoginStarted", "UserCreated", "LoginFailed", "LoginSucceed", "KosmosIdvCompleted"}},
		"actions":   {accounts.AuditQuery{Actions: []string{"LoginSucceed", "LoginFailed"}}, []string{"LoginSucceed", "LoginFailed"}},
		"excluded":  {accounts.AuditQuery{ExcludedActions: []string{"LoginStarted", "UserCreated", "LoginFailed", "LoginSucceed"}}, []string{"KosmosIdvCompleted"}},
		"from":      {accounts.AuditQuery{From: c.now()}, []string{"KosmosIdvCompleted", "LoginSucceed"}},
		"to":        {accounts.AuditQuery{To: c.now()}, []string{"LoginFailed", "UserCreated", "LoginStarted"}},
		"geo":       {accounts.AuditQuery{Geos: []string{"DE"}}, []string{"LoginSucceed"}},
		"warnings":  {accounts.AuditQuery{Types: []string{"warn"}}, []string{"LoginFailed"}},
		"text":      {accounts.AuditQuery{Text: "kosmosidv"}, []string{"KosmosIdvCompleted"}},
		"page":      {accounts.AuditQuery{Size: 2, Page: 1}, []string{"LoginFailed", "UserCreated"}},
		"tenant":    {accounts.AuditQuery{Tenants: []string{"T"}}, nil},
		"no tenant": {accounts.AuditQuery{Tenants: []string{"T"}, NoTenants: true, Methods: []string{"otp"}, Devices: []string{"Mobile"}}, []string{"LoginSucceed"}},
	} {
		if got := actions(test.q); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", what, got)
		}
	}

	heard = nil
	must(a.SendCode(ctx, "ada@example.org", true, nil))(t)
	i := login(t, a, u, project.Browser{Addr: berlin})
	if err := a.Delete(ctx, "ada@example.org"); err != nil {
		t.Fatal(err)
	}
	if e := heard[2]; e.Action != "UserDeleted" || !slices.Equal(e.LoginIDs, []string{"ada@example.org"}) || heard[3].Action != "Heard" {
		t.Errorf("%+v", heard)
	}
	_, err = a.User(ctx, u.UserID)
	refused(t, err, project.ErrNoUser)
	_, err = a.Refresh(ctx, i.RefreshJWT)
	refused(t, err, project.ErrToken)
	refused(t, a.Delete(ctx, u.UserID), project.ErrNoUser)
	events, _ := a.Audit(ctx, accounts.AuditQuery{UserIDs: []string{u.UserID}})
	b, err := json.Marshal(events)
	if err != nil || len(events) < 5 || strings.Contains(string(b), "ada") || strings.Contains(string(b), berlin.String()) {
		t.Errorf("%s %v", b, err)
	}
	if len(a.Mail()) != 0 {
		t.Error("mails outlive who they were for")
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	in := func(o *accounts.Options) { o.Dir = dir }
	a, _ := open(t, in)
	ctx := t.Context()
	if err := a.DefineAttributes(ctx, []accounts.Attribute{{Name: "kosmosIal", Type: 1}}); err != nil {
		t.Fatal(err)
	}
	u, gone := signUp(t, a, "ada@example.org"), signUp(t, a, "bob@example.org")
	must(a.UpdateUser(ctx, u.UserID, nil, map[string]any{"kosmosIal": "IAL2"}))(t)
	b := project.Browser{Addr: berlin, Device: "laptop"}
	i := must(a.Issue(ctx, project.Grant{UserID: u.UserID, SteppedUp: true, TrustDevice: true, Browser: b}))(t)
	out := login(t, a, u, b)
	if err := a.Logout(ctx, out.RefreshJWT); err != nil {
		t.Fatal(err)
	}
	if err := a.RotateKey(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(ctx, gone.UserID); err != nil {
		t.Fatal(err)
	}
	before, _ := a.Audit(ctx, accounts.AuditQuery{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	a, _ = open(t, in)
	if v := must(a.User(ctx, "ada@example.org"))(t); v.UserID != u.UserID || v.CustomAttributes["kosmosIal"] != "IAL2" {
		t.Errorf("%+v", v)
	}
	if p := payload(t, must(a.Refresh(ctx, i.RefreshJWT))(t).SessionJWT); p["su"] != true {
		t.Errorf("%v", p)
	}
	_, err := a.Refresh(ctx, out.RefreshJWT)
	refused(t, err, project.ErrToken)
	b.DTD = i.TrustedDeviceJWT
	if k := must(a.Risk(ctx, u.UserID, b))(t); !k.KnownDevice || !k.TrustedDevice || k.LastCity != "Berlin" {
		t.Errorf("%+v", k)
	}
	after, _ := a.Audit(ctx, accounts.AuditQuery{})
	one, _ := json.Marshal(before)
	two, _ := json.Marshal(after)
	if string(one) != string(two) || len(before) == 0 {
		t.Errorf("%s\n%s", one, two)
	}
	if len(a.Attributes(ctx)) != 1 || len(a.JWKS().Keys) != 2 {
		t.Error("attributes or keys were lost")
	}
	_, err = a.User(ctx, "bob@example.org")
	refused(t, err, project.ErrNoUser)
	must(a.Edit(ctx, u.UserID, func(u *project.User) error { u.Name = "Ada"; return nil }))(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	// Nothing readable is in the files, and another key opens nothing.
	files, err := filepath.Glob(filepath.Join(dir, "descope.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil || strings.Contains(string(data), "example.org") || strings.Contains(string(data), "kty") {
			t.Errorf("%s: %v", f, err)
		}
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "seal.key"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.Open(accounts.Options{Dir: dir, ProjectID: projectID}); err == nil {
		t.Error("opened with another key")
	}
}

func TestNothingChangesThatCannotBeKept(t *testing.T) {
	t.Parallel()
	a, _ := open(t, func(o *accounts.Options) { o.Dir = t.TempDir() })
	ctx := t.Context()
	u := signUp(t, a, "ada@example.org")
	i := login(t, a, u, project.Browser{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func() error{
		"edit": func() error {
			_, err := a.Edit(ctx, u.UserID, func(u *project.User) error { u.Name = "X"; return nil })
			return err
		},
		"create": func() error { _, err := a.Create(ctx, project.User{LoginIDs: []string{"bob"}}); return err },
		"delete": func() error { return a.Delete(ctx, u.UserID) },
		"issue":  func() error { _, err := a.Issue(ctx, project.Grant{UserID: u.UserID}); return err },
		"logout": func() error { return a.Logout(ctx, i.RefreshJWT) },
		"event":  func() error { return a.Record(ctx, accounts.Event{Action: "X"}) },
	} {
		if e, ok := errors.AsType[*project.Error](do()); !ok || e.Status != 500 {
			t.Errorf("%s: %v", what, e)
		}
	}
	if v := must(a.User(ctx, u.UserID))(t); v.Name != "" || len(a.History(ctx, []string{u.UserID})) != 1 {
		t.Errorf("%+v", v)
	}
	must(a.Refresh(ctx, i.RefreshJWT))(t)
	if _, err := a.User(ctx, "bob"); err == nil {
		t.Error("made and not kept")
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]accounts.Options{
		"no project": {}, "algorithm": {ProjectID: projectID, Algorithm: "HS256"}, "issuer": {ProjectID: projectID, ConformanceIssuer: true},
		"time": {ProjectID: projectID, SessionTTL: -1},
	} {
		if _, err := accounts.Open(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	a, _ := open(t, func(o *accounts.Options) { o.ConformanceIssuer = true })
	i := login(t, a, signUp(t, a, "ada@example.org"), project.Browser{})
	if p := payload(t, i.SessionJWT); p["iss"] != "http://127.0.0.1:1/"+projectID {
		t.Errorf("%v", p)
	}
	must(a.Refresh(t.Context(), i.RefreshJWT))(t)
	dir := t.TempDir()
	b, _ := open(t, func(o *accounts.Options) { o.Dir = dir })
	if _, err := accounts.Open(accounts.Options{Dir: dir, ProjectID: projectID}); err == nil {
		t.Error("two at once")
	}
	_ = b
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	a, _ := open(t)
	u := signUp(t, a, "ada@example.org")
	heard := 0
	a.OnEvent(func(accounts.Event) { heard++ })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				i, err := a.Issue(t.Context(), project.Grant{UserID: u.UserID, Browser: project.Browser{Addr: berlin, Device: "laptop"}})
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = a.Refresh(t.Context(), i.RefreshJWT)
				_, _ = a.Risk(t.Context(), u.UserID, project.Browser{Addr: berlin})
				_, _, _ = a.Search(t.Context(), accounts.Query{})
				_, _ = a.Users(t.Context())
			}
		})
	}
	wg.Wait()
	if _, total := a.Audit(t.Context(), accounts.AuditQuery{Actions: []string{"LoginSucceed"}}); total != 80 || heard != 80 {
		t.Errorf("%d logins, %d heard", total, heard)
	}
}
