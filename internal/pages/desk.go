package pages

import (
	_ "embed"
	"net/http"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

//go:embed desk.html
var deskHTML string

const (
	stepAsk     = "ask"
	stepConfirm = "confirm"
	stepSaid    = "said"
)

// Site serves the pages, and shows those that belong to no link for other doors.
type Site struct {
	http.Handler
	desk *door
}

var _ federation.Pages = (*Site)(nil)

func newSite(s *site, h http.Handler) *Site {
	return &Site{Handler: h, desk: &door{site: s, prefix: "/", object: "page", tmpl: parse(deskHTML), title: say("ask.title"), explain: Explain}}
}

// desk is what a page without a link shows.
type desk struct {
	frame
	Action, Alert, Button string
	Document              bool
	Fields                map[string]string // hidden
}

// show writes a page in which a form may lead to another origin: what the form asks for
// is done before a browser is sent there.
func (s *Site) show(w http.ResponseWriter, r *http.Request, status int, p *desk) {
	Guard(contentPolicy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.desk.write(w, r, status, p) })).ServeHTTP(w, r)
}

// Sorry says in one plain sentence what is the matter.
func (s *Site) Sorry(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	if status < http.StatusBadRequest {
		s.show(w, r, status, &desk{frame: frame{Step: stepSaid, Title: say("ask.title"), Heading: sentence}})
		return
	}
	p := &desk{frame: frame{Step: stepError, Title: say("ask.title"), Reason: proof.ReasonInvalidRequest, Sentence: Sentence{Say: sentence}}}
	if status >= http.StatusInternalServerError {
		p.Reason = proof.ReasonInternal
	}
	s.show(w, r, status, p)
}

// Who asks who somebody is, or how they want to go on.
func (s *Site) Who(w http.ResponseWriter, r *http.Request, v federation.WhoView) {
	p := &desk{
		frame: frame{
			Step: stepAsk, Title: say("ask.title"), Token: v.Token, Application: v.Application, MaskedAccount: v.MaskedAccount, ConsentText: v.ConsentText,
		},
		Action: v.Action, Alert: v.Trouble, Document: v.Document,
	}
	status := http.StatusOK
	if v.Trouble != "" {
		status = http.StatusUnprocessableEntity
	}
	s.show(w, r, status, p)
}

// Confirm asks for a click before a form is sent.
func (s *Site) Confirm(w http.ResponseWriter, r *http.Request, v federation.ConfirmView) {
	s.show(w, r, http.StatusOK, &desk{
		frame:  frame{Step: stepConfirm, Title: say("ask.title"), Heading: v.Heading, Message: v.Say},
		Action: v.Action, Button: v.Button, Fields: v.Fields,
	})
}

// Leave goes on to another origin by itself: a form of ours may not be redirected there.
func (s *Site) Leave(w http.ResponseWriter, r *http.Request, application, to string) {
	if !web(to) {
		s.Sorry(w, r, http.StatusInternalServerError, say("ask.nowhere"))
		return
	}
	s.show(w, r, http.StatusOK, &desk{frame: frame{
		Step: stepLeave, Title: say("ask.title"), Application: application, ReturnURL: to, Refresh: "0;url=" + to,
	}})
}
