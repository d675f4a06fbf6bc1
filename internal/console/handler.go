package console

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/pages"
)

// Options says what New connects. Signin, Risk and PublicURL are needed.
type Options struct {
	Signin    *Signin
	Risk      Risk
	PublicURL string // the origin under which browsers reach us: https://bridge.example.com

	Federation *Federation // nil: door B is not shown
	Hooks      Hooks       // nil: door C's rules and events are not shown
	Deliveries Deliveries  // nil: endpoints and deliveries are not shown

	Sources func() []Source // whose data decisions rest on; nil: none
	Version string          // of the program

	// ClientIP says from where a request comes; nil: from the other end of its
	// connection. The zero address is one that nobody knows.
	ClientIP func(*http.Request) netip.Addr
	// Static are the built pages; nil: those that are embedded.
	Static fs.FS
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

// Source is data of somebody else's that decisions rest on, named as its licence asks.
type Source struct {
	What        string `json:"what"`        // as "Places of addresses"
	Date        string `json:"date"`        // as 2026-11-01; empty if nobody knows
	Attribution string `json:"attribution"` // as its licence wants it said
	URL         string `json:"url"`
	Origin      string `json:"origin"` // "built-in", or "file" for the operator's own
}

// Console is the handler for everything below /console/.
type Console struct {
	o       Options
	origin  *url.URL
	cookie  string // its name
	wrong   wrongs
	replays replays
	palette any
	pages   built
	handler http.Handler
}

// New returns the console. It panics when something that it needs is missing, or
// PublicURL is not an http or https origin, which is a mistake in the program:
// configuration is checked before. Close it when the server has stopped.
func New(o Options) *Console {
	origin, err := url.Parse(o.PublicURL)
	if o.Signin == nil || o.Risk == nil || err != nil || origin.Host == "" || origin.Scheme != "https" && origin.Scheme != "http" || strings.Trim(origin.Path, "/") != "" {
		panic("console: New needs Signin, Risk, and PublicURL as an http or https origin")
	}
	if o.ClientIP == nil {
		o.ClientIP = func(r *http.Request) netip.Addr {
			from, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero one if it is none
			return from.Addr().Unmap()
		}
	}
	if o.Sources == nil {
		o.Sources = func() []Source { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Static == nil {
		o.Static = embedded()
	}
	c := &Console{o: o, origin: origin, cookie: "kosmoscope_console", palette: palette(), pages: build(o.Static)}
	if c.secure() {
		// Browsers take a cookie of this name only over https. (__Host- would want Path=/,
		// and this one is none of the other pages' business.)
		c.cookie = "__Secure-" + c.cookie
	}
	c.replays.now = o.Now

	mux := http.NewServeMux()
	mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) { toConsole(w) })
	c.entrance(mux)
	c.serveAPI(mux)
	c.servePages(mux)
	c.handler = pages.Guard(contentPolicy, mux)
	return c
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Close cancels the replays that run and waits for their end.
func (c *Console) Close() { c.replays.close() }

func (c *Console) secure() bool { return c.origin.Scheme == "https" }

// The graph editor moves things by setting styles through the DOM, which style-src does
// not stand in the way of.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'none'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// fromUs reports whether a request was made by a page of ours. Browsers say so in
// Sec-Fetch-Site, or, over plain http, in Origin; what says neither is not believed.
func (c *Console) fromUs(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return strings.EqualFold(r.Header.Get("Origin"), c.origin.Scheme+"://"+c.origin.Host)
}

// secretOf is the value of the session's cookie, "" if there is none.
func (c *Console) secretOf(r *http.Request) string {
	ck, err := r.Cookie(c.cookie)
	if err != nil {
		return ""
	}
	return ck.Value
}

// setCookie sets the session's cookie; a negative age removes it.
func (c *Console) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: c.cookie, Value: value, Path: "/console/", MaxAge: age, HttpOnly: true, Secure: c.secure(), SameSite: http.SameSiteStrictMode,
	})
}

func toConsole(w http.ResponseWriter) {
	w.Header().Set("Location", "/console/")
	w.WriteHeader(http.StatusSeeOther)
}
