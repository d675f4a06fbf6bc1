package kosmos

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// The inbox shows what this server would have sent: codes, links and addresses. So it
// answers this machine only: connections from it, to a name of its own, as a foreign name
// may point here.

const inboxStyle = "inbox.css"

//go:embed inbox.html
var inboxHTML string

var inboxPages = template.Must(template.New("").Parse(inboxHTML))

func (s *Server) inboxRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /inbox", here(s.inboxPage))
	mux.HandleFunc("GET /inbox/api/messages", here(s.inboxJSON))
	mux.HandleFunc("/inbox/", here(func(w http.ResponseWriter, _ *http.Request) { guessNoRoute.write(w) }))
}

// here lets requests of this machine through, and no others.
func here(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !loopbackAddress(r.RemoteAddr) || !loopbackName(r.Host) {
			problem{http.StatusMisdirectedRequest, styleCode, "The inbox answers this machine only, at an address such as localhost", ""}.write(w)
			return
		}
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("Cache-Control", "no-store")
		next(w, r)
	}
}

func loopbackAddress(hostPort string) bool {
	a, err := netip.ParseAddrPort(hostPort)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Inbox lists what was sent, newest first: to everybody, or to one address or number.
func (s *Server) Inbox(ctx context.Context, to string) ([]Message, error) {
	rows, err := s.store.db.QueryContext(ctx, `SELECT id, sealed FROM messages ORDER BY rowid DESC`)
	if err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := []Message{}
	for rows.Next() {
		var id string
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return nil, fmt.Errorf("messages: %w", err)
		}
		var m Message
		if err := s.store.openJSON("messages/sealed/"+id, sealed, &m); err != nil {
			return nil, err
		}
		if to != "" && !strings.EqualFold(m.To, to) {
			continue
		}
		m.Links = linksIn(m.HTML + m.Text)
		if m.Channel == channelMail {
			m.Text = readable(m.HTML)
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

var (
	linkPattern = regexp.MustCompile(`https?://[^\s"'<>\\]+`)
	tagPattern  = regexp.MustCompile(`(?s)<!--.*?-->|<(?:style|script|title)\b.*?</(?:style|script|title)\s*>|<[^>]*>`)
	blockEnd    = regexp.MustCompile(`(?i)<br\s*/?>|</(?:p|div|h[1-6]|li|tr|table)\s*>`)
	emptyLines  = regexp.MustCompile(`\s*\n\s*\n\s*`)
	spaces      = regexp.MustCompile(`[ \t]+`)
)

// linksIn are the web addresses in a text or an HTML, each once.
func linksIn(s string) []string {
	out := []string{}
	for _, l := range linkPattern.FindAllString(s, -1) {
		l = strings.TrimRight(html.UnescapeString(l), ".,;:!?)")
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// readable is what a mail program without HTML would show.
func readable(markup string) string {
	s := blockEnd.ReplaceAllString(markup, "\n\n")
	s = html.UnescapeString(tagPattern.ReplaceAllString(s, ""))
	return strings.TrimSpace(emptyLines.ReplaceAllString(spaces.ReplaceAllString(s, " "), "\n\n"))
}

func (s *Server) inboxJSON(w http.ResponseWriter, r *http.Request) {
	all, err := s.Inbox(r.Context(), r.URL.Query().Get("to"))
	if err != nil {
		s.internal(w, "read the inbox", err)
		return
	}
	writeJSON(w, http.StatusOK, all)
}

// inboxView is what the page shows.
type inboxView struct {
	Title    string
	To       string
	Messages []Message
	Code     string // instead of messages: what there is to say of a code

	Style, OwnStyle string
}

func (s *Server) inboxPage(w http.ResponseWriter, r *http.Request) {
	v := inboxView{Title: "Inbox", To: r.URL.Query().Get("to")}
	var err error
	if v.Messages, err = s.Inbox(r.Context(), v.To); err != nil {
		s.internal(w, "read the inbox", err)
		return
	}
	s.inboxShow(w, http.StatusOK, v)
}

// codePage is where the link of an access code leads. It uses nothing up: whoever made
// the code does, through the API.
func (s *Server) codePage(w http.ResponseWriter, r *http.Request) {
	_, _, p, err := s.codeState(r.Context(), s.store.db, r.PathValue("code"))
	switch {
	case err != nil:
		s.internal(w, "read an access code", err)
	case p != nil:
		s.inboxShow(w, p.status, inboxView{Title: "This link is no good", Code: p.message + "."})
	default:
		s.inboxShow(w, http.StatusOK, inboxView{Title: "This link is good", Code: "Go back to where you were asked for it."})
	}
}

func (s *Server) inboxShow(w http.ResponseWriter, status int, v inboxView) {
	v.Style, v.OwnStyle = staticURL(staticStyle), staticURL(inboxStyle)
	var b bytes.Buffer
	if err := inboxPages.ExecuteTemplate(&b, "inbox", v); err != nil {
		s.internal(w, "show the inbox", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
