package shop

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/session"
)

// Options wires the shop. LabURL is where a developer finds mail and the test
// panel; empty leaves the bar that leads there away.
type Options struct {
	URL       string // our origin
	Descope   string // origin of Descope's API, scripts and pages
	ProjectID string
	LabURL    string
	// SinkSecrets check what is signed among the messages at /sink/: "whsec_" and base64,
	// any of them. None: what is signed is refused.
	SinkSecrets []string
	Logger      *slog.Logger // nil: silent
	Now         func() time.Time
}

// RefundScope is what the flow is told when somebody wants to give money back.
const RefundScope = "orders:refund"

const cookieName = "shop_session"

// flows by the page that runs them.
var flows = map[string]struct{ flow, title string }{
	"/signup": {"kosmos-proof-on-signup", "Create your account"},
	"/login":  {"kosmos-step-up", "Sign in"},
	"/prove":  {"kosmos-proof-external", "Prove who you are"},

	"/hooks/signup": {"kosmos-post-registration", "Create your account"},
	"/hooks/login":  {"kosmos-pre-login", "Sign in"},

	"/federated/prove": {"kosmos-federated-proofing", "Prove who you are"},
	"/federated/login": {"kosmos-federated-step-up", "Sign in"},
	"/federated/saml":  {"kosmos-federated-step-up-saml", "Sign in"},
}

//go:embed shop.html
var pageHTML string

//go:embed static
var static embed.FS

type shop struct {
	Options
	tmpl     *template.Template
	verifier *session.Verifier

	mu       sync.Mutex
	refunded map[string]time.Time // by user and order
}

// New makes the shop's handler.
func New(o Options) (http.Handler, error) {
	for _, u := range []string{o.URL, o.Descope} {
		if p, err := url.Parse(u); err != nil || p.Host == "" || p.Path != "" {
			return nil, fmt.Errorf("shop: %q is no origin", u)
		}
	}
	if o.ProjectID == "" {
		return nil, errors.New("shop: no project")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	tmpl, err := template.New("").Funcs(template.FuncMap{"order": func(v view, order string) refundView { return refundView{v, order} }}).Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	s := &shop{Options: o, tmpl: tmpl, verifier: session.New(o.Descope, o.ProjectID, nil, o.Now), refunded: map[string]time.Time{}}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	told, err := newSink(o.SinkSecrets, o.Now)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	told.routes(mux)
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(files)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, `{"status":"ok"}`) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, http.StatusOK, view{Page: "home", Title: "Tallow & Wick"})
	})
	mux.HandleFunc("GET /account", s.account)
	for path := range flows {
		mux.HandleFunc("GET "+path, s.flow)
	}
	mux.HandleFunc("POST /session", s.signedIn)
	mux.HandleFunc("POST /logout", s.signOut)
	mux.HandleFunc("POST /orders/{order}/refund", s.refund)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.show(w, r, http.StatusNotFound, view{Page: "lost", Title: "Nothing here"})
	})
	return s.headers(http.NewCrossOriginProtection().Handler(mux)), nil
}

// headers are those of every answer. Descope's components set styles by script.
func (s *shop) headers(next http.Handler) http.Handler {
	csp := strings.Join([]string{
		"default-src 'none'", "script-src 'self' " + s.Descope, "style-src 'self' 'unsafe-inline'", "img-src 'self' data: " + s.Descope,
		"font-src 'self' data: " + s.Descope, "connect-src 'self' " + s.Descope, "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'",
	}, "; ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// view is what a page shows.
type view struct {
	Page, Title string
	Session     *session.Session
	Expires     int64
	Verified    string // what the account's proofing came to, by the session's claims
	Level       string
	Refunds     map[string]time.Time
	Done        string // order that was just refunded
	Scope       string
	Next        string
	Flow        string
	Client      string // JSON
	Redirect    string
	StepUpURL   string
	Shop        Options
}

// refundView is what one order's button shows.
type refundView struct {
	View  view
	Order string
}

var orders = []string{"1042", "1038"}

func (s *shop) show(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.Shop = s.Options
	if v.Session == nil {
		v.Session = s.session(r)
	}
	if v.Session != nil {
		v.Expires = v.Session.Expires.Unix()
		v.Verified, _ = v.Session.Claims["kosmos_status"].(string)
		v.Level, _ = v.Session.Claims["kosmos_ial"].(string)
		v.Refunds = map[string]time.Time{}
		s.mu.Lock()
		for _, o := range orders {
			if at, ok := s.refunded[v.Session.UserID+" "+o]; ok {
				v.Refunds[o] = at
			}
		}
		s.mu.Unlock()
	}
	var page bytes.Buffer
	if err := s.tmpl.ExecuteTemplate(&page, "page", v); err != nil {
		s.Logger.Error("shop: page", "page", v.Page, "error", err)
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// session is that of the request's cookie or bearer token; nil if there is none that is good.
func (s *shop) session(r *http.Request) *session.Session {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		c, err := r.Cookie(cookieName)
		if err != nil {
			return nil
		}
		token = c.Value
	}
	v, err := s.verifier.Verify(r.Context(), token)
	if err != nil && !errors.Is(err, session.ErrInvalid) {
		s.Logger.Warn("shop: a session could not be checked", "error", err)
	}
	return v
}

func (s *shop) account(w http.ResponseWriter, r *http.Request) {
	v := s.session(r)
	if v == nil {
		http.Redirect(w, r, "/login?next=/account", http.StatusSeeOther)
		return
	}
	s.show(w, r, http.StatusOK, view{Page: "account", Title: "Your account", Session: v, Done: r.URL.Query().Get("refunded")})
}

// flow shows a page with Descope's element in it.
func (s *shop) flow(w http.ResponseWriter, r *http.Request) {
	f := flows[r.URL.Path]
	v := view{Page: "flow", Title: f.title, Flow: f.flow, Next: "/account", Redirect: s.URL + r.URL.Path}
	if next := r.URL.Query().Get("next"); next == "/" || next == "/account" {
		v.Next = next
	}
	if r.URL.Query().Get("scope") == RefundScope {
		v.Scope, v.Title = RefundScope, "Show that it is you"
	}
	client, err := json.Marshal(map[string]string{"scope": v.Scope})
	if err != nil {
		s.Logger.Error("shop: client data", "error", err)
	}
	v.Client = string(client)
	s.show(w, r, http.StatusOK, v)
}

// signedIn keeps the session that Descope's element ended with, once it is checked.
func (s *shop) signedIn(w http.ResponseWriter, r *http.Request) {
	var body struct {
		SessionJWT string `json:"session_jwt"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&body); err != nil {
		http.Error(w, "Send session_jwt, as JSON.", http.StatusBadRequest)
		return
	}
	v, err := s.verifier.Verify(r.Context(), body.SessionJWT)
	if err != nil {
		if !errors.Is(err, session.ErrInvalid) {
			s.Logger.Warn("shop: a session could not be checked", "error", err)
		}
		session.Challenge(w, nil)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: body.SessionJWT, Path: "/", Expires: v.Expires,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(s.URL, "https:"),
	})
	w.WriteHeader(http.StatusNoContent)
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.WriteHeader(http.StatusNoContent)
}

// refund is the sensitive action: only a session that was stepped up may do it.
func (s *shop) refund(w http.ResponseWriter, r *http.Request) {
	order, v := r.PathValue("order"), s.session(r)
	known := false
	for _, o := range orders {
		known = known || o == order
	}
	switch {
	case !known:
		s.show(w, r, http.StatusNotFound, view{Page: "lost", Title: "Nothing here"})
		return
	case v == nil || !v.SteppedUp:
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			stepUp := "/login?" + url.Values{"scope": {RefundScope}, "next": {"/account"}}.Encode()
			w = &challenged{w, v}
			s.show(w, r, http.StatusUnauthorized, view{Page: "stepup", Title: "Show that it is you", Session: v, StepUpURL: stepUp})
			return
		}
		session.Challenge(w, v)
		return
	}
	s.mu.Lock()
	s.refunded[v.UserID+" "+order] = s.Now()
	s.mu.Unlock()
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/account?refunded="+order, http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "{\"order\":%q,\"refunded\":true}\n", order)
}

// challenged is an answer that carries the challenge besides a page.
type challenged struct {
	http.ResponseWriter
	session *session.Session
}

func (c *challenged) WriteHeader(status int) {
	if status == http.StatusUnauthorized {
		session.Challenge(c.ResponseWriter, c.session)
		return
	}
	c.ResponseWriter.WriteHeader(status)
}
