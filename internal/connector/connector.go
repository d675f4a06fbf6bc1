package connector

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Proofing is what this door needs of the core.
type Proofing interface {
	Start(ctx context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error)
	// Result answers about a caller's own verification; an unknown id, another
	// caller's, and one that is not for userIdentifier (unless that is empty) are
	// the same *proof.Error with CodeNotFound.
	Result(ctx context.Context, c proof.Caller, id, userIdentifier string) (journey.ResultView, error)
	// StartChallenge opens a challenge, or says in its answer why there is none.
	StartChallenge(ctx context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error)
	// ChallengeResult is for challenges what Result is for verifications. From the
	// deadline on a challenge without a verdict reads as expired.
	// A challenge of another decision than decisionID (unless that is empty) is unknown too.
	ChallengeResult(ctx context.Context, c proof.Caller, id, userIdentifier, decisionID string) (proof.Challenge, error)
}

// Authenticator says who calls. internal/callers implements it.
type Authenticator interface {
	Authenticate(r *http.Request, body []byte) (proof.Caller, error)
}

// Options wires the door.
type Options struct {
	Proofing Proofing
	Risk     Risk // nil: its nodes are unavailable
	Callers  Authenticator
	Logger   *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now; only measures how long calls take
	Version  string           // of this program, shown by /healthz
	// Fragments are parts of the OpenAPI document that describe other doors below Prefix.
	Fragments [][]byte
}

// Paths of this door, for mounting. Prefix ends in a slash.
const (
	Prefix     = "/descope/v1/"
	HealthPath = "/healthz"

	startPath        = Prefix + "idv"
	resultPath       = Prefix + "idv/result"
	stepUpPath       = Prefix + "stepup"
	stepUpResultPath = Prefix + "stepup/result"
	riskPath         = Prefix + "risk"
	outcomePath      = Prefix + "risk/outcome"
)

const (
	maxBody     = 64 << 10        // bytes of a request
	callTimeout = 5 * time.Second // Descope's browser gives up at 6 s
)

type door struct {
	Options
}

// New makes the handler for everything under Prefix, and for HealthPath.
func New(o Options) (http.Handler, error) {
	if o.Proofing == nil || o.Callers == nil {
		return nil, errors.New("the connector needs Proofing and Callers")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	described := described(o.Fragments)
	if described.err != nil {
		return nil, described.err
	}
	d := &door{o}
	mux := http.NewServeMux()
	mux.HandleFunc(startPath, d.node(d.start))
	mux.HandleFunc(resultPath, d.node(d.result))
	mux.HandleFunc(stepUpPath, d.node(d.stepUp))
	mux.HandleFunc(stepUpResultPath, d.node(d.stepUpResult))
	mux.HandleFunc(riskPath, d.node(d.evaluate))
	mux.HandleFunc(outcomePath, d.node(d.outcome))
	mux.HandleFunc(Prefix+"openapi.json", d.get("application/openapi+json", described.json))
	mux.HandleFunc(Prefix+"openapi.yaml", d.get("application/openapi+yaml", described.yaml))
	health, err := encode(healthAnswer{Status: "ok", Version: o.Version})
	if err != nil {
		return nil, err
	}
	mux.HandleFunc(HealthPath, d.get("application/json", health))
	mux.HandleFunc(Prefix+"healthz", d.get("application/json", health)) // for Descope's test panel, whose base URL is Prefix
	mux.HandleFunc("/", d.page(func(call *call) {
		call.fail(http.StatusNotFound, &proof.Error{
			Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is nothing at this path; see " + Prefix + "openapi.json",
		})
	}))
	return mux, nil
}

// call is one request on its way through the door.
type call struct {
	*door
	*Access
	w http.ResponseWriter
	r *http.Request
}

func (d *door) page(serve func(*call)) http.HandlerFunc {
	return Logged("door A", d.Logger, d.Now, func(w http.ResponseWriter, r *http.Request, a *Access) {
		serve(&call{door: d, Access: a, w: w, r: r})
	})
}

// get serves fixed bytes.
func (d *door) get(contentType string, body []byte) http.HandlerFunc {
	return d.page(func(c *call) {
		if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
			c.method("GET, HEAD")
			return
		}
		c.send(http.StatusOK, contentType, body)
	})
}

// node serves one of Descope's nodes: a POST with a JSON object by a known caller.
func (d *door) node(serve func(context.Context, *call, *reader) (any, error)) http.HandlerFunc {
	return d.page(func(c *call) {
		ctx, cancel := context.WithTimeout(c.r.Context(), callTimeout)
		defer cancel()
		if c.r.Method != http.MethodPost {
			c.method("POST")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			c.refuse(&proof.Error{
				Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge,
				Message: "the body is larger than " + strconv.Itoa(maxBody) + " bytes",
			})
			return
		} else if err != nil {
			c.refuse(proof.Invalid("", "the body could not be read"))
			return
		}
		if c.Caller, err = d.Callers.Authenticate(c.r, body); err != nil {
			c.refuse(err)
			return
		}
		ct, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
		if err != nil || ct != "application/json" || c.r.Header.Get("Content-Encoding") != "" {
			c.fail(http.StatusUnsupportedMediaType, proof.Invalid("", "Content-Type must be application/json, without Content-Encoding"))
			return
		}
		fields, err := parse(body)
		if err != nil {
			c.refuse(err)
			return
		}
		out, err := serve(ctx, c, &reader{fields: fields})
		if err != nil {
			c.refuse(err)
			return
		}
		answer, err := encode(out)
		if err != nil {
			c.refuse(err)
			return
		}
		c.send(http.StatusOK, "application/json", answer)
	})
}

func (d *door) start(ctx context.Context, c *call, in *reader) (any, error) {
	r, err := readStart(in)
	if err != nil {
		return nil, err
	}
	s, err := d.Proofing.Start(ctx, c.Caller, r)
	if err != nil {
		return nil, err
	}
	return startAnswer{
		SessionID: s.SessionID, SessionURL: s.SessionURL, Status: outward(s.Status), ExpiresAt: timestamp(s.ExpiresAt),
	}, nil
}

func (d *door) result(ctx context.Context, c *call, in *reader) (any, error) {
	id, user, err := readResult(in, "session_id")
	if err != nil {
		return nil, err
	}
	v, err := lookUp(ctx, c, id, user, d.Proofing.Result)
	if proof.CodeOf(err) == proof.CodeNotFound {
		c.Reason = proof.ReasonUnknownSession
		return unknownSession(), nil
	}
	if err != nil {
		return nil, err
	}
	return resultOf(v), nil
}

func (d *door) stepUp(ctx context.Context, c *call, in *reader) (any, error) {
	r, err := readStepUp(in)
	if err != nil {
		return nil, err
	}
	s, err := d.Proofing.StartChallenge(ctx, c.Caller, r)
	if err != nil {
		return nil, err
	}
	c.Reason = s.Refused
	return stepUpOf(s), nil
}

func (d *door) stepUpResult(ctx context.Context, c *call, in *reader) (any, error) {
	decision := in.token("decision_id", maxDecision)
	id, user, err := readResult(in, "challenge_id")
	if err != nil {
		return nil, err
	}
	v, err := lookUp(ctx, c, id, user, func(ctx context.Context, who proof.Caller, id, user string) (proof.Challenge, error) {
		return d.Proofing.ChallengeResult(ctx, who, id, user, decision)
	})
	if proof.CodeOf(err) == proof.CodeNotFound {
		c.Reason = proof.ReasonUnknownChallenge
		return unknownChallenge(), nil
	}
	if err != nil {
		return nil, err
	}
	return stepUpResultOf(v), nil
}

// lookUp asks the core about an id. Ids are UUIDs in their usual form. Anything
// else is as unknown as one that is not there, and does not bother the store.
func lookUp[T any](ctx context.Context, c *call, id, user string, ask func(context.Context, proof.Caller, string, string) (T, error)) (T, error) {
	id = strings.ToLower(id)
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		var none T
		return none, proof.ErrNotFound
	}
	return ask(ctx, c.Caller, id, user)
}

func (c *call) method(allow string) {
	c.w.Header().Set("Allow", allow)
	c.fail(http.StatusMethodNotAllowed, proof.Invalid("", "this path takes %s", allow))
}

func (c *call) send(status int, contentType string, body []byte) {
	c.Status = status
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone; nothing is left to do
}

// encode writes JSON without HTML escapes and without a final line break.
func encode(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// timestamp is RFC 3339 in UTC with whole seconds; the zero time is "".
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
