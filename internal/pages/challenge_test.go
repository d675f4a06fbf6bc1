package pages_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/pages"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	cid         = "019aaf10-7f00-7000-8000-0000000face0"
	shortSecret = "0123456789abcdefghjkmnpqrs"
	shortLink   = "https://id.example.com/p/0123-4567-89ab-cdef-ghjk-mnpq-rs"
	sessionURL  = "https://acme.1kosmos.example/sessions/session/upstream-SECRET"
	state       = "state-SECRET"
)

// fakeChallenges is a core with one challenge whose view and errors a test sets.
type fakeChallenges struct {
	view     journey.ChallengeView
	err      error // of everything but ViewChallenge
	blind    error // of ViewChallenge
	used     bool  // the short link
	calls    []string
	returned map[string]string
	request  string
	redirect string
}

func (f *fakeChallenges) called(what string, args ...any) {
	f.calls = append(f.calls, strings.TrimSpace(what+" "+fmt.Sprint(args...)))
}

func (f *fakeChallenges) ReturnChallenge(context.Context, string, string) (string, error) {
	f.called("return")
	return f.redirect, f.err
}

func (f *fakeChallenges) OpenChallenge(_ context.Context, i, sec, browser, request string, from netip.Addr) (journey.ChallengeView, string, error) {
	f.request = request
	f.called("open", from, " ", browser)
	switch {
	case f.err != nil:
		return journey.ChallengeView{}, "", f.err
	case i != cid || sec != secret:
		return journey.ChallengeView{}, "", &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	return f.view, cookie, nil
}

func (f *fakeChallenges) ViewChallenge(_ context.Context, i, browser string) (journey.ChallengeView, error) {
	if f.blind != nil {
		return journey.ChallengeView{}, f.blind
	}
	if i != cid || browser != cookie && browser != phoneCookie {
		return journey.ChallengeView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	return f.view, nil
}

func (f *fakeChallenges) DeclineChallenge(context.Context, string, string) (journey.ChallengeView, error) {
	f.called("decline")
	return f.view, f.err
}

func (f *fakeChallenges) HandoverChallenge(context.Context, string, string) (string, time.Time, error) {
	f.called("handover")
	return shortSecret, now.Add(5 * time.Minute), f.err
}

func (f *fakeChallenges) OpenChallengeHandover(_ context.Context, sec, browser string, from netip.Addr) (journey.ChallengeView, string, error) {
	f.called("open phone", from)
	switch {
	case f.err != nil:
		return journey.ChallengeView{}, "", f.err
	case sec != shortSecret || f.used:
		return journey.ChallengeView{}, "", &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	case browser == cookie:
		return f.view, cookie, nil
	}
	f.used = true
	return f.view, phoneCookie, nil
}

func (f *fakeChallenges) ReturnedToChallenge(_ context.Context, _, browser string, returned map[string]string) (journey.ChallengeView, error) {
	f.called("returned", browser)
	f.returned = returned
	return f.view, f.err
}

// waiting is a challenge that a page answers; scanning one that the app does.
func waiting() journey.ChallengeView {
	return journey.ChallengeView{
		ID: cid, Application: "Demo shop", MaskedAccount: "a•••@example.com", Status: proof.ChallengePending,
		Transaction: "Pay €120.00 to ACME.\nReference 4711", ReasonCode: "new_device",
		UpstreamURL: "https://acme.1kosmos.example/authenticator/upstream-SECRET", Session: 1, ExpiresAt: now.Add(5 * time.Minute),
	}
}

func scanning() journey.ChallengeView {
	v := waiting()
	v.UpstreamURL, v.Scan, v.SessionEnds = sessionURL, true, now.Add(45*time.Second)
	return v
}

func over(s proof.ChallengeStatus, r proof.Reason) journey.ChallengeView {
	v := waiting()
	v.Status, v.Reason, v.UpstreamURL = s, r, ""
	v.ReturnURL = "https://app.example.com/done?a=b&challenge_id=" + cid
	return v
}

func but(v journey.ChallengeView, change func(*journey.ChallengeView)) journey.ChallengeView {
	change(&v)
	return v
}

func takenOver(v *journey.ChallengeView)  { v.HandedOver = true }
func byThePhone(v *journey.ChallengeView) { v.HandedOver, v.Phone = true, true }

// stage is a rig whose challenges a test sets.
type stage struct {
	*rig
	*fakeChallenges
}

func newStage(v journey.ChallengeView, change ...func(*pages.Options)) *stage {
	f := &fakeChallenges{view: v}
	given := func(o *pages.Options) {
		o.Challenges = f
		o.ChallengeOfState = func(s string) (string, bool) { return cid, s == state }
	}
	return &stage{newRig(pending(), append([]func(*pages.Options){given}, change...)...), f}
}

func (g *stage) page(t *testing.T) string {
	t.Helper()
	r := g.do("GET", "/c/"+cid, "", asBrowser)
	if r.StatusCode != 200 {
		t.Fatalf("page: %s", r.Status)
	}
	return text(t, r)
}

func (g *stage) form(t *testing.T) string {
	t.Helper()
	m := tokenField.FindStringSubmatch(g.page(t))
	if m == nil {
		t.Fatal("no token on the page")
	}
	return url.Values{"token": {m[1]}}.Encode()
}

func TestChallengeOpenBindsAndHidesTheSecret(t *testing.T) {
	for _, c := range []struct {
		name, path, value, call string
		secure                  bool
	}{
		{"link", "/c/" + cid + "/" + secret, cookie, "open 192.0.2.1", true},
		{"link over http", "/c/" + cid + "/" + secret, cookie, "open 192.0.2.1", false},
		{"phone", "/p/" + shortSecret, phoneCookie, "open phone 192.0.2.1", true},
		{"phone, as shown", strings.TrimPrefix(shortLink, "https://id.example.com"), phoneCookie, "open phone 192.0.2.1", true},
		{"phone, as typed", "/p/O123%204567%2089AB%20CDEF%20GHJK%20MNPQ%20RS", phoneCookie, "open phone 192.0.2.1", true},
		{"phone, as misread", "/p/o%E2%80%93l23--456789abcdefghjkmnpqrs-", phoneCookie, "open phone 192.0.2.1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStage(waiting(), func(o *pages.Options) {
				if !c.secure {
					o.PublicURL = "http://127.0.0.1:8080"
				}
			})
			r := g.do("GET", c.path, "")
			if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/c/"+cid || text(t, r) != "" {
				t.Fatalf("got %s to %q", r.Status, r.Header.Get("Location"))
			}
			got := r.Cookies()
			if len(got) != 1 {
				t.Fatalf("cookies: %v", got)
			}
			k := got[0]
			if k.Name != pages.CookieName || k.Value != c.value || k.Path != "/c/"+cid || !k.HttpOnly || k.Secure != c.secure || k.SameSite != http.SameSiteLaxMode || k.Domain != "" {
				t.Errorf("cookie: %+v", k)
			}
			if want := []string{c.call}; !slices.Equal(g.fakeChallenges.calls, want) {
				t.Errorf("calls %q, want %q", g.fakeChallenges.calls, want)
			}
		})
	}
	g := newStage(waiting(), func(o *pages.Options) {
		o.ClientIP = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-Real")) }
	})
	g.do("GET", "/c/"+cid+"/"+secret, "", asBrowser, "X-Real: 2001:db8::1")
	if want := []string{"open 2001:db8::1 " + cookie}; !slices.Equal(g.fakeChallenges.calls, want) {
		t.Errorf("calls %q, want %q: a browser that comes back is recognised, and from where", g.fakeChallenges.calls, want)
	}
}

func TestChallengeLookingDoesNotBind(t *testing.T) {
	for _, path := range []string{
		"/c/" + cid + "/" + secret, "/p/" + shortSecret, "/c/" + cid + "/phone/" + shortSecret,
		"/c/return?code=x&state=" + state, "/c/" + cid + "/returned?code=x&state=" + state,
	} {
		for _, c := range []struct {
			method, header string
			want           int
		}{
			{"HEAD", "Accept: */*", 204},
			{"GET", "Sec-Purpose: prefetch", 503},
			{"GET", "Sec-Purpose: prefetch;prerender", 503},
			{"GET", "Purpose: prefetch", 503},
			{"GET", "X-Moz: prefetch", 503},
		} {
			g := newStage(waiting())
			r := g.do(c.method, path, "", c.header, asBrowser)
			if r.StatusCode != c.want || len(g.fakeChallenges.calls) != 0 || len(r.Cookies()) != 0 {
				t.Errorf("%s %s %s: %s, calls %q, cookies %v", c.method, path, c.header, r.Status, g.fakeChallenges.calls, r.Cookies())
			}
		}
	}
}

func TestChallengeAnswersAreGuarded(t *testing.T) {
	g := newStage(scanning())
	for _, target := range []string{
		"GET /c/" + cid, "GET /c/" + cid + "/" + secret, "GET /c/" + cid + "/wrong", "GET /c/" + cid + "/status", "POST /c/" + cid + "/decline",
		"GET /p/wrong", "GET /p/" + shortSecret, "GET /c/" + cid + "/phone/" + shortSecret, "GET /p/", "GET /c/", "GET /c/return", "GET /c/a/b/c",
	} {
		method, path, _ := strings.Cut(target, " ")
		r := g.do(method, path, "", asBrowser)
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: policy %q, want %q", target, csp, want)
			}
		}
		for name, want := range map[string]string{
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Permissions-Policy": "camera=(), microphone=(), geolocation=()",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
}

// challengeScenes are all the pages that a person can see, by name.
func challengeScenes(t *testing.T) map[string]string {
	t.Helper()
	bare := func(v *journey.ChallengeView) {
		v.Transaction, v.ReasonCode, v.Application, v.MaskedAccount = "", "", "", ""
	}
	none := func(v *journey.ChallengeView) { v.UpstreamURL = "" }
	late := func(v *journey.ChallengeView) { v.SessionEnds = now }
	nowhere := func(v *journey.ChallengeView) { v.ReturnURL = "" }
	views := map[string]journey.ChallengeView{
		"open":                     waiting(),
		"open, nothing said":       but(waiting(), bare),
		"open on phone":            but(waiting(), byThePhone),
		"open elsewhere":           but(waiting(), takenOver),
		"open, renewing":           but(waiting(), none),
		"scan":                     scanning(),
		"scan, for good":           but(scanning(), func(v *journey.ChallengeView) { v.SessionEnds = time.Time{} }),
		"scan on phone":            but(scanning(), byThePhone),
		"scan elsewhere":           but(scanning(), takenOver),
		"scan, renewing":           but(scanning(), none),
		"scan, too late":           but(scanning(), late),
		"scan, too long to draw":   but(scanning(), func(v *journey.ChallengeView) { v.UpstreamURL += strings.Repeat("x", 3000) }),
		"trouble":                  but(scanning(), func(v *journey.ChallengeView) { v.Reason = proof.ReasonUpstreamTimeout }),
		"match":                    over(proof.ChallengeMatch, ""),
		"match on phone":           but(over(proof.ChallengeMatch, ""), byThePhone),
		"match, nowhere to go":     but(over(proof.ChallengeMatch, ""), nowhere),
		"no match":                 over(proof.ChallengeNoMatch, proof.ReasonFaceMismatch),
		"somebody else":            over(proof.ChallengeNoMatch, proof.ReasonSubjectMismatch),
		"expired":                  over(proof.ChallengeExpired, proof.ReasonTimeLimit),
		"declined":                 over(proof.ChallengeFailed, proof.ReasonDeclined),
		"failed":                   over(proof.ChallengeFailed, proof.ReasonAnswerUntrusted),
		"failed, reason from afar": over(proof.ChallengeFailed, "something_new"),
	}
	out := map[string]string{}
	for name, v := range views {
		out[name] = newStage(v).page(t)
	}
	for name, v := range map[string]journey.ChallengeView{"phone code": waiting(), "phone link": scanning()} {
		g := newStage(v)
		out[name] = text(t, g.do("POST", "/c/"+cid+"/phone", g.form(t), asBrowser))
	}
	out["error"] = text(t, newStage(waiting()).do("GET", "/c/"+cid+"/wrong", ""))
	return out
}

func TestChallengeScenes(t *testing.T) {
	const who, asked = "account application ", "account application decline open-here "
	want := map[string]string{
		"open":                     asked + "status transaction use-phone warning why",
		"open, nothing said":       "application decline open-here status use-phone warning",
		"open on phone":            asked + "status transaction warning why",
		"open elsewhere":           asked + "status use-phone warning",
		"open, renewing":           who + "decline status transaction use-phone warning why",
		"scan":                     asked + "scan status transaction use-phone warning why",
		"scan, for good":           asked + "scan status transaction use-phone warning why",
		"scan on phone":            asked + "status transaction warning why",
		"scan elsewhere":           asked + "scan status use-phone warning",
		"scan, renewing":           who + "decline status transaction use-phone warning why",
		"scan, too late":           who + "decline status transaction use-phone warning why",
		"scan, too long to draw":   asked + "status transaction use-phone warning why",
		"trouble":                  asked + "scan status transaction use-phone warning why",
		"match":                    who + "return status",
		"match on phone":           who + "status",
		"match, nowhere to go":     who + "status",
		"no match":                 who + "return status",
		"somebody else":            who + "return status",
		"expired":                  who + "return status",
		"declined":                 who + "return status",
		"failed":                   who + "return status",
		"failed, reason from afar": who + "return status",
		"phone code":               who + "back phone-link qr status use-phone",
		"phone link":               who + "back phone-link status use-phone",
		"error":                    "status",
	}
	all := challengeScenes(t)
	if len(all) != len(want) {
		t.Errorf("%d scenes, %d expected", len(all), len(want))
	}
	for name, page := range all {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(testids(page), " "); got != want[name] {
				t.Errorf("test ids\n got %s\nwant %s", got, want[name])
			}
			for _, bad := range []string{"ZgotmplZ", "%!", "<nil>", secret, cookie, shortSecret, " style=", "onclick", "<script>", "<input type=\"file\"", "<video"} {
				if strings.Contains(page, bad) {
					t.Errorf("page holds %q", bad)
				}
			}
			if strings.HasPrefix(name, "phone ") != strings.Contains(page, shortLink) {
				t.Error("the phone's link belongs on the page that shows it, and nowhere else")
			}
			if strings.Contains(page, "upstream-SECRET") != slices.Contains(testids(page), "open-here") {
				t.Error("the address for the answer belongs on its button, and nowhere else")
			}
			if slices.Contains(testids(page), "open-here") != slices.Contains(testids(page), "warning") && !strings.Contains(name, "renewing") && name != "scan, too late" {
				t.Error("no way on without the warning")
			}
			if strings.Count(page, "<h1") != 1 || strings.Count(page, `lang="en"`) != 1 {
				t.Error("one heading and one language, please")
			}
			if waits := regexp.MustCompile(`data-step="(answer|elsewhere|qr)"`).MatchString(page); waits != strings.Contains(page, `<noscript><meta http-equiv="refresh" content="`) || waits != strings.Contains(page, "data-follow") {
				t.Error("a waiting page refreshes itself, with JavaScript and without; no other does")
			}
			for _, m := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
				if u, err := url.Parse(html.UnescapeString(m[1])); err != nil || u.Host != "" && u.Host != "app.example.com" && u.Host != "acme.1kosmos.example" {
					t.Errorf("address of a stranger: %s", m[1])
				}
			}
		})
	}
	for _, c := range []struct {
		scene string
		parts []string
	}{
		{"open", []string{"Demo shop</bdi> asks you to show that it is you", "a device that is new for your account", "Pay €120.00 to ACME.\nReference 4711</blockquote>",
			"Go on only if you are signing in at <bdi>Demo shop</bdi> yourself right now.", "because somebody sent you this page", `target="_blank" rel="noopener noreferrer"`, `data-session="1"`, "Waiting for your face."}},
		{"open, nothing said", []string{"the application</bdi> asks you", "signing in at <bdi>the application</bdi>"}},
		{"scan", []string{"Never scan this code because somebody sent it to you or told you to.", "A new code appears by itself in 45 seconds.", `data-left="45"`, "Open the 1Kosmos app on your phone and scan"}},
		{"scan, renewing", []string{"A new code is being made.", `data-session="none"`}},
		{"scan, too late", []string{`data-session="none"`}},
		{"scan on phone", []string{">Open on this phone<"}},
		{"declined", []string{"The sign-in is stopped", "Nobody gets in with it."}},
		{"match", []string{`data-after="3"`, "Your face was recognised.", `class="mark match"`, `href="` + html.EscapeString("https://app.example.com/done?a=b&challenge_id="+cid) + `"`}},
		{"no match", []string{`data-after="8"`, "good light", "glasses", "arm’s length", "right account"}},
		{"phone link", []string{"Capitals, spaces and hyphens do not matter.", "Show it to nobody"}},
	} {
		for _, part := range c.parts {
			if !strings.Contains(all[c.scene], part) {
				t.Errorf("%s lacks %q\n%s", c.scene, part, all[c.scene])
			}
		}
	}
	if strings.Contains(all["scan, for good"], "data-left") {
		t.Error("a countdown to nothing")
	}
}

func TestChallengeTransferBudget(t *testing.T) {
	const budget = 15 << 10
	packed := func(s []byte) int {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(s)
		z.Close()
		return b.Len()
	}
	assets := 0
	for _, name := range []string{"pages.css", "pages.js"} {
		b, err := os.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		assets += packed(b)
	}
	for name, page := range challengeScenes(t) {
		if n := assets + packed([]byte(page)); n > budget {
			t.Errorf("%s: %d bytes packed, more than %d", name, n, budget)
		} else {
			t.Logf("%-26s %5d bytes packed, page %d plain", name, n, len(page))
		}
	}
}

// The short link holds no id, and the page's cookie is not sent to it: still the
// browser that it was shown to is known.
func TestShortLinkInTheFirstBrowser(t *testing.T) {
	f := &fakeChallenges{view: waiting()}
	browse := walkers(t, func(origin string) http.Handler {
		return pages.New(pages.Options{
			Proofing: &fake{}, Challenges: f, PublicURL: origin, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		})
	})
	const page, asShown, asTyped = "/c/" + cid, "/p/0123-4567-89ab-cdef-ghjk-mnpq-rs", "/p/" + shortSecret
	desk, phone, stranger := browse(), browse(), browse()
	desk.get(page + "/" + secret)
	if code, _ := desk.post(page+"/phone", url.Values{"token": {"made up"}}); code != 403 {
		t.Fatalf("a form of nobody: %d", code)
	}
	r, err := desk.Get(desk.base + page)
	if err != nil {
		t.Fatal(err)
	}
	token := tokenField.FindStringSubmatch(text(t, r))[1]
	r.Body.Close()
	if code, _ := desk.post(page+"/phone", url.Values{"token": {token}}); code != 200 {
		t.Fatalf("the link: %d", code)
	}
	below, _ := url.Parse(desk.base + asShown)
	if got := desk.Jar.Cookies(below); len(got) != 1 || got[0].Value != cid || strings.Contains(got[0].Name, shortSecret) {
		t.Errorf("cookies of the short link: %v", got)
	}
	for _, link := range []string{asShown, asTyped} {
		for _, purpose := range []string{"prefetch", ""} {
			r, _ := http.NewRequest("GET", desk.base+link, nil)
			want := 200
			if purpose != "" {
				r.Header.Set("Sec-Purpose", purpose)
				want = 503
			}
			if code, path := desk.at(desk.Do(r)); code != want || want == 200 && path != page || desk.cookie(page) != cookie {
				t.Fatalf("%s %s in the first browser: %d at %s", purpose, link, code, path)
			}
		}
	}
	if code, _ := desk.get("/p/" + strings.Repeat("0", 26)); code != 404 {
		t.Errorf("another link in the first browser: %d", code)
	}
	if f.used {
		t.Fatal("the link was used up")
	}
	if code, path := phone.get(asTyped); code != 200 || path != page || phone.cookie(page) != phoneCookie {
		t.Errorf("on the phone: %d at %s", code, path)
	}
	for name, b := range map[string]*walker{"the first browser": desk, "a stranger": stranger} {
		for _, link := range []string{asShown, page + "/phone/" + shortSecret} {
			if code, _ := b.get(link); code != 404 || b == stranger && b.cookie(page) != "" {
				t.Errorf("used up, in %s: %d", name, code)
			}
		}
	}
	if desk.cookie(page) != cookie {
		t.Error("the first browser is no longer itself")
	}
}

// What tells a browser that the short link was shown to it grants nothing.
func TestShownCookieGrantsNothing(t *testing.T) {
	g := newStage(waiting())
	k := g.do("POST", "/c/"+cid+"/phone", g.form(t), asBrowser).Cookies()
	if len(k) != 1 || k[0].Path != "/p/" || k[0].MaxAge != 300 || !k[0].HttpOnly || !k[0].Secure || k[0].SameSite != http.SameSiteLaxMode || k[0].Domain != "" {
		t.Fatalf("cookies: %+v", k)
	}
	shown := "Cookie: " + k[0].Name + "="
	for value, want := range map[string]string{
		cid: "/c/" + cid + "/phone/" + shortSecret, "somebody-elses": "/c/somebody-elses/phone/" + shortSecret,
		"": "/c/" + cid, "//evil.example": "/c/" + cid, "../x": "/c/" + cid, // as if it were not there: this is the phone
	} {
		g := newStage(waiting())
		r := g.do("GET", "/p/"+shortSecret, "", shown+value)
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != want || text(t, r) != "" {
			t.Errorf("%q: %s to %q", value, r.Status, r.Header.Get("Location"))
		}
		if binds := want == "/c/"+cid; g.used != binds || len(r.Cookies()) != map[bool]int{true: 1}[binds] {
			t.Errorf("%q: used %v, cookies %v", value, g.used, r.Cookies())
		}
	}
	// Whatever the id says, the secret decides which challenge it is.
	g = newStage(waiting())
	r := g.do("GET", "/c/somebody-elses/phone/"+shortSecret, "")
	if k := r.Cookies(); r.Header.Get("Location") != "/c/"+cid || len(k) != 1 || k[0].Value != phoneCookie || k[0].Path != "/c/"+cid {
		t.Errorf("%s to %q, cookies %v", r.Status, r.Header.Get("Location"), k)
	}
	for _, err := range []error{&proof.Error{Code: proof.CodeConflict}, &proof.Error{Code: proof.CodeUnavailable}} {
		g := newStage(waiting())
		form := g.form(t)
		g.fakeChallenges.err = err
		if r := g.do("POST", "/c/"+cid+"/phone", form, asBrowser); len(r.Cookies()) != 0 {
			t.Errorf("%v: a cookie for no link", err)
		}
	}
}

func TestReasonCodes(t *testing.T) {
	for code, want := range map[string]string{
		"new_device": "device", "unfamiliar_ip": "network", "geo_anomaly": "place", "sensitive_scope": "protected", "impossible_travel": "far away", "velocity": "attempts", "dormant_account": "long time",
		"unusual_hour": "time of day", "anonymiser": "hides", "descope_risk": "unusual", "high_value_transaction": "value",
		"": "", "made_up": "", "title": "", "<b>": "",
	} {
		page := newStage(but(waiting(), func(v *journey.ChallengeView) { v.ReasonCode = code })).page(t)
		_, why, shown := strings.Cut(page, `data-testid="why">`)
		why, _, _ = strings.Cut(why, "<")
		if shown != (want != "") || !strings.Contains(why, want) {
			t.Errorf("%q: %q", code, why)
		}
	}
}

func TestTransactionWords(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		cut              bool
	}{
		{"markup", `"><script>alert(1)</script>{{.Token}}&`, `"><script>alert(1)</script>{{.Token}}&`, false},
		{"line breaks", "one\r\ntwo\nthree", "one\ntwo\nthree", false},
		{"one empty line", "one\n\ntwo", "one\n\ntwo", false},
		{"pushing the rest away", "one" + strings.Repeat("\n \n", 200) + "two", "one\n\ntwo", false},
		{"many lines", strings.Repeat("x\n", 30), strings.TrimSpace(strings.Repeat("x\n", 12)), true},
		{"long", strings.Repeat("é", 300), strings.Repeat("é", 256), true},
		{"order reversed", "Pay \u202e00.1€\u202c now\u2066\u2069\u200f", "Pay 00.1€ now", false},
		{"controls", "a\x00b\x1b[31mc\u0085d\te", "ab[31mc d e", false},
		{"not UTF-8", "a\xff\xfeb", "ab", false},
		{"right to left", "שלם 120", "שלם 120", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := newStage(but(waiting(), func(v *journey.ChallengeView) { v.Transaction = c.text })).page(t)
			_, got, _ := strings.Cut(page, `<blockquote dir="auto" data-testid="transaction">`)
			got, _, _ = strings.Cut(got, "</blockquote>")
			if html.UnescapeString(got) != c.want || strings.Contains(got, "<") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if cut := slices.Contains(testids(page), "cut"); cut != c.cut {
				t.Errorf("cut: %v", cut)
			}
		})
	}
	const evil = `"><script>alert(1)</script>{{.Token}}&` + "\u202e"
	for _, v := range []journey.ChallengeView{waiting(), scanning(), but(waiting(), takenOver), over(proof.ChallengeMatch, "")} {
		v.Application, v.MaskedAccount = evil, evil
		page := newStage(v, func(o *pages.Options) { o.Processor = evil }).page(t)
		if strings.Contains(page, "<script>alert") || !strings.Contains(page, `<bdi data-testid="application">&#34;&gt;&lt;script&gt;`) {
			t.Errorf("%s: not escaped, or not apart from the rest", v.Status)
		}
	}
	for _, address := range []string{"javascript:alert(1)", "data:text/html,x", "//evil.example/x", "blockid://x", "/c/x"} {
		if ids := testids(newStage(but(scanning(), func(v *journey.ChallengeView) { v.UpstreamURL = address })).page(t)); slices.Contains(ids, "open-here") || slices.Contains(ids, "scan") {
			t.Errorf("a way to %q", address)
		}
		if ids := testids(newStage(but(over(proof.ChallengeMatch, ""), func(v *journey.ChallengeView) { v.ReturnURL = address })).page(t)); slices.Contains(ids, "return") {
			t.Errorf("return button to %q", address)
		}
	}
}

func TestChallengeCodes(t *testing.T) {
	modules(t, newStage(scanning()).page(t), sessionURL)

	g := newStage(waiting())
	form := g.form(t)
	page := text(t, g.do("POST", "/c/"+cid+"/phone", form, asBrowser))
	modules(t, page, shortLink)
	for _, want := range []string{">" + shortLink + "</code>", `data-left="300"`, "Good once, for 5 minutes.", `content="300;url=/c/` + cid + `"`, `data-step="qr" data-behind="answer"`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, `href="`+shortLink) {
		t.Error("a click on this device would use the phone's link up")
	}
	g.view = but(waiting(), takenOver)
	if page := text(t, g.do("POST", "/c/"+cid+"/phone", form, asBrowser)); !strings.Contains(page, `data-behind="elsewhere"`) {
		t.Error("a second phone")
	}
	g.view = over(proof.ChallengeMatch, "")
	if r := g.do("POST", "/c/"+cid+"/phone", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %s", r.Status)
	}
	g.fakeChallenges.err = &proof.Error{Code: proof.CodeConflict}
	if r := g.do("POST", "/c/"+cid+"/phone", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("refused after the end: %s", r.Status)
	}
}

func TestChallengeFormsFromElsewhereAreRefused(t *testing.T) {
	good := newStage(waiting()).form(t)
	ofAnother := newRig(pending()).filled(t)
	for _, path := range []string{"decline", "phone"} {
		for _, c := range []struct {
			name, body string
			headers    []string
			want       int
		}{
			{"other site", good, []string{asBrowser, "Sec-Fetch-Site: cross-site"}, 403},
			{"sister site", good, []string{asBrowser, "Sec-Fetch-Site: same-site"}, 403},
			{"other origin, older browser", good, []string{asBrowser, "Origin: https://evil.example"}, 403},
			{"no token", "a=b", []string{asBrowser}, 403},
			{"token of another page", ofAnother, []string{asBrowser}, 403},
			{"token of another browser", good, []string{"Cookie: " + pages.CookieName + "=" + phoneCookie}, 403},
			{"no cookie", good, []string{"Sec-Fetch-Site: same-origin"}, 403},
			{"huge", good + "&x=" + strings.Repeat("y", 5000), []string{asBrowser}, 413},
		} {
			t.Run(path+"/"+c.name, func(t *testing.T) {
				g := newStage(waiting())
				if r := g.do("POST", "/c/"+cid+"/"+path, c.body, c.headers...); r.StatusCode != c.want || len(g.fakeChallenges.calls) != 0 {
					t.Errorf("%s, calls %q", r.Status, g.fakeChallenges.calls)
				}
			})
		}
		g := newStage(waiting())
		if r := g.do("POST", "/c/"+cid+"/"+path, good, asBrowser, "Sec-Fetch-Site: same-origin"); r.StatusCode >= 400 || len(g.fakeChallenges.calls) != 1 {
			t.Errorf("%s: %s, calls %q", path, r.Status, g.fakeChallenges.calls)
		}
		if r := g.do("GET", "/c/"+cid+"/"+path, ""); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/c/"+cid || len(g.fakeChallenges.calls) != 1 {
			t.Errorf("GET %s: %s", path, r.Status)
		}
	}
}

func TestChallengeDecline(t *testing.T) {
	g := newStage(waiting())
	form := g.form(t)
	if r := g.do("POST", "/c/"+cid+"/decline", form, asBrowser); r.StatusCode != http.StatusSeeOther || !slices.Equal(g.fakeChallenges.calls, []string{"decline"}) {
		t.Errorf("%s, calls %q", r.Status, g.fakeChallenges.calls)
	}
	g.fakeChallenges.err = &proof.Error{Code: proof.CodeConflict}
	if r := g.do("POST", "/c/"+cid+"/decline", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %s", r.Status)
	}
	g.fakeChallenges.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true, RetryAfter: 1500 * time.Millisecond}
	if r := g.do("POST", "/c/"+cid+"/decline", form, asBrowser); r.StatusCode != 503 || r.Header.Get("Retry-After") != "2" {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

// Nothing that a browser can send to the page answers a challenge: what reaches
// the core is opening, looking, declining, handing over and coming back.
func TestThePageAnswersNothing(t *testing.T) {
	g := newStage(waiting())
	form := g.form(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"", "/answer", "/face", "/match", "/status", "/returned", "/" + secret} {
			r := g.do(method, "/c/"+cid+path, form, asBrowser, "Sec-Fetch-Site: same-origin")
			if r.StatusCode < 400 || len(g.fakeChallenges.calls) != 0 {
				t.Errorf("%s %s: %s, calls %q", method, path, r.Status, g.fakeChallenges.calls)
			}
		}
	}
}

func TestComingBack(t *testing.T) {
	full := url.Values{"code": {"c&ode"}, "state": {state}, "iss": {"https://acme.1kosmos.example"}, "other": {"dropped"}}
	g := newStage(waiting())
	r := g.do("GET", "/c/return?"+full.Encode(), "", "Sec-Fetch-Site: cross-site")
	next := r.Header.Get("Location")
	if r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(next, "/c/"+cid+"/returned?") || strings.Contains(next, "dropped") || len(g.fakeChallenges.calls) != 0 || len(r.Cookies()) != 0 {
		t.Fatalf("%s to %q, calls %q", r.Status, next, g.fakeChallenges.calls)
	}
	if r := g.do("GET", next, ""); r.StatusCode != 403 || len(g.fakeChallenges.calls) != 0 {
		t.Errorf("without the cookie: %s, calls %q", r.Status, g.fakeChallenges.calls)
	}
	r = g.do("GET", next, "", asBrowser, "Sec-Fetch-Site: cross-site")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/c/"+cid || !slices.Equal(g.fakeChallenges.calls, []string{"returned " + cookie}) {
		t.Errorf("%s to %q, calls %q", r.Status, r.Header.Get("Location"), g.fakeChallenges.calls)
	}
	if want := map[string]string{"code": "c&ode", "state": state, "iss": "https://acme.1kosmos.example"}; !maps.Equal(g.returned, want) {
		t.Errorf("brought %v, want %v", g.returned, want)
	}

	for _, c := range []struct{ name, query string }{
		{"nothing", ""},
		{"no state", "code=x"},
		{"unknown state", "code=x&state=made-up"},
		{"state twice", "code=x&state=" + state + "&state=" + state},
		{"code twice", "code=x&code=y&state=" + state},
		{"long code", "code=" + strings.Repeat("x", 5000) + "&state=" + state},
		{"long description", "error=x&error_description=" + strings.Repeat("x", 2000) + "&state=" + state},
		{"not UTF-8", "code=%ff&state=" + state},
		{"broken", "code=%zz&state=" + state},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/c/return?", "/c/" + cid + "/returned?"} {
				g := newStage(waiting())
				r := g.do("GET", path+c.query, "", asBrowser)
				if r.StatusCode != 404 || len(g.fakeChallenges.calls) != 0 || !strings.Contains(text(t, r), `data-reason="link_ended"`) {
					t.Errorf("%s: %s, calls %q", path, r.Status, g.fakeChallenges.calls)
				}
			}
		})
	}

	// A state opens its own challenge and no other.
	g = newStage(waiting(), func(o *pages.Options) { o.ChallengeOfState = func(string) (string, bool) { return id, true } })
	if r := g.do("GET", "/c/"+cid+"/returned?code=x&state=s", "", asBrowser); r.StatusCode != 404 || len(g.fakeChallenges.calls) != 0 {
		t.Errorf("another's state: %s, calls %q", r.Status, g.fakeChallenges.calls)
	}
	g = newStage(waiting(), func(o *pages.Options) {
		o.ChallengeOfState = func(string) (string, bool) { return "//evil.example", true }
	})
	if r := g.do("GET", "/c/return?code=x&state=s", ""); r.StatusCode != 404 || r.Header.Get("Location") != "" {
		t.Errorf("leads astray: %s %q", r.Status, r.Header.Get("Location"))
	}
	g = newStage(waiting(), func(o *pages.Options) { o.ChallengeOfState = nil })
	if r := g.do("GET", "/c/return?code=x&state="+state, ""); r.StatusCode != 404 {
		t.Errorf("nobody knows states: %s", r.Status)
	}

	g = newStage(over(proof.ChallengeMatch, ""))
	g.fakeChallenges.err = &proof.Error{Code: proof.CodeConflict}
	if r := g.do("GET", next, "", asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %s", r.Status)
	}
	g.fakeChallenges.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true}
	r = g.do("GET", next, "", asBrowser)
	if page := text(t, r); r.StatusCode != 503 || !strings.Contains(page, `href="" data-testid="retry"`) || strings.Contains(page, "SECRET") {
		t.Errorf("%s: trying again loads the same address, unnamed\n%s", r.Status, page)
	}
}

func TestChallengeErrorPages(t *testing.T) {
	is := func(c proof.Code, r proof.Reason) error { return &proof.Error{Code: c, Reason: r} }
	link := "/c/" + cid + "/" + secret
	for _, c := range []struct {
		name, path string
		err        error
		want       int
		reason     proof.Reason
		retry      bool
	}{
		{"ended", link, is(proof.CodeNotFound, proof.ReasonLinkEnded), 404, proof.ReasonLinkEnded, false},
		{"used", link, is(proof.CodeForbidden, proof.ReasonLinkUsed), 403, proof.ReasonLinkUsed, false},
		{"too many", link, &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonTooManyAttempts, RetryAfter: time.Minute}, 429, proof.ReasonTooManyAttempts, true},
		{"store away", link, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true}, 503, proof.ReasonUnavailable, true},
		{"unforeseen", link, io.ErrUnexpectedEOF, 500, proof.ReasonInternal, true},
		{"unforeseen on the phone", "/p/" + shortSecret, io.ErrUnexpectedEOF, 500, proof.ReasonInternal, true},
		{"not an id", "/c/x.y/" + secret, nil, 404, proof.ReasonLinkEnded, false},
		{"short link, too short", "/p/0123456789abcdefghjkmnpqr", nil, 404, proof.ReasonLinkEnded, false},
		{"short link, too long", "/p/0123456789abcdefghjkmnpqrst", nil, 404, proof.ReasonLinkEnded, false},
		{"short link, letter that none has", "/p/0123456789abcdefghjkmnpqru", nil, 404, proof.ReasonLinkEnded, false},
		{"short link, strange", "/p/0123456789abcdefghjkmnpqr%C5%BF", nil, 404, proof.ReasonLinkEnded, false},
		{"short link, endless", "/p/" + strings.Repeat("-", 5000), nil, 404, proof.ReasonLinkEnded, false},
		{"short link, wrong", "/p/zzzzzzzzzzzzzzzzzzzzzzzzzz", nil, 404, proof.ReasonLinkEnded, false},
		{"no cookie", "/c/" + cid, nil, 403, proof.ReasonLinkUsed, false},
		{"nothing there", "/c/a/b/c/d", nil, 404, proof.ReasonLinkEnded, false},
		{"nothing typed", "/p/", nil, 404, proof.ReasonLinkEnded, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStage(waiting())
			g.fakeChallenges.err = c.err
			r := g.do("GET", c.path, "")
			page := text(t, r)
			if r.StatusCode != c.want || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s %s", r.Status, r.Header.Get("Content-Type"))
			}
			if !strings.Contains(page, `data-status="error" data-reason="`+string(c.reason)+`"`) || slices.Contains(testids(page), "retry") != c.retry {
				t.Errorf("page:\n%s", page)
			}
			if strings.Contains(page, secret) || strings.Contains(page, shortSecret) || len(r.Cookies()) != 0 {
				t.Error("an error page holds the secret, or lets somebody in")
			}
		})
	}
	g := newStage(waiting())
	if r := g.do("GET", "/c/"+cid, "", "Cookie: "+pages.CookieName+"=somebody-else"); r.StatusCode != 404 || strings.Contains(text(t, r), "Demo shop") {
		t.Errorf("foreign browser: %s", r.Status)
	}
	if r := newStage(but(waiting(), func(v *journey.ChallengeView) { v.Status = "new" })).do("GET", "/c/"+cid, "", asBrowser); r.StatusCode != 500 {
		t.Errorf("unknown status: %s", r.Status)
	}
	if r := newRig(pending()).do("GET", "/c/"+cid, "", asBrowser); r.StatusCode != 404 {
		t.Errorf("without challenges: %s", r.Status)
	}
}

func TestChallengeStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		view journey.ChallengeView
		err  error
		jar  string
		want int
	}{
		{"open", waiting(), nil, asBrowser, 200},
		{"scan", but(scanning(), func(v *journey.ChallengeView) { v.Session = 7 }), nil, asBrowser, 200},
		{"renewing", but(scanning(), func(v *journey.ChallengeView) { v.UpstreamURL = "" }), nil, asBrowser, 200},
		{"trouble", but(scanning(), func(v *journey.ChallengeView) { v.Reason = proof.ReasonUpstreamTimeout }), nil, asBrowser, 200},
		{"elsewhere", but(scanning(), takenOver), nil, asBrowser, 200},
		{"phone", but(scanning(), byThePhone), nil, asBrowser, 200},
		{"match", over(proof.ChallengeMatch, ""), nil, asBrowser, 200},
		{"match-phone", but(over(proof.ChallengeMatch, ""), byThePhone), nil, asBrowser, 200},
		{"no-match", over(proof.ChallengeNoMatch, proof.ReasonFaceMismatch), nil, asBrowser, 200},
		{"expired", over(proof.ChallengeExpired, proof.ReasonTimeLimit), nil, asBrowser, 200},
		{"declined", over(proof.ChallengeFailed, proof.ReasonDeclined), nil, asBrowser, 200},
		{"unknown-status", but(waiting(), func(v *journey.ChallengeView) { v.Status = "new" }), nil, asBrowser, 500},
		{"ended", waiting(), &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}, asBrowser, 404},
		{"no-cookie", waiting(), nil, "Accept: */*", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newStage(c.view)
			g.fakeChallenges.blind = c.err
			r := g.do("GET", "/c/"+cid+"/status", "", c.jar)
			body := text(t, r)
			if r.StatusCode != c.want || r.Header.Get("Content-Type") != "application/json" || strings.Contains(body, "SECRET") {
				t.Errorf("%s %s %s", r.Status, r.Header.Get("Content-Type"), body)
			}
			golden(t, "challenge-status-"+c.name+".json", []byte(body), "")
			if c.want != 200 {
				return
			}
			var a struct{ Step, Session string }
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				t.Fatal(err)
			}
			page := g.page(t)
			if !strings.Contains(page, `data-step="`+a.Step+`"`) || a.Session != "" && !strings.Contains(page, `data-session="`+a.Session+`"`) {
				t.Errorf("page and status disagree, the page would fetch itself for ever: %s", body)
			}
		})
	}
}

// Whoever tries with somebody else's face does not learn how close it came.
func TestHowCloseStaysUntold(t *testing.T) {
	for _, path := range []string{"/c/" + cid, "/c/" + cid + "/status"} {
		far := text(t, newStage(over(proof.ChallengeNoMatch, proof.ReasonFaceMismatch)).do("GET", path, "", asBrowser))
		near := text(t, newStage(over(proof.ChallengeNoMatch, proof.ReasonFaceUncertain)).do("GET", path, "", asBrowser))
		if far != near {
			t.Errorf("%s tells them apart:\n%s\n%s", path, far, near)
		}
	}
}

func TestChallengeLogsNothingSecret(t *testing.T) {
	g := newStage(scanning())
	form := g.form(t)
	for _, err := range []error{nil, io.ErrUnexpectedEOF, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable}, &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonLinkUsed}} {
		g.fakeChallenges.err, g.fakeChallenges.blind = err, err
		for _, target := range []string{
			"GET /c/" + cid, "GET /c/" + cid + "/status", "GET /c/" + cid + "/" + secret, "GET /p/" + shortSecret, "GET /p/wrong-SECRET", "GET /c/" + cid + "/phone/" + shortSecret,
			"GET /c/return?code=code-SECRET&state=" + state, "GET /c/return?code=code-SECRET&state=other-SECRET",
			"GET /c/" + cid + "/returned?code=code-SECRET&state=" + state, "POST /c/" + cid + "/decline", "POST /c/" + cid + "/phone",
		} {
			method, path, _ := strings.Cut(target, " ")
			body := ""
			if method == "POST" {
				body = form
			}
			g.do(method, path, body, asBrowser)
		}
	}
	if !strings.Contains(g.log.String(), `"challenge":"`+cid+`"`) {
		t.Error("failures are not logged")
	}
	for _, bad := range []string{"SECRET", shortSecret, "example.com", "Demo shop", "ACME", "192.0.2.1", "token"} {
		if strings.Contains(g.log.String(), bad) {
			t.Errorf("the log holds %q:\n%s", bad, g.log)
		}
	}
}

func TestEveryReasonHasASentenceForChallenges(t *testing.T) {
	for _, r := range proof.Reasons() {
		if r.OfOperators() {
			continue
		}
		s, ok := pages.ExplainChallenge(r)
		if !ok || !strings.HasSuffix(s.Say, ".") || !strings.HasSuffix(s.Hint, ".") {
			t.Errorf("%s: %+v", r, s)
		}
		for _, word := range []string{"MRZ", "engine", "upstream", "API", "token", "session", "liveness", "template", "score", "threshold", "close"} {
			if strings.Contains(strings.ToLower(s.String()), strings.ToLower(word)) {
				t.Errorf("%s: %q is no word for people: %s", r, word, s)
			}
		}
		if strings.Contains(s.String(), "two minutes") {
			t.Errorf("%s: speaks of a verification: %s", r, s)
		}
		page := newStage(over(proof.ChallengeFailed, r)).page(t)
		shown := cmp.Or(map[proof.Reason]proof.Reason{proof.ReasonFaceUncertain: proof.ReasonFaceMismatch}[r], r)
		if !strings.Contains(page, html.EscapeString(s.Say)) || !strings.Contains(page, `data-reason="`+string(shown)+`"`) {
			t.Errorf("%s: sentence or code is not on the page", r)
		}
	}
	if s, ok := pages.ExplainChallenge("never_heard_of"); ok || s.Say == "" {
		t.Errorf("unknown reason: %+v, %v", s, ok)
	}
}

// FuzzShortLink: what is typed opens the link or does not; it never reaches the
// core unless it has the shape of a secret.
func FuzzShortLink(f *testing.F) {
	for _, s := range []string{shortSecret, "0123-4567-89ab-cdef-ghjk-mnpq-rs", "O1 2", "", "ſ", "%zz", strings.Repeat("0", 26)} {
		f.Add(s)
	}
	shape := regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{26}$`)
	f.Fuzz(func(t *testing.T, typed string) {
		var got string
		g := newStage(waiting(), func(o *pages.Options) { o.Challenges = &spy{fakeChallenges: &fakeChallenges{}, secret: &got} })
		r := httptest.NewRequest("GET", "/p/x", nil)
		r.URL.Path = "/p/" + typed
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got != "" && !shape.MatchString(got) || got == "" && (w.Code < 300 || w.Code >= 500) {
			t.Errorf("%q: %d, secret %q", typed, w.Code, got)
		}
	})
}

type spy struct {
	*fakeChallenges
	secret *string
}

func (s *spy) OpenChallengeHandover(_ context.Context, sec, _ string, _ netip.Addr) (journey.ChallengeView, string, error) {
	*s.secret = sec
	return waiting(), phoneCookie, nil
}

// FuzzWords: whatever a caller writes, the page stays ours and the warning in sight.
func FuzzWords(f *testing.F) {
	f.Add("Pay\r\n\r\n\r\n€1", "new_device")
	f.Add("\u202e<b>\xff", "title")
	f.Add(strings.Repeat("\n", 600)+strings.Repeat("é", 600), "")
	f.Fuzz(func(t *testing.T, said, code string) {
		page := newStage(but(waiting(), func(v *journey.ChallengeView) { v.Transaction, v.ReasonCode = said, code })).page(t)
		_, got, _ := strings.Cut(page, `data-testid="transaction">`)
		got, _, _ = strings.Cut(got, "</blockquote>")
		if !strings.Contains(page, `data-testid="warning"`) || strings.Count(page, "<form") != 2 || strings.Contains(got, "<") {
			t.Errorf("page is not ours:\n%s", page)
		}
		got = html.UnescapeString(got)
		if len(got) > 512 || strings.Count(got, "\n") > 11 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
			return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		}) {
			t.Errorf("shown: %q", got)
		}
	})
}

// FuzzComingBack: nothing but a known state with well-formed company gets on.
func FuzzComingBack(f *testing.F) {
	f.Add("code=x&state=" + state)
	f.Add("state=" + state + "&state=a")
	f.Add("error=%zz;&&=")
	f.Fuzz(func(t *testing.T, query string) {
		g := newStage(waiting())
		for _, path := range []string{"/c/return", "/c/" + cid + "/returned"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			r.Header.Set("Cookie", pages.CookieName+"="+cookie)
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusSeeOther && w.Code != http.StatusNotFound || w.Code == http.StatusSeeOther && !strings.HasPrefix(w.Header().Get("Location"), "/c/"+cid) {
				t.Errorf("%s: %d to %q", path, w.Code, w.Header().Get("Location"))
			}
		}
		if len(g.fakeChallenges.calls) > 0 && g.returned["state"] != state {
			t.Errorf("brought %v", g.returned)
		}
	})
}
