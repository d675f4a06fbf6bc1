package pages

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Proofing is what the pages need of the core. Errors are *proof.Error, whose
// reason decides what a person reads. journey.Service implements it.
type Proofing interface {
	// Open lets a browser in by the secret of the link. browser is the value of
	// its cookie, "" if it has none; the returned value is what the cookie is to
	// have from now on.
	Open(ctx context.Context, id, secret, browser string) (journey.HandoffView, string, error)
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
}

// RetentionUnknown says that how long photos are kept is not ours to know.
const RetentionUnknown time.Duration = -1

// CookieName is the cookie that lets a browser in. Only /v/{id} gets it.
const CookieName = "kosmoscope_browser"

// Options says what New connects. Proofing and PublicURL are needed.
type Options struct {
	Proofing  Proofing
	PublicURL string // the origin under which browsers reach us: https://id.example.com

	Processor     string        // who examines the photos; default "1Kosmos"
	Retention     time.Duration // how long photos are kept after the end; 0: they go at the end; or RetentionUnknown
	RetentionText string        // a whole sentence instead of the one made from Retention
	PrivacyURL    string        // the operator's privacy notice, http or https; may be empty

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

var (
	//go:embed page.html
	pageHTML string
	//go:embed static
	static embed.FS
)

const (
	maxForm        = 4 << 10 // bytes of a form; ours have about 200
	returnVerified = 3       // seconds until the page returns by itself
	returnOther    = 8       // the same when there is a hint to be read first
	refreshEvery   = "10"    // seconds between refreshes where JavaScript is off
)

// site is the handler's state: all of it is fixed when New returns.
type site struct {
	Options
	origin  *url.URL
	tmpl    *template.Template
	css, js string // addresses with the content's hash
}

// New returns the handler for everything below /v/. It panics when Proofing is
// missing or PublicURL is not an http or https origin, which is a mistake in
// the program: configuration is checked before.
func New(o Options) http.Handler {
	origin, err := url.Parse(o.PublicURL)
	if o.Proofing == nil || err != nil || !web(o.PublicURL) || strings.Trim(origin.Path, "/") != "" {
		panic("pages: New needs Proofing, and PublicURL as an http or https origin")
	}
	if o.Processor == "" {
		o.Processor = "1Kosmos"
	}
	if !web(o.PrivacyURL) {
		o.PrivacyURL = ""
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &site{Options: o, origin: origin}
	s.tmpl = template.Must(template.New("page").Funcs(template.FuncMap{"t": tell}).Parse(pageHTML))

	mux := http.NewServeMux()
	s.css = asset(mux, "handoff.css", "text/css; charset=utf-8")
	s.js = asset(mux, "handoff.js", "text/javascript; charset=utf-8")
	mux.HandleFunc("GET /v/{id}/{secret}", s.open)
	mux.HandleFunc("GET /v/{id}/phone/{secret}", s.openPhone)
	mux.HandleFunc("GET /v/{id}", s.page)
	mux.HandleFunc("GET /v/{id}/status", s.status)
	mux.HandleFunc("POST /v/{id}/consent", s.form(s.consent))
	mux.HandleFunc("POST /v/{id}/decline", s.form(s.decline))
	mux.HandleFunc("POST /v/{id}/phone", s.form(s.phone))
	for _, form := range []string{"consent", "decline", "phone"} {
		// The answer to a form may stand under the form's address; whoever loads
		// that address again wants the page.
		mux.HandleFunc("GET /v/{id}/"+form, func(w http.ResponseWriter, r *http.Request) {
			s.toPage(w, r, r.PathValue("id"))
		})
	}
	mux.HandleFunc("/v/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusNotFound, proof.ReasonLinkEnded, Sentence{say("nothing"), say("nothing.2")}, "")
	})
	return s.guard(mux)
}

// guard sets the headers that every answer has.
func (s *site) guard(next http.Handler) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Robots-Tag", "noindex")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		next.ServeHTTP(w, r)
	})
}

// asset serves one embedded file for good under an address that has its hash.
func asset(mux *http.ServeMux, name, kind string) string {
	plain, err := static.ReadFile("static/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	z.Write(plain) // a bytes.Buffer takes everything
	z.Close()
	sum := sha256.Sum256(plain)
	path := "/v/assets/" + name
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		body := plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = packed.Bytes()
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})
	return path + "?v=" + hex.EncodeToString(sum[:6])
}

// open binds the browser that opens the link, then takes the secret out of the
// address bar.
func (s *site) open(w http.ResponseWriter, r *http.Request) { s.enter(w, r, s.Proofing.Open) }

// openPhone does the same for the phone that takes over.
func (s *site) openPhone(w http.ResponseWriter, r *http.Request) {
	s.enter(w, r, s.Proofing.OpenHandover)
}

func (s *site) enter(w http.ResponseWriter, r *http.Request, by func(ctx context.Context, id, secret, browser string) (journey.HandoffView, string, error)) {
	id, secret := r.PathValue("id"), r.PathValue("secret")
	if merelyLooking(w, r) {
		return
	}
	if !token(id) || !token(secret) {
		s.fail(w, r, errLinkEnded)
		return
	}
	_, cookie, err := by(r.Context(), id, secret, browser(r))
	s.letIn(w, r, id, cookie, err)
}

func (s *site) letIn(w http.ResponseWriter, r *http.Request, id, cookie string, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: cookie, Path: "/v/" + id,
		HttpOnly: true, Secure: s.origin.Scheme == "https", SameSite: http.SameSiteLaxMode,
	})
	s.toPage(w, r, id)
}

// merelyLooking answers requests that nobody's click has made, so that a
// preview or a prefetch does not use up a link that binds. A browser drops a
// prefetched answer that is no success and asks again when the person comes.
func merelyLooking(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}
	return false
}

func (s *site) toPage(w http.ResponseWriter, r *http.Request, id string) {
	if !token(id) {
		s.fail(w, r, errLinkEnded)
		return
	}
	w.Header().Set("Location", "/v/"+id)
	w.WriteHeader(http.StatusSeeOther)
}

func (s *site) page(w http.ResponseWriter, r *http.Request) {
	id, browser, ok := s.who(w, r)
	if !ok {
		return
	}
	v, err := s.Proofing.View(r.Context(), id, browser)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, v, s.content(v, browser))
}

// who says which verification and which browser a request is about.
func (s *site) who(w http.ResponseWriter, r *http.Request) (id, cookie string, ok bool) {
	id, cookie = r.PathValue("id"), browser(r)
	switch {
	case !token(id):
		s.fail(w, r, errLinkEnded)
	case cookie == "":
		s.refuse(w, r, http.StatusForbidden, proof.ReasonLinkUsed, Sentence{say("cookie"), say("cookie.2")}, "")
	default:
		return id, cookie, true
	}
	return "", "", false
}

// answer is what GET /v/{id}/status says. Step is the step in which the page
// of this browser is; NextURL is where to go at the end, empty before.
type answer struct {
	Status  string       `json:"status"`
	Reason  proof.Reason `json:"reason"`
	Message string       `json:"message"`
	Step    string       `json:"step,omitempty"`
	NextURL string       `json:"next_url"`
}

func (s *site) status(w http.ResponseWriter, r *http.Request) {
	a, code := answer{Status: "error"}, http.StatusOK
	id, cookie := r.PathValue("id"), browser(r)
	if !token(id) || cookie == "" {
		a.Reason, a.Message, code = proof.ReasonLinkUsed, say("cookie"), http.StatusForbidden
	} else if v, err := s.Proofing.View(r.Context(), id, cookie); err != nil {
		code = s.log(r, err)
		sentence, _ := Explain(proof.ReasonOf(err))
		a.Reason, a.Message = proof.ReasonOf(err), sentence.String()
	} else if step := step(v); step == "" {
		a.Reason, a.Message, code = proof.ReasonInternal, internal.String(), http.StatusInternalServerError
	} else {
		a = answer{Status: string(v.Status), Reason: v.Reason, Message: message(v), Step: step, NextURL: next(v)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // & in an address stays readable; the answer is never HTML (nosniff)
	enc.Encode(a)            // to a browser that may have gone
}

// form checks that a form comes from our page in this browser.
func (s *site) form(next func(w http.ResponseWriter, r *http.Request, id, browser string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, browser, ok := s.who(w, r)
		if !ok {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			s.fail(w, r, &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge})
			return
		}
		if err != nil || !s.sameOrigin(r) || !hmac.Equal([]byte(r.PostForm.Get("token")), []byte(formToken(id, browser))) {
			s.refuse(w, r, http.StatusForbidden, proof.ReasonInvalidRequest, Sentence{say("form.refused"), say("form.refused.2")}, "/v/"+id)
			return
		}
		next(w, r, id, browser)
	}
}

// sameOrigin reports whether nothing speaks against a form coming from us.
// Browsers that send no Sec-Fetch-Site send Origin: null from pages that, like
// ours, send no referrer; for them the token alone decides.
func (s *site) sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin := r.Header.Get("Origin")
	return origin == "" || origin == "null" || strings.EqualFold(origin, s.origin.Scheme+"://"+s.origin.Host)
}

// formToken is what forms of this browser's page of this verification carry.
// Its key is the cookie, which no other site can read.
func formToken(id, browser string) string {
	mac := hmac.New(sha256.New, []byte(browser))
	mac.Write([]byte("kosmoscope form 1\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *site) consent(w http.ResponseWriter, r *http.Request, id, browser string) {
	t := proof.DocumentType(r.PostForm.Get("document_type"))
	switch {
	case r.PostForm.Get("consent") != "yes":
		s.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.missing"), t)
		return
	case r.PostForm.Get("consent_version") != ConsentVersion:
		s.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.changed"), t)
		return
	case t != "" && !t.Valid():
		s.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.choose"), "")
		return
	}
	_, err := s.Proofing.Consent(r.Context(), id, browser, t)
	switch proof.CodeOf(err) {
	case "", proof.CodeConflict: // on its way, or over: the page says which
		s.toPage(w, r, id)
	case proof.CodeInvalid:
		s.again(w, r, id, browser, http.StatusUnprocessableEntity, say("consent.choose"), "")
	case proof.CodeUpstream, proof.CodeUnavailable, proof.CodeRateLimited:
		sentence, _ := Explain(proof.ReasonOf(err))
		s.again(w, r, id, browser, s.log(r, err), sentence.String(), t)
	default:
		s.fail(w, r, err)
	}
}

// again shows the consent page once more, with what is in the way.
func (s *site) again(w http.ResponseWriter, r *http.Request, id, browser string, code int, alert string, t proof.DocumentType) {
	v, err := s.Proofing.View(r.Context(), id, browser)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c := s.content(v, browser)
	if c.Step != stepConsent {
		s.toPage(w, r, id)
		return
	}
	c.Alert = alert
	for i := range c.Choices {
		c.Choices[i].Chosen = c.Choices[i].Chosen || c.Choices[i].Type == t
	}
	s.show(w, r, code, v, c)
}

func (s *site) decline(w http.ResponseWriter, r *http.Request, id, browser string) {
	if _, err := s.Proofing.Decline(r.Context(), id, browser); err != nil && proof.CodeOf(err) != proof.CodeConflict {
		s.fail(w, r, err)
		return
	}
	s.toPage(w, r, id)
}

// phone answers with the code for the phone. It is the one page that holds a
// link's secret, and is not stored anywhere.
func (s *site) phone(w http.ResponseWriter, r *http.Request, id, browser string) {
	secret, expires, err := s.Proofing.Handover(r.Context(), id, browser)
	if proof.CodeOf(err) == proof.CodeConflict { // over meanwhile
		s.toPage(w, r, id)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v, err := s.Proofing.View(r.Context(), id, browser)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c := s.content(v, browser)
	left := expires.Sub(s.Now())
	if c.Step == stepDone || c.Step == "" || left <= 0 {
		s.toPage(w, r, id)
		return
	}
	link := s.origin.Scheme + "://" + s.origin.Host + "/v/" + id + "/phone/" + secret
	if c.QR, err = drawQR(link); err != nil {
		s.fail(w, r, err)
		return
	}
	c.QR.Seconds = int(math.Ceil(left.Seconds()))
	c.QR.Good = span(left)
	c.Behind, c.Step = c.Step, stepQR
	// Where JavaScript is off, the page stays until the code is no longer good.
	c.Refresh = strconv.Itoa(c.QR.Seconds) + ";url=" + c.Home
	s.show(w, r, http.StatusOK, v, c)
}

// browser returns the cookie's value, "" if there is none that could be ours.
func browser(r *http.Request) string {
	c, err := r.Cookie(CookieName)
	if err != nil || !token(c.Value) {
		return ""
	}
	return c.Value
}

// token reports whether v could be an id, a secret or a cookie of ours: 1 to
// 128 characters of unpadded base64url.
func token(v string) bool {
	for _, c := range []byte(v) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return v != "" && len(v) <= 128
}

// web reports whether u is an absolute http or https address.
func web(u string) bool {
	p, err := url.Parse(u)
	return err == nil && (p.Scheme == "https" || p.Scheme == "http") && p.Host != ""
}
