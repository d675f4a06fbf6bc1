package saml

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"html/template"
	"net/http"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// script is the only one that a page of ours may run.
const script = "document.forms[0].submit()"

var scriptHash = func() string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// form is a page that sends itself on.
type form struct {
	Title, Button string
	To            string // address
	Fields        []field
}

type field struct{ Name, Value string }

var formPage = template.Must(template.New("form").Parse(`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title></head>
<body>
<main><h1>{{.Title}}</h1>
<form method="post" {{.Action}}>
{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<p><button type="submit">{{.Button}}</button></p>
</form></main>
<script>` + script + `</script>
</body>
</html>
`))

// Action is the attribute, escaped: in an address, html/template would spell some
// characters differently, and a registered one stays as it is.
func (f form) Action() template.HTMLAttr {
	return template.HTMLAttr(`action="` + html.EscapeString(f.To) + `"`)
}

// schemes are where the form, and what answers it, may lead. Chromium holds
// form-action against redirects, too (measured with 156): with the origin of the
// service provider alone, nobody would get from there to the application.
func (f form) schemes() string {
	if strings.HasPrefix(f.To, "https:") {
		return "https:"
	}
	return "http: https:"
}

// post sends the browser to the service provider with a response (bindings 3.5).
func (p *Provider) post(w http.ResponseWriter, r *http.Request, a federation.Ask, s state, xml string) {
	fields := []field{{"SAMLResponse", base64.StdEncoding.EncodeToString([]byte(xml))}}
	if s.Relay != "" {
		fields = append(fields, field{"RelayState", s.Relay})
	}
	p.form(w, r, form{"Back to the application …", "Continue", s.ACS, fields})
}

// again has the browser post the same request once more, from here.
func (p *Provider) again(w http.ResponseWriter, r *http.Request, tenant string, m *message) {
	fields := []field{{"SAMLRequest", base64.StdEncoding.EncodeToString(m.xml)}, {"again", "1"}}
	if m.relay != "" {
		fields = append(fields, field{"RelayState", m.relay})
	}
	if m.hint != "" {
		fields = append(fields, field{"login_hint", m.hint})
	}
	p.form(w, r, form{"One moment …", "Continue", p.ssoURL(tenant), fields})
}

func (p *Provider) form(w http.ResponseWriter, r *http.Request, f form) {
	var body bytes.Buffer
	if err := formPage.Execute(&body, f); err != nil {
		p.refuse(w, r, nil, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src "+scriptHash+"; form-action "+f.schemes()+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "strict-origin") // the address holds the request; an Origin of null is refused by some
	w.Write(body.Bytes())
}
