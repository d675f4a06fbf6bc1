package pages

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Proofing is what the hand-off page needs of the core. Errors are
// *proof.Error, whose reason decides what a person reads. journey.Service
// implements it.
type Proofing interface {
	// Open lets a browser in by the secret of the link. browser is the value of
	// its cookie, "" if it has none; the returned value is what the cookie is to
	// have from now on. request is the external_auth_req_id of the address, "" if
	// it has none that could be one.
	Open(ctx context.Context, id, secret, browser, request string) (journey.HandoffView, string, error)
	// View is what a browser that was let in may know now.
	View(ctx context.Context, id, browser string) (journey.HandoffView, error)
	// Consent records consent and opens the upstream session. t is empty when
	// the person had nothing to choose.
	Consent(ctx context.Context, id, browser string, t proof.DocumentType) (journey.HandoffView, error)
	// Decline ends the verification.
	Decline(ctx context.Context, id, browser string) (journey.HandoffView, error)
	// Handover makes the secret of a link by which one phone can take over.
	Handover(ctx context.Context, id, browser string) (secret string, expires time.Time, err error)
	// OpenHandover lets that phone in, and returns the value of its cookie. A
	// browser that is in already keeps its own.
	OpenHandover(ctx context.Context, id, secret, browser string) (journey.HandoffView, string, error)
	// Return takes the browser that opened the link back into the Descope flow: to
	// this address, which is a secret.
	Return(ctx context.Context, id, browser string) (redirectURL string, err error)
}

// The steps that only the hand-off page has.
const (
	stepConsent  = "consent"
	stepContinue = "continue"
)

//go:embed handoff.html
var handoffHTML string

// handoff is the page at /v/{id}.
type handoff struct{ *door }

func (s *site) handoff(mux *http.ServeMux) {
	d := &door{
		site: s, prefix: "/v/", object: "verification", tmpl: parse(handoffHTML), title: say("title.error"),
		noEntry: Sentence{say("cookie"), say("cookie.2")}, explain: Explain,
	}
	h := handoff{d}
	d.room = h
	mux.HandleFunc("GET /v/{id}/phone/{secret}", func(w http.ResponseWriter, r *http.Request) {
		d.enter(w, r, r.PathValue("id"), r.PathValue("secret"), h.openPhone)
	})
	d.serve(mux, map[string]formHandler{"consent": h.consent})
}

func (h handoff) open(r *http.Request, id, secret string) (cookie string, err error) {
	_, cookie, err = h.Proofing.Open(r.Context(), id, secret, browser(r), externalRequest(r))
	return cookie, err
}

func (h handoff) openPhone(r *http.Request, id, secret string) (cookie string, err error) {
	_, cookie, err = h.Proofing.OpenHandover(r.Context(), id, secret, browser(r))
	return cookie, err
}

func (h handoff) decline(ctx context.Context, id, browser string) error {
	_, err := h.Proofing.Decline(ctx, id, browser)
	return err
}

func (h handoff) back(ctx context.Context, id, browser string) (string, error) {
	return h.Proofing.Return(ctx, id, browser)
}

func (h handoff) phone(_ http.ResponseWriter, r *http.Request, id, browser string) (path string, expires time.Time, err error) {
	secret, expires, err := h.Proofing.Handover(r.Context(), id, browser)
	return "/v/" + id + "/phone/" + secret, expires, err
}

func (h handoff) look(ctx context.Context, id, browser string) (shown, error) {
	v, err := h.Proofing.View(ctx, id, browser)
	if err != nil {
		return nil, err
	}
	c := h.content(v, browser)
	if c.Step == "" {
		return nil, &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Err: fmt.Errorf("unknown status %q", v.Status)}
	}
	return c, nil
}

// handoffStep says in which step the page of a browser is; "" for a status that
// we do not know, which is an error.
func handoffStep(v journey.HandoffView) string {
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

// handoffSentence says how a verification ended.
func handoffSentence(v journey.HandoffView) Sentence {
	if v.Status == proof.Verified {
		return verified
	}
	s, _ := Explain(v.Reason)
	return s
}

// handoffMessage is the one line of status, at any step.
func handoffMessage(v journey.HandoffView) string {
	switch {
	case v.Status.Terminal():
		return handoffSentence(v).String()
	case v.Status == proof.InProgress && v.Reason != "":
		return say("status.trouble")
	case v.HandedOver && !v.Phone:
		return say("status.phone")
	case v.Status == proof.Pending:
		return say("status.consent")
	}
	return say("status.photos")
}

// handoffContent is what the template shows.
type handoffContent struct {
	frame
	At int // 1 to 3: which of the steps that the person sees

	Alert               string
	Retention, Ends     string
	CollectFace         string // key of a text
	Documents, Document string
	Choose              bool
	Choices             []choice
	ConsentVersion      string
}

// choice is a document that the person may use.
type choice struct {
	Type       proof.DocumentType
	Name, Hint string
	Chosen     bool
}

func (h handoff) content(v journey.HandoffView, browser string) *handoffContent {
	c := &handoffContent{
		frame: frame{
			Step: handoffStep(v), Home: "/v/" + v.ID, Token: formToken(v.ID, browser), Follow: !v.Status.Terminal(),
			Application: v.Application, MaskedAccount: v.MaskedAccount, ConsentText: v.ConsentText,
			Status: string(v.Status), Reason: v.Reason, Message: handoffMessage(v),
			Processor: h.Processor, Phone: v.Phone,
		},
		ConsentVersion: ConsentVersion,
	}
	if c.Application == "" {
		c.Application = say("application")
	}
	c.Title = say("title", c.Application)
	switch c.Step {
	case stepConsent:
		c.At = 1
		h.terms(c, v)
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
		c.end(say("done."+string(v.Status)), handoffSentence(v), v.Status == proof.Verified, v.ReturnURL)
		c.wayBack(v.WayBack, v.Lost)
	}
	if c.Follow && c.Step != stepConsent { // a refresh would undo what was ticked
		c.Refresh = strconv.Itoa(refreshEvery)
	}
	return c
}

// terms fills in what the person agrees to.
func (h handoff) terms(c *handoffContent, v journey.HandoffView) {
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
	case h.RetentionText != "":
		c.Retention = h.RetentionText
	case h.Retention < 0:
		c.Retention = say("keep.unknown", h.Processor, c.Application)
	case h.Retention == 0:
		c.Retention = say("keep.none")
	default:
		c.Retention = say("keep.for", span(h.Retention))
	}
	if left := v.ExpiresAt.Sub(h.Now()); left > time.Minute {
		c.Ends = say("consent.ends", span(left))
	}
}

func (h handoff) consent(w http.ResponseWriter, r *http.Request, id, browser string) {
	t := proof.DocumentType(r.PostForm.Get("document_type"))
	switch {
	case r.PostForm.Get("consent") != "yes":
		h.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.missing"), t)
		return
	case r.PostForm.Get("consent_version") != ConsentVersion:
		h.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.changed"), t)
		return
	case t != "" && !t.Valid():
		h.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.choose"), "")
		return
	}
	_, err := h.Proofing.Consent(r.Context(), id, browser, t)
	switch proof.CodeOf(err) {
	case "", proof.CodeConflict: // on its way, or over: the page says which
		h.toPage(w, r, id)
	case proof.CodeInvalid:
		h.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.choose"), "")
	case proof.CodeUpstream, proof.CodeUnavailable, proof.CodeRateLimited:
		retryAfter(w, err)
		sentence, _ := Explain(proof.ReasonOf(err))
		h.again(w, r, id, browser, h.log(r, err), sentence.String(), t)
	default:
		h.fail(w, r, err)
	}
}

// again shows the consent page once more, with what is in the way.
func (h handoff) again(w http.ResponseWriter, r *http.Request, id, browser string, code int, alert string, t proof.DocumentType) {
	v, err := h.Proofing.View(r.Context(), id, browser)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	c := h.content(v, browser)
	if c.Step != stepConsent {
		h.toPage(w, r, id)
		return
	}
	c.Alert = alert
	for i := range c.Choices {
		c.Choices[i].Chosen = c.Choices[i].Chosen || c.Choices[i].Type == t
	}
	h.write(w, r, code, c)
}
