package panel_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/panel"
)

const (
	loginCookie  = "kosmoscope_lab_login"
	deviceCookie = "kosmoscope_lab_device"
)

var noon = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)

// calls is a request log.
type calls []connectors.Record

func (c calls) Calls() []connectors.Record { return c }
func (c calls) Names() []string            { return []string{"1Kosmos Bridge"} }

func (c calls) Call(id int64) (connectors.Record, bool) {
	i := slices.IndexFunc(c, func(r connectors.Record) bool { return r.ID == id })
	if i < 0 {
		return connectors.Record{}, false
	}
	return c[i], true
}

// lab is a panel and one browser with its cookies.
type lab struct {
	*testing.T
	*panel.Panel
	faults  *faults.Set
	logged  bytes.Buffer
	cookies map[string]string
}

func newLab(t *testing.T, change func(*panel.Options)) *lab {
	t.Helper()
	l := &lab{T: t, faults: faults.New(), cookies: map[string]string{}}
	o := panel.Options{
		Calls: calls{}, Faults: l.faults, Now: func() time.Time { return noon }, Logger: slog.New(slog.NewTextHandler(&l.logged, nil)),
		Geo: func(a netip.Addr) (panel.Place, bool) {
			switch a.String() {
			case "49.180.20.30":
				return panel.Place{Country: "AU", City: "Sydney"}, true
			case "192.0.2.1": // where httptest's requests come from
				return panel.Place{Country: "DE"}, true
			}
			return panel.Place{}, false
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	if l.Panel, err = panel.New(o); err != nil {
		t.Fatal(err)
	}
	return l
}

// request is one from the panel's own pages.
func (l *lab) request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, "http://127.0.0.1:3000"+path, strings.NewReader(body))
	for name, value := range l.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if strings.HasPrefix(path, "/lab/api/") {
		r.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// send sends it, and keeps the cookies as a browser does.
func (l *lab) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	l.keep(w)
	return w
}

func (l *lab) keep(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(l.cookies, c.Name)
		} else {
			l.cookies[c.Name] = c.Value
		}
	}
}

// call sends a request that must be answered with the status.
func (l *lab) call(status int, method, path, body string) string {
	l.Helper()
	w := l.send(l.request(method, path, body))
	if w.Code != status {
		l.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, w.Code, status, w.Body)
	}
	want := "text/html; charset=utf-8"
	if strings.HasPrefix(path, "/lab/api/") {
		want = "application/json"
	}
	if got := w.Header().Get("Content-Type"); w.Body.Len() > 0 && got != want && status/100 != 3 {
		l.Fatalf("%s %s: content type %q, want %q", method, path, got, want)
	}
	return w.Body.String()
}

func (l *lab) form(status int, path string, values ...string) string {
	l.Helper()
	f := url.Values{}
	for i := 0; i < len(values); i += 2 {
		f.Set(values[i], values[i+1])
	}
	return l.call(status, "POST", path, f.Encode())
}

// problem is the sentence of an error in JSON.
func (l *lab) problem(status int, method, path, body string) string {
	l.Helper()
	var e struct{ Error string }
	l.decode(l.call(status, method, path, body), &e)
	return e.Error
}

func (l *lab) decode(body string, v any) {
	l.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		l.Fatalf("%v: %s", err, body)
	}
}

func (l *lab) login() (got panel.Login) {
	l.Helper()
	l.decode(l.call(200, "GET", "/lab/api/login", ""), &got)
	return got
}

func (l *lab) shows(page string, parts ...string) {
	l.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			l.Errorf("no %q in:\n%s", part, page)
		}
	}
}

func (l *lab) hides(page string, parts ...string) {
	l.Helper()
	for _, part := range parts {
		if strings.Contains(page, part) {
			l.Errorf("%q is in:\n%s", part, page)
		}
	}
}

func TestNewNeedsCallsAndFaults(t *testing.T) {
	t.Parallel()
	for _, o := range []panel.Options{{}, {Calls: calls{}}, {Faults: faults.New()}} {
		if _, err := panel.New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	p, err := panel.New(panel.Options{Calls: calls{}, Faults: faults.New()})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"login", "mail", "calls", "faults", "users", "flows"} { // with everything else left out
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/lab/"+path, nil))
		if w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *panel.Options) { o.Hosts = []string{"descope.test"} })
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:3000": 200, "127.8.8.8:1": 200, "[::1]:3000": 200, "[::1]": 200,
		"localhost": 200, "LOCALHOST:3000": 200, "lab.localhost:3000": 200, "descope.test:3000": 200,
		"evil.example": 421, "evil.example:3000": 421, "127.0.0.1.evil.example": 421, "notlocalhost": 421, "localhost.evil.example": 421,
		"192.0.2.1:3000": 421, "0.0.0.0:3000": 421, "sub.descope.test": 421, "": 421,
	} {
		for _, path := range []string{"/lab/mail", "/lab/api/mail", "/lab/nowhere"} {
			r := l.request("GET", path, "")
			r.Host = host
			w := l.send(r)
			if got := w.Code; got != want && (want != 200 || path != "/lab/nowhere" || got != 404) {
				t.Errorf("%q %s: %d, want %d", host, path, got, want)
			}
			if want == 421 && !strings.Contains(w.Body.String(), "this machine") {
				t.Errorf("%q: %s", host, w.Body)
			}
		}
	}
}

func TestOtherOriginsChangeNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.call(201, "POST", "/lab/api/faults", `{"target":"runtime","kind":"lost"}`)
	l.call(200, "PUT", "/lab/api/login", `{"device":"Phone"}`)
	for name, headers := range map[string][2]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "another port": {"Sec-Fetch-Site", "same-site"},
		"old browser": {"Origin", "https://evil.example"}, "null": {"Origin", "null"},
	} {
		for _, c := range [][3]string{
			{"POST", "/lab/login", "place=&device="}, {"POST", "/lab/login/reset", ""}, {"POST", "/lab/faults", "target=runtime&kind=lost"},
			{"POST", "/lab/faults/clear", ""}, {"PUT", "/lab/api/login", "{}"}, {"DELETE", "/lab/api/login", ""},
			{"POST", "/lab/api/faults", `{"target":"runtime","kind":"lost"}`}, {"DELETE", "/lab/api/faults", ""}, {"DELETE", "/lab/api/faults/1", ""},
		} {
			r := l.request(c[0], c[1], c[2])
			r.Header.Set(headers[0], headers[1])
			if w := l.send(r); w.Code != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d", name, c[0], c[1], w.Code)
			}
		}
	}
	if f := l.faults.List(); len(f) != 1 || l.login().Device != "Phone" {
		t.Fatalf("%v, %+v", f, l.login())
	}
	r := l.request("DELETE", "/lab/api/faults", "")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if w := l.send(r); w.Code != 204 || len(l.faults.List()) != 0 {
		t.Fatalf("its own page: %d, %v", w.Code, l.faults.List())
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, c := range [][2]string{
		{"GET", "/lab/"}, {"GET", "/lab/login"}, {"GET", "/lab/static/lab.css"}, {"GET", "/lab/nowhere"}, {"GET", "/lab/api/nowhere"},
		{"GET", "/lab/api/calls"}, {"GET", "/lab/calls/7"}, {"POST", "/lab/login/reset"}, {"DELETE", "/lab/api/faults"}, {"HEAD", "/lab/mail"},
		{"GET", "//evil.example/"}, {"OPTIONS", "/lab/api/login"},
	} {
		for _, host := range []string{"127.0.0.1", "evil.example"} {
			r := l.request(c[0], c[1], "")
			r.Host = host
			h := l.send(r).Header()
			if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self';") || strings.Contains(csp, "script") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("%s %s at %s: %q", c[0], c[1], host, csp)
			}
			for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": ""} {
				if got := h.Get(name); got != want {
					t.Errorf("%s %s at %s: %s is %q", c[0], c[1], host, name, got)
				}
			}
		}
	}
}

// What the policy forbids is not in the pages.
func TestPagesNeedNoScriptAndNoInlineStyle(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, page := range []string{"login", "mail", "calls", "faults", "users", "flows", "nowhere"} {
		body := l.send(l.request("GET", "/lab/"+page, "")).Body.String()
		l.hides(body, "<script", "<style", " style=", " onclick=", "javascript:")
		l.shows(body, `<html lang="en">`, "<h1>", `<main id="main"`, "<title>")
	}
}

func TestUnknownAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.shows(l.call(404, "GET", "/lab/nowhere", ""), "Nothing here", "leads nowhere")
	l.shows(l.call(404, "GET", "/lab/calls/1/2", ""), "Nothing here")
	l.shows(l.call(404, "POST", "/lab/mail", ""), "Nothing here")
	l.call(404, "GET", "/lab/static/", "")
	for _, c := range [][2]string{{"GET", "/lab/api/nowhere"}, {"GET", "/lab/api/"}, {"PATCH", "/lab/api/login"}, {"POST", "/lab/api/mail"}} {
		if got := l.problem(404, c[0], c[1], ""); got != "there is nothing at this address" {
			t.Errorf("%v: %q", c, got)
		}
	}
	w := l.send(l.request("GET", "/lab/", ""))
	if w.Code != http.StatusFound || w.Header().Get("Location") != "/lab/login" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
	}
	if w := l.send(l.request("GET", "/lab/static/lab.css", "")); w.Code != 200 || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
}

func TestLoginAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	if got := l.login(); got != (panel.Login{}) {
		t.Fatalf("%+v before anything was chosen", got)
	}
	l.call(200, "PUT", "/lab/api/login", `{"ip":" ::ffff:49.180.20.30 ","device":"  Ada's phone ","vpn":true,"bot":true,"hours_later":1.5}`)
	want := panel.Login{IP: "49.180.20.30", Device: "Ada's phone", VPN: true, Bot: true, HoursLater: 1.5}
	var got struct {
		panel.Login
		Seen struct {
			IP, Country, City, Device string
			Time                      time.Time
		}
	}
	l.decode(l.call(200, "GET", "/lab/api/login", ""), &got)
	if got.Login != want {
		t.Fatalf("%+v", got)
	}
	if s := got.Seen; s.IP != "49.180.20.30" || s.Country != "AU" || s.City != "Sydney" || s.Device != "Ada's phone" || !s.Time.Equal(noon.Add(90*time.Minute)) {
		t.Fatalf("%+v", s)
	}
	for body, wrong := range map[string]string{
		`{"ip":"nowhere"}`:                                 "ip is not an IPv4 or IPv6 address",
		`{"ip":"192.0.2.1:80"}`:                            "ip is not an IPv4 or IPv6 address",
		`{"ip":"fe80::1%eth0"}`:                            "ip is not an IPv4 or IPv6 address",
		`{"device":"` + strings.Repeat("ä", 41) + `"}`:     "device is a name of at most 40 letters",
		`{"device":"a\u0007b"}`:                            "device is a name of at most 40 letters",
		`{"device":"a\ufffdb"}`:                            "device is a name of at most 40 letters",
		`{"hours_later":-0.1}`:                             "hours_later must be from 0 to 8760",
		`{"hours_later":8760.1}`:                           "hours_later must be from 0 to 8760",
		`{"ip":"nowhere","device":"x","hours_later":-100}`: "ip is not an IPv4 or IPv6 address",
	} {
		if got := l.problem(422, "PUT", "/lab/api/login", body); got != wrong {
			t.Errorf("%s: %q", body, got)
		}
	}
	for body, wrong := range map[string]string{
		``:                       "the body cannot be read: EOF",
		`{`:                      "the body cannot be read: unexpected EOF",
		`{"ip":4}`:               "cannot unmarshal number into Go struct field Login.ip of type string",
		`{"adress":"192.0.2.1"}`: `the body cannot be read: unknown field "adress"`,
		`{"hours_later":1e999}`:  "cannot unmarshal number 1e999",
		`{}{}`:                   "the body holds more than one value",
		`{}}`:                    "the body holds more than one value",
		`{"device":"` + strings.Repeat("x", 17<<10) + `"}`: "too large",
	} {
		if got := l.problem(400, "PUT", "/lab/api/login", body); !strings.Contains(got, wrong) {
			t.Errorf("%.40s: %q", body, got)
		}
	}
	if got := l.login(); got != want {
		t.Fatalf("what was refused was kept: %+v", got)
	}
	l.call(200, "PUT", "/lab/api/login", `{"ip":"2001:DB8::0:1","device":"`+strings.Repeat("ä", 40)+`","hours_later":8760}`)
	if got := l.login(); got.IP != "2001:db8::1" || got.HoursLater != 8760 || got.VPN {
		t.Fatalf("%+v", got)
	}
	l.call(204, "DELETE", "/lab/api/login", "")
	if got := l.login(); got != (panel.Login{}) {
		t.Fatalf("%+v after it was deleted", got)
	}
}

func TestNewDeviceGetsANameAndKeepsIt(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	names := map[string]bool{}
	for range 3 {
		var got panel.Login
		l.decode(l.call(200, "PUT", "/lab/api/login", `{"device":"new"}`), &got)
		if !strings.HasPrefix(got.Device, "new-") || len(got.Device) != 12 || names[got.Device] {
			t.Fatalf("%+v", got)
		}
		names[got.Device] = true
		for range 2 {
			if again := l.login(); again != got || l.Browser(l.request("POST", "/v1/flow/start", "")).Device != got.Device {
				t.Fatalf("%+v became %+v", got, again)
			}
		}
	}
}

func TestLoginCookie(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	w := l.send(l.request("PUT", "/lab/api/login", `{"device":"Phone"}`))
	c := w.Result().Cookies()
	if len(c) != 1 || c[0].Name != loginCookie || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/" || c[0].MaxAge != 365*24*3600 || c[0].Domain != "" {
		t.Fatalf("%+v", c)
	}
	for name, value := range map[string]string{
		"no base64": "%%%", "no JSON": base64.RawURLEncoding.EncodeToString([]byte("{")),
		"address": base64.RawURLEncoding.EncodeToString([]byte(`{"ip":"nowhere","vpn":true}`)),
		"hours":   base64.RawURLEncoding.EncodeToString([]byte(`{"hours_later":1e9,"vpn":true}`)),
		"new":     base64.RawURLEncoding.EncodeToString([]byte(`{"device":"new","vpn":true}`)),
	} {
		l.cookies[loginCookie] = value
		if got := l.login(); got != (panel.Login{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestLoginForm(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	page := l.call(200, "GET", "/lab/login", "")
	l.shows(page, `name="place" value="" checked`, `name="device" value="" checked`, `value="0"`, `value="49.180.20.30"`, "Sydney, AU", "place unknown", "none yet, until a flow is opened", "192.0.2.1", "<dd>DE</dd>", "2027-01-15 12:00:00 UTC")
	l.hides(page, "The new one again", `data-testid="done"`, `data-testid="error"`)
	if n := strings.Count(page, `name="place"`); n != 8 { // its own, six presets, another
		t.Errorf("%d places", n)
	}

	// A preset.
	w := l.send(l.request("POST", "/lab/login", "place=49.180.20.30&device=named&name=Phone&vpn=1&bot=1&hours=+1.5+&ip=ignored"))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/lab/login?kept" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if got := l.login(); got != (panel.Login{IP: "49.180.20.30", Device: "Phone", VPN: true, Bot: true, HoursLater: 1.5}) {
		t.Fatalf("%+v", got)
	}
	l.shows(l.call(200, "GET", "/lab/login?kept", ""), `value="49.180.20.30" checked`, `value="named" checked`, `name="name" value="Phone"`, `name="vpn" value="1" checked`, `name="bot" value="1" checked`, `value="1.5"`, "Kept.", "Sydney, AU", "2027-01-15 13:30:00 UTC")

	// Another address, and a new device that is come back to.
	l.form(303, "/lab/login", "place", "other", "ip", " 2001:db8::7 ", "device", "new")
	first := l.login()
	if first.IP != "2001:db8::7" || !strings.HasPrefix(first.Device, "new-") || first.VPN || first.HoursLater != 0 {
		t.Fatalf("%+v", first)
	}
	l.shows(l.call(200, "GET", "/lab/login", ""), `value="other" checked`, `name="ip" value="2001:db8::7"`, "The new one again", first.Device, `value="same" checked`, "cannot be told")
	l.form(303, "/lab/login", "place", "", "device", "same", "hours", "")
	if got := l.login(); got.Device != first.Device || got.IP != "" {
		t.Fatalf("%+v", got)
	}

	// As it really is.
	l.form(303, "/lab/login/reset")
	if got := l.login(); got != (panel.Login{}) {
		t.Fatalf("%+v", got)
	}
	l.form(303, "/lab/login", "device", "same") // of a page that is behind
	if got := l.login(); got != (panel.Login{}) {
		t.Fatalf("%+v", got)
	}
}

func TestLoginFormSaysWhatIsWrongAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.call(200, "PUT", "/lab/api/login", `{"device":"new"}`)
	before := l.login()
	for wrong, c := range map[string][]string{
		"Give the other address.":                            {"place", "other", "ip", "  "},
		"The address is not an IPv4 or IPv6 address.":        {"place", "other", "ip", "nowhere <b>"},
		"Give the device a name.":                            {"device", "named", "name", " "},
		"The device&#39;s name may have at most 40 letters.": {"device", "named", "name", strings.Repeat("x", 41)},
		"Choose one of the devices.":                         {"device", "elsewhere"},
		"The hours must be a number from 0 to 8760.":         {"hours", "soon"},
		"The hours must be a number from 0 to 8760. ":        {"hours", "9000"},
		"The hours must be a number from 0 to 8760.  ":       {"hours", "NaN"},
	} {
		values := map[string]string{"place": "other", "ip": "192.0.2.77", "device": "named", "name": "Desk", "vpn": "1", "hours": "2.5"}
		for i := 0; i < len(c); i += 2 {
			values[c[i]] = c[i+1]
		}
		var list []string
		for k, v := range values {
			list = append(list, k, v)
		}
		page := l.form(422, "/lab/login", list...)
		l.shows(page, `role="alert"`, strings.TrimSpace(wrong), `name="place" value="other" checked`, `name="vpn" value="1" checked`, "The new one again")
		l.hides(page, "<b>", `name="bot" value="1" checked`, `value="same" checked`)
		for _, name := range []string{"ip", "name", "hours"} {
			want := fmt.Sprintf("name=%q", name)
			field := page[strings.Index(page, want):]
			field = field[:strings.IndexByte(field, '\n')]
			if got := strings.ReplaceAll(strings.ReplaceAll(field, "&lt;", "<"), "&gt;", ">"); !strings.Contains(got, fmt.Sprintf("value=%q", values[name])) {
				t.Errorf("%s: what was typed as %s is gone: %s", wrong, name, field)
			}
		}
	}
	if got := l.login(); got != before {
		t.Fatalf("what was refused was kept: %+v", got)
	}
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	r := l.request("POST", "/v1/flow/start", "")
	r.Header.Set("User-Agent", "Test/1")
	r.Header.Set("X-Descope-Trusted-Device-Token", "dtd")
	b := l.Browser(r)
	if b.Addr != netip.MustParseAddr("192.0.2.1") || b.UserAgent != "Test/1" || b.DTD != "dtd" || b.Device != "" || b.VPN || b.Bot || !b.Now.Equal(noon) || b.Refresh != "" {
		t.Fatalf("%+v", b)
	}
	for remote, want := range map[string]string{
		"[::ffff:198.51.100.9]:1234": "198.51.100.9", "[2001:db8::1]:1": "2001:db8::1", "nobody": "invalid IP", "": "invalid IP",
	} {
		r.RemoteAddr = remote
		if got := l.Browser(r).Addr.String(); got != want {
			t.Errorf("%q: %s", remote, got)
		}
	}
	r.RemoteAddr = "nobody"
	r.Header.Set("X-Forwarded-For", "49.180.20.30") // anybody can write that
	if got := l.Browser(r).Addr; got.IsValid() {
		t.Errorf("taken from a header: %s", got)
	}
	l.call(200, "PUT", "/lab/api/login", `{"ip":"49.180.20.30","device":"Phone","vpn":true,"bot":true,"hours_later":0.5}`)
	b = l.Browser(l.request("POST", "/v1/flow/next", ""))
	if b.Addr != netip.MustParseAddr("49.180.20.30") || b.Device != "Phone" || !b.VPN || !b.Bot || !b.Now.Equal(noon.Add(30*time.Minute)) {
		t.Fatalf("%+v", b)
	}
}

func TestFirstContact(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	r := l.request("POST", "/v1/flow/start", "")
	w := httptest.NewRecorder()
	l.FirstContact(w, r)
	l.keep(w)
	c := w.Result().Cookies()
	if len(c) != 1 || c[0].Name != deviceCookie || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].MaxAge <= 0 {
		t.Fatalf("%+v", c)
	}
	own := "own-" + c[0].Value
	if got := l.Browser(r).Device; got != own || len(own) < 20 {
		t.Fatalf("device %q of the request itself, want %q", got, own)
	}
	again := l.request("POST", "/v1/flow/start", "")
	w = httptest.NewRecorder()
	l.FirstContact(w, again)
	if len(w.Result().Cookies()) != 0 || l.Browser(again).Device != own {
		t.Fatalf("%v, %q", w.Result().Cookies(), l.Browser(again).Device)
	}
	// A device that the panel names goes first, and ends with a reset.
	l.call(200, "PUT", "/lab/api/login", `{"device":"Phone"}`)
	if got := l.Browser(l.request("GET", "/", "")).Device; got != "Phone" {
		t.Fatal(got)
	}
	l.call(204, "DELETE", "/lab/api/login", "")
	if got := l.Browser(l.request("GET", "/", "")).Device; got != own {
		t.Fatal(got)
	}
	// What is none of ours is replaced, and counts for nothing.
	for _, value := range []string{"short", strings.Repeat("x", 41), "UPPERCASEUPPERCASE", "0123456789abcde-"} {
		l.cookies[deviceCookie] = value
		bad := l.request("POST", "/v1/flow/start", "")
		if got := l.Browser(bad).Device; got != "" {
			t.Fatalf("%q: %q", value, got)
		}
		w = httptest.NewRecorder()
		l.FirstContact(w, bad)
		c := w.Result().Cookies()
		if len(c) != 1 || l.Browser(bad).Device != "own-"+c[0].Value {
			t.Fatalf("%q: %v, %q", value, c, l.Browser(bad).Device)
		}
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	var sent []panel.Mail
	l := newLab(t, func(o *panel.Options) { o.Mail = func() []panel.Mail { return sent } })
	if got := l.call(200, "GET", "/lab/api/mail", ""); got != "[]\n" {
		t.Fatal(got)
	}
	l.shows(l.call(200, "GET", "/lab/mail", ""), "Nothing was mailed yet.")
	sent = []panel.Mail{
		{At: noon.Add(-time.Hour), To: "ada@example.org", Subject: "Your code", Code: "111111", Expires: noon},
		{At: noon, To: "Bob@example.org", Subject: "<i>code</i>", Code: "222222"},
		{At: noon.Add(-time.Minute), To: "ada@example.org", Subject: "Your code", Code: "333333"},
	}
	codes := func(query string) string {
		var list []panel.Mail
		l.decode(l.call(200, "GET", "/lab/api/mail"+query, ""), &list)
		var codes []string
		for _, m := range list {
			codes = append(codes, m.Code)
		}
		return strings.Join(codes, " ")
	}
	for query, want := range map[string]string{"": "222222 333333 111111", "?to=ADA@example.org": "333333 111111", "?to=+bob%40example.org+": "222222", "?to=ada": ""} {
		if got := codes(query); got != want {
			t.Errorf("%q: %s", query, got)
		}
	}
	if got := l.call(200, "GET", "/lab/api/mail?to=bob@example.org", ""); strings.Contains(got, "expires") {
		t.Error(got)
	}
	page := l.call(200, "GET", "/lab/mail", "")
	l.shows(page, "111111", "good until 12:00", "2027-01-15 11:00:00 UTC", "&lt;i&gt;code")
	l.hides(page, "<i>")
	page = l.call(200, "GET", "/lab/mail?to=ada@example.org", "")
	l.shows(page, "111111", `value="ada@example.org"`)
	l.hides(page, "222222")
	l.shows(l.call(200, "GET", "/lab/mail?to=%22%3E%3Cb%3E", ""), "Nothing was mailed to this address.", `value="&#34;&gt;&lt;b&gt;"`)
}

func TestCalls(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *panel.Options) {
		o.Calls = calls{
			{ID: 3, At: noon, Flow: "f", Task: "7", Execution: "abcd", Connector: "1Kosmos Bridge", Error: "ConnectorFailed", Detail: "no endpoint <script>", Async: true},
			{ID: 2, At: noon, Flow: "f", Task: "7", Connector: "1Kosmos Bridge", Method: "POST", URL: "https://bridge.example/idv/<x>", Status: 503, Error: "request_error", Fault: "status",
				Sent: []connectors.Header{{Key: "Authorization", Value: "Bearer ********"}}, Body: `{"a":"<script>alert(1)</script>"}`, HMACInput: "hmac-input", Base: `"@method": POST`,
				Received: []connectors.Header{{Key: "X-Answer", Value: "<b>"}}, Answer: `{"session_url":"<img src=x>"}`, Millis: 12.34, Ignored: []string{"retries", "cache"}},
			{ID: 1, At: noon, Connector: "1Kosmos Bridge", Method: "POST", URL: "https://token.example/", Status: 200, Token: true, Answer: "no JSON"},
		}
	})
	page := l.call(200, "GET", "/lab/calls", "")
	l.shows(page, `href="/lab/calls/3"`, "not sent", `href="/lab/calls/2"`, "https://bridge.example/idv/&lt;x&gt;", "request_error 503", "fault: status", "12.3 ms", "access token for 1Kosmos Bridge", "asynchronous", "task 7")
	if strings.Index(page, "/lab/calls/3") > strings.Index(page, "/lab/calls/1") {
		t.Error("not the newest first")
	}
	page = l.call(200, "GET", "/lab/calls/2", "")
	l.shows(page, "Authorization: Bearer ********", "&lt;script&gt;alert(1)", "hmac-input", "@method", "X-Answer: &lt;b&gt;", "&lt;img src=x&gt;", "<code>retries</code>, <code>cache</code>", "Fault knobs")
	l.hides(page, "<script", "<img", "<b>")
	page = l.call(200, "GET", "/lab/calls/3", "")
	l.shows(page, "There was none.", "no endpoint &lt;script&gt;", "asynchronous")
	l.hides(page, "<script")
	l.shows(l.call(200, "GET", "/lab/calls/1", ""), "asking for an access token", "no JSON")
	for _, id := range []string{"4", "0", "-1", "x", "99999999999999999999"} {
		l.shows(l.call(404, "GET", "/lab/calls/"+id, ""), "Nothing here")
		if got := l.problem(404, "GET", "/lab/api/calls/"+id, ""); got != "this call is not kept any more, or never was" {
			t.Error(got)
		}
	}
	var list []connectors.Record
	l.decode(l.call(200, "GET", "/lab/api/calls", ""), &list)
	var one connectors.Record
	l.decode(l.call(200, "GET", "/lab/api/calls/2", ""), &one)
	if len(list) != 3 || list[0].ID != 3 || one.Body != `{"a":"<script>alert(1)</script>"}` || one.Status != 503 {
		t.Fatalf("%d, %+v", len(list), one)
	}
	empty := newLab(t, nil)
	empty.shows(empty.call(200, "GET", "/lab/calls", ""), "No connector has made a call yet.")
	if got := empty.call(200, "GET", "/lab/api/calls", ""); got != "[]\n" {
		t.Fatal(got)
	}
}

func TestFaultsAPI(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	if got := l.call(200, "GET", "/lab/api/faults", ""); got != "[]\n" {
		t.Fatal(got)
	}
	var first, second faults.Fault
	l.decode(l.call(201, "POST", "/lab/api/faults", `{"target":"connector:1Kosmos Bridge","kind":"slow","delay_ms":7000,"count":2}`), &first)
	l.decode(l.call(201, "POST", "/lab/api/faults", `{"target":"runtime:next","kind":"status","status":503}`), &second)
	var list []faults.Fault
	l.decode(l.call(200, "GET", "/lab/api/faults", ""), &list)
	if !slices.Equal(list, []faults.Fault{first, second}) || first.DelayMS != 7000 || first.Count != 2 || second.Status != 503 || first.ID == second.ID {
		t.Fatalf("%+v", list)
	}
	if e := l.faults.Take("runtime:next"); e.Status != 503 {
		t.Fatalf("%+v", e)
	}
	for body, wrong := range map[string]string{
		`{"target":"nothing","kind":"lost"}`:                "target must be runtime, runtime:start, runtime:next, connector or connector:NAME",
		`{"target":"runtime","kind":"sad"}`:                 "kind must be slow, status, malformed, nulls, lost or duplicate",
		`{"target":"runtime","kind":"nulls"}`:               "nulls is for connectors only",
		`{"target":"runtime","kind":"slow"}`:                "slow needs delay_ms, from 1 to 120000, and only slow has it",
		`{"target":"runtime","kind":"status","status":200}`: "status needs a status from 400 to 599, and only status has it",
		`{"target":"runtime","kind":"lost","count":1001}`:   "count must be from 0 to 1000",
		`{"target":"runtime","kind":"lost","delay_ms":1}`:   "slow needs delay_ms, from 1 to 120000, and only slow has it",
	} {
		if got := l.problem(422, "POST", "/lab/api/faults", body); got != wrong {
			t.Errorf("%s: %q", body, got)
		}
	}
	l.problem(400, "POST", "/lab/api/faults", `{"target":"runtime","sort":"lost"}`)
	l.call(204, "DELETE", fmt.Sprint("/lab/api/faults/", first.ID), "")
	for _, id := range []string{fmt.Sprint(first.ID), "99", "x"} {
		if got := l.problem(404, "DELETE", "/lab/api/faults/"+id, ""); got != "there is no such fault; it may be used up" {
			t.Error(got)
		}
	}
	if got := l.faults.List(); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	l.call(204, "DELETE", "/lab/api/faults", "")
	if got := l.faults.List(); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	for range 50 {
		l.call(201, "POST", "/lab/api/faults", `{"target":"runtime","kind":"lost"}`)
	}
	l.problem(422, "POST", "/lab/api/faults", `{"target":"runtime","kind":"lost"}`)
}

func TestFaultsPage(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.shows(l.call(200, "GET", "/lab/faults", ""), "Nothing goes wrong on purpose.", "<option>connector:1Kosmos Bridge</option>", `value="7000"`, `value="500"`)
	// The form has every field; only one kind means each.
	l.form(303, "/lab/faults", "target", "connector", "kind", "lost", "delay", "7000", "status", "500", "count", "1")
	l.form(303, "/lab/faults", "target", "runtime", "kind", "slow", "delay", " 50 ", "status", "x", "count", "")
	l.form(303, "/lab/faults", "target", "runtime:start", "kind", "status", "status", "418", "count", "3")
	want := []faults.Fault{
		{ID: 1, Target: "connector", Kind: "lost", Count: 1}, {ID: 2, Target: "runtime", Kind: "slow", DelayMS: 50}, {ID: 3, Target: "runtime:start", Kind: "status", Status: 418, Count: 3},
	}
	if got := l.faults.List(); !slices.Equal(got, want) {
		t.Fatalf("%+v", got)
	}
	l.shows(l.call(200, "GET", "/lab/faults", ""), "next call<", "until cleared", "next 3 calls", "by 50 ms", "418", `aria-label="Clear slow of runtime"`)
	page := l.form(422, "/lab/faults", "target", "runtime:next", "kind", "nulls", "delay", "1234", "status", "599", "count", "9")
	l.shows(page, "This cannot be set: nulls is for connectors only.", "<option selected>runtime:next", `value="nulls" selected`, `value="1234"`, `value="599"`, `value="9"`)
	l.form(422, "/lab/faults", "target", "runtime", "kind", "slow", "delay", "soon")
	l.form(422, "/lab/faults", "target", "runtime", "kind", "lost", "count", "many")
	l.form(303, "/lab/faults/clear", "id", "2")
	l.form(303, "/lab/faults/clear", "id", "x")
	if got := l.faults.List(); !slices.Equal(got, []faults.Fault{want[0], want[2]}) {
		t.Fatalf("%+v", got)
	}
	l.form(303, "/lab/faults/clear")
	if got := l.faults.List(); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	var users []panel.User
	var failure error
	l := newLab(t, func(o *panel.Options) {
		o.Users = func(context.Context) ([]panel.User, error) { return users, failure }
	})
	if got := l.call(200, "GET", "/lab/api/users", ""); got != "[]\n" {
		t.Fatal(got)
	}
	l.shows(l.call(200, "GET", "/lab/users", ""), "There are no users yet.")
	users = []panel.User{
		{ID: "U1", LoginIDs: []string{"ada@example.org", "ada"}, Name: "Ada <b>", Email: "ada@example.org", Status: "enabled",
			Attributes: map[string]any{"kosmosVerified": true, "note": "<script>"},
			Devices:    []panel.Device{{Name: "Chrome on Linux", Trusted: true, Seen: noon}, {Name: "Firefox", Seen: noon}},
			Logins:     []panel.Visit{{At: noon, IP: "49.180.20.30", Country: "AU", City: "Sydney", Device: "Chrome"}, {At: noon, IP: "192.0.2.9"}}},
		{ID: "U2", Email: "bob@example.org", Status: "disabled"},
	}
	page := l.call(200, "GET", "/lab/users", "")
	l.shows(page, "Ada &lt;b&gt;", "ada@example.org, ada", "2 devices, 2 logins", `href="/lab/users/U2"`, "bob@example.org", `tag bad">disabled`, "0 devices, 0 logins")
	page = l.call(200, "GET", "/lab/users/U1", "")
	l.shows(page, "trusted", "known", "Sydney, AU", "place unknown", "192.0.2.9", "&#34;kosmosVerified&#34;: true", "<h1>Ada &lt;b&gt;</h1>")
	l.hides(page, "<script", "<b>")
	l.shows(l.call(200, "GET", "/lab/users/U2", ""), "<h1>bob@example.org</h1>", "None.")
	l.shows(l.call(404, "GET", "/lab/users/U3", ""), "Nothing here")
	var list []panel.User
	l.decode(l.call(200, "GET", "/lab/api/users", ""), &list)
	if len(list) != 2 || list[0].Devices[0].Name != "Chrome on Linux" || list[0].Logins[0].City != "Sydney" {
		t.Fatalf("%+v", list)
	}
	users, failure = nil, errors.New("disk on fire")
	for _, path := range []string{"/lab/users", "/lab/users/U1"} {
		page := l.call(500, "GET", path, "")
		l.shows(page, "The users cannot be read.")
		l.hides(page, "disk on fire", "There are no users yet.")
	}
	if got := l.problem(500, "GET", "/lab/api/users", ""); !strings.HasPrefix(got, "The users cannot be read.") || !strings.Contains(l.logged.String(), "disk on fire") {
		t.Errorf("%q; log %s", got, &l.logged)
	}
}

func TestFlows(t *testing.T) {
	t.Parallel()
	var flows []panel.Flow
	l := newLab(t, func(o *panel.Options) { o.Flows = func() []panel.Flow { return flows } })
	if got := l.call(200, "GET", "/lab/api/flows", ""); got != "[]\n" {
		t.Fatal(got)
	}
	l.shows(l.call(200, "GET", "/lab/flows", ""), "There are no flows.")
	flows = []panel.Flow{
		{ID: "good", Name: "Good", Version: 7}, {ID: "gaps", Problems: []string{`component "Carousel" <x>`}}, {ID: "bad", Refused: true, Problems: []string{"has no tasks"}},
	}
	page := l.call(200, "GET", "/lab/flows", "")
	l.shows(page, "Good, version 7", `tag good">runs<`, `tag warn">runs, with gaps`, "Carousel&#34; &lt;x&gt;", `tag bad">refused`, "has no tasks")
	var got []panel.Flow
	l.decode(l.call(200, "GET", "/lab/api/flows", ""), &got)
	if len(got) != 3 || got[0].Version != 7 || !got[2].Refused || got[1].Problems[0] != `component "Carousel" <x>` {
		t.Fatalf("%+v", got)
	}
}

func TestCredit(t *testing.T) {
	t.Parallel()
	without := newLab(t, nil)
	without.hides(without.call(200, "GET", "/lab/login", ""), "as of")
	empty := newLab(t, func(o *panel.Options) { o.Credit = func() panel.Credit { return panel.Credit{} } })
	empty.hides(empty.call(200, "GET", "/lab/login", ""), "as of")
	with := newLab(t, func(o *panel.Options) {
		o.Credit = func() panel.Credit {
			return panel.Credit{Text: "Places by <Somebody>", URL: "https://places.example/?a=1", Date: noon}
		}
	})
	for _, page := range []string{"login", "users", "calls"} {
		with.shows(with.call(200, "GET", "/lab/"+page, ""), `<a href="https://places.example/?a=1" rel="noreferrer">Places by &lt;Somebody&gt;</a>, as of 2027-01-15.`)
	}
}

// Taken for an empty form, it would clear every fault.
func TestFormThatCannotBeRead(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.call(201, "POST", "/lab/api/faults", `{"target":"runtime","kind":"lost"}`)
	l.call(200, "PUT", "/lab/api/login", `{"device":"Phone"}`)
	const form = "application/x-www-form-urlencoded"
	for _, path := range []string{"/lab/login", "/lab/faults", "/lab/faults/clear"} {
		for _, c := range []struct {
			kind, body string
			want       int
		}{
			{form, "id=1&name=" + strings.Repeat("x", 17<<10), 400}, {form, "id=%zz", 400},
			{"multipart/form-data; boundary=b", "--b--", 415}, {"text/plain", "id=1", 415}, {";", "", 415},
		} {
			r := l.request("POST", path, c.body)
			r.Header.Set("Content-Type", c.kind)
			if w := l.send(r); w.Code != c.want {
				t.Errorf("%s, %s %.20s: %d, want %d", path, c.kind, c.body, w.Code, c.want)
			}
		}
	}
	if got := l.faults.List(); len(got) != 1 || l.login().Device != "Phone" {
		t.Fatalf("%+v, %+v", got, l.login())
	}
}
