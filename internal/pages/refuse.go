package pages

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// errLinkEnded is also for what cannot be a link of ours at all: wrong and
// unknown look the same.
var errLinkEnded = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}

// log writes err down and returns its HTTP status. Causes are logged only where
// the trouble is ours or 1Kosmos', never where a person merely came too late.
func (d *door) log(r *http.Request, err error) int {
	code := proof.CodeOf(err).HTTPStatus()
	if code == http.StatusUnauthorized {
		code = http.StatusForbidden // 401 would ask the person for a password
	}
	attrs := []any{d.object, r.PathValue("id"), "code", proof.CodeOf(err), "reason", proof.ReasonOf(err)}
	level := slog.LevelInfo
	if code >= 500 {
		level, attrs = slog.LevelError, append(attrs, "error", err)
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelDebug // the browser went away
	}
	d.Logger.Log(r.Context(), level, "pages: refused", attrs...)
	return code
}

// retryAfter tells programs when trying again may help, if err knows.
func retryAfter(w http.ResponseWriter, err error) {
	if e, ok := errors.AsType[*proof.Error](err); ok && e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// fail shows what went wrong, as a page.
func (d *door) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := d.log(r, err)
	reason := proof.ReasonOf(err)
	sentence, _ := d.explain(reason)
	p := &frame{Reason: reason, Sentence: sentence}
	if e, ok := errors.AsType[*proof.Error](err); code >= 500 || ok && (e.Temporary || e.Code == proof.CodeRateLimited) {
		p.Again = true // for a form that leads to the page
		retryAfter(w, err)
	}
	d.sorry(w, r, code, p)
}

func (d *door) refuse(w http.ResponseWriter, r *http.Request, code int, reason proof.Reason, sentence Sentence, retry string) {
	d.sorry(w, r, code, &frame{Reason: reason, Sentence: sentence, Retry: retry})
}

func (d *door) sorry(w http.ResponseWriter, r *http.Request, code int, p *frame) {
	p.Step, p.Title = stepError, d.title
	d.write(w, r, code, p)
}
