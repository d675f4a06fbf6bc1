//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/net/html"
)

// provider is what is measured.
type provider struct {
	name         string
	issuer       string
	clientID     string
	clientSecret string
	redirectURI  string
	scope        string
	acr          string // asked for; "" asks none
	note         string // what it does in a flow
	alg          string
	shipped      bool // of a peer: as its authors ship it, or as its settings have it

	// login are fields of forms that the browser fills in; a field that is in the page
	// and not here is left as it is.
	login url.Values
	// again: each flow is by a new browser, which signs in. Otherwise each client keeps
	// its cookies, and signs in once before it is measured.
	again bool
	// browser is the i-th client's, signed in already; nil: a new one.
	browser func(i int) (*http.Client, error)
	// prepare is called for a browser that the load client made.
	prepare func(jar http.CookieJar)

	authorize, token, userinfo string // from its discovery document
}

func (p *provider) discover(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var d struct {
		Authorize string `json:"authorization_endpoint"`
		Token     string `json:"token_endpoint"`
		Userinfo  string `json:"userinfo_endpoint"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&d); err != nil {
		return fmt.Errorf("discovery of %s: %w", p.name, err)
	}
	p.authorize, p.token, p.userinfo = d.Authorize, d.Token, d.Userinfo
	return nil
}

// figures of one provider. Times are in milliseconds, and of whole flows.
type figures struct {
	Provider   string  `json:"provider"`
	Alg        string  `json:"alg"`
	Note       string  `json:"note"`
	Shipped    bool    `json:"shipped"`
	Userinfo   bool    `json:"userinfo"`
	Clients    int     `json:"clients"`
	Flows      int64   `json:"flows"`
	Errors     int64   `json:"errors"`
	PerSecond  float64 `json:"flows_per_s"`
	P50        float64 `json:"p50_ms"`
	P90        float64 `json:"p90_ms"`
	P99        float64 `json:"p99_ms"`
	Max        float64 `json:"max_ms"`
	FirstError string  `json:"first_error,omitempty"`
	CPU        float64 `json:"cores"` // of the provider's process, while it was measured
}

// measure has clients begin flow after flow for the duration, after a warm-up of a
// tenth of it that is not counted.
func measure(ctx context.Context, p *provider, clients int, duration time.Duration, userinfo bool, cpu func() (time.Duration, error)) (f figures, err error) {
	f = figures{Provider: p.name, Alg: p.alg, Note: p.note, Shipped: p.shipped, Clients: clients, Userinfo: userinfo}
	if err := p.discover(ctx); err != nil {
		return f, err
	}
	visitors := make([]*visitor, clients)
	for i := range visitors {
		v := &visitor{p: p, tokens: &http.Client{Transport: transport(), Timeout: 20 * time.Second}, userinfo: userinfo}
		if p.browser != nil {
			if v.browser, err = p.browser(i); err != nil {
				return f, err
			}
		} else {
			v.renew()
		}
		if err := v.flow(ctx); err != nil {
			return f, fmt.Errorf("%s: the first flow: %w", p.name, err)
		}
		visitors[i] = v
	}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		hist = hdrhistogram.New(1, time.Minute.Microseconds(), 3)
		from = time.Now().Add(duration / 10)
		end  = from.Add(duration)
		last = from
	)
	var before time.Duration
	all.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(from)):
			before, _ = cpu()
		}
	})
	for _, v := range visitors {
		all.Go(func() {
			for ctx.Err() == nil {
				if v.p.again {
					v.renew()
				}
				begun := time.Now()
				if begun.After(end) {
					return
				}
				err := v.flow(ctx)
				done := time.Now()
				if begun.Before(from) {
					continue
				}
				mu.Lock()
				if err != nil {
					f.Errors++
					if f.FirstError == "" {
						f.FirstError = err.Error()
					}
				} else {
					_ = hist.RecordValue(max(done.Sub(begun).Microseconds(), 1))
					if done.After(last) {
						last = done
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if err := ctx.Err(); err != nil {
		return f, err
	}
	if after, err := cpu(); err == nil {
		f.CPU = (after - before).Seconds() / time.Since(from).Seconds()
	}
	f.Flows = hist.TotalCount()
	f.PerSecond = float64(f.Flows) / last.Sub(from).Seconds()
	ms := func(q float64) float64 { return float64(hist.ValueAtQuantile(q)) / 1000 }
	f.P50, f.P90, f.P99, f.Max = ms(50), ms(90), ms(99), ms(100)
	return f, nil
}

func transport() *http.Transport { return &http.Transport{MaxIdleConnsPerHost: 4} }

// visitor is one client of the load: a browser, and the application behind it.
type visitor struct {
	p        *provider
	browser  *http.Client
	tokens   *http.Client
	userinfo bool
}

// renew takes a new browser that has been nowhere; its connection stays.
func (v *visitor) renew() {
	jar, _ := cookiejar.New(nil) // without options it cannot fail
	if v.p.prepare != nil {
		v.p.prepare(jar)
	}
	if v.browser == nil {
		v.browser = &http.Client{Transport: transport(), Timeout: 20 * time.Second}
		v.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	v.browser.Jar = jar
}

func random() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// flow is one sign-in: authorization request, whatever pages come, code, tokens.
func (v *visitor) flow(ctx context.Context) error {
	address, done := v.begin()
	back, err := v.browse(ctx, address)
	if err != nil {
		return err
	}
	return done(ctx, back)
}

// begin makes an authorization request; more are pairs of parameter and value. done
// takes the address that the browser came back with, and exchanges the code in it.
func (v *visitor) begin(more ...string) (address string, done func(ctx context.Context, back *url.URL) error) {
	p := v.p
	state, nonce, verifier := random(), random(), random()+random()
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {p.clientID}, "redirect_uri": {p.redirectURI}, "scope": {p.scope},
		"state": {state}, "nonce": {nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if p.acr != "" {
		q.Set("acr_values", p.acr)
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return p.authorize + "?" + q.Encode(), func(ctx context.Context, back *url.URL) error {
		got := back.Query()
		if got.Get("state") != state || got.Get("code") == "" {
			return fmt.Errorf("came back with %s (%s), and no code for this state", got.Get("error"), got.Get("error_description"))
		}
		return v.redeem(ctx, got.Get("code"), verifier, nonce)
	}
}

// browse goes where redirects lead, fills in forms, and gives the address that the
// browser is sent to in the end.
func (v *visitor) browse(ctx context.Context, to string) (*url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	for range 20 {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(req.URL.String(), v.p.redirectURI) {
			return req.URL, nil
		}
		res, err2 := v.browser.Do(req)
		if err2 != nil {
			return nil, err2
		}
		body, err2 := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if err2 != nil {
			return nil, err2
		}
		if where := res.Header.Get("Location"); where != "" {
			next, err2 := req.URL.Parse(where)
			if err2 != nil {
				return nil, err2
			}
			req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
			continue
		}
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answered %s: %.200s", req.URL.Path, res.Status, body)
		}
		req, err = v.fill(ctx, req.URL, body)
	}
	return nil, errors.New("no end of redirects")
}

// fill submits the first form of a page.
func (v *visitor) fill(ctx context.Context, at *url.URL, body []byte) (*http.Request, error) {
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	for n := range doc.Descendants() {
		if n.Data != "form" {
			continue
		}
		in := url.Values{}
		for f := range n.Descendants() {
			if name := attr(f, "name"); f.Data == "input" && name != "" {
				in.Set(name, attr(f, "value"))
				if value, ok := v.p.login[name]; ok {
					in[name] = value
				}
			}
		}
		to, err := at.Parse(attr(n, "action"))
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(in.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return req, nil
	}
	return nil, fmt.Errorf("%s shows a page without a form: %.200s", at.Path, body)
}

// redeem exchanges the code. The ID token is looked into, and not verified: that
// would be the client's work, the same for each provider.
func (v *visitor) redeem(ctx context.Context, code, verifier, nonce string) error {
	p := v.p
	in := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.redirectURI}, "code_verifier": {verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.token, strings.NewReader(in.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(p.clientID), url.QueryEscape(p.clientSecret))
	var tokens struct {
		ID     string `json:"id_token"`
		Access string `json:"access_token"`
	}
	if err := answered(v.tokens, req, &tokens); err != nil {
		return err
	}
	parts := strings.Split(tokens.ID, ".")
	if len(parts) != 3 {
		return errors.New("no ID token")
	}
	var claims struct {
		Nonce, Iss, Sub string
	}
	var header struct{ Alg string }
	for i, into := range []any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case claims.Nonce != nonce || claims.Iss != p.issuer || claims.Sub == "":
		return fmt.Errorf("an ID token with iss %q, and another nonce or no sub", claims.Iss)
	case header.Alg != p.alg:
		return fmt.Errorf("an ID token signed with %s", header.Alg)
	}
	if !v.userinfo {
		return nil
	}
	if req, err = http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo, nil); err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+tokens.Access)
	var info struct{ Sub string }
	if err := answered(v.tokens, req, &info); err != nil {
		return err
	}
	if info.Sub != claims.Sub {
		return errors.New("userinfo is about somebody else")
	}
	return nil
}

func answered(client *http.Client, req *http.Request, into any) error {
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %.200s", req.URL.Path, res.Status, b)
	}
	return json.Unmarshal(b, into)
}
