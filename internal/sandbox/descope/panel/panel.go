package panel

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"log/slog"
	"math"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
)

//go:embed pages.html static
var files embed.FS

// Calls is the request log of the connectors; *connectors.Connectors is one.
type Calls interface {
	Calls() []connectors.Record // newest first
	Call(id int64) (connectors.Record, bool)
	Names() []string // of the connectors
}

// Place is where an address is, as the project sees it.
type Place struct {
	Country string `json:"country"` // ISO 3166-1 alpha-2
	City    string `json:"city"`
}

// Credit names the source of places on every page that shows them, as its licence
// asks, and how old it is.
type Credit struct {
	Text, URL string
	Date      time.Time
}

// Mail is a code that was mailed.
type Mail struct {
	At      time.Time `json:"at"`
	To      string    `json:"to"`
	Subject string    `json:"subject"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires,omitzero"`
}

// User is a user of the project.
type User struct {
	ID         string         `json:"id"`
	LoginIDs   []string       `json:"login_ids"`
	Name       string         `json:"name"`
	Email      string         `json:"email"`
	Status     string         `json:"status"`
	Attributes map[string]any `json:"attributes"`
	Devices    []Device       `json:"devices"`
	Logins     []Visit        `json:"logins"` // newest first
}

// Device is a device that a user signed in on.
type Device struct {
	Name    string    `json:"name"`
	Trusted bool      `json:"trusted"`
	Seen    time.Time `json:"seen"`
}

// Visit is a login in a user's history.
type Visit struct {
	At      time.Time `json:"at"`
	IP      string    `json:"ip"`
	Country string    `json:"country"`
	City    string    `json:"city"`
	Device  string    `json:"device"`
}

// Flow is a flow of the project, or one that was refused, and what is wrong with it.
type Flow struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Version  int      `json:"version"`
	Refused  bool     `json:"refused"`
	Problems []string `json:"problems"`
}

// Options wires a Panel. Calls and Faults must be given; of the rest, what is left
// out is empty.
type Options struct {
	Hosts  []string // names that the panel may be asked for beside this machine's own, without port
	Geo    func(netip.Addr) (Place, bool)
	Credit func() Credit // of what Geo says; nil: none
	Mail   func() []Mail
	Users  func(context.Context) ([]User, error)
	Flows  func() []Flow
	Calls  Calls
	Faults *faults.Set
	Audit  Audit // nil: the page is not there
	Now    func() time.Time
	Logger *slog.Logger
}

// Panel is the test panel. It is safe for concurrent use.
type Panel struct {
	Options
	now   func() time.Time
	pages *template.Template
	http  http.Handler
}

// preset is an address to sign in from. All are routable and are where their names
// say by the table of internal/geo; the page shows what it really says.
type preset struct{ Name, IP string }

var presets = []preset{
	{"Home, Berlin", "78.55.20.10"},
	{"Home, Berlin, IPv6", "2a02:8109::10"},
	{"Office, Berlin", "80.129.160.20"},
	{"Phone, a German mobile network", "80.187.128.10"},
	{"Hotel, Lisbon", "80.172.40.10"},
	{"Sydney", "49.180.20.30"},
}

// New makes a Panel.
func New(o Options) (*Panel, error) {
	if o.Calls == nil || o.Faults == nil {
		return nil, errors.New("panel: the request log and the faults are needed")
	}
	p := &Panel{Options: o, now: o.Now}
	if p.now == nil {
		p.now = time.Now
	}
	if p.Logger == nil {
		p.Logger = slog.New(slog.DiscardHandler)
	}
	if p.Geo == nil {
		p.Geo = func(netip.Addr) (Place, bool) { return Place{}, false }
	}
	if p.Options.Mail == nil {
		p.Options.Mail = func() []Mail { return nil }
	}
	if p.Options.Users == nil {
		p.Options.Users = func(context.Context) ([]User, error) { return nil, nil }
	}
	if p.Options.Flows == nil {
		p.Options.Flows = func() []Flow { return nil }
	}
	var err error
	if p.pages, err = template.New("").Funcs(template.FuncMap{"time": clock, "json": indent, "ms": millis, "tab": newTab}).ParseFS(files, "pages.html"); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /lab/static/lab.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "static/lab.css") })
	mux.Handle("GET /lab/{$}", http.RedirectHandler("/lab/login", http.StatusFound))
	mux.HandleFunc("GET /lab/login", p.loginPage)
	mux.HandleFunc("POST /lab/login", form(p.loginForm))
	mux.HandleFunc("POST /lab/login/reset", p.loginReset)
	mux.HandleFunc("GET /lab/mail", p.mailPage)
	mux.HandleFunc("GET /lab/calls", p.callsPage)
	mux.HandleFunc("GET /lab/calls/{id}", p.callPage)
	mux.HandleFunc("GET /lab/faults", p.faultsPage)
	mux.HandleFunc("POST /lab/faults", form(p.faultForm))
	mux.HandleFunc("POST /lab/faults/clear", form(p.faultClear))
	mux.HandleFunc("GET /lab/users", p.usersPage)
	mux.HandleFunc("GET /lab/users/{id}", p.userPage)
	mux.HandleFunc("GET /lab/flows", p.flowsPage)
	p.auditRoutes(mux)

	mux.HandleFunc("GET /lab/api/login", p.loginGet)
	mux.HandleFunc("PUT /lab/api/login", p.loginPut)
	mux.HandleFunc("DELETE /lab/api/login", p.loginDelete)
	mux.HandleFunc("GET /lab/api/mail", func(w http.ResponseWriter, r *http.Request) { p.json(w, 200, p.mail(r)) })
	mux.HandleFunc("GET /lab/api/calls", func(w http.ResponseWriter, _ *http.Request) { p.json(w, 200, list(p.Calls.Calls())) })
	mux.HandleFunc("GET /lab/api/calls/{id}", p.callGet)
	mux.HandleFunc("GET /lab/api/faults", func(w http.ResponseWriter, _ *http.Request) { p.json(w, 200, list(p.Faults.List())) })
	mux.HandleFunc("POST /lab/api/faults", p.faultPost)
	mux.HandleFunc("DELETE /lab/api/faults", p.faultsDelete)
	mux.HandleFunc("DELETE /lab/api/faults/{id}", p.faultDelete)
	mux.HandleFunc("GET /lab/api/users", p.usersGet)
	mux.HandleFunc("GET /lab/api/flows", func(w http.ResponseWriter, _ *http.Request) { p.json(w, 200, list(p.Options.Flows())) })
	mux.HandleFunc("/lab/api/", func(w http.ResponseWriter, _ *http.Request) {
		p.problem(w, http.StatusNotFound, "there is nothing at this address")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { p.lost(w, r) })
	p.http = p.guard(http.NewCrossOriginProtection().Handler(mux))
	return p, nil
}

// list is never null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// ServeHTTP answers everything under /lab/.
func (p *Panel) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.http.ServeHTTP(w, r) }

// guard refuses requests for a name that is not this machine's, and sets the
// headers of every answer.
func (p *Panel) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !p.ours(r.Host) {
			http.Error(w, "The test panel answers on this machine's own address only, such as 127.0.0.1.", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		next.ServeHTTP(w, r)
	})
}

func (p *Panel) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil && a.IsLoopback() {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(p.Hosts, host)
}

// form refuses a form that cannot be read whole: taken for an empty one it would
// clear every fault.
func form(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind := r.Header.Get("Content-Type"); kind != "" {
			if t, _, err := mime.ParseMediaType(kind); err != nil || t != "application/x-www-form-urlencoded" {
				http.Error(w, "This is not how the form of this page is sent.", http.StatusUnsupportedMediaType)
				return
			}
		}
		if err := r.ParseForm(); err != nil {
			http.Error(w, "The form is too long, or cannot be read.", http.StatusBadRequest)
			return
		}
		next(w, r)
	}
}

// view is what a page shows.
type view struct {
	Page, Title string
	Now         time.Time
	Error       string // what was wrong with a form
	Done        string

	Credit  Credit
	Login   loginForm
	Seen    seen
	Presets []presetView
	New     string // the device that was new before, to come back to
	Filter  string
	Mail    []Mail
	Calls   []connectors.Record
	Call    connectors.Record
	Faults  []faults.Fault
	Fault   faultForm
	Targets []string
	Users   []User
	User    User
	Flows   []Flow

	Streams  bool // there is a page of the audit stream
	Stream   auditForm
	Webhooks []auditing.State
}

type presetView struct {
	preset
	Place Place
	Known bool
}

// seen is what the project sees of a browser.
type seen struct {
	IP      string    `json:"ip"`
	Country string    `json:"country"` // empty: cannot be told
	City    string    `json:"city"`
	Device  string    `json:"device"`
	Time    time.Time `json:"time"`
}

func (p *Panel) seen(r *http.Request) seen {
	b := p.Browser(r)
	s := seen{Device: b.Device, Time: b.Now}
	if b.Addr.IsValid() {
		s.IP = b.Addr.String()
		if place, ok := p.Geo(b.Addr); ok {
			s.Country, s.City = place.Country, place.City
		}
	}
	return s
}

func (p *Panel) show(w http.ResponseWriter, status int, v view) {
	v.Now, v.Streams = p.now(), p.Audit != nil
	if p.Options.Credit != nil {
		v.Credit = p.Options.Credit()
	}
	var b bytes.Buffer
	if err := p.pages.ExecuteTemplate(&b, "page", v); err != nil {
		p.Logger.Error("panel: page", "page", v.Page, "error", err)
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (p *Panel) lost(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusNotFound, view{Page: "lost", Title: "Nothing here"})
}

func (p *Panel) json(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		p.Logger.Error("panel: answer", "error", err)
		http.Error(w, `{"error":"this cannot be shown"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func (p *Panel) problem(w http.ResponseWriter, status int, what string) {
	p.json(w, status, map[string]string{"error": what})
}

// read takes a JSON body; it answers what is wrong with it.
func (p *Panel) read(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		p.problem(w, http.StatusBadRequest, "the body cannot be read: "+strings.TrimPrefix(err.Error(), "json: "))
		return false
	}
	if _, err := dec.Token(); err != io.EOF { //nolint:errorlint // Token gives it as it is
		p.problem(w, http.StatusBadRequest, "the body holds more than one value")
		return false
	}
	return true
}

// loginForm is what was typed. Place is empty, a preset's address or "other"; Device
// is empty, "same", "new" or "named".
type loginForm struct {
	Place, IP, Device, Name, Hours string
	VPN, Bot                       bool
}

// Choices of the form that are no address and no device.
const (
	otherPlace  = "other"
	sameDevice  = "same" // the one that was new before
	namedDevice = "named"
)

// wasNew reports whether a device was asked for as a new one.
func wasNew(device string) bool { return strings.HasPrefix(device, newDevice+"-") }

func formOf(l Login) loginForm {
	f := loginForm{Place: l.IP, VPN: l.VPN, Bot: l.Bot, Hours: strconv.FormatFloat(l.HoursLater, 'f', -1, 64)}
	if l.IP != "" && !slices.ContainsFunc(presets, func(s preset) bool { return s.IP == l.IP }) {
		f.Place, f.IP = otherPlace, l.IP
	}
	switch {
	case wasNew(l.Device):
		f.Device = sameDevice
	case l.Device != "":
		f.Device, f.Name = namedDevice, l.Device
	}
	return f
}

// login is what the form asks for, or a sentence that says what is wrong in it.
func (f loginForm) login(before Login) (l Login, wrong string) {
	l = Login{IP: f.Place, Device: f.Device, VPN: f.VPN, Bot: f.Bot}
	if f.Place == otherPlace {
		if l.IP = strings.TrimSpace(f.IP); l.IP == "" {
			return l, "Give the other address."
		}
	}
	switch f.Device {
	case "", newDevice:
	case sameDevice:
		if l.Device = ""; wasNew(before.Device) {
			l.Device = before.Device
		}
	case namedDevice:
		if l.Device = strings.TrimSpace(f.Name); l.Device == "" {
			return l, "Give the device a name."
		}
	default:
		return l, "Choose one of the devices."
	}
	hours, err := strconv.ParseFloat(cmp.Or(strings.TrimSpace(f.Hours), "0"), 64)
	if err != nil {
		hours = math.NaN()
	}
	l.HoursLater = hours
	switch err := l.check(); {
	case errors.Is(err, errIP):
		return l, "The address is not an IPv4 or IPv6 address."
	case errors.Is(err, errDevice):
		return l, "The device's name may have at most 40 letters."
	case err != nil:
		return l, "The hours must be a number from 0 to 8760."
	}
	return l, ""
}

func (p *Panel) loginPage(w http.ResponseWriter, r *http.Request) {
	done := ""
	if r.URL.Query().Has("kept") {
		done = "Kept. The next login of this browser is made like this."
	}
	p.loginView(w, r, http.StatusOK, formOf(login(r)), view{Done: done})
}

func (p *Panel) loginView(w http.ResponseWriter, r *http.Request, status int, f loginForm, v view) {
	v.Page, v.Title, v.Login, v.Seen = "login", "Next login as", f, p.seen(r)
	for _, s := range presets {
		place, known := p.Geo(netip.MustParseAddr(s.IP))
		v.Presets = append(v.Presets, presetView{s, place, known})
	}
	if d := login(r).Device; wasNew(d) {
		v.New = d
	}
	p.show(w, status, v)
}

func (p *Panel) loginForm(w http.ResponseWriter, r *http.Request) {
	f := loginForm{
		Place: r.PostFormValue("place"), IP: r.PostFormValue("ip"), Device: r.PostFormValue("device"), Name: r.PostFormValue("name"),
		Hours: r.PostFormValue("hours"), VPN: r.PostFormValue("vpn") != "", Bot: r.PostFormValue("bot") != "",
	}
	l, wrong := f.login(login(r))
	if wrong != "" {
		p.loginView(w, r, http.StatusUnprocessableEntity, f, view{Error: wrong})
		return
	}
	if err := setLogin(w, l); err != nil {
		http.Error(w, "This cannot be kept.", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/lab/login?kept", http.StatusSeeOther)
}

func (p *Panel) loginReset(w http.ResponseWriter, r *http.Request) {
	cookie(w, loginCookie, "", -1)
	http.Redirect(w, r, "/lab/login?kept", http.StatusSeeOther)
}

func (p *Panel) loginGet(w http.ResponseWriter, r *http.Request) {
	p.json(w, http.StatusOK, struct {
		Login
		Seen seen `json:"seen"`
	}{login(r), p.seen(r)})
}

func (p *Panel) loginPut(w http.ResponseWriter, r *http.Request) {
	var l Login
	if !p.read(w, r, &l) {
		return
	}
	if err := l.check(); err != nil {
		p.problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if err := setLogin(w, l); err != nil {
		p.problem(w, http.StatusInternalServerError, "this cannot be kept")
		return
	}
	p.json(w, http.StatusOK, l)
}

func (p *Panel) loginDelete(w http.ResponseWriter, _ *http.Request) {
	cookie(w, loginCookie, "", -1)
	w.WriteHeader(http.StatusNoContent)
}

// mail is what was mailed, to everybody or to the address that ?to= names.
func (p *Panel) mail(r *http.Request) []Mail {
	to := strings.TrimSpace(r.URL.Query().Get("to"))
	out := []Mail{}
	for _, m := range p.Options.Mail() {
		if to == "" || strings.EqualFold(m.To, to) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b Mail) int { return b.At.Compare(a.At) })
	return out
}

func (p *Panel) mailPage(w http.ResponseWriter, r *http.Request) {
	p.show(w, http.StatusOK, view{Page: "mail", Title: "Mailbox", Mail: p.mail(r), Filter: r.URL.Query().Get("to")})
}

func (p *Panel) callsPage(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusOK, view{Page: "calls", Title: "Connector calls", Calls: p.Calls.Calls()})
}

func (p *Panel) call(r *http.Request) (connectors.Record, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return connectors.Record{}, false
	}
	return p.Calls.Call(id)
}

func (p *Panel) callPage(w http.ResponseWriter, r *http.Request) {
	c, ok := p.call(r)
	if !ok {
		p.lost(w, r)
		return
	}
	p.show(w, http.StatusOK, view{Page: "call", Title: "Call " + r.PathValue("id"), Call: c})
}

func (p *Panel) callGet(w http.ResponseWriter, r *http.Request) {
	c, ok := p.call(r)
	if !ok {
		p.problem(w, http.StatusNotFound, "this call is not kept any more, or never was")
		return
	}
	p.json(w, http.StatusOK, c)
}

// faultForm is what was typed.
type faultForm struct{ Target, Kind, Delay, Status, Count string }

func (p *Panel) faultsView(w http.ResponseWriter, status int, v view) {
	v.Page, v.Title, v.Faults = "faults", "Faults", p.Faults.List()
	v.Targets = []string{faults.Runtime, faults.Runtime + ":start", faults.Runtime + ":next", faults.Connector}
	for _, name := range p.Calls.Names() {
		v.Targets = append(v.Targets, faults.Connector+":"+name)
	}
	p.show(w, status, v)
}

func (p *Panel) faultsPage(w http.ResponseWriter, _ *http.Request) {
	p.faultsView(w, http.StatusOK, view{Fault: faultForm{Delay: "7000", Status: "500", Count: "1"}})
}

func (p *Panel) faultForm(w http.ResponseWriter, r *http.Request) {
	in := faultForm{r.PostFormValue("target"), r.PostFormValue("kind"), r.PostFormValue("delay"), r.PostFormValue("status"), r.PostFormValue("count")}
	number := func(s string) int {
		n, err := strconv.Atoi(cmp.Or(strings.TrimSpace(s), "0"))
		if err != nil {
			return -1
		}
		return n
	}
	f := faults.Fault{Target: in.Target, Kind: faults.Kind(in.Kind), Count: number(in.Count)}
	switch f.Kind { // the form has every field; only one kind means each
	case faults.Slow:
		f.DelayMS = number(in.Delay)
	case faults.Status:
		f.Status = number(in.Status)
	}
	if _, err := p.Faults.Add(f); err != nil {
		p.faultsView(w, http.StatusUnprocessableEntity, view{Fault: in, Error: "This cannot be set: " + err.Error() + "."})
		return
	}
	http.Redirect(w, r, "/lab/faults", http.StatusSeeOther)
}

func (p *Panel) faultClear(w http.ResponseWriter, r *http.Request) {
	if id := r.PostFormValue("id"); id == "" {
		p.Faults.Clear()
	} else if n, err := strconv.Atoi(id); err == nil {
		p.Faults.Remove(n)
	}
	http.Redirect(w, r, "/lab/faults", http.StatusSeeOther)
}

func (p *Panel) faultPost(w http.ResponseWriter, r *http.Request) {
	var f faults.Fault
	if !p.read(w, r, &f) {
		return
	}
	f, err := p.Faults.Add(f)
	if err != nil {
		p.problem(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	p.json(w, http.StatusCreated, f)
}

func (p *Panel) faultsDelete(w http.ResponseWriter, _ *http.Request) {
	p.Faults.Clear()
	w.WriteHeader(http.StatusNoContent)
}

func (p *Panel) faultDelete(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("id"))
	if err != nil || !p.Faults.Remove(n) {
		p.problem(w, http.StatusNotFound, "there is no such fault; it may be used up")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// noUsers is the answer if they cannot be read.
const noUsers = "The users cannot be read. What went wrong is in the log of the program."

// users reads them; why it cannot is in the log.
func (p *Panel) users(r *http.Request) ([]User, bool) {
	users, err := p.Options.Users(r.Context())
	if err != nil {
		p.Logger.Error("panel: users", "error", err)
	}
	return users, err == nil
}

func (p *Panel) usersGet(w http.ResponseWriter, r *http.Request) {
	users, ok := p.users(r)
	if !ok {
		p.problem(w, http.StatusInternalServerError, noUsers)
		return
	}
	p.json(w, http.StatusOK, list(users))
}

func (p *Panel) usersPage(w http.ResponseWriter, r *http.Request) {
	users, ok := p.users(r)
	if !ok {
		p.show(w, http.StatusInternalServerError, view{Page: "users", Title: "Users", Error: noUsers})
		return
	}
	p.show(w, http.StatusOK, view{Page: "users", Title: "Users", Users: users})
}

func (p *Panel) userPage(w http.ResponseWriter, r *http.Request) {
	users, ok := p.users(r)
	if !ok {
		p.show(w, http.StatusInternalServerError, view{Page: "users", Title: "Users", Error: noUsers})
		return
	}
	i := slices.IndexFunc(users, func(u User) bool { return u.ID == r.PathValue("id") })
	if i < 0 {
		p.lost(w, r)
		return
	}
	p.show(w, http.StatusOK, view{Page: "user", Title: cmp.Or(users[i].Name, users[i].Email, users[i].ID), User: users[i]})
}

func (p *Panel) flowsPage(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusOK, view{Page: "flows", Title: "Flows", Flows: p.Options.Flows()})
}

// tab is one page in the navigation.
type tab struct {
	Href, Label string
	Here        bool
}

func newTab(page, href, label, current string) tab {
	here := page == current || page == "calls" && current == "call" || page == "users" && current == "user"
	return tab{href, label, here}
}

// clock is a time as the pages write it.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// indent makes JSON readable; what is no JSON stays as it is.
func indent(v any) string {
	s, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		s = string(b)
	}
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

func millis(ms float64) string { return strconv.FormatFloat(ms, 'f', 1, 64) + " ms" }
