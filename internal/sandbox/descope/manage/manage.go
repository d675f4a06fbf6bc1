package manage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// Accounts are the users of the project; *accounts.Accounts is one.
type Accounts interface {
	User(ctx context.Context, id string) (*project.User, error)
	Create(ctx context.Context, u project.User) (*project.User, error)
	Edit(ctx context.Context, id string, edit func(*project.User) error) (*project.User, error)
	Delete(ctx context.Context, id string) error
	Search(ctx context.Context, q accounts.Query) (users []*project.User, total int, err error)

	Attributes(ctx context.Context) []accounts.Attribute
	DefineAttributes(ctx context.Context, list []accounts.Attribute) error
	DropAttributes(ctx context.Context, names []string) error

	History(ctx context.Context, userIDs []string) []accounts.Login
	TrustedDevices(ctx context.Context, ids []string) []accounts.TrustedDevice
	RemoveTrustedDevices(ctx context.Context, id string, devices []string) error

	JWKS() jose.JSONWebKeySet
	Holder(ctx context.Context, refreshJWT string) (*project.User, error)
	Refresh(ctx context.Context, refreshJWT string) (*project.AuthInfo, error)
	Logout(ctx context.Context, refreshJWT string) error
	LogoutAll(ctx context.Context, refreshJWT string) error
	LogoutUser(ctx context.Context, id string) error
	SignIn(ctx context.Context, in accounts.SignIn, firstSeen bool) (*project.AuthInfo, error)
	UpdateJWT(ctx context.Context, token string, add map[string]any, refreshDuration int64) (string, error)

	Audit(ctx context.Context, q accounts.AuditQuery) (events []accounts.Event, total int)
	Record(ctx context.Context, e accounts.Event) error
}

// Flows are the flows of the project, and their External Authentications;
// *runner.Runner is one.
type Flows interface {
	List() []*flow.Document
	Export(id string) (*flow.Document, error)
	Import(doc *flow.Document) []runner.Problem
	Delete(id string) error
	RunManagement(ctx context.Context, id string, input map[string]any) (output map[string]any, err error)
	CompleteExternal(ctx context.Context, c runner.Completion) (redirectURL string, err error)
}

// Federation keeps SAML of Descope tenants; *federation.Federation is one.
type Federation interface {
	SetSSO(s federation.SSO) error
	SSO(tenant string) (federation.SSO, bool)
	DropSSO(tenant string)
	SPEntityID(tenant string) string
	ACSURL(tenant string) string
}

// Options wires the API. All but the last four must be given.
type Options struct {
	ProjectID     string
	ManagementKey string
	Accounts      Accounts
	Flows         Flows

	Federation Federation // nil: mgmt/sso is not there

	// Version numbers a flow's content; default runner.Version.
	Version func(*flow.Document) int
	Now     func() time.Time // default time.Now
	Logger  *slog.Logger     // default: silent
}

// maxBody is the longest body; a flow with its screens is the largest thing sent.
const maxBody = 4 << 20

type server struct {
	Options
	log      *slog.Logger
	keyHash  [sha256.Size]byte
	searches *limit

	executions executions
}

// New makes the handler of everything under /v1/ and /v2/ but the flows' runtime, and
// of the project's keys.
func New(o Options) (http.Handler, error) {
	if o.ProjectID == "" || o.Accounts == nil || o.Flows == nil {
		return nil, errors.New("manage: a project, accounts and flows are needed")
	}
	if len(o.ManagementKey) < 8 || strings.ContainsAny(o.ManagementKey, ": \t\r\n") {
		return nil, errors.New("manage: the management key must have eight characters or more, and neither spaces nor colons")
	}
	if o.Version == nil {
		o.Version = runner.Version
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, log: o.Logger, keyHash: sha256.Sum256([]byte(o.ManagementKey)), searches: &limit{most: 10, within: time.Minute}}
	mux := http.NewServeMux()
	for _, routes := range []map[string]call{s.users(), s.sessions(), s.flows(), s.audits(), s.sso()} {
		for pattern, c := range routes {
			mux.HandleFunc(pattern, s.managed(c))
		}
	}
	for pattern, c := range s.public() {
		mux.HandleFunc(pattern, s.open(c))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, unknown(r.Method+" "+short(r.URL.Path)))
	})
	return mux, nil
}

func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

// call answers one request; its answer is written as JSON, nil as {}.
type call func(r *request) (answer any, err error)

// request is what a call gets.
type request struct {
	*http.Request
	ctx   context.Context //nolint:containedctx // of the one request
	body  []byte
	token string // in the Authorization header after the project id
	w     http.ResponseWriter
}

// read takes the body. What it does not know it ignores, as Descope does.
func (r *request) read(v any) error {
	b := bytes.TrimSpace(r.body)
	if len(b) == 0 || bytes.Equal(b, []byte("null")) || json.Unmarshal(b, v) != nil {
		return errBody
	}
	return nil
}

// bearer gives what the Authorization header has after the project id.
func (s *server) bearer(r *http.Request) (rest string, ok bool) {
	credential, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, rest, _ := strings.Cut(strings.TrimSpace(credential), ":")
	return rest, ok && id == s.ProjectID
}

// managed lets a call through that has the management key.
func (s *server) managed(c call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, ok := s.bearer(r)
		hash := sha256.Sum256([]byte(key))
		if subtle.ConstantTimeCompare(hash[:], s.keyHash[:]) != 1 || !ok {
			s.fail(w, errKey)
			return
		}
		s.run(w, r, "", c)
	}
}

// open lets everybody's call through. A token may be followed by a management key,
// which projects may demand and this one does not.
func (s *server) open(c call) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		rest, ok := s.bearer(r)
		if !ok && r.Header.Get("Authorization") != "" {
			s.fail(w, errProject)
			return
		}
		token, _, _ := strings.Cut(rest, ":")
		s.run(w, r, token, c)
	}
}

func (s *server) run(w http.ResponseWriter, r *http.Request, token string, c call) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			s.fail(w, errLong)
			return
		}
		s.fail(w, errBody)
		return
	}
	answer, err := c(&request{Request: r, ctx: r.Context(), body: body, token: token, w: w})
	if err != nil {
		s.fail(w, err)
		return
	}
	if answer == nil {
		answer = struct{}{}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		s.fail(w, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	_, _ = w.Write(append(b, '\n'))
}

// fail answers an error as all of Descope's APIs do.
func (s *server) fail(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*project.Error](err)
	if !ok {
		s.log.Error("manage", "error", err)
		p = errInside
	}
	p.Answer(w, description(p))
}

// description says in a few words what a code is, for whoever reads a log.
func description(p *project.Error) string {
	switch p.Code {
	case project.ErrNoUser.Code:
		return "User not found"
	case project.ErrExists.Code:
		return "User already exists"
	case project.ErrDisabled.Code:
		return "User is disabled"
	case project.ErrToken.Code:
		return "Token is not valid"
	case errKey.Code:
		return "Invalid management key"
	case errRate.Code:
		return "Rate limit exceeded"
	}
	switch p.Status {
	case http.StatusNotFound:
		return "Not found"
	case http.StatusInternalServerError:
		return "Internal error"
	case http.StatusUnauthorized:
		return "Unauthorized"
	}
	return "Invalid request"
}
