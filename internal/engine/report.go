package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// finding is what one check came to.
type finding struct {
	outcome          api.Outcome
	reason           string // empty exactly when outcome is pass
	detail           string // a plain sentence, nothing personal
	score, threshold *float64
}

// run is one request on its way to a report.
type run struct {
	v         *Verifier
	names     []string // checks that were asked for, in the order of api
	found     map[string]finding
	took      map[string]time.Duration
	evidence  []api.Evidence
	read      *api.Document
	portrait  []byte
	card      *image.RGBA    // the front of a card, straight and the right way up, if the portrait was found on it
	selfie    []byte         // active: the frame whose face was compared
	templates *api.Templates // what to answer if everything passes
}

func (v *Verifier) run(names []string) *run {
	return &run{v: v, names: slices.Clone(names), found: map[string]finding{}, took: map[string]time.Duration{}, evidence: []api.Evidence{}}
}

// check carries out one check. An outcome that is not pass always has a reason.
func (r *run) check(name string, f func() finding) finding {
	start := time.Now()
	got := f()
	r.took[name] += time.Since(start)
	r.found[name] = got
	return got
}

// internal is a check that broke. What happened goes to the log, not to the report.
func (r *run) internal(name string, err error) finding {
	r.v.cfg.Log.Error("engine: check failed to run", "check", name, "error", err)
	return finding{outcome: api.CannotTell, reason: api.ReasonEngineError, detail: "The engine could not carry out this check."}
}

// picture turns a decoding error into a finding. ok is false for errors that
// are no pictureError, such as the context's.
func pictureFinding(err error) (finding, bool) {
	var p *pictureError
	if !errors.As(err, &p) {
		return finding{}, false
	}
	return finding{outcome: api.Fail, reason: p.reason, detail: p.detail}, true
}

// knownLiveness reports whether the engine knows a mode.
func knownLiveness(mode string) bool {
	return mode == api.LivenessNone || mode == api.LivenessPassive || mode == api.LivenessActive
}

// withoutLiveness is the report where an unknown mode was asked for. Nothing else
// is looked at: nobody knows what would be enough.
func (r *run) withoutLiveness() *api.Report {
	r.names = append(r.names, api.CheckLiveness)
	r.check(api.CheckLiveness, func() finding {
		return finding{outcome: api.Fail, reason: api.ReasonLivenessUnavailable, detail: "This engine does not know that mode of liveness."}
	})
	return r.report("Not looked at, because liveness was asked for in a way that is not available.")
}

func (r *run) withoutModels() *api.Report {
	for _, n := range r.names {
		r.found[n] = finding{outcome: api.CannotTell, reason: api.ReasonModelsMissing, detail: "The engine has no models to look with."}
	}
	return r.report("")
}

// report closes the run: what was not carried out is cannot_tell, and the
// first check that failed, or else the first that could not tell, gives the reason.
func (r *run) report(notRun string) *api.Report {
	if notRun == "" {
		notRun = "Not carried out, because something that it needs is missing."
	}
	r.sumLiveness()
	rep := &api.Report{Verdict: api.Pass, Checks: []api.Check{}, Evidence: r.evidence, Document: r.read, Portrait: r.portrait, Selfie: r.selfie,
		Engine: r.v.Info()}
	for _, n := range r.names {
		f, ok := r.found[n]
		if !ok {
			f = finding{outcome: api.CannotTell, detail: notRun}
		}
		rep.Checks = append(rep.Checks, api.Check{Name: n, Outcome: f.outcome, Score: f.score, Threshold: f.threshold,
			DurationMS: float64(r.took[n].Microseconds()) / 1000, Detail: f.detail})
		if f.outcome == api.Pass {
			continue
		}
		worse := lesser(rep.Verdict, f.outcome) != rep.Verdict
		rep.Verdict = lesser(rep.Verdict, f.outcome)
		if worse || rep.Reason == "" {
			rep.Reason = f.reason
		}
	}
	if len(rep.Checks) == 0 {
		rep.Verdict = api.CannotTell
	}
	if rep.Verdict != api.Pass && rep.Reason == "" {
		rep.Reason = api.ReasonEngineError
	}
	if rep.Verdict == api.Pass {
		rep.Templates = r.templates
	}
	return rep
}

func (r *run) examined(e api.Evidence, b []byte) {
	sum := sha256.Sum256(b)
	e.SHA256 = hex.EncodeToString(sum[:])
	r.evidence = append(r.evidence, e)
}
