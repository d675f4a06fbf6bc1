package whole_test

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// person is somebody with a browser and cookies.
type person struct {
	t      *testing.T
	client *http.Client
}

func (w *world) person() *person {
	w.t.Helper()
	client := trusting(w.t, w.path("proxy-ca.pem"))
	client.Timeout = 60 * time.Second
	w.t.Cleanup(client.CloseIdleConnections)
	var err error
	if client.Jar, err = cookiejar.New(nil); err != nil {
		w.t.Fatal(err)
	}
	return &person{w.t, client}
}

// page is one of the bridge's pages, as a browser has it.
type page struct {
	status int
	at     *url.URL
	step   string // consent, continue, done, error, ...
	state  string // of the verification
	reason string
	alert  string
	text   string // what the person can read
	node   *html.Node
}

// get loads a page of the bridge and holds it to what holds for every one.
func (p *person) get(address string) *page {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	pg, err := p.load(req)
	if err != nil {
		p.t.Fatal(err)
	}
	return pg
}

var machine = regexp.MustCompile(`[{}]|\.go\b|goroutine|panic|sql|upstream_|blockid|proof\.|://127|HTTP|null`)

func (p *person) load(req *http.Request) (*page, error) {
	var at *url.URL
	client := *p.client
	client.CheckRedirect = func(r *http.Request, _ []*http.Request) error { at = r.URL; return nil }
	at = req.URL
	a, err := do(&client, req)
	if err != nil {
		return nil, err
	}
	if t := a.header.Get("Content-Type"); t != "text/html; charset=utf-8" {
		p.t.Errorf("a person got %d %s: %.200s", a.status, t, a.body)
	}
	node, err := html.Parse(bytes.NewReader(a.body))
	if err != nil {
		return nil, err
	}
	pg := &page{status: a.status, at: at, node: node}
	pg.step = attr(pg.find("id", "page"), "data-step")
	state := pg.find("data-testid", "status")
	pg.state, pg.reason = attr(state, "data-status"), attr(state, "data-reason")
	pg.alert = words(pg.find("data-testid", "alert"))
	pg.text = words(node)
	if pg.step == "" || pg.text == "" {
		p.t.Errorf("not one of our pages: %d %.300s", a.status, a.body)
	}
	if found := machine.FindString(pg.text); found != "" {
		p.t.Errorf("a person reads %q in: %s", found, pg.text)
	}
	return pg, nil
}

func (pg *page) find(name, value string) *html.Node {
	for n := range pg.node.Descendants() {
		if n.Type == html.ElementNode && attr(n, name) == value {
			return n
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	if n != nil {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
	}
	return ""
}

func words(n *html.Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// upstream is the address of the capture page that a page leads to.
func (pg *page) upstream() string { return attr(pg.find("data-testid", "open-here"), "href") }

// submit sends the form whose action ends like this.
func (p *person) submit(pg *page, action string, more url.Values) (*page, error) {
	var form *html.Node
	for n := range pg.node.Descendants() {
		if n.Data == "form" && strings.HasSuffix(attr(n, "action"), action) {
			form = n
		}
	}
	if form == nil {
		p.t.Fatalf("the page has no form %s; it is at %q: %s", action, pg.step, pg.text)
	}
	in := url.Values{}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			in.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	for name, values := range more {
		in[name] = values
	}
	to, err := pg.at.Parse(attr(form, "action"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to.String(), strings.NewReader(in.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.load(req)
}

// consent agrees, whatever comes of it.
func (p *person) consent(pg *page) *page {
	p.t.Helper()
	out, err := p.submit(pg, "/consent", url.Values{"consent": {"yes"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// enter opens the link and agrees; it returns the address of the capture page.
func (p *person) enter(link string) string {
	p.t.Helper()
	return p.agreed(p.consent(p.get(link)))
}

func (p *person) agreed(pg *page) string {
	p.t.Helper()
	if pg.status != http.StatusOK || pg.step != "continue" || pg.upstream() == "" {
		p.t.Fatalf("after consent: %d %s %s %s %s", pg.status, pg.step, pg.state, pg.reason, pg.alert)
	}
	return pg.upstream()
}

// captured is what the capture page's endpoints say.
type captured struct {
	State     string `json:"state"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	ReturnURL string `json:"return_url"`
}

// act sends one step of the capture page, with a photo if file names one; in are
// pairs of name and value.
func (p *person) act(capture, step, file string, in ...string) captured {
	p.t.Helper()
	var files []string
	if file != "" {
		files = []string{file}
	}
	return p.captured(p.form(capture+"/"+step, files, in...))
}

// form is a request with fields and photos, as a browser makes it.
func (p *person) form(to string, files []string, in ...string) *http.Request {
	p.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(in); i += 2 {
		if err := form.WriteField(in[i], in[i+1]); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, file := range files {
		part, err := form.CreateFormFile("file", "photo.jpg")
		if err != nil {
			p.t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := part.Write(b); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, to, &body)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	return req
}

// state asks the capture page how far it is.
func (p *person) state(capture string) captured {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, capture+"/state", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.captured(req)
}

func (p *person) captured(req *http.Request) (c captured) {
	p.t.Helper()
	req.Header.Set("Accept", "application/json")
	a, err := do(p.client, req)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, &c); err != nil || a.status != http.StatusOK {
		p.t.Fatalf("capture page, %s: %d %s", req.URL.Path[strings.LastIndex(req.URL.Path, "/"):], a.status, a.body)
	}
	return c
}

// photos hands in the good passport and the holder's face; in are fields of the start.
func (p *person) photos(capture string, in ...string) {
	p.t.Helper()
	p.act(capture, "start", "", in...)
	p.act(capture, "document", fixture("passport.jpg"))
	p.act(capture, "selfie", fixture("selfie.jpg"))
}

// done hands everything in and waits until 1Kosmos has its verdict, which the
// bridge need not know yet.
func (p *person) done(capture string) {
	p.t.Helper()
	p.photos(capture)
	p.act(capture, "submit", "")
	p.judged(capture, "success")
}

func (p *person) judged(capture, state string) captured {
	p.t.Helper()
	var c captured
	// No more often than 1Kosmos lets a page ask: 240 times a minute.
	every(p.t, 300*time.Millisecond, "1Kosmos comes to "+state, func() (bool, string) {
		c = p.state(capture)
		return c.State == state, c.State + " " + c.Reason
	})
	return c
}
