package pages_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const backTo = "https://app.example/login?descope-login-flow=f%7C%23%7Ce_1.end&code=exchange-SECRET"

// crossing is one of the two pages, at the end of what a Descope flow sent the
// browser for.
type crossing struct {
	*rig
	home     string
	redirect *string
	fails    *error
	request  *string
	calls    *[]string
}

// crossings runs a test on both pages.
func crossings(t *testing.T, way journey.WayBack, lost proof.Reason, good bool, f func(*testing.T, crossing)) {
	t.Helper()
	t.Run("verification", func(t *testing.T) {
		status, reason := proof.Failed, proof.ReasonFaceMismatch
		if good {
			status, reason = proof.Verified, ""
		}
		g := newRig(with(ended(status, reason), func(v *journey.HandoffView) { v.ReturnURL, v.WayBack, v.Lost = "", way, lost }))
		f(t, crossing{g, "/v/" + id, &g.redirect, &g.err, &g.request, &g.calls})
	})
	t.Run("challenge", func(t *testing.T) {
		status, reason := proof.ChallengeNoMatch, proof.ReasonFaceMismatch
		if good {
			status, reason = proof.ChallengeMatch, ""
		}
		g := newStage(but(over(status, reason), func(v *journey.ChallengeView) { v.ReturnURL, v.WayBack, v.Lost = "", way, lost }))
		c := g.fakeChallenges
		f(t, crossing{g.rig, "/c/" + cid, &c.redirect, &c.err, &c.request, &c.calls})
	})
}

func (c crossing) page(t *testing.T) string {
	t.Helper()
	r := c.do("GET", c.home, "", asBrowser)
	if r.StatusCode != 200 {
		t.Fatalf("page: %s", r.Status)
	}
	return text(t, r)
}

func (c crossing) form(t *testing.T) string {
	t.Helper()
	m := tokenField.FindStringSubmatch(c.page(t))
	if m == nil {
		t.Fatal("no token on the page")
	}
	return url.Values{"token": {m[1]}}.Encode()
}

var (
	afterField   = regexp.MustCompile(`<form [^>]*action="([^"]+)"(?: data-after="(\d+)")?>`)
	leaveLink    = regexp.MustCompile(`<a [^>]*href="([^"]+)"[^>]*data-testid="leave"[^>]*>`)
	refreshField = regexp.MustCompile(`<noscript><meta http-equiv="refresh" content="([^"]+)"></noscript>`)
)

func TestTheWayBackOnThePage(t *testing.T) {
	for name, c := range map[string]struct {
		way   journey.WayBack
		lost  proof.Reason
		good  bool
		after string // seconds; "-" for a form that waits for a click, "" for none
		ids   []string
		words string
	}{
		"good":           {journey.WayBackOpen, "", true, "3", []string{"return"}, ""},
		"bad":            {journey.WayBackOpen, "", false, "8", []string{"return"}, ""},
		"tried before":   {journey.WayBackAgain, "", true, "-", []string{"return"}, ""},
		"stays":          {journey.WayBackStay, "", false, "", []string{"stayed"}, "Go back to the application to go on from there."},
		"refused":        {journey.WayBackLost, proof.ReasonDescopeRefused, true, "", []string{"lost"}, "The application does not wait for you any more, so we cannot take you back. You cannot"},
		"unheard":        {journey.WayBackLost, proof.ReasonDescopeUnavailable, true, "", []string{"lost"}, "The application did not answer. You cannot"},
		"late":           {journey.WayBackLost, proof.ReasonTimeLimit, true, "", []string{"lost"}, "The application waits no longer. You cannot"},
		"used":           {journey.WayBackLost, proof.ReasonChallengeUsed, true, "", []string{"lost"}, "The application waits no longer. You cannot"},
		"purged":         {journey.WayBackLost, proof.ReasonDataPurged, true, "", []string{"lost"}, "has been deleted, as promised. You cannot"},
		"not allowed":    {journey.WayBackLost, proof.ReasonNotAllowed, true, "", []string{"lost"}, "You cannot be taken back from here."},
		"no round trip":  {journey.WayBackNone, "", true, "", nil, "You can close this page."},
		"something else": {journey.WayBack("new"), "", true, "", nil, "You can close this page."},
	} {
		t.Run(name, func(t *testing.T) {
			crossings(t, c.way, c.lost, c.good, func(t *testing.T, g crossing) {
				page := g.page(t)
				var ids []string
				for _, i := range testids(page) {
					if slices.Contains([]string{"return", "stayed", "lost"}, i) {
						ids = append(ids, i)
					}
				}
				if !slices.Equal(ids, c.ids) || !strings.Contains(page, c.words) {
					t.Errorf("%v, want %v and %q:\n%s", ids, c.ids, c.words, page)
				}
				if c.lost != "" && !strings.Contains(page, `data-reason="`+string(c.lost)+`"`) {
					t.Errorf("no reason %s", c.lost)
				}
				m := afterField.FindStringSubmatch(page)
				switch {
				case c.after == "":
					if m != nil {
						t.Errorf("a form: %s", m[0])
					}
				case m == nil || m[1] != g.home+"/return":
					t.Errorf("no form: %v", m)
				case c.after == "-" && m[2] != "" || c.after != "-" && m[2] != c.after:
					t.Errorf("goes by itself after %q, want %q", m[2], c.after)
				}
				if m := refreshField.FindStringSubmatch(page); m != nil {
					t.Errorf("without JavaScript it goes on by itself: %s", m[0])
				}
				var next struct {
					NextURL string `json:"next_url"`
				}
				if err := json.NewDecoder(g.do("GET", g.home+"/status", "", asBrowser).Body).Decode(&next); err != nil {
					t.Fatal(err)
				}
				if next.NextURL != "" || len(*g.calls) != 0 {
					t.Errorf("the status leads to %q, calls %q", next.NextURL, *g.calls)
				}
			})
		})
	}
}

// A phone that took over goes nowhere, whatever the view says.
func TestAPhoneHasNoWayBack(t *testing.T) {
	g := newRig(with(ended(proof.Verified, ""), func(v *journey.HandoffView) { v.ReturnURL, v.WayBack, v.Phone = "", journey.WayBackOpen, true }))
	if page := g.page(t); strings.Contains(page, "/return") || strings.Contains(page, "data-after") {
		t.Errorf("%s", page)
	}
	c := newStage(but(over(proof.ChallengeMatch, ""), func(v *journey.ChallengeView) { v.ReturnURL, v.WayBack, v.Phone = "", journey.WayBackOpen, true }))
	if page := c.page(t); strings.Contains(page, "/return") || strings.Contains(page, "data-after") {
		t.Errorf("%s", page)
	}
}

// The answer to the form is a page that leads there with JavaScript, without, and
// by a click. The address stands on no other answer, and in no log.
func TestGoingBack(t *testing.T) {
	crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
		*g.redirect = backTo
		r := g.do("POST", g.home+"/return", g.form(t), asBrowser, "Sec-Fetch-Site: same-origin")
		page := text(t, r)
		if r.StatusCode != 200 || r.Header.Get("Location") != "" || r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Fatalf("%s %v", r.Status, r.Header)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self'") || strings.Contains(csp, "app.example") {
			t.Errorf("policy %q", csp)
		}
		link, refresh := leaveLink.FindStringSubmatch(page), refreshField.FindStringSubmatch(page)
		if link == nil || html.UnescapeString(link[1]) != backTo || !strings.Contains(link[0], `data-after="0"`) {
			t.Errorf("link %v", link)
		}
		if refresh == nil || html.UnescapeString(refresh[1]) != "0;url="+backTo {
			t.Errorf("refresh %v", refresh)
		}
		if !strings.Contains(page, `data-step="leave"`) || !strings.Contains(page, `data-home="`+g.home+`"`) || strings.Contains(page, "data-follow") {
			t.Errorf("%s", page)
		}
		if !slices.Equal(*g.calls, []string{"return"}) {
			t.Errorf("calls %q", *g.calls)
		}
		for _, path := range []string{"", "/status"} {
			if body := text(t, g.do("GET", g.home+path, "", asBrowser)); strings.Contains(body, "exchange-SECRET") {
				t.Errorf("%s tells the address: %s", path, body)
			}
		}
		// Loading the form's address again is no second return.
		r = g.do("GET", g.home+"/return", "", asBrowser)
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != g.home || len(*g.calls) != 1 {
			t.Errorf("%s to %q, calls %q", r.Status, r.Header.Get("Location"), *g.calls)
		}
		if log := g.log.String(); strings.Contains(log, "SECRET") {
			t.Errorf("logged %s", log)
		}
	})
}

// What is no address for a browser leads nowhere; what is one stays in its attribute.
func TestOddAddressesBack(t *testing.T) {
	crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
		for _, to := range []string{"", "/login", "//app.example/", "javascript:alert(1)", "data:text/html,x", "https:", "app://x"} {
			*g.redirect = to
			r := g.do("POST", g.home+"/return", g.form(t), asBrowser)
			if page := text(t, r); r.StatusCode != 500 || to != "" && strings.Contains(page, to) && to != "/login" || leaveLink.MatchString(page) || refreshField.MatchString(page) {
				t.Errorf("%q: %s\n%s", to, r.Status, page)
			}
		}
		*g.redirect = `https://app.example/?a="><script>alert(1)</script>&b=';url=javascript:alert(1)`
		page := text(t, g.do("POST", g.home+"/return", g.form(t), asBrowser))
		if strings.Contains(page, "<script>alert") || strings.Count(page, "<script") != 1 {
			t.Errorf("%s", page)
		}
		link := leaveLink.FindStringSubmatch(page)
		if link == nil {
			t.Fatalf("no link:\n%s", page)
		}
		if u, err := url.Parse(html.UnescapeString(link[1])); err != nil || u.Scheme != "https" || u.Host != "app.example" {
			t.Errorf("%s %v", link[1], err)
		}
	})
}

func TestNotGoingBack(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		reason proof.Reason
		again  bool
		after  string
	}{
		"refused":   {&proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonDescopeRefused}, 502, proof.ReasonDescopeRefused, false, ""},
		"unheard":   {&proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, RetryAfter: 24500 * time.Millisecond}, 503, proof.ReasonDescopeUnavailable, true, "25"},
		"lost":      {&proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonDataPurged}, 403, proof.ReasonDataPurged, false, ""},
		"a phone's": {&proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}, 404, proof.ReasonLinkEnded, false, ""},
		"erased":    {&proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonErased}, 403, proof.ReasonErased, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
				form := g.form(t)
				*g.redirect, *g.fails = backTo, c.err
				r := g.do("POST", g.home+"/return", form, asBrowser)
				page := text(t, r)
				if r.StatusCode != c.status || r.Header.Get("Retry-After") != c.after || !strings.Contains(page, `data-reason="`+string(c.reason)+`"`) ||
					strings.Contains(page, `data-testid="retry"`) != c.again || strings.Contains(page, "SECRET") {
					t.Errorf("%s, Retry-After %q:\n%s", r.Status, r.Header.Get("Retry-After"), page)
				}
			})
		})
	}
	t.Run("not over", func(t *testing.T) {
		crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
			form := g.form(t)
			*g.fails = &proof.Error{Code: proof.CodeConflict}
			r := g.do("POST", g.home+"/return", form, asBrowser)
			if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != g.home {
				t.Errorf("%s to %q", r.Status, r.Header.Get("Location"))
			}
		})
	})
}

// Only our own form in this browser takes anybody back.
func TestReturnsFromElsewhereAreRefused(t *testing.T) {
	crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
		*g.redirect = backTo
		form := g.form(t)
		for name, c := range map[string]struct {
			body    string
			headers []string
		}{
			"no token":       {"x=y", []string{asBrowser}},
			"a wrong token":  {"token=x", []string{asBrowser}},
			"another site":   {form, []string{asBrowser, "Sec-Fetch-Site: cross-site"}},
			"another origin": {form, []string{asBrowser, "Origin: https://evil.example"}},
			"no cookie":      {form, nil},
		} {
			r := g.do("POST", g.home+"/return", c.body, c.headers...)
			if body := text(t, r); r.StatusCode != http.StatusForbidden || strings.Contains(body, "exchange-SECRET") || len(*g.calls) != 0 {
				t.Errorf("%s: %s, calls %q", name, r.Status, *g.calls)
			}
		}
	})
}

// Of what an address brings besides the link's secret, one thing counts, and only
// if it can be what Descope adds.
func TestWhatAnAddressBrings(t *testing.T) {
	for query, want := range map[string]string{
		"":                                   "",
		"external_auth_req_id=abc":           "abc",
		"a=b&external_auth_req_id=abc&c=%zz": "abc",
		"external_auth_req_id=a%7C%23%7Cb%2Bc%3D":               "a|#|b+c=",
		"external_auth_req_id=a+b":                              "a+b",
		"external%5Fauth_req_id=abc":                            "abc",
		"external_auth_req_id=":                                 "",
		"external_auth_req_id":                                  "",
		"external_auth_req_id=a%20b":                            "",
		"external_auth_req_id=a%00b":                            "",
		"external_auth_req_id=%zz":                              "",
		"external_auth_req_id=%C3%A9":                           "",
		"external_auth_req_id=%3Cscript%3E":                     "",
		"external_auth_req_id=abc&external_auth_req_id=abc":     "",
		"external_auth_req_id=abc&external_auth_req%5Fid=thief": "",
		"External_Auth_Req_Id=abc":                              "",
		"loginId=mallory%40example.com&login_id=m&external_auth_req_id=abc&user_identifier=mallory&login_hint=mallory": "abc",
		"external_auth_req_id=" + strings.Repeat("x", 512):                                                             strings.Repeat("x", 512),
		"external_auth_req_id=" + strings.Repeat("x", 513):                                                             "",
	} {
		crossings(t, journey.WayBackOpen, "", true, func(t *testing.T, g crossing) {
			*g.request = "untouched"
			r := g.do("GET", g.home+"/"+secret+"?"+query, "")
			if *g.request != want {
				t.Errorf("%.80s: %.80q, want %.80q", query, *g.request, want)
			}
			if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != g.home {
				t.Errorf("%.80s: %s to %q: what was brought is to leave the address bar", query, r.Status, r.Header.Get("Location"))
			}
			if calls := strings.Join(*g.calls, " ") + g.log.String(); strings.Contains(calls, "mallory") {
				t.Errorf("%s", calls)
			}
		})
	}
}

// The link of a round trip that somebody was given to click opens nothing, and says
// where it belongs.
func TestALinkWithoutItsFlow(t *testing.T) {
	crossings(t, journey.WayBackNone, "", true, func(t *testing.T, g crossing) {
		*g.fails = &proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonLinkPart}
		r := g.do("GET", g.home+"/"+secret, "")
		page := text(t, r)
		if r.StatusCode != 400 || len(r.Cookies()) != 0 || !strings.Contains(page, "This link opens only from within the sign-in that it belongs to.") ||
			!strings.Contains(page, `data-reason="link_incomplete"`) || strings.Contains(page, secret) {
			t.Errorf("%s, cookies %v:\n%s", r.Status, r.Cookies(), page)
		}
	})
}
