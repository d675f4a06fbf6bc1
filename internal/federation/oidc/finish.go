package oidc

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// implicitLife is how long an ID token is good that comes without a code.
const implicitLife = 5 * time.Minute

// Finish ends a run: it sends the browser back to the client with a code, with an ID
// token in the profile that has it so, or with what err says. a is the Ask as Begin
// got it, answer the end of its run; one of answer and err is nil.
//
// The client is looked up again, and its addresses with it: what was configured when
// the run began may have been withdrawn.
func (p *Provider) Finish(w http.ResponseWriter, r *http.Request, a federation.Ask, answer *federation.Answer, err error) {
	c := p.client(a.Tenant, a.ClientID)
	if c == nil {
		p.Core.Sorry(w, r, http.StatusBadRequest, "The application that sent you here is not known any more.")
		return
	}
	a.Client = c
	var q request
	if json.Unmarshal(a.State, &q) != nil || !slices.Contains(c.OIDC.RedirectURIs, q.RedirectURI) || !landing(q.RedirectURI) {
		p.Core.Sorry(w, r, http.StatusBadRequest, "The address to which the application wants you to return is not one of its own.")
		return
	}
	if err != nil { // which whoever calls has written down
		p.tell(w, r, c, q, err)
		return
	}
	err = accept(a, q, answer)
	var give [][2]string
	if err == nil {
		give, err = p.give(r, a, q, answer)
	}
	if err != nil {
		p.fail(w, r, c, q, err)
		return
	}
	p.reply(w, r, c, q, give)
}

// accept checks that the answer is one to what was asked. Core has seen to most of it;
// where a mistake would let in the wrong person it is looked at twice.
func accept(a federation.Ask, q request, answer *federation.Answer) error {
	if answer == nil || answer.Session == "" || answer.Subject == "" || answer.Sub == "" {
		return errors.New("oidc: an answer about nobody")
	}
	// What the client has as its default is essential only where nothing was asked.
	essential := a.Essential || len(a.ACR) == 0 && a.Client.Essential && len(a.Client.DefaultACR) > 0
	if essential && !answer.Met {
		return refused(unmetRequirements, "the assurance that was asked for was not reached")
	}
	if a.HintSubject != "" && answer.Matched && answer.Subject != a.HintSubject {
		return refused(loginRequired, "somebody else signed in than the hint names")
	}
	claims, err := claimsFrom(q.Claims)
	if err != nil {
		return err
	}
	if q.ResponseType == typeIDToken {
		// The token will name the user whom Entra asked for, so that nobody else's face
		// will do.
		if !answer.Matched || answer.Identifier == "" || answer.Identifier != a.Hint {
			return refused(accessDenied, "the face of the user whom Entra asks for was not matched")
		}
		return nil
	}
	if sub := claims.sub(); sub != "" && sub != answer.Sub {
		return refused(loginRequired, "somebody else signed in than the claim sub names")
	}
	return nil
}

// give is what the client gets.
func (p *Provider) give(r *http.Request, a federation.Ask, q request, answer *federation.Answer) ([][2]string, error) {
	now := p.Now()
	if q.ResponseType == typeIDToken {
		payload, err := idToken(tokenInput{
			Client: a.Client, Request: q, Asked: a.ACR, Answer: answer, Issuer: p.issuer(a.Tenant), Now: now, TTL: implicitLife,
		})
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(payload)
		if err != nil {
			return nil, err
		}
		// Entra takes RS256 and nothing else.
		token, err := p.Keys.Sign(r.Context(), a.Tenant, cmp.Or(a.Client.OIDC.Alg, "RS256"), "JWT", b)
		return [][2]string{{"id_token", token}}, err
	}
	text, err := p.sealCode(a.Tenant, kindCode, code{
		ID: newSecret(), Client: a.Client.ID, Session: answer.Session, Request: q,
		ACR: answer.ACR, Asked: a.ACR, IssuedAt: now,
	})
	if err == nil && len(text) > maxCode {
		err = fmt.Errorf("oidc: a code of %d bytes", len(text))
	}
	return [][2]string{{"code", text}}, err
}

// fail writes down what is wrong, if it is ours, and tells the client.
func (p *Provider) fail(w http.ResponseWriter, r *http.Request, c *federation.Client, q request, err error) {
	p.trouble(r, c, err)
	p.tell(w, r, c, q, err)
}

// tell tells the client what is wrong (RFC 6749 section 4.1.2.1).
func (p *Provider) tell(w http.ResponseWriter, r *http.Request, c *federation.Client, q request, err error) {
	e := errorOf(err)
	if e.Code == invalidClient { // is for the token endpoint: here nobody authenticates
		e.Code = unauthorizedClient
	}
	give := [][2]string{{"error", e.Code}}
	if e.Description != "" {
		give = append(give, [2]string{"error_description", describe(e.Description)})
	}
	p.reply(w, r, c, q, give)
}

// reply sends the browser back with give, state as it came, and iss (RFC 9207). The
// caller has made sure that q.RedirectURI is the client's.
func (p *Provider) reply(w http.ResponseWriter, r *http.Request, c *federation.Client, q request, give [][2]string) {
	if q.HasState {
		give = append(give, [2]string{"state", string(q.State)})
	}
	give = append(give, [2]string{"iss", p.issuer(c.Tenant)})
	if q.ResponseMode == modePost && webAddress(q.RedirectURI) {
		p.post(w, r, c, q.RedirectURI, give)
		return
	}
	seeOther(w, withQuery(q.RedirectURI, give))
}

// withQuery adds parameters to an address and changes nothing else in it, since
// clients compare it.
func withQuery(uri string, give [][2]string) string {
	var b strings.Builder
	b.WriteString(uri)
	sep := byte('?')
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		sep = '&'
		if i == len(uri)-1 || uri[len(uri)-1] == '&' {
			sep = 0
		}
	}
	for _, g := range give {
		if sep != 0 {
			b.WriteByte(sep)
		}
		b.WriteString(url.QueryEscape(g[0]) + "=" + url.QueryEscape(g[1]))
		sep = '&'
	}
	return b.String()
}

func webAddress(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// The page of OAuth 2.0 Form Post Response Mode. Its one script and its one style are
// fixed, and the policy names their hashes, so that nothing else runs. Without a script
// the button does the same.
const (
	postScript = `document.forms[0].submit()`
	postStyle  = `body{font:1rem/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-content:center;text-align:center;color-scheme:light dark}` +
		`button{font:inherit;padding:.75rem 1.5rem;border-radius:.5rem;border:1px solid;cursor:pointer}`
)

var postPage = template.Must(template.New("post").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Returning to {{.Name}}</title>
<style>` + postStyle + `</style>
</head>
<body>
<main>
<p>Returning to <bdi>{{.Name}}</bdi></p>
<form method="post" action="{{.Action}}" data-testid="form-post">
{{- range .Fields}}
<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">
{{- end}}
<button data-testid="continue">Continue</button>
</form>
</main>
<script>` + postScript + `</script>
</body>
</html>
`))

var postPolicy = "default-src 'none'; script-src '" + source(postScript) + "'; style-src '" + source(postStyle) +
	"'; base-uri 'none'; frame-ancestors 'none'"

func source(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// post answers with a form that sends itself. The policy has no form-action: it would
// hold for where the client redirects to as well, which is not ours to know.
func (p *Provider) post(w http.ResponseWriter, r *http.Request, c *federation.Client, action string, give [][2]string) {
	var b strings.Builder
	err := postPage.Execute(&b, struct {
		Name   string
		Action template.URL // of a registered address: redirectOf
		Fields [][2]string
	}{cmp.Or(c.Name, c.ID), template.URL(action), give})
	if err != nil {
		p.trouble(r, c, &proof.Error{Code: proof.CodeInternal, Err: err})
		p.Core.Sorry(w, r, http.StatusInternalServerError, "Something went wrong on our side.")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", postPolicy)
	// Clients may look at Origin, which no-referrer would empty.
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex")
	w.WriteHeader(http.StatusOK)
	w.Write([]byte(b.String()))
}
