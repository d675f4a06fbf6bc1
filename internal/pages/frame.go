package pages

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"

	"rsc.io/qr"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Steps that both pages know; see the drawings in doc.go.
const (
	stepQR        = "qr" // shown over another step; the status never says it
	stepElsewhere = "elsewhere"
	stepDone      = "done"
	stepError     = "error"
)

const (
	returnGood  = 3 // seconds until the page returns by itself
	returnOther = 8 // the same when there is a hint to be read first
)

// frame is what a template shows on every page.
type frame struct {
	Step    string
	Behind  string // the step under the link for the phone
	Follow  bool   // the page follows the status
	Session string // which upstream session is shown, where one follows another

	CSS, JS, Host, PrivacyURL string
	Title                     string
	Refresh                   string // seconds, where JavaScript is off
	Home                      string // where the page is; empty on an error page
	Token                     string

	Application, MaskedAccount string
	ConsentText                string // a sentence of the application's own; may be empty
	Status                     string
	Reason                     proof.Reason
	Message, Heading           string
	Sentence                   Sentence
	Retry                      string // where trying again leads
	Again                      bool   // trying again is to load the same address, which may hold a secret and is not named

	Processor   string
	UpstreamURL string
	ReturnURL   string // where the browser goes at the end; empty before
	ReturnAfter int    // seconds
	Phone       bool   // this is the phone that took over
	Back        journey.WayBack
	Lost        string // with journey.WayBackLost: why
	LostReason  proof.Reason

	PhoneLink string // by which a phone takes over
	TypeOnly  bool   // it is for typing: there is another code, and two would confuse
	Seconds   int    // how long it is good
	Good      string // the same in words
}

// shown is what a page shows: a frame and what is its own.
type shown interface{ base() *frame }

func (p *frame) base() *frame { return p }

// end fills in the last step. A phone that took over goes nowhere, since the
// login waits where the person began.
func (p *frame) end(heading string, s Sentence, good bool, returnURL string) {
	p.Heading, p.Sentence, p.ReturnAfter = heading, s, returnOther
	if good {
		p.ReturnAfter = returnGood
	}
	if !p.Phone && web(returnURL) {
		p.ReturnURL = returnURL
	}
}

// Code draws a link for a camera; nil if the link is too long for that.
func (p *frame) Code(link string) *qrCode {
	code, err := qr.Encode(link, qr.M)
	if err != nil {
		return nil
	}
	path := make([]byte, 0, 8<<10)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				path = fmt.Appendf(path, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	return &qrCode{Size: code.Size + 2*quiet, Path: string(path)}
}

// qrCode is a link as a picture. Path draws the dark modules, one unit each, in
// a square of Size units with the quiet zone that readers need.
type qrCode struct {
	Size int
	Path string
}

const quiet = 4 // modules: ISO/IEC 18004, 6.3.8

//go:embed page.html
var frameHTML string

// parse joins the frame with the template of a page.
func parse(page string) *template.Template {
	return template.Must(template.Must(template.New("frame").Funcs(template.FuncMap{"t": tell}).Parse(frameHTML)).Parse(page))
}

// write fills the template before it sends a byte, so that a page is sent whole
// or not at all.
func (d *door) write(w http.ResponseWriter, r *http.Request, code int, page shown) {
	p := page.base()
	p.CSS, p.JS, p.Host, p.PrivacyURL = d.css, d.js, d.origin.Host, d.PrivacyURL
	var body bytes.Buffer
	if err := d.tmpl.Execute(&body, page); err != nil {
		d.Logger.ErrorContext(r.Context(), "pages: template", "error", err)
		http.Error(w, internal.String(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	w.Write(body.Bytes())
}
