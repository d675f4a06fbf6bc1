package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzAuthorizeQuery: whatever a query says, a browser is sent to a registered
// address, with nothing but a query more, or to a page of ours.
func FuzzAuthorizeQuery(f *testing.F) {
	for _, v := range []url.Values{
		asking("rp"), asking("plain", "code_challenge", "-"), asking("rp", "redirect_uri", frontApp), asking("rp", "redirect_uri", frontQuery, "scope", "x"),
		asking("rp", "redirect_uri", "https://rp.example.com@evil.example/cb"), asking("rp", "response_mode", "form_post"),
		asking("rp", "redirect_uri", "javascript:alert(1)//"), asking("rp", "redirect_uri", "//evil.example"), asking("rp", "state", "\r\nLocation: x"),
		asking("rp", "request_uri", "urn:ietf:params:oauth:request_uri:x"), asking("rp", "claims", `{"id_token":{"acr":{"essential":true}}}`),
	} {
		f.Add(v.Encode(), true)
		f.Add(v.Encode(), false)
	}
	f.Add("client_id=rp&client_id=other&redirect_uri="+url.QueryEscape(frontBack), false)
	f.Add("client_id=rp&redirect_uri="+url.QueryEscape(frontBack)+"&redirect_uri=https://evil.example", false)
	f.Add("client_id=rp;redirect_uri=https://evil.example", true)
	registered := []string{frontBack, frontQuery, frontApp}
	f.Fuzz(func(t *testing.T, query string, session bool) {
		w := frontWorld()
		if session {
			w.answered()
		}
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, authorizePath, strings.NewReader(query))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if method == http.MethodGet {
				r = httptest.NewRequest(method, authorizePath, nil)
				r.URL.RawQuery = query
			}
			rec := httptest.NewRecorder()
			w.http.ServeHTTP(rec, r)
			g := went{rec.Code, rec.Header(), rec.Header().Get("Location"), rec.Body.String()}
			switch {
			case g.to == "/c/1" && g.status == http.StatusSeeOther:
			case g.to == "" && g.status >= 400 && strings.HasPrefix(g.body, "sorry: "):
			case g.to == "" && g.status == http.StatusOK:
				if action, _ := g.posted(t); action != frontBack && action != frontQuery {
					t.Errorf("a form goes to %q", action)
				}
			case g.to != "" && g.status == http.StatusSeeOther:
				if !slices.ContainsFunc(registered, func(u string) bool {
					rest, ok := strings.CutPrefix(g.to, u)
					return ok && (strings.HasPrefix(rest, "?") || strings.Contains(u, "?") && strings.HasPrefix(rest, "&")) && !strings.ContainsAny(rest, "#\r\n \\")
				}) {
					t.Errorf("sent to %q", g.to)
				}
			default:
				t.Errorf("%s: %d to %q: %.300s", method, g.status, g.to, g.body)
			}
		}
	})
}
