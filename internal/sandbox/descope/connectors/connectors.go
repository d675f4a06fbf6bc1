package connectors

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// Options wires Connectors. Everything but Names may be left out.
type Options struct {
	Names     *flow.Names
	Now       func() time.Time
	Logger    *slog.Logger
	Faults    *faults.Set
	Transport http.RoundTripper // instead of the network; insecure and caFile then mean nothing
}

// Connectors are the project's connectors. It is safe for concurrent use.
type Connectors struct {
	names  *flow.Names
	method map[string]string // HTTP method by command
	now    func() time.Time
	slog   *slog.Logger
	faults *faults.Set
	byName map[string]*connector
	order  []string
	log    record

	mu     sync.Mutex
	closed bool
	async  int
	wait   sync.WaitGroup
}

var _ runner.Connectors = (*Connectors)(nil)

// New makes Connectors. Errors name the connector and the setting.
func New(configs []Config, o Options) (*Connectors, error) {
	if o.Names == nil {
		return nil, errors.New("connectors: the names of flows are needed")
	}
	c := &Connectors{names: o.Names, method: map[string]string{}, now: o.Now, slog: o.Logger, faults: o.Faults, byName: map[string]*connector{}}
	if c.now == nil {
		c.now = time.Now
	}
	if c.slog == nil {
		c.slog = slog.New(slog.DiscardHandler)
	}
	for method, command := range o.Names.Connector.Commands {
		c.method[command] = method
	}
	for i, cfg := range configs {
		if cfg.Name == "" || c.byName[cfg.Name] != nil {
			return nil, fmt.Errorf("connector %d: name: it is needed, and must differ from the others", i+1)
		}
		k, err := newConnector(cfg, o.Transport)
		if err != nil {
			return nil, fmt.Errorf("connector %q: %w", cfg.Name, err)
		}
		c.byName[cfg.Name] = k
		c.order = append(c.order, cfg.Name)
	}
	return c, nil
}

// Known reports whether there is a connector of this name that flows can call.
func (c *Connectors) Known(name string) bool {
	k := c.byName[name]
	return k != nil && k.Type != AuditWebhook
}

// Names are the connectors' names, in the order of their configuration.
func (c *Connectors) Names() []string { return slices.Clone(c.order) }

// Close waits for the asynchronous calls under way, at most MaxTimeout. Calls that
// come afterwards fail.
func (c *Connectors) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wait.Wait()
}

// What a person reads. What really happened is in the request log.
const (
	sayFailed  = "This step could not be run. Please try again later."
	sayRequest = "This step did not get an answer that it can use. Please try again."
)

func failed(cause error) error {
	return &runner.ConnectorError{Name: flow.ConnectorFailed, Message: sayFailed, Cause: cause}
}

func requestError(cause error) error {
	return &runner.ConnectorError{Name: flow.RequestError, Message: sayRequest, Cause: cause}
}

// Run makes one call.
func (c *Connectors) Run(ctx context.Context, call runner.Call) (any, error) {
	about := Record{
		At: c.now(), Flow: call.Flow, Task: call.Task, Execution: short(call.Execution), Connector: call.Connector, Async: call.Async,
	}
	p, err := c.prepare(call, &about)
	if err != nil {
		err = failed(err)
		c.finish(&about, err)
		return nil, err
	}
	if !call.Async {
		return c.run(ctx, p, about)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.async == maxAsync {
		err := failed(errors.New("too many asynchronous calls are under way, or the project is closing"))
		c.finish(&about, err)
		return nil, err
	}
	c.async++
	ctx = context.WithoutCancel(ctx)
	c.wait.Go(func() {
		_, _ = c.run(ctx, p, about) // nobody waits; the log has it
		c.mu.Lock()
		c.async--
		c.mu.Unlock()
	})
	return nil, nil
}

// short is how an execution is told apart in the log: the end of its random part.
func short(execution string) string {
	if i := strings.LastIndex(execution, "|#|"); i >= 0 {
		execution = execution[i+3:]
	}
	return execution[max(0, len(execution)-8):]
}

// prepared is a call whose every part is known but what depends on the moment.
type prepared struct {
	connector *connector
	method    string
	url       *url.URL
	body      []byte
	timeout   time.Duration
}

func (c *Connectors) prepare(call runner.Call, about *Record) (*prepared, error) {
	k := c.byName[call.Connector]
	switch {
	case k == nil:
		return nil, errors.New("the project has no connector of this name")
	case k.Type == AuditWebhook:
		return nil, errors.New("the connector is an audit webhook, which flows cannot call")
	case k.Disabled:
		return nil, errors.New("the connector is disabled")
	case call.Template != c.names.Connector.Template:
		return nil, fmt.Errorf("connectors of type %q are not supported", call.Template)
	}
	p := &prepared{connector: k, method: c.method[call.Command]}
	if p.method == "" {
		return nil, fmt.Errorf("there is no command %q", call.Command)
	}
	about.Method = p.method
	args := c.names.Connector.Args
	for _, name := range slices.Sorted(maps.Keys(call.Args)) {
		if name != args.Endpoint && name != args.Payload && name != args.Timeout {
			about.Ignored = append(about.Ignored, name)
		}
	}
	endpoint, ok := call.Args[args.Endpoint].(string)
	if !ok && call.Args[args.Endpoint] != nil {
		return nil, fmt.Errorf("%s is not a string", args.Endpoint)
	}
	var err error
	if p.url, err = endpointURL(k.base, endpoint); err != nil {
		return nil, err
	}
	about.URL = p.url.String()
	if p.body, err = payload(call.Args[args.Payload]); err != nil {
		return nil, fmt.Errorf("%s: %w", args.Payload, err)
	}
	if p.body != nil && p.method == http.MethodGet {
		return nil, errors.New("GET has no payload")
	}
	about.Body = shorten(p.body)
	if p.timeout, err = timeout(call.Args[args.Timeout]); err != nil {
		return nil, fmt.Errorf("%s: %w", args.Timeout, err)
	}
	return p, nil
}

// payload is the body: JSON as it stands if it is a string, as a flow's payload
// with templates is; else what it is in JSON. Nil is no body.
func payload(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		if strings.TrimSpace(s) == "" {
			return nil, nil
		}
		if !json.Valid([]byte(s)) {
			return nil, errors.New("it is not JSON")
		}
		return []byte(s), nil
	}
	if v == nil {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, errors.New("it cannot be written as JSON")
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// timeout is in seconds, a number or digits; nothing, "" and 0 are the default.
func timeout(v any) (time.Duration, error) {
	s := 0.0
	switch v := v.(type) {
	case nil:
	case float64:
		s = v
	case int:
		s = float64(v)
	case string:
		if v == "" {
			break
		}
		var err error
		if s, err = strconv.ParseFloat(v, 64); err != nil {
			return 0, errors.New("it is not a number of seconds")
		}
	default:
		return 0, errors.New("it is not a number of seconds")
	}
	if s == 0 {
		return DefaultTimeout, nil
	}
	if !(s >= 0.001 && s <= MaxTimeout.Seconds()) {
		return 0, fmt.Errorf("it must be at most %g seconds", MaxTimeout.Seconds())
	}
	return time.Duration(s * float64(time.Second)), nil
}

// run makes the call that was prepared, as the fault knobs would have it.
func (c *Connectors) run(ctx context.Context, p *prepared, about Record) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	e := c.faults.Take(faults.Connector + ":" + p.connector.Name)
	about.Fault = e.String()
	if err := e.Wait(ctx); err != nil {
		err = requestError(plain(err))
		c.finish(&about, err)
		return nil, err
	}
	if e.Status != 0 {
		about.Status, about.Answer = e.Status, "(answered by the fault knob; nothing was sent)"
		err := requestError(fmt.Errorf("the answer is %d", e.Status))
		c.finish(&about, err)
		return nil, err
	}
	if e.Duplicate {
		first := about
		_, _ = c.attempt(ctx, p, first, faults.Effect{})
	}
	return c.attempt(ctx, p, about, e)
}

// attempt is one call; a second one follows if the access token was refused.
func (c *Connectors) attempt(ctx context.Context, p *prepared, about Record, e faults.Effect) (any, error) {
	for again := false; ; again = true {
		about.At = c.now()
		token, status, answer, err := c.once(ctx, p, &about, e)
		c.finish(&about, err)
		if status != http.StatusUnauthorized || token == "" || again {
			return answer, err
		}
		p.connector.tokens.drop(token)
	}
}

func (c *Connectors) once(ctx context.Context, p *prepared, about *Record, e faults.Effect) (token string, status int, answer any, err error) {
	k := p.connector
	if k.Authentication.Method == ClientCredentials {
		if token, err = c.token(ctx, k, *about); err != nil {
			if ctx.Err() != nil {
				return "", 0, nil, requestError(err)
			}
			return "", 0, nil, failed(err)
		}
	}
	req, err := c.request(ctx, p, token, about)
	if err != nil {
		return "", 0, nil, failed(err)
	}
	got, err := c.send(k, req)
	if err != nil {
		return "", 0, nil, requestError(err)
	}
	got.body = e.Spoil(got.body)
	about.Status, about.Received, about.Answer = got.status, shownAnswer(got.header), shorten(got.body)
	if e.Lost {
		return "", 0, nil, requestError(errors.New("the answer was lost by the fault knob"))
	}
	if got.status/100 != 2 {
		return token, got.status, nil, requestError(fmt.Errorf("the answer is %d", got.status))
	}
	if err := json.Unmarshal(got.body, &answer); err != nil {
		return "", 0, nil, requestError(errors.New("the answer is not JSON"))
	}
	if k.IncludeHeadersInContext {
		headers := map[string]any{}
		for name, values := range got.header {
			headers[name] = strings.Join(values, ", ")
		}
		answer = map[string]any{"body": answer, "headers": headers, "statusCode": float64(got.status)}
	}
	return "", got.status, answer, nil
}

// request builds and signs the request.
func (c *Connectors) request(ctx context.Context, p *prepared, token string, about *Record) (*http.Request, error) {
	k := p.connector
	req, err := http.NewRequestWithContext(ctx, p.method, p.url.String(), bytes.NewReader(p.body))
	if err != nil {
		return nil, errors.New("the request cannot be built")
	}
	h := req.Header
	h.Set("User-Agent", userAgent)
	h.Set("Accept", "application/json")
	if p.body != nil {
		h.Set("Content-Type", "application/json")
	}
	for _, s := range k.Headers {
		h.Set(s.Key, s.Value)
	}
	switch a := k.Authentication; a.Method {
	case BearerToken:
		h.Set("Authorization", "Bearer "+a.BearerToken)
	case Basic:
		req.SetBasicAuth(a.Basic.Username, a.Basic.Password)
	case APIKey:
		h.Set(a.APIKey.Key, a.APIKey.Token)
	case ClientCredentials:
		h.Set("Authorization", "Bearer "+token)
	}
	if k.HMACSecret != "" {
		mac := hmac.New(sha256.New, []byte(k.HMACSecret))
		mac.Write(p.body)
		h.Set("X-Descope-Webhook-S256", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		about.HMACInput = shorten(p.body)
	}
	if k.signer != nil {
		if about.Base, err = c.sign(k, req, p.body); err != nil {
			return nil, err
		}
	}
	about.Sent = k.shownHeaders(h)
	return req, nil
}

// sign adds Signature-Input and Signature, and Content-Digest if it is covered. It
// returns what was signed.
func (c *Connectors) sign(k *connector, req *http.Request, body []byte) (string, error) {
	if slices.Contains(k.cover, "content-digest") {
		req.Header.Set("Content-Digest", httpsig.Digest(body))
	}
	now := c.now()
	in := httpsig.Input{Params: []httpsig.Param{
		{Name: "created", Value: now.Unix()},
		{Name: "expires", Value: now.Add(k.ttl).Unix()},
		{Name: "nonce", Value: rand.Text()},
		{Name: "alg", Value: string(k.signer.Algorithm)},
		{Name: "keyid", Value: k.signer.KeyID},
	}}
	for _, name := range k.cover {
		in.Components = append(in.Components, httpsig.Component{Name: name})
	}
	base, err := in.Base(httpsig.Message{Method: req.Method, URL: req.URL, Header: req.Header})
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	if err := k.signer.SignInput(req, in); err != nil {
		return "", err
	}
	return string(base), nil
}

type answered struct {
	status int
	header http.Header
	body   []byte
}

// send makes the request and reads the whole answer. Errors have no URL in them.
func (c *Connectors) send(k *connector, req *http.Request) (*answered, error) {
	res, err := k.client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(body) > MaxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", MaxAnswer)
	}
	return &answered{res.StatusCode, res.Header, body}, nil
}

// plain takes the URL out of an error, for its query may be personal, and says what
// a deadline means.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("there was no answer in time: %w", context.DeadlineExceeded)
	}
	return err
}

// finish puts a call into both logs.
func (c *Connectors) finish(about *Record, err error) {
	took := c.now().Sub(about.At)
	about.Millis = float64(took.Microseconds()) / 1000
	about.Error, about.Detail = "", ""
	level := slog.LevelDebug
	if err != nil {
		level = slog.LevelWarn
		about.Error, about.Detail = flow.ConnectorFailed, err.Error()
		if e, ok := errors.AsType[*runner.ConnectorError](err); ok {
			about.Error, about.Detail = e.Name, e.Cause.Error()
		}
	}
	c.slog.Log(context.Background(), level, "connector", "connector", about.Connector, "flow", about.Flow, "task", about.Task,
		"method", about.Method, "status", about.Status, "took", took, "error", about.Error, "fault", about.Fault)
	c.log.add(*about)
}
