package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// Person is somebody with a browser without JavaScript, its cookies, a passport and
// a face. What they do is what the fields say; one does one thing at a time.
type Person struct {
	Passport, Selfie string // photos
	Account          string // typed where a page asks who they are
	Enrol            bool   // they agree that their face is kept
	Decline          bool   // they refuse the first of our pages that lets them

	// Saw is the kind of each page that came up, in order: its data-step, or capture
	// or authenticator for the pages of 1Kosmos.
	Saw []string

	// From is the address that the bridge sees; each person has one of their own.
	From string
	// Way is taken where a page of ours lets the person choose: face or document.
	Way string

	client   *http.Client
	captured string // where photos were handed in last
	asked    bool   // they have said who they are
}

// Person is the holder of the passport, with a new browser.
func (w *World) Person() (*Person, error) {
	transport, err := w.Transport()
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	n := w.people.Add(1)
	from := fmt.Sprintf("10.%d.%d.1", n>>8&255, n&255)
	return &Person{Passport: w.Passport, Selfie: w.Selfie, From: from, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Stranger is somebody else, with a passport of their own.
func (w *World) Stranger() (*Person, error) {
	p, err := w.Person()
	if err == nil {
		p.Passport, p.Selfie = w.OtherPassport, w.OtherSelfie
	}
	return p, err
}

// Client is the person's browser: its cookies, and redirects that are not followed.
func (p *Person) Client() *http.Client { return p.client }

// Leave closes the browser's connections.
func (p *Person) Leave() { p.client.CloseIdleConnections() }

// Arrival is where a browser ended up.
type Arrival struct {
	URL  *url.URL   // of the client's redirect URI with what it was given, or of the last page
	Form url.Values // where a page posts itself to the client: what it would post
	Home bool       // it is the client that was reached

	// Of a last page of ours.
	Status       int
	Step, Reason string
	Text         string // what the person reads
}

// Params is what the client was given, by query or by form.
func (a *Arrival) Params() url.Values {
	if a.Form != nil {
		return a.Form
	}
	return a.URL.Query()
}

// Visit opens an address and goes on as the pages ask, until the browser is sent to
// one that begins with home, or there is nothing left to do. The page at home is
// not fetched.
func (p *Person) Visit(ctx context.Context, address, home string) (*Arrival, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return p.Send(req, home)
}

// Send is Visit with a request of any kind, such as a form that posts itself.
func (p *Person) Send(req *http.Request, home string) (*Arrival, error) {
	ctx := req.Context()
	p.asked = false
	for range 200 { // pages that wait are looked at every 200 ms
		if strings.HasPrefix(req.URL.String(), home) {
			return &Arrival{URL: req.URL, Home: true}, nil
		}
		a, err := p.do(req)
		if err != nil {
			return nil, err
		}
		if to := a.header.Get("Location"); a.status >= 300 && a.status < 400 && to != "" {
			next, err := req.URL.Parse(to)
			if err != nil {
				return nil, err
			}
			if req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil); err != nil {
				return nil, err
			}
			continue
		}
		here := &page{at: req.URL, status: a.status}
		if here.node, err = html.Parse(bytes.NewReader(a.body)); err != nil {
			return nil, err
		}
		if form := here.formTo(home); form != nil { // form_post, or SAML's POST binding
			return &Arrival{URL: here.action(form), Form: fieldsOf(form), Home: true}, nil
		}
		next, err := p.act(ctx, here)
		if err != nil {
			return nil, err
		}
		if next == nil {
			status := here.find("data-testid", "status")
			return &Arrival{URL: here.at, Status: here.status, Step: here.step(), Reason: attr(status, "data-reason"), Text: words(here.node)}, nil
		}
		req = next
	}
	return nil, errors.New("world: no end of redirects and pages: " + strings.Join(p.Saw, " "))
}

// act does what a page asks for, and gives the next request; nil if it asks nothing.
func (p *Person) act(ctx context.Context, here *page) (*http.Request, error) {
	step := here.step()
	if len(p.Saw) == 0 || p.Saw[len(p.Saw)-1] != step {
		p.Saw = append(p.Saw, step)
	}
	if p.Decline {
		if form := here.formWith("/decline"); form != nil {
			return here.submit(ctx, form, nil)
		}
	}
	switch step {
	case "consent":
		return here.submit(ctx, here.formWith("/consent"), url.Values{"document_type": {"passport"}, "consent": {"yes"}})
	case "continue", "answer":
		link := attr(here.find("data-testid", "open-here"), "href")
		if link != "" {
			show := p.capture
			if step == "answer" {
				show = p.show
			}
			if next, err := show(ctx, link); next != nil || err != nil {
				return next, err
			}
		}
		return p.wait(ctx, here)
	case "error":
		return nil, nil
	}
	for _, id := range []string{"return", "leave"} {
		n := here.find("data-testid", id)
		if to := attr(n, "href"); to != "" {
			next, err := here.at.Parse(to)
			if err != nil {
				return nil, err
			}
			return http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
		}
		for f := n; f != nil; f = f.Parent {
			if f.Data == "form" {
				return here.submit(ctx, f, nil)
			}
		}
	}
	if step == "ask" {
		return p.answer(ctx, here)
	}
	return nil, nil
}

// answer says who the person is, or how they want to go on.
func (p *Person) answer(ctx context.Context, here *page) (*http.Request, error) {
	form, field := here.question()
	in := url.Values{}
	if field != "" {
		in.Set(field, p.Account)
	}
	if p.Way != "" {
		in.Set("way", p.Way)
	}
	if form == nil || p.asked {
		return nil, nil // it asks again: the person gives up
	}
	p.asked = true
	return here.submit(ctx, form, in)
}

// wait is the next look at a page that follows what goes on elsewhere.
func (p *Person) wait(ctx context.Context, here *page) (*http.Request, error) {
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("world: waiting at %s: %w", here.at, ctx.Err())
	case <-time.After(200 * time.Millisecond):
		home := attr(here.find("id", "page"), "data-home")
		next, err := here.at.Parse(home)
		if err != nil {
			return nil, err
		}
		return http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
	}
}

// capture hands passport and face in at the capture page, which opens in another
// tab: the person comes back to the first by themselves.
func (p *Person) capture(ctx context.Context, link string) (*http.Request, error) {
	if p.captured == link {
		return nil, nil // handed in before; the page in this tab does not know yet
	}
	p.captured = link
	at, err := p.open(ctx, link)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(at.Path, "/idproofing/session/") {
		return nil, fmt.Errorf("world: the hand-off page leads to %s", at)
	}
	p.Saw = append(p.Saw, "capture")
	enrol := url.Values{}
	if p.Enrol {
		enrol.Set("enrol", "yes")
	}
	for _, s := range []struct {
		step, file string
		fields     url.Values
	}{
		{"start", "", enrol}, {"document", p.Passport, url.Values{"side": {"front"}}}, {"selfie", p.Selfie, nil}, {"submit", "", nil},
	} {
		if _, err := p.upload(ctx, at.String()+"/"+s.step, s.file, s.fields); err != nil {
			return nil, fmt.Errorf("world: capture page, %s: %w", s.step, err)
		}
	}
	return nil, nil
}

// shown is what a page of the local 1Kosmos says to scripts.
type shown struct {
	State, Reason, Message, Nonce string
	AccountNeeded                 bool   `json:"account_needed"`
	ReturnURL                     string `json:"return_url"`
}

// show shows the face at the authenticator, once.
func (p *Person) show(ctx context.Context, link string) (*http.Request, error) {
	at, err := p.open(ctx, link)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(at.Path, "/authenticator/") {
		return nil, fmt.Errorf("world: the challenge leads to %s", at)
	}
	p.Saw = append(p.Saw, "authenticator")
	s, err := p.look(ctx, at.String()+"/state")
	if err != nil {
		return nil, err
	}
	if s.State == "open" {
		fields := url.Values{"nonce": {s.Nonce}}
		if s.AccountNeeded {
			fields.Set("account", p.Account)
		}
		if s, err = p.upload(ctx, at.String()+"/face", p.Selfie, fields); err != nil {
			return nil, fmt.Errorf("world: authenticator: %w", err)
		}
	}
	if s.State == "open" || s.ReturnURL == "" { // refused, with tries left; or there is nowhere to go
		return nil, nil
	}
	back, err := at.Parse(s.ReturnURL)
	if err != nil {
		return nil, err
	}
	return http.NewRequestWithContext(ctx, http.MethodGet, back.String(), nil)
}

// open follows redirects to a page of the local 1Kosmos.
func (p *Person) open(ctx context.Context, link string) (*url.URL, error) {
	for range 10 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
		if err != nil {
			return nil, err
		}
		a, err := p.do(req)
		if err != nil {
			return nil, err
		}
		to := a.header.Get("Location")
		if a.status == http.StatusOK {
			return req.URL, nil
		}
		if a.status >= 400 || to == "" {
			return nil, fmt.Errorf("world: %s answered %d", req.URL, a.status)
		}
		next, err := req.URL.Parse(to)
		if err != nil {
			return nil, err
		}
		link = next.String()
	}
	return nil, errors.New("world: ten redirects in a row")
}

func (p *Person) upload(ctx context.Context, to, file string, fields url.Values) (shown, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, values := range fields {
		for _, value := range values {
			if err := form.WriteField(name, value); err != nil {
				return shown{}, err
			}
		}
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return shown{}, err
		}
		part, err := form.CreateFormFile("file", "photo.jpg")
		if err != nil {
			return shown{}, err
		}
		if _, err := part.Write(b); err != nil {
			return shown{}, err
		}
	}
	if err := form.Close(); err != nil {
		return shown{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, &body)
	if err != nil {
		return shown{}, err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	return p.shown(req)
}

func (p *Person) look(ctx context.Context, from string) (shown, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return shown{}, err
	}
	return p.shown(req)
}

func (p *Person) shown(req *http.Request) (s shown, err error) {
	req.Header.Set("Accept", "application/json")
	a, err := p.do(req)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(a.body, &s); err != nil || a.status != http.StatusOK && s.Reason == "" {
		return s, fmt.Errorf("%d: %.300s", a.status, a.body)
	}
	return s, nil
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (p *Person) do(req *http.Request) (*answer, error) {
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	}
	req.Header.Set("X-Forwarded-For", p.From)
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return &answer{res.StatusCode, res.Header, b}, err
}
