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
func (s *site) log(r *http.Request, err error) int {
	code := proof.CodeOf(err).HTTPStatus()
	if code == http.StatusUnauthorized {
		code = http.StatusForbidden // 401 would ask the person for a password
	}
	attrs := []any{"verification", r.PathValue("id"), "code", proof.CodeOf(err), "reason", proof.ReasonOf(err)}
	level := slog.LevelInfo
	if code >= 500 {
		level, attrs = slog.LevelError, append(attrs, "error", err)
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelDebug // the browser went away
	}
	s.Logger.Log(r.Context(), level, "pages: refused", attrs...)
	return code
}

// fail shows what went wrong, as a page.
func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := s.log(r, err)
	reason := proof.ReasonOf(err)
	sentence, _ := Explain(reason)
	retry := ""
	if e, ok := errors.AsType[*proof.Error](err); code >= 500 || ok && (e.Temporary || e.Code == proof.CodeRateLimited) {
		// The same address again: the page does not name it, it may hold a secret.
		// The address of a form leads to the page.
		retry = "?"
		if ok && e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
		}
	}
	s.refuse(w, r, code, reason, sentence, retry)
}

func (s *site) refuse(w http.ResponseWriter, r *http.Request, code int, reason proof.Reason, sentence Sentence, retry string) {
	s.write(w, r, code, &content{
		Step: stepError, Title: say("title.error"), Reason: reason, Sentence: sentence, Retry: retry,
	})
}
