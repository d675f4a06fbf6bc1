package pages

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// stepLeave is the answer to the form by which a browser goes back into a Descope
// flow; the status never says it.
const stepLeave = "leave"

// externalRequest reads what Descope adds to a link that its External
// Authentication action opens; "" if it is not there, there twice, or cannot be an
// id of Descope's. A plus sign stays one: no id has spaces, and how Descope encodes
// its ids is not documented.
func externalRequest(r *http.Request) string {
	var found []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name, err := url.PathUnescape(name); err != nil || name != "external_auth_req_id" {
			continue
		}
		value, err := url.PathUnescape(value)
		if err != nil {
			return ""
		}
		found = append(found, value)
	}
	if len(found) != 1 || !proof.ValidExternalRequest(found[0]) {
		return ""
	}
	return found[0]
}

// wayBack fills in how the last step leads back into a Descope flow.
func (p *frame) wayBack(w journey.WayBack, lost proof.Reason) {
	p.Back = w
	if w != journey.WayBackLost {
		return
	}
	p.LostReason = lost
	switch lost { // which read differently where there is nothing to wait for any more
	case proof.ReasonTimeLimit, proof.ReasonChallengeUsed:
		p.Lost = say("done.late")
	case proof.ReasonDescopeUnavailable:
		p.Lost = say("done.unheard")
	default:
		s, _ := Explain(lost)
		p.Lost = s.Say
	}
}

// back answers with a page that goes on by itself, not with a redirect: browsers
// apply the form-action of our policy to where a form is redirected to, and where
// Descope's flows are is not known beforehand. The address is a secret; it stands
// on this one answer and nowhere else.
func (d *door) back(w http.ResponseWriter, r *http.Request, id, browser string) {
	redirect, err := d.room.back(r.Context(), id, browser)
	switch {
	case proof.CodeOf(err) == proof.CodeConflict: // not over yet: the page says how it stands
		d.toPage(w, r, id)
		return
	case err != nil && proof.ReasonOf(err) == proof.ReasonDescopeRefused: // trying again does not help
		sentence, _ := d.explain(proof.ReasonDescopeRefused)
		d.refuse(w, r, d.log(r, err), proof.ReasonDescopeRefused, sentence, "")
		return
	case err != nil:
		d.fail(w, r, err)
		return
	}
	page, err := d.room.look(r.Context(), id, browser)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	p := page.base()
	if !web(redirect) || p.Step != stepDone {
		d.fail(w, r, &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "a way back that leads nowhere"})
		return
	}
	p.Step, p.ReturnURL = stepLeave, redirect
	p.Refresh = "0;url=" + redirect // where JavaScript is off
	d.write(w, r, http.StatusOK, page)
}
