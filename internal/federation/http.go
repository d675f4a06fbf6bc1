package federation

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// maxForm bounds a form of ours, in bytes.
const maxForm = 8 << 10

// Serve has runs of a protocol finished by f.
func (s *Service) Serve(p Protocol, f Finisher) { s.protocols[p] = f }

// Handler serves what lies between a protocol's request and its answer.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"{tenant}/continue", unlessLooking(s.serveContinue))
	mux.HandleFunc("GET "+Prefix+"{tenant}/who/{id}", s.serveWho)
	mux.HandleFunc("POST "+Prefix+"{tenant}/who/{id}", s.takeWho)
	mux.HandleFunc("GET "+Prefix+"{tenant}/upstream", unlessLooking(s.serveUpstream))
	return mux
}

// unlessLooking lets no HEAD, which a pattern of GET takes too, end a run: it ends once.
func unlessLooking(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	}
}

// Browser is what a request's browser brought along.
func (s *Service) Browser(r *http.Request) Browser {
	b := Browser{Cookies: map[string]string{}}
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, cookieFlow) || strings.HasPrefix(c.Name, cookieSession) {
			b.Cookies[c.Name] = c.Value
		}
	}
	if s.ClientIP != nil {
		b.From = s.ClientIP(r)
	} else if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		b.From = from.Addr().Unmap()
	}
	return b
}

// Cookies sets cookies that no script and no other site's form sees.
func (s *Service) Cookies(w http.ResponseWriter, set []Cookie) {
	for _, c := range set {
		out := &http.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, HttpOnly: true, Secure: strings.HasPrefix(s.PublicURL, "https:"), SameSite: http.SameSiteLaxMode}
		switch {
		case c.MaxAge < 0:
			out.MaxAge = -1
		case c.MaxAge > 0:
			out.MaxAge = int(c.MaxAge / time.Second)
		}
		http.SetCookie(w, out)
	}
}

// Sorry shows a page in place of a redirect that must not be made.
func (s *Service) Sorry(w http.ResponseWriter, r *http.Request, status int, say string) {
	s.Pages.Sorry(w, r, status, say)
}

// seeOther sends the browser to a page of ours.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

const (
	sayLost    = "This browser did not start here, or it took too long. Go back to the application and start again."
	sayTrouble = "Something went wrong here. Go back to the application and start again in a moment."
	sayAsked   = "The answer of the identity service cannot be used. Go back to the application and start again."
)

func (s *Service) serveContinue(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id := q.Get("session_id")
	if id == "" {
		id = q.Get("challenge_id")
	}
	a, x, cookies, err := s.Resume(r.Context(), s.Browser(r), r.PathValue("tenant"), id)
	if pending, ok := errors.AsType[*errPending](err); ok {
		seeOther(w, pending.page)
		return
	}
	s.Cookies(w, cookies)
	s.finish(w, r, a, x, err)
}

// finish hands the end of a run to its protocol; without an Ask nobody may be told but
// the person.
func (s *Service) finish(w http.ResponseWriter, r *http.Request, a *Ask, x *Answer, err error) {
	if err != nil {
		s.log(r, err)
	}
	if a == nil {
		say, code := sayTrouble, proof.CodeOf(err).HTTPStatus()
		if code < 500 {
			say = sayLost
		}
		s.Sorry(w, r, code, say)
		return
	}
	f, ok := s.protocols[a.Protocol]
	if !ok {
		s.Sorry(w, r, http.StatusNotFound, sayLost)
		return
	}
	f.Finish(w, r, *a, x, err)
}

func (s *Service) log(r *http.Request, err error) {
	level := slog.LevelInfo
	attrs := []any{"tenant", r.PathValue("tenant"), "code", proof.CodeOf(err), "reason", proof.ReasonOf(err)}
	if proof.CodeOf(err).HTTPStatus() >= 500 {
		level, attrs = slog.LevelError, append(attrs, "error", err)
	}
	if errors.Is(err, context.Canceled) {
		level = slog.LevelDebug
	}
	s.Logger.Log(r.Context(), level, "door B: refused", attrs...)
}

// whoToken proves that a form of the page is ours: only this browser has the cookie.
func whoToken(flow string) string {
	sum := sha256.Sum256([]byte("kosmoscope who 1\x00" + flow))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Service) serveWho(w http.ResponseWriter, r *http.Request) { s.askWho(w, r, "") }

func (s *Service) askWho(w http.ResponseWriter, r *http.Request, trouble string) {
	tenant, id := r.PathValue("tenant"), r.PathValue("id")
	b := s.Browser(r)
	run, err := s.takeUp(b, tenant, id)
	if err != nil || run.Kind != runWho {
		s.finish(w, r, nil, nil, errLost(err))
		return
	}
	v := WhoView{
		Application: run.Ask.Client.Name, ConsentText: run.Ask.Client.ConsentText, Action: s.home(tenant) + "who/" + id,
		Token: whoToken(runIn(b, id)), Document: run.Ask.plan() != needFace, Trouble: trouble,
	}
	if run.Ask.Hint != "" {
		v.MaskedAccount = journey.Mask(run.Ask.Hint)
	}
	s.Pages.Who(w, r, v)
}

func errLost(err error) error {
	if err == nil {
		err = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded}
	}
	return err
}

// takeWho goes on as the person says. What they type only asks, as a hint does.
func (s *Service) takeWho(w http.ResponseWriter, r *http.Request) {
	tenant, id := r.PathValue("tenant"), r.PathValue("id")
	b := s.Browser(r)
	run, err := s.takeUp(b, tenant, id)
	if err != nil || run.Kind != runWho {
		s.finish(w, r, nil, nil, errLost(err))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || !same(r.PostForm.Get("token"), whoToken(runIn(b, id))) {
		s.Sorry(w, r, http.StatusForbidden, sayLost)
		return
	}
	a, ctx := run.Ask, r.Context()
	var step Step
	switch way := r.PostForm.Get("way"); {
	case way == "stop":
		// It costs nobody anything to begin and to stop, but for the trail.
		if err = s.admit(ctx, a.Tenant, b.From, ""); err == nil {
			if err = denied(proof.ReasonDeclined); s.refusedRun(ctx, run, err) {
				s.finish(w, r, nil, nil, errOver)
				return
			}
		}
	case way == "document" && a.plan() != needFace:
		step, err = s.sendProofing(ctx, b, a)
	default:
		if a.Hint == "" {
			a.Hint = strings.TrimSpace(r.PostForm.Get("who"))
		}
		if a.Hint == "" || len(a.Hint) > 256 {
			s.askWho(w, r, "Please enter the name of your account.")
			return
		}
		step, err = s.sendChallenge(ctx, b, a)
	}
	if proof.CodeOf(err) == proof.CodeRateLimited {
		s.log(r, err)
		s.Sorry(w, r, http.StatusTooManyRequests, "There were too many attempts from your network. Wait ten minutes, then start again in the application.")
		return
	}
	s.Cookies(w, append(step.Set, s.dropRun(b, tenant, id)...))
	if err != nil {
		s.finish(&leaving{ResponseWriter: w, leave: func(to string) { s.Pages.Leave(w, r, a.Client.Name, to) }}, r, &a, nil, err)
		return
	}
	seeOther(w, step.Go)
}

// sendUpstream sends the browser to the tenant's own provider at 1Kosmos.
func (s *Service) sendUpstream(ctx context.Context, b Browser, t *Tenant, a Ask) (Step, error) {
	if t.Upstream == nil {
		return Step{}, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonNotAllowed, Message: "no OpenID provider of 1Kosmos is configured for this tenant"}
	}
	if err := s.admit(ctx, a.Tenant, b.From, ""); err != nil {
		return Step{}, err
	}
	state := random()
	address, keep, err := t.Upstream.Begin(ctx, UpstreamAsk{
		State: state, ReturnURL: s.PublicURL + s.home(a.Tenant) + "upstream", Hint: a.Hint,
		IAL2: a.Proofing || a.asks(ACRIAL2), Face: a.asks(ACRFace), Essential: a.Essential,
	})
	if err != nil {
		return Step{}, outward(err)
	}
	step, err := s.sendRun(b, a, runUpstream, state, keep, "")
	step.Go = address
	return step, err
}

func (a *Ask) asks(acr string) bool {
	for _, x := range a.ACR {
		if canonical(x) == acr {
			return true
		}
	}
	return false
}

// serveUpstream takes up the run of a browser that comes back from 1Kosmos.
func (s *Service) serveUpstream(w http.ResponseWriter, r *http.Request) {
	tenant, q := r.PathValue("tenant"), r.URL.Query()
	b := s.Browser(r)
	run, err := s.takeUp(b, tenant, q.Get("state"))
	if err != nil || run.Kind != runUpstream {
		s.finish(w, r, nil, nil, errLost(err))
		return
	}
	returned := map[string]string{}
	for name, values := range q {
		if len(values) != 1 {
			s.Sorry(w, r, http.StatusBadRequest, sayAsked)
			return
		}
		returned[name] = values[0]
	}
	// The code is good once, and so is the run, however it ends.
	if err := s.Store.UpdateFederation(r.Context(), func(tx Tx) error { return run.over(tx, s.Now()) }); err != nil {
		s.finish(w, r, nil, nil, err)
		return
	}
	x, cookies, err := s.endUpstream(r.Context(), run, returned)
	s.Cookies(w, append(cookies, s.dropRun(b, tenant, run.ID)...))
	s.finish(w, r, &run.Ask, x, err)
}

// upstreamSkew is by how much the clock of 1Kosmos' provider may differ.
const upstreamSkew = time.Minute

// endUpstream believes what 1Kosmos' provider signed: who it is by the name it gives,
// and that a face was matched only where it says so.
func (s *Service) endUpstream(ctx context.Context, r *run, returned map[string]string) (*Answer, []Cookie, error) {
	a := &r.Ask
	upstream := s.tenants[a.Tenant].Upstream
	if upstream == nil {
		return nil, nil, errLost(nil)
	}
	told, err := upstream.Finish(ctx, r.Keep, returned)
	if err != nil {
		err = outward(err)
		s.refused(ctx, a, err)
		return nil, nil, err
	}
	if told.AuthTime.IsZero() {
		err := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed, Message: "1Kosmos does not say when the person signed in"}
		s.refused(ctx, a, err)
		return nil, nil, err
	}
	if asked, now := r.Deadline.Add(-runTTL-upstreamSkew), s.Now(); told.AuthTime.After(now) {
		told.AuthTime = now // their clock is ahead, and nobody is younger than just now
	} else if a.Fresh && told.AuthTime.Before(asked) || a.MaxAge != nil && told.AuthTime.Before(asked.Add(-*a.MaxAge)) {
		err := &proof.Error{Code: proof.CodeDenied, Reason: proof.ReasonProviderRejected, Message: "1Kosmos signed the person in longer ago than was asked for"}
		s.refused(ctx, a, err)
		return nil, nil, err
	}
	// A name counts where a face was matched (promise 3); a face, where it is somebody's.
	told.Notes.Face = told.Notes.Face && told.Identifier != ""
	name := told.Identifier
	if !told.Notes.Face {
		name = ""
	}
	who, fresh, err := s.Journey.Subject(ctx, a.Tenant, name)
	if err != nil {
		return nil, nil, outward(err)
	}
	if fresh {
		if err := s.Store.UpdateFederation(ctx, func(tx Tx) error { return tx.InsertSubject(who) }); err != nil {
			return nil, nil, outward(err)
		}
	}
	return s.signIn(ctx, a, &Session{Subject: who.ID, AuthTime: told.AuthTime}, &told.Notes, nil)
}

// leaving turns a redirect in answer to a form into a page that goes on by itself:
// browsers apply the form-action of our pages to where a form is redirected to, and from
// there on.
type leaving struct {
	http.ResponseWriter
	leave func(to string)
	left  bool
}

func (l *leaving) WriteHeader(status int) {
	to := l.Header().Get("Location")
	if status < 300 || status > 399 || to == "" {
		l.ResponseWriter.WriteHeader(status)
		return
	}
	l.left = true
	l.Header().Del("Location")
	l.Header().Del("Content-Type")
	l.leave(to)
}

func (l *leaving) Write(b []byte) (int, error) {
	if l.left { // what stands under a redirect
		return len(b), nil
	}
	return l.ResponseWriter.Write(b)
}
