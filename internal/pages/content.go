package pages

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// The steps a page can be in; see the drawing in doc.go.
const (
	stepConsent   = "consent"
	stepContinue  = "continue"
	stepQR        = "qr" // shown over continue or elsewhere; the status never says it
	stepElsewhere = "elsewhere"
	stepDone      = "done"
	stepError     = "error"
)

// step says in which step the page of a browser is; "" for a status that we do
// not know, which is an error.
func step(v journey.HandoffView) string {
	switch {
	case v.Status.Terminal():
		return stepDone
	case v.Status != proof.Pending && v.Status != proof.InProgress:
		return ""
	case v.HandedOver && !v.Phone:
		return stepElsewhere
	case v.Status == proof.Pending:
		return stepConsent
	}
	return stepContinue
}

// sentence says how a verification ended.
func sentence(v journey.HandoffView) Sentence {
	if v.Status == proof.Verified {
		return verified
	}
	s, _ := Explain(v.Reason)
	return s
}

// message is the one line of status, at any step.
func message(v journey.HandoffView) string {
	switch {
	case v.Status.Terminal():
		return sentence(v).String()
	case v.Status == proof.InProgress && v.Reason != "":
		return say("status.trouble")
	case v.HandedOver && !v.Phone:
		return say("status.phone")
	case v.Status == proof.Pending:
		return say("status.consent")
	}
	return say("status.photos")
}

// next is where the browser goes at the end: nowhere from a phone that took
// over, since the login waits where the person began.
func next(v journey.HandoffView) string {
	if v.Phone || !v.Status.Terminal() || !web(v.ReturnURL) {
		return ""
	}
	return v.ReturnURL
}

// content is what the template shows.
type content struct {
	Step   string
	Behind string // the step under the code for the phone
	At     int    // 1 to 3: which of the steps that the person sees
	Follow bool   // the page follows the status

	CSS, JS, Host, PrivacyURL string
	Title, Refresh            string
	Home                      string // /v/{id}; empty on an error page that belongs to none
	Token                     string

	Application, MaskedAccount string
	Status                     string
	Reason                     proof.Reason
	Message, Heading           string
	Sentence                   Sentence
	Alert, Retry               string

	Processor, Retention, Ends string
	CollectFace                string // key of a text
	Documents, Document        string
	Choose                     bool
	Choices                    []choice
	ConsentVersion             string

	UpstreamURL, ReturnURL string
	ReturnAfter            int // seconds
	Phone                  bool
	QR                     *qrCode
}

// choice is a document that the person may use.
type choice struct {
	Type       proof.DocumentType
	Name, Hint string
	Chosen     bool
}

func (s *site) content(v journey.HandoffView, browser string) *content {
	c := &content{
		Step: step(v), Home: "/v/" + v.ID, Token: formToken(v.ID, browser),
		Application: v.Application, MaskedAccount: v.MaskedAccount,
		Status: string(v.Status), Reason: v.Reason, Message: message(v),
		Processor: s.Processor, ConsentVersion: ConsentVersion, Phone: v.Phone,
	}
	if c.Application == "" {
		c.Application = say("application")
	}
	c.Title = say("title", c.Application)
	switch c.Step {
	case stepConsent:
		c.At = 1
		s.terms(c, v)
	case stepContinue, stepElsewhere:
		c.At = 2
		if v.DocumentType.Valid() {
			c.Document = say("doc." + string(v.DocumentType))
		}
		if web(v.UpstreamURL) {
			c.UpstreamURL = v.UpstreamURL
		}
	case stepDone:
		c.At = 3
		c.Sentence, c.Heading = sentence(v), say("done."+string(v.Status))
		c.ReturnURL, c.ReturnAfter = next(v), returnOther
		if v.Status == proof.Verified {
			c.ReturnAfter = returnVerified
		}
	}
	c.Follow = !v.Status.Terminal()
	if c.Follow && c.Step != stepConsent { // a refresh would undo what was ticked
		c.Refresh = refreshEvery
	}
	return c
}

// terms fills in what the person agrees to.
func (s *site) terms(c *content, v journey.HandoffView) {
	var names []string
	for _, t := range v.DocumentTypes {
		if !t.Valid() {
			continue
		}
		key := "doc." + string(t)
		names = append(names, say(key))
		c.Choices = append(c.Choices, choice{Type: t, Name: say(key + ".1"), Hint: say(key + ".hint")})
	}
	c.Documents = strings.Join(names, say("doc.or"))
	c.Choose = v.ChoiceNeeded && len(c.Choices) > 1
	if len(c.Choices) == 1 {
		c.Choices[0].Chosen = true
	}
	switch v.Liveness {
	case proof.LivenessNone:
		c.CollectFace = "collect.none"
	case proof.LivenessPassive:
		c.CollectFace = "collect.passive"
	default:
		c.CollectFace = "collect.active"
	}
	switch {
	case s.RetentionText != "":
		c.Retention = s.RetentionText
	case s.Retention < 0:
		c.Retention = say("keep.unknown", s.Processor, c.Application)
	case s.Retention == 0:
		c.Retention = say("keep.none")
	default:
		c.Retention = say("keep.for", span(s.Retention))
	}
	if left := v.ExpiresAt.Sub(s.Now()); left > time.Minute {
		c.Ends = say("consent.ends", span(left))
	}
}

func (s *site) show(w http.ResponseWriter, r *http.Request, code int, v journey.HandoffView, c *content) {
	if c.Step == "" {
		s.Logger.ErrorContext(r.Context(), "pages: unknown status", "verification", v.ID, "status", v.Status)
		s.refuse(w, r, http.StatusInternalServerError, proof.ReasonInternal, internal, "/v/"+v.ID)
		return
	}
	s.write(w, r, code, c)
}

// write fills the template before it sends a byte, so that a page is sent whole
// or not at all.
func (s *site) write(w http.ResponseWriter, r *http.Request, code int, c *content) {
	c.CSS, c.JS, c.Host, c.PrivacyURL = s.css, s.js, s.origin.Host, s.PrivacyURL
	var page bytes.Buffer
	if err := s.tmpl.Execute(&page, c); err != nil {
		s.Logger.ErrorContext(r.Context(), "pages: template", "error", err)
		http.Error(w, internal.String(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	w.Write(page.Bytes())
}

// qrCode is a link as a picture. Path draws the dark modules, one unit each, in
// a square of Size units with the quiet zone that readers need.
type qrCode struct {
	Link    string
	Size    int
	Path    string
	Seconds int    // how long the link is good
	Good    string // the same in words
}

const quiet = 4 // modules: ISO/IEC 18004, 6.3.8

func drawQR(link string) (*qrCode, error) {
	code, err := qr.Encode(link, qr.M)
	if err != nil {
		return nil, err
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
	return &qrCode{Link: link, Size: code.Size + 2*quiet, Path: string(path)}, nil
}
