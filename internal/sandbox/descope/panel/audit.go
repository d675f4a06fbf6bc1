package panel

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
)

// Audit is the stream of the audit trail and its knobs; *auditing.Sender is one.
type Audit interface {
	Knobs() auditing.Knobs
	SetKnobs(k auditing.Knobs) error
	States() []auditing.State
}

// auditForm is what was typed.
type auditForm struct {
	Duplicates, Order, Delay, Batch, Drop string
	Pause                                 bool
}

func auditFormOf(k auditing.Knobs) auditForm {
	return auditForm{
		Duplicates: strconv.Itoa(k.Duplicates), Order: k.Order, Delay: strconv.Itoa(k.DelayMS), Batch: strconv.Itoa(k.Batch),
		Drop: strconv.Itoa(k.Drop), Pause: k.Pause,
	}
}

// auditAnswer is the same in JSON.
type auditAnswer struct {
	auditing.Knobs
	Webhooks []auditing.State `json:"webhooks"`
}

func (p *Panel) auditRoutes(mux *http.ServeMux) {
	if p.Audit == nil {
		return
	}
	mux.HandleFunc("GET /lab/audit", func(w http.ResponseWriter, r *http.Request) {
		v := view{Stream: auditFormOf(p.Audit.Knobs())}
		if r.URL.Query().Has("kept") {
			v.Done = "Kept. It holds from the next request on."
		}
		p.auditView(w, http.StatusOK, v)
	})
	mux.HandleFunc("POST /lab/audit", form(p.auditForm))
	mux.HandleFunc("POST /lab/audit/reset", func(w http.ResponseWriter, r *http.Request) { p.auditSet(w, r, auditing.Defaults(), auditForm{}) })
	mux.HandleFunc("GET /lab/api/audit", func(w http.ResponseWriter, _ *http.Request) { p.auditJSON(w) })
	mux.HandleFunc("PUT /lab/api/audit", func(w http.ResponseWriter, r *http.Request) {
		var k auditing.Knobs
		if !p.read(w, r, &k) {
			return
		}
		if err := p.Audit.SetKnobs(k); err != nil {
			p.problem(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		p.auditJSON(w)
	})
	mux.HandleFunc("DELETE /lab/api/audit", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.Audit.SetKnobs(auditing.Defaults()); err != nil {
			p.problem(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (p *Panel) auditJSON(w http.ResponseWriter) {
	p.json(w, http.StatusOK, auditAnswer{p.Audit.Knobs(), list(p.Audit.States())})
}

func (p *Panel) auditView(w http.ResponseWriter, status int, v view) {
	v.Page, v.Title, v.Webhooks = "audit", "Audit stream", p.Audit.States()
	p.show(w, status, v)
}

func (p *Panel) auditForm(w http.ResponseWriter, r *http.Request) {
	in := auditForm{
		r.PostFormValue("duplicates"), r.PostFormValue("order"), r.PostFormValue("delay"), r.PostFormValue("batch"), r.PostFormValue("drop"),
		r.PostFormValue("pause") != "",
	}
	number := func(s string) int {
		n, err := strconv.Atoi(cmp.Or(strings.TrimSpace(s), "0"))
		if err != nil {
			return -1
		}
		return n
	}
	p.auditSet(w, r, auditing.Knobs{
		Duplicates: number(in.Duplicates), Order: in.Order, DelayMS: number(in.Delay), Batch: number(in.Batch), Drop: number(in.Drop), Pause: in.Pause,
	}, in)
}

func (p *Panel) auditSet(w http.ResponseWriter, r *http.Request, k auditing.Knobs, typed auditForm) {
	if err := p.Audit.SetKnobs(k); err != nil {
		p.auditView(w, http.StatusUnprocessableEntity, view{Stream: typed, Error: "This cannot be set: " + err.Error() + "."})
		return
	}
	http.Redirect(w, r, "/lab/audit?kept", http.StatusSeeOther)
}
