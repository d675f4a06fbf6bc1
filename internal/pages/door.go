package pages

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// CookieName is the cookie that lets a browser in. Only the one page that it
// belongs to, /v/{id} or /c/{id}, gets it.
const CookieName = federation.BrowserCookie

const (
	maxForm      = 4 << 10 // bytes of a form; ours have about 200
	refreshEvery = 10      // seconds between refreshes where JavaScript is off
)

// room is what lies behind a page: the part of the core that it shows.
type room interface {
	// open lets a browser in by the secret of the link and returns the value of
	// its cookie.
	open(r *http.Request, id, secret string) (cookie string, err error)
	// look is the page as this browser may see it now.
	look(ctx context.Context, id, browser string) (shown, error)
	decline(ctx context.Context, id, browser string) error
	// back takes the browser into the Descope flow that it came from.
	back(ctx context.Context, id, browser string) (redirectURL string, err error)
	// phone makes the path of a link by which a phone can take over.
	phone(w http.ResponseWriter, r *http.Request, id, browser string) (path string, expires time.Time, err error)
}

// door is what the two pages have in common: one lets browsers in, shows them
// the page and its status, and takes its forms.
type door struct {
	*site
	room    room
	prefix  string // "/v/": the page is at /v/{id}
	object  string // what an id is the id of, in the log
	tmpl    *template.Template
	title   string // of error pages
	noEntry Sentence
	explain func(proof.Reason) (Sentence, bool)
}

// serve mounts what every page has; forms are those that it has besides.
func (d *door) serve(mux *http.ServeMux, forms map[string]formHandler) {
	page := d.prefix + "{id}"
	mux.HandleFunc("GET "+page+"/{secret}", func(w http.ResponseWriter, r *http.Request) {
		d.enter(w, r, r.PathValue("id"), r.PathValue("secret"), d.room.open)
	})
	mux.HandleFunc("GET "+page, d.page)
	mux.HandleFunc("GET "+page+"/status", d.status)
	all := map[string]formHandler{"decline": d.decline, "phone": d.phone, "return": d.back}
	for name, h := range forms {
		all[name] = h
	}
	for name, h := range all {
		mux.HandleFunc("POST "+page+"/"+name, d.form(h))
		// The answer to a form may stand under the form's address; whoever loads
		// that address again wants the page.
		mux.HandleFunc("GET "+page+"/"+name, func(w http.ResponseWriter, r *http.Request) {
			d.toPage(w, r, r.PathValue("id"))
		})
	}
	mux.HandleFunc(d.prefix, d.nothing)
}

func (d *door) nothing(w http.ResponseWriter, r *http.Request) {
	d.refuse(w, r, http.StatusNotFound, proof.ReasonLinkEnded, Sentence{say("nothing"), say("nothing.2")}, "")
}

// enter binds the browser that opens a link, then takes the secret out of the
// address bar.
func (d *door) enter(w http.ResponseWriter, r *http.Request, id, secret string, by func(r *http.Request, id, secret string) (cookie string, err error)) {
	if merelyLooking(w, r) {
		return
	}
	if !token(id) || !token(secret) {
		d.fail(w, r, errLinkEnded)
		return
	}
	cookie, err := by(r, id, secret)
	d.letIn(w, r, id, cookie, err)
}

func (d *door) letIn(w http.ResponseWriter, r *http.Request, id, cookie string, err error) {
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.setCookie(w, &http.Cookie{Name: CookieName, Value: cookie, Path: d.prefix + id})
	d.toPage(w, r, id)
}

// setCookie sets a cookie that no script and no other site's form sees.
func (s *site) setCookie(w http.ResponseWriter, c *http.Cookie) {
	c.HttpOnly, c.Secure, c.SameSite = true, s.origin.Scheme == "https", http.SameSiteLaxMode
	http.SetCookie(w, c)
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

func (d *door) toPage(w http.ResponseWriter, r *http.Request, id string) {
	if !token(id) {
		d.fail(w, r, errLinkEnded)
		return
	}
	w.Header().Set("Location", d.prefix+id)
	w.WriteHeader(http.StatusSeeOther)
}

func (d *door) page(w http.ResponseWriter, r *http.Request) {
	id, browser, ok := d.who(w, r)
	if !ok {
		return
	}
	page, err := d.room.look(r.Context(), id, browser)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	d.write(w, r, http.StatusOK, page)
}

// who says which page and which browser a request is about.
func (d *door) who(w http.ResponseWriter, r *http.Request) (id, cookie string, ok bool) {
	id, cookie = r.PathValue("id"), browser(r)
	switch {
	case !token(id):
		d.fail(w, r, errLinkEnded)
	case cookie == "":
		d.refuse(w, r, http.StatusForbidden, proof.ReasonLinkUsed, d.noEntry, "")
	default:
		return id, cookie, true
	}
	return "", "", false
}

// answer is what GET {page}/status says. Step is the step in which the page of
// this browser is, and Session which upstream session it shows, for pages that
// show one after the other; NextURL is where to go at the end, empty before.
type answer struct {
	Status  string       `json:"status"`
	Reason  proof.Reason `json:"reason"`
	Message string       `json:"message"`
	Step    string       `json:"step,omitempty"`
	Session string       `json:"session,omitempty"`
	NextURL string       `json:"next_url"`
}

func (d *door) status(w http.ResponseWriter, r *http.Request) {
	a, code := answer{Status: "error"}, http.StatusOK
	id, cookie := r.PathValue("id"), browser(r)
	if !token(id) || cookie == "" {
		a.Reason, a.Message, code = proof.ReasonLinkUsed, d.noEntry.Say, http.StatusForbidden
	} else if page, err := d.room.look(r.Context(), id, cookie); err != nil {
		code = d.log(r, err)
		sentence, _ := d.explain(proof.ReasonOf(err))
		a.Reason, a.Message = proof.ReasonOf(err), sentence.String()
	} else {
		p := page.base()
		a = answer{Status: p.Status, Reason: p.Reason, Message: p.Message, Step: p.Step, Session: p.Session, NextURL: p.ReturnURL}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // & in an address stays readable; the answer is never HTML (nosniff)
	enc.Encode(a)            // to a browser that may have gone
}

type formHandler func(w http.ResponseWriter, r *http.Request, id, browser string)

// form checks that a form comes from our page in this browser.
func (d *door) form(next formHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, browser, ok := d.who(w, r)
		if !ok {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			d.fail(w, r, &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge})
			return
		}
		if err != nil || !d.sameOrigin(r) || !hmac.Equal([]byte(r.PostForm.Get("token")), []byte(formToken(id, browser))) {
			d.refuse(w, r, http.StatusForbidden, proof.ReasonInvalidRequest, Sentence{say("form.refused"), say("form.refused.2")}, d.prefix+id)
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

// formToken is what forms of this browser's page carry. Its key is the cookie,
// which no other site can read and no other page of ours has.
func formToken(id, browser string) string {
	mac := hmac.New(sha256.New, []byte(browser))
	mac.Write([]byte("kosmoscope form 1\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (d *door) decline(w http.ResponseWriter, r *http.Request, id, browser string) {
	if err := d.room.decline(r.Context(), id, browser); err != nil && proof.CodeOf(err) != proof.CodeConflict {
		d.fail(w, r, err)
		return
	}
	d.toPage(w, r, id)
}

// phone answers with the link for the phone. It is the one page that holds a
// link's secret, and is not stored anywhere.
func (d *door) phone(w http.ResponseWriter, r *http.Request, id, browser string) {
	path, expires, err := d.room.phone(w, r, id, browser)
	if proof.CodeOf(err) == proof.CodeConflict { // over meanwhile
		d.toPage(w, r, id)
		return
	}
	if err != nil {
		d.fail(w, r, err)
		return
	}
	page, err := d.room.look(r.Context(), id, browser)
	if err != nil {
		d.fail(w, r, err)
		return
	}
	p := page.base()
	left := expires.Sub(d.Now())
	if p.Step == stepDone || left <= 0 {
		d.toPage(w, r, id)
		return
	}
	p.PhoneLink = d.origin.Scheme + "://" + d.origin.Host + path
	p.Seconds, p.Good = int(math.Ceil(left.Seconds())), span(left)
	p.Behind, p.Step = p.Step, stepQR
	// Where JavaScript is off, the page stays until the link is no longer good.
	p.Refresh = strconv.Itoa(p.Seconds) + ";url=" + p.Home
	d.write(w, r, http.StatusOK, page)
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
