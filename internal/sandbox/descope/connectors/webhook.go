package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
)

// Webhooks are the connectors of type audit-webhook, those that are disabled too.
func (c *Connectors) Webhooks() []Config {
	var out []Config
	for _, name := range c.order {
		if k := c.byName[name]; k.Type == AuditWebhook {
			out = append(out, k.Config)
			out[len(out)-1].AuditFilters = slices.Clone(k.AuditFilters)
		}
	}
	return out
}

// Post sends a JSON body to the base URL of an audit webhook, with the connector's
// authentication, headers and HMAC, and as the fault knobs would have it. Any 2xx is
// success, whatever comes with it. status is 0 if there was no answer.
func (c *Connectors) Post(ctx context.Context, name string, body []byte, timeout time.Duration) (status int, err error) {
	k := c.byName[name]
	if k == nil || k.Type != AuditWebhook || k.Disabled {
		return 0, errors.New("there is no audit webhook of this name, or it is disabled")
	}
	p := &prepared{connector: k, method: http.MethodPost, url: k.base, body: body}
	about := Record{Connector: name, Method: p.method, URL: p.url.String(), Body: shorten(body)}
	e := c.faults.Take(faults.Connector + ":" + name)
	about.Fault = e.String()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if e.Duplicate {
		first := about
		_, _ = c.post(ctx, p, first, faults.Effect{})
	}
	return c.post(ctx, p, about, e)
}

// post is one request of Post, and its line in both logs.
func (c *Connectors) post(ctx context.Context, p *prepared, about Record, e faults.Effect) (status int, err error) {
	about.At = c.now()
	defer func() { c.finish(&about, err) }()
	if err := e.Wait(ctx); err != nil {
		return 0, requestError(plain(err))
	}
	if e.Status != 0 {
		about.Status, about.Answer = e.Status, "(answered by the fault knob; nothing was sent)"
		return e.Status, requestError(fmt.Errorf("the answer is %d", e.Status))
	}
	k, token := p.connector, ""
	if k.Authentication.Method == ClientCredentials {
		if token, err = c.token(ctx, k, about); err != nil {
			return 0, failed(err)
		}
	}
	req, err := c.request(ctx, p, token, &about)
	if err != nil {
		return 0, failed(err)
	}
	got, err := c.send(k, req)
	if err != nil {
		return 0, requestError(err)
	}
	about.Status, about.Received, about.Answer = got.status, shownAnswer(got.header), shorten(got.body)
	switch {
	case e.Lost:
		return 0, requestError(errors.New("the answer was lost by the fault knob"))
	case got.status/100 == 2:
		return got.status, nil
	case got.status == http.StatusUnauthorized && token != "":
		k.tokens.drop(token) // the next try, of whoever tries again, fetches another
	}
	return got.status, requestError(fmt.Errorf("the answer is %d", got.status))
}
