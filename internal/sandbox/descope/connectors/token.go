package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// tokens holds the access token of a connector with client credentials.
type tokens struct {
	mu    sync.Mutex
	value string
	until time.Time
}

// drop forgets a token that was refused, unless there is another already.
func (t *tokens) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}

// token gives the connector's access token, and fetches it if there is none that
// is still good (RFC 6749 section 4.4). Others wait meanwhile.
func (c *Connectors) token(ctx context.Context, k *connector, about Record) (string, error) {
	t := &k.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" && c.now().Before(t.until) {
		return t.value, nil
	}
	value, lifetime, err := c.fetchToken(ctx, k, about)
	if err != nil {
		return "", err
	}
	t.value, t.until = value, c.now().Add(lifetime)
	return value, nil
}

func (c *Connectors) fetchToken(ctx context.Context, k *connector, about Record) (string, time.Duration, error) {
	o := k.Authentication.OAuth2ClientCredentials
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	shown := form.Encode()
	if o.AuthStyle == "body" {
		form.Set("client_id", o.ClientID)
		form.Set("client_secret", o.ClientSecret)
		shown += "&client_id=" + url.QueryEscape(o.ClientID) + "&client_secret=" + masked
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.AuthURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("the token endpoint's URL cannot be used")
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	for _, h := range o.TokenRequestHeaders {
		req.Header.Set(h.Key, h.Value)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if o.AuthStyle != "body" { // RFC 6749 section 2.3.1: both parts form-encoded first
		req.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret))
	}
	about.Token = true
	about.Method, about.URL, about.Sent, about.Body = req.Method, o.AuthURL, k.shownHeaders(req.Header), shown
	var answer struct {
		AccessToken string   `json:"access_token"`
		TokenType   string   `json:"token_type"`
		ExpiresIn   *float64 `json:"expires_in"`
	}
	err = func() error {
		got, err := c.send(k, req)
		if err != nil {
			return err
		}
		about.Status, about.Received, about.Answer = got.status, shownAnswer(got.header), shorten(got.body)
		if got.status/100 != 2 {
			return fmt.Errorf("the token endpoint answered %d", got.status)
		}
		about.Answer = "(the token is not shown)"
		if err := json.Unmarshal(got.body, &answer); err != nil {
			return errors.New("the token endpoint's answer is not JSON")
		}
		if answer.AccessToken == "" || !httpguts.ValidHeaderFieldValue(answer.AccessToken) || !strings.EqualFold(answer.TokenType, "bearer") {
			return errors.New("the token endpoint gave no bearer token")
		}
		return nil
	}()
	c.finish(&about, err)
	if err != nil {
		return "", 0, err
	}
	lifetime := tokenLifetime
	if s := answer.ExpiresIn; s != nil && *s >= 0 && *s < 365*24*3600 {
		lifetime = time.Duration(*s*float64(time.Second)) - tokenMargin
	}
	return answer.AccessToken, lifetime, nil
}
