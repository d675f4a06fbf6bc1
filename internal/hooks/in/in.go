package in

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// Paths of this door, for mounting. CallbackPrefix is followed by tenant and secret.
const (
	EventsPath           = "/descope/v1/events"
	PreLoginPath         = "/descope/v1/hooks/pre-login"
	PostRegistrationPath = "/descope/v1/hooks/post-registration"
	CallbackPrefix       = "/kosmos/v1/callbacks/"
)

// Events stores what is told. hooks.Service implements it.
type Events interface {
	Accept(ctx context.Context, tenant string, source hooks.Source, told []hooks.Told) (fresh int, err error)
}

// Risk weighs a login. risk/decide implements it.
type Risk interface {
	Evaluate(ctx context.Context, c proof.Caller, r decide.Request) (decide.Answer, error)
}

// Proofing begins verifications and challenges, and finds those that are open.
// journey.Service implements it.
type Proofing interface {
	Start(ctx context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error)
	StartChallenge(ctx context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error)
	// OpenUnder finds what is open under names that somebody told, and gives the job that
	// reads the truth about each, due now.
	OpenUnder(ctx context.Context, tenant string, names []string) ([]*proof.Job, error)
}

// Authenticator says who calls. internal/callers implements it.
type Authenticator interface {
	Authenticate(r *http.Request, body []byte) (proof.Caller, error)
	AuthenticateEvents(r *http.Request, body []byte) (proof.Caller, error)
}

// Hasher makes keyed hashes, 32 bytes. journey.Vault is one.
type Hasher interface {
	MAC(tenant, purpose, value string) []byte
}

// Tenant is what this door knows of one tenant. One that is not listed is as if all but
// its ID were zero.
type Tenant struct {
	ID string
	// Discreet says that a challenge for a user who is unknown or not enrolled opens like
	// any other (proof.ChallengeRequest.Discreet): true of the backend uwl. Where it is
	// not so, the hook before a login opens none, as that would tell who exists.
	Discreet     bool
	Registration Registration
	// CallbackSecrets are what 1Kosmos' callbacks have in their path, any of them; each of
	// at least 22 characters, as 16 random bytes have in base64url. None: no callbacks.
	CallbackSecrets []string
	// CallbackHMAC are keys, any of which must have signed a callback as CallbackHeader
	// says; none: the secret in the path is enough.
	CallbackHMAC []string
}

// Options wires the door.
type Options struct {
	Events   Events
	Store    hooks.Store // for limits, audit and callbacks
	Hasher   Hasher
	Proofing Proofing
	Risk     Risk // nil: the hook before a login always asks for a face
	Callers  Authenticator
	Tenants  []Tenant
	Limits   Limits           // zero values mean the defaults
	InFlight int              // requests with events of one tenant that are stored at the same time; 16
	Wake     func()           // called after a commit that queued a job due now; may be nil
	Logger   *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
}

const (
	maxEventsBody = 1 << 20  // bytes
	maxHookBody   = 64 << 10 // bytes, of callbacks too
	readTime      = 10 * time.Second
	hookTime      = 1800 * time.Millisecond // a flow waits for 2 s
)

type door struct {
	Options
	tenants map[string]*tenant
	bodies  sync.Pool // of *bytes.Buffer
}

// tenant is a Tenant made ready.
type tenant struct {
	Tenant
	secrets [][sha256.Size]byte // of callbacks
	looks
	slots chan struct{}
	queue chan struct{} // who waits for a slot, or has one
}

// New makes the handler for all paths of this door.
func New(o Options) (http.Handler, error) {
	if o.Events == nil || o.Store == nil || o.Hasher == nil || o.Proofing == nil || o.Callers == nil {
		return nil, errors.New("in: Events, Store, Hasher, Proofing and Callers are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.InFlight <= 0 {
		o.InFlight = 16
	}
	o.Limits.complete()
	d := &door{Options: o, tenants: map[string]*tenant{}, bodies: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	for _, t := range o.Tenants {
		if d.tenants[t.ID] != nil || t.ID == "" {
			return nil, fmt.Errorf("in: tenant %q needs an id of its own", t.ID)
		}
		ready, err := d.ready(t)
		if err != nil {
			return nil, err
		}
		d.tenants[t.ID] = ready
	}
	mux := http.NewServeMux()
	mux.HandleFunc(EventsPath, d.page(d.events))
	mux.HandleFunc(PreLoginPath, d.page(d.hook(d.preLogin)))
	mux.HandleFunc(PostRegistrationPath, d.page(d.hook(d.postRegistration)))
	mux.HandleFunc(CallbackPrefix+"{tenant}/{secret}", d.page(d.callback))
	mux.HandleFunc("/", d.page(func(c *call) { c.refuse(nothingHere()) }))
	return mux, nil
}

func (d *door) ready(t Tenant) (*tenant, error) {
	out := &tenant{Tenant: t, slots: make(chan struct{}, d.InFlight), queue: make(chan struct{}, d.InFlight+maxQueue)}
	if err := t.Registration.check(); err != nil {
		return nil, fmt.Errorf("in: tenant %q: %w", t.ID, err)
	}
	for _, s := range t.CallbackSecrets {
		if len(s) < minCallbackSecret {
			return nil, fmt.Errorf("in: tenant %q: a callback secret must have at least %d characters", t.ID, minCallbackSecret)
		}
		out.secrets = append(out.secrets, sha256.Sum256([]byte(s)))
	}
	for _, s := range t.CallbackHMAC {
		if len(s) < minCallbackKey {
			return nil, fmt.Errorf("in: tenant %q: a callback key must have at least %d characters", t.ID, minCallbackKey)
		}
	}
	return out, nil
}

func nothingHere() error {
	return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is nothing at this path"}
}

// call is one request on its way through the door.
type call struct {
	*door
	*connector.Access
	w http.ResponseWriter
	r *http.Request
}

// page serves one path, which takes POST alone.
func (d *door) page(serve func(*call)) http.HandlerFunc {
	return connector.Logged("door C", d.Logger, d.Now, func(w http.ResponseWriter, r *http.Request, a *connector.Access) {
		if r.Method != http.MethodPost && r.Pattern != "/" {
			w.Header().Set("Allow", http.MethodPost)
			a.Status, a.Reason = http.StatusMethodNotAllowed, proof.ReasonInvalidRequest
			http.Error(w, "this path takes POST", a.Status)
			return
		}
		serve(&call{door: d, Access: a, w: w, r: r})
	})
}

// read reads the body into a buffer, which the caller gives back; of one that says that
// it is too large, nothing, and of a slow one what comes within readTime.
func (c *call) read(limit int64) (*bytes.Buffer, error) {
	tooLarge := &proof.Error{
		Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Message: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes",
	}
	if c.r.ContentLength > limit {
		c.w.Header().Set("Connection", "close") // or the server would read on
		return nil, tooLarge
	}
	if e := c.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, proof.Invalid("", "the body must come without Content-Encoding")
	}
	control := http.NewResponseController(c.w)
	limited := control.SetReadDeadline(time.Now().Add(readTime)) == nil // of the connection, so not of the injected clock
	buf, _ := c.bodies.Get().(*bytes.Buffer)
	buf.Reset()
	if n := c.r.ContentLength; n > 0 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(c.w, c.r.Body, limit))
	if limited && err == nil {
		_ = control.SetReadDeadline(time.Time{}) // the connection is to tell us when the other side leaves
	}
	if err == nil {
		return buf, nil
	}
	c.bodies.Put(buf)
	c.w.Header().Set("Connection", "close")
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	return nil, proof.Invalid("", "the body could not be read")
}

func (c *call) refuse(err error) {
	connector.Refuse(c.w, c.r, c.Access, c.Logger, err)
}

func (c *call) answer(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		c.refuse(err)
		return
	}
	c.Status = status
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone; nothing is left to do
}
