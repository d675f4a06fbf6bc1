package pages_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/pages"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var (
	_ pages.Proofing   = (*journey.Service)(nil)
	_ pages.Challenges = (*journey.Service)(nil)
)

var update = flag.Bool("update", false, "write golden files anew")

const (
	id          = "019aaf10-7f00-7000-8000-00000000c0de"
	secret      = "link-SECRET_0123456789abcdefghij"
	phoneSecret = "phone-SECRET_0123456789abcdefghi"
	cookie      = "cookie-SECRET_0123456789abcdefgh"
	phoneCookie = "phonecookie-SECRET_0123456789abc"
	upstream    = "https://acme.1kosmos.example/idproofing/session/upstream-SECRET"
)

var now = time.Date(2025, 11, 23, 12, 0, 0, 0, time.UTC)

// fake is a core with one verification whose view and errors a test sets.
type fake struct {
	view  journey.HandoffView
	err   error // of everything but View
	blind error // of View
	used  bool  // the phone's link
	calls []string

	request  string // what Open was given
	redirect string // what Return gives
}

func (f *fake) Return(context.Context, string, string) (string, error) {
	f.called("return")
	return f.redirect, f.err
}

func (f *fake) called(what string, args ...any) {
	f.calls = append(f.calls, strings.TrimSpace(what+" "+fmt.Sprint(args...)))
}

func (f *fake) Open(_ context.Context, i, sec, browser, request string) (journey.HandoffView, string, error) {
	f.called("open", browser)
	f.request = request
	switch {
	case f.err != nil:
		return journey.HandoffView{}, "", f.err
	case i != id || sec != secret:
		return journey.HandoffView{}, "", &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	return f.view, cookie, nil
}

func (f *fake) View(_ context.Context, i, browser string) (journey.HandoffView, error) {
	if f.blind != nil {
		return journey.HandoffView{}, f.blind
	}
	if i != id || browser != cookie && browser != phoneCookie {
		return journey.HandoffView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	return f.view, nil
}

func (f *fake) Consent(_ context.Context, _, _ string, t proof.DocumentType) (journey.HandoffView, error) {
	f.called("consent", t)
	return f.view, f.err
}

func (f *fake) Decline(context.Context, string, string) (journey.HandoffView, error) {
	f.called("decline")
	return f.view, f.err
}

func (f *fake) Handover(context.Context, string, string) (string, time.Time, error) {
	f.called("handover")
	return phoneSecret, now.Add(5 * time.Minute), f.err
}

func (f *fake) OpenHandover(_ context.Context, _, sec, browser string) (journey.HandoffView, string, error) {
	f.called("open phone")
	if sec != phoneSecret || f.used {
		return journey.HandoffView{}, "", &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	if browser == cookie && f.err == nil {
		return f.view, cookie, nil
	}
	f.used = f.err == nil
	return f.view, phoneCookie, f.err
}

func pending() journey.HandoffView {
	return journey.HandoffView{
		ID: id, Application: "Acme Bank", MaskedAccount: "a•••@example.com", Status: proof.Pending,
		DocumentTypes: proof.DocumentTypes(), ChoiceNeeded: true, Liveness: proof.LivenessPassive,
		ExpiresAt: now.Add(30 * time.Minute),
	}
}

func inProgress() journey.HandoffView {
	v := pending()
	v.Status, v.DocumentType, v.UpstreamURL = proof.InProgress, proof.Passport, upstream
	return v
}

func ended(s proof.Status, r proof.Reason) journey.HandoffView {
	v := pending()
	v.Status, v.Reason, v.DocumentType = s, r, proof.Passport
	v.ReturnURL = "https://app.example.com/done?a=b&session_id=" + id
	return v
}

func with(v journey.HandoffView, change func(*journey.HandoffView)) journey.HandoffView {
	change(&v)
	return v
}

// rig is the handler with a fake core and the log that it writes.
type rig struct {
	*fake
	http.Handler
	log *bytes.Buffer
}

func newRig(v journey.HandoffView, change ...func(*pages.Options)) *rig {
	g := &rig{fake: &fake{view: v}, log: &bytes.Buffer{}}
	o := pages.Options{
		Proofing: g.fake, PublicURL: "https://id.example.com", Now: func() time.Time { return now },
		Logger: slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	g.Handler = pages.New(o)
	return g
}

// do sends a request. Headers come as "Name: value".
func (g *rig) do(method, target, body string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Result()
}

const asBrowser = "Cookie: " + pages.CookieName + "=" + cookie

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (g *rig) page(t *testing.T) string {
	t.Helper()
	r := g.do("GET", "/v/"+id, "", asBrowser)
	if r.StatusCode != 200 {
		t.Fatalf("page: %s", r.Status)
	}
	return text(t, r)
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// filled is a consent form as a person who agrees sends it.
func (g *rig) filled(t *testing.T, change ...string) string {
	t.Helper()
	m := tokenField.FindStringSubmatch(g.page(t))
	if m == nil {
		t.Fatal("no token on the page")
	}
	f := url.Values{"token": {m[1]}, "consent": {"yes"}, "consent_version": {pages.ConsentVersion}, "document_type": {"id_card"}}
	for _, c := range change {
		name, value, _ := strings.Cut(c, "=")
		f.Set(name, value)
	}
	return f.Encode()
}

func testids(page string) (ids []string) {
	for _, m := range regexp.MustCompile(`data-testid="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(ids, m[1]) {
			ids = append(ids, m[1])
		}
	}
	slices.Sort(ids)
	return ids
}

func TestOpenBindsAndHidesTheSecret(t *testing.T) {
	for _, c := range []struct {
		name, path, value string
		secure            bool
	}{
		{"link", "/v/" + id + "/" + secret, cookie, true},
		{"link over http", "/v/" + id + "/" + secret, cookie, false},
		{"phone", "/v/" + id + "/phone/" + phoneSecret, phoneCookie, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(pending(), func(o *pages.Options) {
				if !c.secure {
					o.PublicURL = "http://127.0.0.1:8080"
				}
			})
			r := g.do("GET", c.path, "")
			if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/v/"+id {
				t.Fatalf("got %s to %q", r.Status, r.Header.Get("Location"))
			}
			got := r.Cookies()
			if len(got) != 1 {
				t.Fatalf("cookies: %v", got)
			}
			k := got[0]
			if k.Name != pages.CookieName || k.Value != c.value || k.Path != "/v/"+id || !k.HttpOnly || k.Secure != c.secure || k.SameSite != http.SameSiteLaxMode || k.Domain != "" {
				t.Errorf("cookie: %+v", k)
			}
			if body := text(t, r); body != "" {
				t.Errorf("body %q", body)
			}
		})
	}
	g := newRig(pending())
	g.do("GET", "/v/"+id+"/"+secret, "", asBrowser)
	if want := []string{"open " + cookie}; !slices.Equal(g.calls, want) {
		t.Errorf("calls %q, want %q: a browser that comes back is recognised", g.calls, want)
	}
}

func TestLookingDoesNotBind(t *testing.T) {
	for _, path := range []string{"/v/" + id + "/" + secret, "/v/" + id + "/phone/" + phoneSecret} {
		for _, c := range []struct {
			method, header string
			want           int
		}{
			{"HEAD", "Accept: */*", 204},
			{"GET", "Sec-Purpose: prefetch", 503},
			{"GET", "Sec-Purpose: prefetch;prerender", 503},
			{"GET", "Purpose: prefetch", 503},
			{"GET", "X-Purpose: preview", 503},
			{"GET", "X-Moz: prefetch", 503},
		} {
			g := newRig(pending())
			r := g.do(c.method, path, "", c.header)
			if r.StatusCode != c.want || len(g.calls) != 0 || len(r.Cookies()) != 0 {
				t.Errorf("%s %s: %s, calls %q, cookies %v", c.method, c.header, r.Status, g.calls, r.Cookies())
			}
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	g := newRig(inProgress())
	for _, target := range []string{
		"GET /v/" + id, "GET /v/" + id + "/" + secret, "GET /v/" + id + "/wrong", "GET /v/" + id + "/status",
		"POST /v/" + id + "/consent", "GET /v/" + id + "/phone/wrong", "GET /v/", "GET /v/a/b/c/d", "GET /v/assets/pages.js",
	} {
		method, path, _ := strings.Cut(target, " ")
		r := g.do(method, path, "", asBrowser)
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", target, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: policy %q", target, csp)
		}
		want := map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
		if strings.Contains(path, "assets") {
			want["Cache-Control"] = "public, max-age=31536000, immutable"
		}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", target, name, got, value)
			}
		}
	}
}

// scenes are all the pages that a person can see, by name.
func scenes(t *testing.T) map[string]string {
	t.Helper()
	phone := func(v *journey.HandoffView) { v.Phone, v.HandedOver = true, true }
	other := func(v *journey.HandoffView) { v.HandedOver = true }
	views := map[string]journey.HandoffView{
		"consent, choice":          pending(),
		"consent, one type":        with(pending(), func(v *journey.HandoffView) { v.DocumentTypes = []proof.DocumentType{proof.Passport} }),
		"consent, no choice":       with(pending(), func(v *journey.HandoffView) { v.ChoiceNeeded = false }),
		"consent, nobody":          with(pending(), func(v *journey.HandoffView) { v.Application, v.MaskedAccount = "", "" }),
		"consent on phone":         with(pending(), phone),
		"consent elsewhere":        with(pending(), other),
		"continue":                 inProgress(),
		"continue on phone":        with(inProgress(), phone),
		"elsewhere":                with(inProgress(), other),
		"trouble":                  with(inProgress(), func(v *journey.HandoffView) { v.Reason = proof.ReasonUpstreamTimeout }),
		"no upstream address":      with(inProgress(), func(v *journey.HandoffView) { v.UpstreamURL = "" }),
		"verified":                 ended(proof.Verified, ""),
		"verified on phone":        with(ended(proof.Verified, ""), phone),
		"verified, nowhere to go":  with(ended(proof.Verified, ""), func(v *journey.HandoffView) { v.ReturnURL = "" }),
		"failed":                   ended(proof.Failed, proof.ReasonFaceMismatch),
		"expired":                  ended(proof.Expired, proof.ReasonTimeLimit),
		"abandoned":                ended(proof.Abandoned, proof.ReasonDeclined),
		"failed, reason from afar": ended(proof.Failed, "something_new"),
	}
	out := map[string]string{}
	for name, v := range views {
		out[name] = newRig(v).page(t)
	}
	g := newRig(inProgress())
	out["qr"] = text(t, g.do("POST", "/v/"+id+"/phone", g.filled(t), asBrowser))
	out["error"] = text(t, newRig(pending()).do("GET", "/v/"+id+"/wrong", ""))
	return out
}

func TestScenes(t *testing.T) {
	want := map[string]string{
		"consent, choice":          "account application consent decline doc-drivers_license doc-id_card doc-passport start status",
		"consent, one type":        "account application consent decline doc-passport start status",
		"consent, no choice":       "account application consent decline start status",
		"consent, nobody":          "application consent decline doc-drivers_license doc-id_card doc-passport start status",
		"consent on phone":         "account application consent decline doc-drivers_license doc-id_card doc-passport start status",
		"consent elsewhere":        "account application decline status use-phone",
		"continue":                 "account application decline open-here status use-phone",
		"continue on phone":        "account application decline open-here status",
		"elsewhere":                "account application decline open-here status use-phone",
		"trouble":                  "account application decline open-here status use-phone",
		"no upstream address":      "account application decline status use-phone",
		"verified":                 "account application return status",
		"verified on phone":        "account application status",
		"verified, nowhere to go":  "account application status",
		"failed":                   "account application return status",
		"expired":                  "account application return status",
		"abandoned":                "account application return status",
		"failed, reason from afar": "account application return status",
		"qr":                       "account application back phone-link qr status use-phone",
		"error":                    "status",
	}
	all := scenes(t)
	if len(all) != len(want) {
		t.Errorf("%d scenes, %d expected", len(all), len(want))
	}
	for name, page := range all {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(testids(page), " "); got != want[name] {
				t.Errorf("test ids\n got %s\nwant %s", got, want[name])
			}
			for _, bad := range []string{"ZgotmplZ", "%!", "<nil>", secret, cookie, " style=", "onclick", "<script>", "http-equiv=\"Content-Security-Policy\""} {
				if strings.Contains(page, bad) {
					t.Errorf("page holds %q", bad)
				}
			}
			if (name == "qr") != strings.Contains(page, phoneSecret) {
				t.Error("the phone's link belongs on the page with the code, and nowhere else")
			}
			if strings.Contains(page, "upstream-SECRET") != slices.Contains(testids(page), "open-here") {
				t.Error("the capture page's address belongs on its button, and nowhere else")
			}
			for _, m := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
				u, err := url.Parse(html.UnescapeString(m[1]))
				if err != nil {
					t.Error(err)
				} else if u.Host != "" && u.Host != "app.example.com" && u.Host != "acme.1kosmos.example" {
					t.Errorf("address of a stranger: %s", m[1])
				}
			}
			if strings.Count(page, "<h1") != 1 || strings.Count(page, `lang="en"`) != 1 {
				t.Error("one heading and one language, please")
			}
			if waiting := regexp.MustCompile(`data-step="(continue|elsewhere|qr)"`).MatchString(page); waiting != strings.Contains(page, `<noscript><meta http-equiv="refresh" content="`) {
				t.Error("a waiting page refreshes itself without JavaScript; no other does")
			}
		})
	}
	if strings.Contains(all["consent, choice"], "checked") {
		t.Error("something is ticked before the person ticked it")
	}
	for _, part := range []string{`target="_blank" rel="noopener noreferrer"`, "passport", "Waiting for your photos."} {
		if !strings.Contains(all["continue"], part) {
			t.Errorf("continue lacks %q", part)
		}
	}
	if !strings.Contains(all["verified"], `data-after="3"`) || !strings.Contains(all["failed"], `data-after="8"`) {
		t.Error("times until the return")
	}
	if want := html.EscapeString("https://app.example.com/done?a=b&session_id=" + id); !strings.Contains(all["verified"], `href="`+want+`"`) {
		t.Error("the return address is not as journey gave it")
	}
}

func TestTransferBudget(t *testing.T) {
	const budget = 15 << 10
	packed := func(s string) int {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		io.WriteString(z, s)
		z.Close()
		return b.Len()
	}
	g := newRig(pending())
	assets := 0
	for _, name := range []string{"pages.css", "pages.js"} {
		m := regexp.MustCompile(`"(/v/assets/` + name + `\?v=[0-9a-f]{12})"`).FindStringSubmatch(g.page(t))
		if m == nil {
			t.Fatalf("%s is not on the page", name)
		}
		r := g.do("GET", m[1], "", "Accept-Encoding: gzip, br")
		if r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: not packed", name)
		}
		plain := g.do("GET", m[1], "")
		if z, err := gzip.NewReader(r.Body); err != nil || text(t, plain) != func() string { b, _ := io.ReadAll(z); return string(b) }() {
			t.Errorf("%s: packed and plain differ (%v)", name, err)
		}
		if r.ContentLength < 100 {
			t.Errorf("%s: %d bytes", name, r.ContentLength)
		}
		assets += int(r.ContentLength)
	}
	for name, page := range scenes(t) {
		if n := assets + packed(page); n > budget {
			t.Errorf("%s: %d bytes packed, more than %d", name, n, budget)
		} else {
			t.Logf("%-26s %5d bytes packed, page %d plain", name, n, len(page))
		}
	}
}

func TestHostileWords(t *testing.T) {
	const evil = `"><script>alert(1)</script>{{.Token}}&` + "\u202e"
	for _, v := range []journey.HandoffView{pending(), inProgress(), ended(proof.Verified, "")} {
		v.Application, v.MaskedAccount = evil, evil
		page := newRig(v, func(o *pages.Options) { o.Processor, o.RetentionText = evil, evil }).page(t)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, `"><`+"script>") {
			t.Errorf("%s: not escaped", v.Status)
		}
		if !strings.Contains(page, `<bdi data-testid="application">&#34;&gt;&lt;script&gt;`) {
			t.Errorf("%s: name is not shown as it is, apart from the rest", v.Status)
		}
	}
	for _, address := range []string{"javascript:alert(1)", "data:text/html,x", "//evil.example/x", "https:", "myapp:done", "/v/x"} {
		v := ended(proof.Verified, "")
		v.ReturnURL = address
		if ids := testids(newRig(v).page(t)); slices.Contains(ids, "return") {
			t.Errorf("return button to %q", address)
		}
		u := inProgress()
		u.UpstreamURL = address
		if ids := testids(newRig(u).page(t)); slices.Contains(ids, "open-here") {
			t.Errorf("capture button to %q", address)
		}
		var a struct {
			NextURL string `json:"next_url"`
		}
		if err := json.Unmarshal([]byte(text(t, newRig(v).do("GET", "/v/"+id+"/status", "", asBrowser))), &a); err != nil || a.NextURL != "" {
			t.Errorf("next_url %q, %v", a.NextURL, err)
		}
	}
}

func TestConsentWording(t *testing.T) {
	page := newRig(pending()).page(t)
	part := func(from, to string) string {
		_, rest, ok := strings.Cut(page, from)
		inner, _, ok2 := strings.Cut(rest, to)
		if !ok || !ok2 {
			t.Fatalf("no %s … %s on the page", from, to)
		}
		inner = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(inner, "")
		return strings.TrimSpace(html.UnescapeString(inner))
	}
	got := part(`<div id="terms">`, "</div>") + "\n\n" + part(`<span id="agreement">`, "</span>") + "\n"
	golden(t, "consent-"+pages.ConsentVersion+".txt", []byte(got),
		"the wording that people agree to has changed: raise pages.ConsentVersion, run with -update, and keep the old file")
}

func TestWordsOfTheTerms(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pages.Options)
		mode   proof.LivenessMode
		want   string
	}{
		{"photo", func(*pages.Options) {}, proof.LivenessNone, "A photo of your face,"},
		{"passive", func(*pages.Options) {}, proof.LivenessPassive, "A short recording of your face,"},
		{"active", func(*pages.Options) {}, proof.LivenessActive, "while you follow instructions,"},
		{"mode from afar", func(*pages.Options) {}, "new", "while you follow instructions,"},
		{"goes at the end", func(*pages.Options) {}, proof.LivenessNone, "The photos are deleted when this verification ends."},
		{"minutes", func(o *pages.Options) { o.Retention = 90 * time.Minute }, proof.LivenessNone, "deleted 90 minutes after"},
		{"hours", func(o *pages.Options) { o.Retention = 36 * time.Hour }, proof.LivenessNone, "deleted 36 hours after"},
		{"days", func(o *pages.Options) { o.Retention = 30 * 24 * time.Hour }, proof.LivenessNone, "deleted 30 days after"},
		{"unknown", func(o *pages.Options) { o.Retention = pages.RetentionUnknown }, proof.LivenessNone, "1Kosmos keeps the photos for as long as it has agreed with Acme Bank."},
		{"own words", func(o *pages.Options) { o.RetentionText = "Ten days, by law." }, proof.LivenessNone, "<p>Ten days, by law.</p>"},
		{"processor", func(o *pages.Options) { o.Processor = "Local" }, proof.LivenessNone, "Local examines the photos on behalf of Acme Bank."},
		{"deadline", func(*pages.Options) {}, proof.LivenessNone, "This request ends in 30 minutes."},
		{"notice", func(o *pages.Options) { o.PrivacyURL = "https://example.com/privacy" }, proof.LivenessNone, `href="https://example.com/privacy"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := newRig(with(pending(), func(v *journey.HandoffView) { v.Liveness = c.mode }), c.change).page(t)
			if !strings.Contains(page, c.want) {
				t.Errorf("page lacks %q", c.want)
			}
		})
	}
}

func TestConsent(t *testing.T) {
	g := newRig(pending())
	r := g.do("POST", "/v/"+id+"/consent", g.filled(t), asBrowser, "Sec-Fetch-Site: same-origin", "Origin: null")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/v/"+id {
		t.Errorf("%s to %q", r.Status, r.Header.Get("Location"))
	}
	if want := []string{"consent id_card"}; !slices.Equal(g.calls, want) {
		t.Errorf("calls %q, want %q", g.calls, want)
	}
	for _, c := range []struct {
		name, change string
		err          error
		want         int
		alert        string
		calls        int
	}{
		{"box not ticked", "consent=", nil, 422, "Tick the box", 0},
		{"old wording", "consent_version=0", nil, 422, "wording of this page has changed", 0},
		{"no such document", "document_type=library_card", nil, 422, "Choose one of the documents", 0},
		{"not acceptable", "document_type=", proof.Invalid("document_type", "choose"), 422, "Choose one of the documents", 1},
		{"upstream away", "a=b", &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}, 503, "does not answer right now", 1},
		{"upstream odd", "a=b", &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed}, 502, "between us and the verification service", 1},
		{"too often", "a=b", &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited}, 429, "too often", 1},
		{"our mistake", "a=b", io.ErrUnexpectedEOF, 500, "Something went wrong on our side", 1},
		{"twice", "a=b", &proof.Error{Code: proof.CodeConflict}, 303, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(pending())
			form := g.filled(t, c.change)
			g.err = c.err
			r := g.do("POST", "/v/"+id+"/consent", form, asBrowser)
			page := text(t, r)
			if r.StatusCode != c.want || !strings.Contains(page, c.alert) || len(g.calls) != c.calls {
				t.Errorf("%s, calls %q\n%s", r.Status, g.calls, page)
			}
			if c.want == 503 && !strings.Contains(page, `value="id_card" required checked`) {
				t.Error("the choice got lost")
			}
			if strings.Contains(page, "library_card") {
				t.Error("what was sent comes back")
			}
		})
	}
	g = newRig(pending())
	form := g.filled(t)
	for _, err := range []*proof.Error{{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited}, {Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}} {
		err.RetryAfter = 2500 * time.Millisecond
		g.err = err
		if r := g.do("POST", "/v/"+id+"/consent", form, asBrowser); r.Header.Get("Retry-After") != "3" {
			t.Errorf("%s: Retry-After %q", r.Status, r.Header.Get("Retry-After"))
		}
	}
	// It ended while the person was reading.
	g = newRig(pending())
	form = g.filled(t, "consent=")
	g.view = ended(proof.Expired, proof.ReasonTimeLimit)
	if r := g.do("POST", "/v/"+id+"/consent", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %s", r.Status)
	}
}

func TestFormsFromElsewhereAreRefused(t *testing.T) {
	good := newRig(pending()).filled(t)
	for _, path := range []string{"consent", "decline", "phone"} {
		for _, c := range []struct {
			name, body string
			headers    []string
			want       int
		}{
			{"other site", good, []string{asBrowser, "Sec-Fetch-Site: cross-site"}, 403},
			{"sister site", good, []string{asBrowser, "Sec-Fetch-Site: same-site"}, 403},
			{"address bar", good, []string{asBrowser, "Sec-Fetch-Site: none"}, 403},
			{"other origin, older browser", good, []string{asBrowser, "Origin: https://evil.example"}, 403},
			{"no token", "consent=yes", []string{asBrowser}, 403},
			{"empty token", strings.ReplaceAll(good, "token=", "token=&x="), []string{asBrowser}, 403},
			{"token of another browser", good, []string{"Cookie: " + pages.CookieName + "=" + phoneCookie}, 403},
			{"no cookie", good, []string{"Sec-Fetch-Site: same-origin"}, 403},
			{"strange cookie", good, []string{"Cookie: " + pages.CookieName + "=a.b"}, 403},
			{"token in the query only", "consent=yes", []string{asBrowser, "Sec-Fetch-Site: same-origin"}, 403},
			{"huge", good + "&x=" + strings.Repeat("y", 5000), []string{asBrowser}, 413},
			{"not a form", "%zz", []string{asBrowser}, 403},
		} {
			t.Run(path+"/"+c.name, func(t *testing.T) {
				g := newRig(pending())
				target := "/v/" + id + "/" + path
				if strings.Contains(c.name, "query") {
					target += "?" + good
				}
				r := g.do("POST", target, c.body, c.headers...)
				if r.StatusCode != c.want || len(g.calls) != 0 {
					t.Errorf("%s, calls %q", r.Status, g.calls)
				}
				if kind := r.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
					t.Errorf("people get %s", kind)
				}
			})
		}
		for _, h := range []string{"Sec-Fetch-Site: same-origin", "Origin: https://id.example.com", "Origin: null", "Accept: text/html"} {
			g := newRig(inProgress())
			if r := g.do("POST", "/v/"+id+"/"+path, good, asBrowser, h); r.StatusCode >= 400 || len(g.calls) != 1 {
				t.Errorf("%s with %s: %s, calls %q", path, h, r.Status, g.calls)
			}
		}
	}
}

func TestDecline(t *testing.T) {
	g := newRig(pending())
	form := g.filled(t)
	if r := g.do("POST", "/v/"+id+"/decline", form, asBrowser); r.StatusCode != http.StatusSeeOther || !slices.Equal(g.calls, []string{"decline"}) {
		t.Errorf("%s, calls %q", r.Status, g.calls)
	}
	g.err = &proof.Error{Code: proof.CodeConflict}
	if r := g.do("POST", "/v/"+id+"/decline", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after the end: %s", r.Status)
	}
	g.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true, RetryAfter: 1500 * time.Millisecond}
	if r := g.do("POST", "/v/"+id+"/decline", form, asBrowser); r.StatusCode != 503 || r.Header.Get("Retry-After") != "2" || !strings.Contains(text(t, r), `data-testid="retry"`) {
		t.Errorf("%s %v", r.Status, r.Header)
	}
}

func TestFormAddressesLeadToThePage(t *testing.T) {
	for _, form := range []string{"consent", "decline", "phone"} {
		g := newRig(pending())
		if r := g.do("GET", "/v/"+id+"/"+form, ""); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/v/"+id || len(g.calls) != 0 {
			t.Errorf("%s: %s, calls %q", form, r.Status, g.calls)
		}
	}
	if r := newRig(pending()).do("GET", "/v/%2f%2fevil.example/consent", ""); r.StatusCode != 404 || r.Header.Get("Location") != "" {
		t.Errorf("leads astray: %s %q", r.Status, r.Header.Get("Location"))
	}
}

func TestPhoneCode(t *testing.T) {
	g := newRig(inProgress())
	form := g.filled(t)
	r := g.do("POST", "/v/"+id+"/phone", form, asBrowser)
	page := text(t, r)
	link := "https://id.example.com/v/" + id + "/phone/" + phoneSecret
	for _, want := range []string{">" + link + "</code>", `data-left="300"`, "Good once, for 5 minutes.", `content="300;url=/v/` + id + `"`, `data-step="qr" data-behind="continue"`} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %q", want)
		}
	}
	if strings.Contains(page, `href="`+link) {
		t.Error("a click on this device would use the phone's link up")
	}

	modules(t, page, link)

	g.view = with(inProgress(), func(v *journey.HandoffView) { v.HandedOver = true })
	if page := text(t, g.do("POST", "/v/"+id+"/phone", form, asBrowser)); !strings.Contains(page, `data-behind="elsewhere"`) {
		t.Error("a second phone")
	}
	g.view = ended(proof.Verified, "")
	if r := g.do("POST", "/v/"+id+"/phone", form, asBrowser); r.StatusCode != http.StatusSeeOther || strings.Contains(text(t, r), phoneSecret) {
		t.Errorf("after the end: %s", r.Status)
	}
	g.err = &proof.Error{Code: proof.CodeConflict}
	if r := g.do("POST", "/v/"+id+"/phone", form, asBrowser); r.StatusCode != http.StatusSeeOther {
		t.Errorf("refused after the end: %s", r.Status)
	}
}

// walker is a person's browser: it keeps cookies and goes where it is sent.
type walker struct {
	t    *testing.T
	base string
	http.Client
}

// walkers serves a page; each call starts one more browser.
func walkers(t *testing.T, handler func(origin string) http.Handler) func() *walker {
	var h http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	h = handler(server.URL)
	return func() *walker {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &walker{t, server.URL, http.Client{Jar: jar}}
	}
}

// get says where the browser ends, and with which answer.
func (b *walker) get(path string) (int, string) {
	b.t.Helper()
	return b.at(b.Get(b.base + path))
}

func (b *walker) post(path string, form url.Values) (int, string) {
	b.t.Helper()
	return b.at(b.PostForm(b.base+path, form))
}

func (b *walker) at(r *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	r.Body.Close()
	return r.StatusCode, r.Request.URL.Path
}

// cookie is what the browser sends to a page.
func (b *walker) cookie(path string) string {
	u, _ := url.Parse(b.base + path)
	for _, k := range b.Jar.Cookies(u) {
		if k.Name == pages.CookieName {
			return k.Value
		}
	}
	return ""
}

// Who opens the phone's link where the code is shown stays what they are, and
// the link stays good.
func TestPhoneLinkInTheFirstBrowser(t *testing.T) {
	f := &fake{view: inProgress()}
	browse := walkers(t, func(origin string) http.Handler {
		return pages.New(pages.Options{Proofing: f, PublicURL: origin, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	})
	const page, link = "/v/" + id, "/v/" + id + "/phone/" + phoneSecret
	desk, phone := browse(), browse()
	desk.get(page + "/" + secret)
	for range 2 {
		if code, path := desk.get(link); code != 200 || path != page || desk.cookie(page) != cookie {
			t.Fatalf("in the first browser: %d at %s", code, path)
		}
	}
	if code, path := phone.get(link); code != 200 || path != page || phone.cookie(page) != phoneCookie {
		t.Errorf("on the phone: %d at %s", code, path)
	}
	for name, b := range map[string]*walker{"the first browser": desk, "a stranger": browse()} {
		if code, _ := b.get(link); code != 404 {
			t.Errorf("used up, in %s: %d", name, code)
		}
	}
}

// modules reads a drawn code back: every module as the encoder made it, inside a
// quiet zone.
func modules(t *testing.T, page, link string) {
	t.Helper()
	want, err := qr.Encode(link, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`viewBox="0 0 (\d+) \d+" role="img".* d="([^"]+)"/></svg>`).FindStringSubmatch(page)
	if m == nil || m[1] != fmt.Sprint(want.Size+8) {
		t.Fatalf("no code of %d modules on the page: %v", want.Size+8, m)
	}
	black := map[[2]int]bool{}
	for run := range strings.SplitSeq(strings.TrimSuffix(m[2], "z"), "z") {
		var x, y, n, back int
		if _, err := fmt.Sscanf(run, "M%d %dh%dv1h-%d", &x, &y, &n, &back); err != nil || n != back {
			t.Fatalf("run %q: %v", run, err)
		}
		for i := range n {
			black[[2]int{x + i, y}] = true
		}
	}
	for y := range want.Size + 8 {
		for x := range want.Size + 8 {
			if black[[2]int{x, y}] != want.Black(x-4, y-4) {
				t.Fatalf("module %d,%d differs", x, y)
			}
		}
	}
}

func TestErrorPages(t *testing.T) {
	is := func(c proof.Code, r proof.Reason) error { return &proof.Error{Code: c, Reason: r} }
	for _, c := range []struct {
		name, path string
		err        error
		want       int
		reason     proof.Reason
		retry      bool
	}{
		{"ended", "/v/" + id + "/" + secret, is(proof.CodeNotFound, proof.ReasonLinkEnded), 404, proof.ReasonLinkEnded, false},
		{"used", "/v/" + id + "/" + secret, is(proof.CodeForbidden, proof.ReasonLinkUsed), 403, proof.ReasonLinkUsed, false},
		{"store away", "/v/" + id + "/" + secret, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true}, 503, proof.ReasonUnavailable, true},
		{"unforeseen", "/v/" + id + "/" + secret, io.ErrUnexpectedEOF, 500, proof.ReasonInternal, true},
		{"code from afar", "/v/" + id + "/" + secret, is("new", "new_reason"), 500, "new_reason", true},
		{"unauthenticated", "/v/" + id + "/" + secret, is(proof.CodeUnauthenticated, proof.ReasonUnauthenticated), 403, proof.ReasonUnauthenticated, false},
		{"not an id", "/v/x.y/" + secret, nil, 404, proof.ReasonLinkEnded, false},
		{"not a secret", "/v/" + id + "/" + strings.Repeat("s", 129), nil, 404, proof.ReasonLinkEnded, false},
		{"not a phone secret", "/v/" + id + "/phone/a%20b", nil, 404, proof.ReasonLinkEnded, false},
		{"phone, wrong", "/v/" + id + "/phone/wrong", nil, 404, proof.ReasonLinkEnded, false},
		{"no cookie", "/v/" + id, nil, 403, proof.ReasonLinkUsed, false},
		{"nothing there", "/v/a/b/c/d", nil, 404, proof.ReasonLinkEnded, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(pending())
			g.err = c.err
			r := g.do("GET", c.path, "")
			page := text(t, r)
			if r.StatusCode != c.want || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				t.Errorf("%s %s", r.Status, r.Header.Get("Content-Type"))
			}
			if !strings.Contains(page, `data-status="error" data-reason="`+string(c.reason)+`"`) {
				t.Errorf("reason on the page:\n%s", page)
			}
			if got := slices.Contains(testids(page), "retry"); got != c.retry {
				t.Errorf("retry %v", got)
			}
			if strings.Contains(page, secret) || len(r.Cookies()) != 0 {
				t.Error("an error page holds the secret, or lets somebody in")
			}
		})
	}
	if r := newRig(with(pending(), func(v *journey.HandoffView) { v.Status = "new" })).do("GET", "/v/"+id, "", asBrowser); r.StatusCode != 500 {
		t.Errorf("unknown status: %s", r.Status)
	}
}

func TestStatus(t *testing.T) {
	phone := func(v *journey.HandoffView) { v.Phone, v.HandedOver = true, true }
	for _, c := range []struct {
		name string
		view journey.HandoffView
		err  error
		jar  string
		want int
	}{
		{"pending", pending(), nil, asBrowser, 200},
		{"in-progress", inProgress(), nil, asBrowser, 200},
		{"trouble", with(inProgress(), func(v *journey.HandoffView) { v.Reason = proof.ReasonUpstreamTimeout }), nil, asBrowser, 200},
		{"elsewhere", with(inProgress(), func(v *journey.HandoffView) { v.HandedOver = true }), nil, asBrowser, 200},
		{"phone", with(inProgress(), phone), nil, asBrowser, 200},
		{"verified", ended(proof.Verified, ""), nil, asBrowser, 200},
		{"verified-phone", with(ended(proof.Verified, ""), phone), nil, asBrowser, 200},
		{"failed", ended(proof.Failed, proof.ReasonDocumentExpired), nil, asBrowser, 200},
		{"expired", ended(proof.Expired, proof.ReasonTimeLimit), nil, asBrowser, 200},
		{"abandoned", ended(proof.Abandoned, proof.ReasonDeclined), nil, asBrowser, 200},
		{"unknown-status", with(pending(), func(v *journey.HandoffView) { v.Status = "new" }), nil, asBrowser, 500},
		{"unavailable", pending(), &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable}, asBrowser, 503},
		{"ended", pending(), &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}, asBrowser, 404},
		{"no-cookie", pending(), nil, "Accept: */*", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(c.view)
			g.blind = c.err
			r := g.do("GET", "/v/"+id+"/status", "", c.jar)
			if r.StatusCode != c.want || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s", r.Status, r.Header.Get("Content-Type"))
			}
			body := text(t, r)
			if strings.Contains(body, "SECRET") {
				t.Error("a secret in the status")
			}
			golden(t, "status-"+c.name+".json", []byte(body), "")
		})
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	g := newRig(inProgress())
	form := g.filled(t)
	for _, err := range []error{nil, io.ErrUnexpectedEOF, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable}, &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonLinkUsed}} {
		g.err = err
		g.blind = err
		for _, target := range []string{
			"GET /v/" + id, "GET /v/" + id + "/status", "GET /v/" + id + "/" + secret, "GET /v/" + id + "/phone/" + phoneSecret,
			"POST /v/" + id + "/consent", "POST /v/" + id + "/decline", "POST /v/" + id + "/phone",
		} {
			method, path, _ := strings.Cut(target, " ")
			body := ""
			if method == "POST" {
				body = form
			}
			g.do(method, path, body, asBrowser)
		}
	}
	if !strings.Contains(g.log.String(), `"reason":"unavailable"`) {
		t.Error("failures are not logged")
	}
	for _, bad := range []string{"SECRET", "example.com", "Acme", "token"} {
		if strings.Contains(g.log.String(), bad) {
			t.Errorf("the log holds %q:\n%s", bad, g.log)
		}
	}
}

func TestEveryReasonHasASentence(t *testing.T) {
	for _, r := range proof.Reasons() {
		if r.OfOperators() {
			continue
		}
		s, ok := pages.Explain(r)
		if !ok || !strings.HasSuffix(s.Say, ".") || !strings.HasSuffix(s.Hint, ".") {
			t.Errorf("%s: %+v", r, s)
		}
		for _, word := range []string{"MRZ", "engine", "upstream", "API", "token", "session", string(r) + " "} {
			if strings.Contains(s.String(), word) && strings.Contains(string(r), "_") {
				t.Errorf("%s: %q is no word for people", r, word)
			}
		}
		page := newRig(ended(proof.Failed, r)).page(t)
		if !strings.Contains(page, html.EscapeString(s.Say)) || !strings.Contains(page, `data-reason="`+string(r)+`"`) {
			t.Errorf("%s: sentence or code is not on the page", r)
		}
	}
	if s, ok := pages.Explain("never_heard_of"); ok || s.Say == "" {
		t.Errorf("unknown reason: %+v, %v", s, ok)
	}
}

func TestNewNeedsAnOrigin(t *testing.T) {
	for _, o := range []pages.Options{
		{PublicURL: "https://id.example.com"},
		{Proofing: &fake{}},
		{Proofing: &fake{}, PublicURL: "id.example.com"},
		{Proofing: &fake{}, PublicURL: "ftp://id.example.com"},
		{Proofing: &fake{}, PublicURL: "https://id.example.com/below"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("accepted %+v", o)
				}
			}()
			pages.New(o)
		}()
	}
	pages.New(pages.Options{Proofing: &fake{}, PublicURL: "https://id.example.com/"})
}

// FuzzForm: whatever is sent, nothing happens without this browser's token, and
// nothing that is sent comes back.
func FuzzForm(f *testing.F) {
	f.Add("consent", "token=x&consent=yes", cookie, "same-origin")
	f.Add("phone", "%zz&;=", "a.b", "")
	f.Add("decline", "token="+strings.Repeat("A", 43), "", "none")
	f.Fuzz(func(t *testing.T, path, body, jar, site string) {
		g := newRig(pending())
		r := httptest.NewRequest("POST", "/v/"+id+"/x", strings.NewReader(body))
		r.URL.Path = "/v/" + id + "/" + path
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", pages.CookieName+"="+jar)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if len(g.calls) != 0 || w.Code >= 500 || w.Code == 200 {
			t.Errorf("%d, calls %q", w.Code, g.calls)
		}
	})
}

func golden(t *testing.T, name string, got []byte, hint string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; %s\n got %s\nwant %s", path, hint, got, want)
	}
}
