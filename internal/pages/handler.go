package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RetentionUnknown says that how long photos are kept is not ours to know.
const RetentionUnknown time.Duration = -1

// Options says what New connects. Proofing and PublicURL are needed.
type Options struct {
	Proofing   Proofing
	Challenges Challenges // nil: there are no challenge pages
	PublicURL  string     // the origin under which browsers reach us: https://id.example.com

	// ChallengeOfState says which challenge a state belongs to that a browser
	// brings back from 1Kosmos; nil: none.
	ChallengeOfState func(state string) (id string, ok bool)
	// ClientIP says from where a request comes; nil: from the other end of its
	// connection. The zero address is one that nobody knows.
	ClientIP func(*http.Request) netip.Addr

	Processor     string        // who examines the photos; default "1Kosmos"
	Retention     time.Duration // how long photos are kept after the end; 0: they go at the end; or RetentionUnknown
	RetentionText string        // a whole sentence instead of the one made from Retention
	PrivacyURL    string        // the operator's privacy notice, http or https; may be empty

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default()
}

//go:embed static
var static embed.FS

// site is what both pages share: all of it is fixed when New returns.
type site struct {
	Options
	origin  *url.URL
	css, js string // addresses with the content's hash
}

// New returns the site: the handler for everything below /v/, /c/ and /p/, and the pages
// without a link. It panics when
// Proofing is missing or PublicURL is not an http or https origin, which is a
// mistake in the program: configuration is checked before.
func New(o Options) *Site {
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
	if o.ChallengeOfState == nil {
		o.ChallengeOfState = func(string) (string, bool) { return "", false }
	}
	if o.ClientIP == nil {
		o.ClientIP = func(r *http.Request) netip.Addr {
			from, _ := netip.ParseAddrPort(r.RemoteAddr) // the zero one if it is none
			return from.Addr().Unmap()
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &site{Options: o, origin: origin}

	mux := http.NewServeMux()
	s.css = asset(mux, "pages.css", "text/css; charset=utf-8")
	s.js = asset(mux, "pages.js", "text/javascript; charset=utf-8")
	s.handoff(mux)
	if o.Challenges != nil {
		s.challenge(mux)
	}
	return newSite(s, Guard(contentPolicy, mux))
}

const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Guard sets the headers that every answer to a browser has; policy is the
// Content-Security-Policy.
func Guard(policy string, next http.Handler) http.Handler {
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

// web reports whether u is an absolute http or https address.
func web(u string) bool {
	p, err := url.Parse(u)
	return err == nil && (p.Scheme == "https" || p.Scheme == "http") && p.Host != ""
}
