package blockid

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// V1Config describes a tenant that serves the Bearer-token "/v1" profile.
//
// What is known of this profile are code samples on 1Kosmos' integration
// pages: the create call's path, its four fields and session_id; the status
// path, "completed" and result.ial_level. The fields below marked "inferred"
// stand for the rest; set them to what your tenant does.
type V1Config struct {
	// DNS is the tenant's host, NAME or NAME:PORT. Required.
	DNS string
	// Token is the API key, sent as Bearer token. Required.
	Token string
	// StatusMethod is GET or POST. Inferred; "" means POST, as the one sample
	// has it.
	StatusMethod string
	// URLKeys are the names under which the session link may come, the first
	// present one counts. Inferred; nil means DefaultV1URLKeys.
	URLKeys []string
	// StepUpResultPath is where the result of a step-up is read, with "{id}" in
	// the place of the challenge's id. Inferred; "" means "/v1/auth/stepup/{id}".
	StepUpResultPath string
	// Judge maps an answer to a Status. Inferred; nil means JudgeV1.
	Judge func(*V1Result) Status

	// As in Config.
	HTTPClient   *http.Client
	AllowedHosts []string
	MaxBody      int64
	Timeout      time.Duration
	Now          func() time.Time
}

// DefaultV1URLKeys returns the accepted names of the session link. Which one
// is sent is not known: one sample keeps the value in a variable redirectUrl.
func DefaultV1URLKeys() []string {
	return []string{"session_url", "url", "redirect_url", "redirectUrl"}
}

// V1Client calls the Bearer-token profile. It is safe for concurrent use.
type V1Client struct {
	cfg  V1Config
	wire wire
}

// NewV1Client checks cfg and makes a client. It sends nothing.
func NewV1Client(cfg V1Config) (*V1Client, error) {
	fail := func(detail string) (*V1Client, error) { return nil, &Error{Kind: KindConfig, detail: detail} }
	if cfg.DNS == "" {
		return fail("DNS is required")
	}
	if cfg.Token == "" || !headerSafe(cfg.Token) {
		return fail("Token is required, in visible ASCII")
	}
	switch cfg.StatusMethod {
	case "":
		cfg.StatusMethod = http.MethodPost
	case http.MethodGet, http.MethodPost:
	default:
		return fail("StatusMethod must be GET or POST")
	}
	if cfg.StepUpResultPath == "" {
		cfg.StepUpResultPath = "/v1/auth/stepup/{id}"
	}
	if p := cfg.StepUpResultPath; p[0] != '/' || strings.Count(p, "{id}") != 1 || !headerSafe(p) {
		return fail("StepUpResultPath must be a path with {id}")
	}
	if cfg.URLKeys == nil {
		cfg.URLKeys = DefaultV1URLKeys()
	}
	if cfg.Judge == nil {
		cfg.Judge = JudgeV1
	}
	w, err := newWire(cfg.HTTPClient, append([]string{cfg.DNS}, cfg.AllowedHosts...), cfg.MaxBody, cfg.Timeout, cfg.Now)
	if err != nil {
		return nil, err
	}
	return &V1Client{cfg: cfg, wire: w}, nil
}

// V1Request starts a session. Unlike the encrypted API it takes several
// document types, the liveness mode and where to return to.
type V1Request struct {
	DocumentTypes []string          `json:"document_types"` // such as "drivers_license", "passport"
	LivenessMode  string            `json:"liveness_mode,omitempty"`
	CallbackURL   string            `json:"callback_url,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

// V1Result is the state of a session. It may hold personal data; printing or
// logging it shows the status only.
type V1Result struct {
	Status     Status // as judged
	WireStatus string
	Level      Level                      // result.ial_level
	Result     map[string]json.RawMessage // "result", field by field

	// Extra holds top-level fields that this package does not know.
	Extra map[string]json.RawMessage
	// Raw is the whole answer.
	Raw json.RawMessage
}

// String hides what is personal.
func (r V1Result) String() string { return "v1 result " + string(r.Status) }

// GoString hides what is personal.
func (r V1Result) GoString() string { return r.String() }

// LogValue hides what is personal.
func (r V1Result) LogValue() slog.Value { return slog.StringValue(r.String()) }

// JudgeV1 is the default reading of an answer. The published sample proceeds
// when status is "completed" and result.ial_level is "IAL2"; so a completed
// session succeeded if its level is IAL2 or more, and is StatusUnknown
// otherwise, because "completed" alone says only that the person is done.
// The other words are inferred from 1Kosmos' console and other APIs.
func JudgeV1(r *V1Result) Status {
	switch strings.ToLower(r.WireStatus) {
	case "pending", "created", "started", "inprogress", "in_progress":
		return StatusPending
	case "completed":
		if r.Level >= IAL2 {
			return StatusSuccess
		}
	case "failed":
		return StatusFailed
	case "expired":
		return StatusExpired
	case "abandoned":
		return StatusAbandoned
	}
	return StatusUnknown
}

// CreateSession starts a session. The link is on the tenant's host or the
// allowed ones, or the call fails with KindUntrustedHost.
func (c *V1Client) CreateSession(ctx context.Context, q V1Request) (IDVSession, error) {
	const op = "v1.create"
	if len(q.DocumentTypes) == 0 || slices.Contains(q.DocumentTypes, "") {
		return IDVSession{}, invalid(op, "DocumentTypes is required")
	}
	body, err := json.Marshal(q)
	if err != nil {
		return IDVSession{}, invalid(op, "request cannot be encoded")
	}
	b, err := c.send(ctx, http.MethodPost, "/v1/verify/sessions", body)
	if err != nil {
		return IDVSession{}, asError(err, op, "v1")
	}
	s, err := parseV1Create(b, c.cfg.URLKeys)
	if err == nil {
		_, err = c.wire.trusted(s.URL, nil)
	}
	if err != nil {
		return IDVSession{}, asError(err, op, "v1")
	}
	return s, nil
}

func parseV1Create(b []byte, urlKeys []string) (IDVSession, error) {
	var w map[string]scalar
	if err := unmarshalLenient(b, &w); err != nil {
		return IDVSession{}, &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	s := IDVSession{ID: string(w["session_id"])}
	for _, k := range urlKeys {
		if s.URL = string(w[k]); s.URL != "" {
			break
		}
	}
	if !sessionIDSafe(s.ID) || s.URL == "" {
		if e := errorInSuccess(b); e != nil {
			return IDVSession{}, e
		}
		return IDVSession{}, malformed("session_id or session link missing")
	}
	return s, nil
}

// Session reads the state of a session.
func (c *V1Client) Session(ctx context.Context, sessionID string) (*V1Result, error) {
	const op = "v1.status"
	if !segment(sessionID) {
		return nil, invalid(op, "sessionID is required")
	}
	b, err := c.send(ctx, c.cfg.StatusMethod, "/v1/verify/sessions/"+url.PathEscape(sessionID)+"/status", nil)
	if err != nil {
		return nil, asError(err, op, "v1")
	}
	r, id, err := parseV1Result(b)
	if err == nil && differ(id, sessionID) {
		err = malformed("answer is about another session")
	}
	if err != nil {
		return nil, asError(err, op, "v1")
	}
	r.Status = c.cfg.Judge(r)
	return r, nil
}

// parseV1Result leaves Status at StatusUnknown.
func parseV1Result(b []byte) (*V1Result, string, error) {
	r := &V1Result{Status: StatusUnknown, Raw: b}
	var id string
	var err error
	r.Extra, err = decodeObject(b, map[string]any{"status": &r.WireStatus, "result": &r.Result, "session_id": &id})
	if err != nil {
		return nil, "", &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if r.WireStatus == "" {
		if e := errorInSuccess(b); e != nil {
			return nil, "", e
		}
		return nil, "", malformed("answer has no status")
	}
	var level string
	_ = json.Unmarshal(r.Result["ial_level"], &level) // absent or odd is no level
	r.Level = parseLevel(level)
	return r, id, nil
}

func (c *V1Client) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.wire.timeout)
	defer cancel()
	p, err := url.PathUnescape(path)
	if err != nil {
		return nil, &Error{Kind: KindInvalid, detail: "bad path", err: err}
	}
	u := &url.URL{Scheme: "https", Host: c.cfg.DNS, Path: p, RawPath: path}
	h := plainHeader()
	h["Authorization"] = []string{"Bearer " + c.cfg.Token}
	return c.wire.send(ctx, method, u, h, body)
}
