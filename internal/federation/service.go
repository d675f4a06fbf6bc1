package federation

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Prefix is below what all of door B is; a tenant's part is Prefix + tenant.
const Prefix = "/federation/"

// BrowserCookie is the cookie that lets a browser into one challenge or verification;
// it is the pages'.
const BrowserCookie = "kosmoscope_browser"

const (
	cookieFlow    = "kosmoscope_flow_"    // followed by the id of the run
	cookieSession = "kosmoscope_session_" // followed by a hash of the client

	kindRun = "run"

	tableSessions = "federation_sessions"

	// runTTL is how long a browser may take from Begin to Resume; what it does meanwhile
	// has a deadline of its own.
	runTTL = time.Hour
)

// How often one network may begin a run that names somebody, and name one person:
// whatever a browser says, it must not use up the attempts of somebody else (promise 5).
const (
	limitStarts   = "federation.start"
	limitNamed    = "federation.named"
	startsPer     = 10 * time.Minute
	startsNetwork = 60
)

// Tenant is the configuration of one tenant, as far as door B needs it.
type Tenant struct {
	ID       string
	Liveness proof.LivenessMode // of proofings whose client names none
	StepUp   bool               // people can be recognised by their face
	// Assert says which level 1Kosmos asserts for a user; nil: nobody does.
	Assert   func(ctx context.Context, userIdentifier string) (journey.Assertion, error)
	Upstream Upstream // nil: none is configured
	// Named bounds how often one network may name one person: fewer than the failures after
	// which that person is not asked any more, at any door. Default: 4 in 15 minutes.
	Named NamedStarts
}

// NamedStarts is so many in so long a time.
type NamedStarts struct {
	Max int
	Per time.Duration
}

// Options wires a Service.
type Options struct {
	Store     Store
	Vault     journey.Vault
	Journey   Journey
	Tenants   []Tenant
	Clients   []StoredClient // of the configuration
	PublicURL string
	Pages     Pages
	ClientIP  func(r *http.Request) netip.Addr
	Now       func() time.Time
	Logger    *slog.Logger
}

// Service carries requests of relying parties through proofing and face check. It is
// safe for concurrent use.
type Service struct {
	Options
	tenants   map[string]*Tenant
	registry  *registry
	protocols map[Protocol]Finisher
}

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Options: o, tenants: map[string]*Tenant{}, registry: newRegistry(o.Clients), protocols: map[Protocol]Finisher{}}
	for i := range o.Tenants {
		t := &o.Tenants[i]
		if t.Named.Max <= 0 || t.Named.Per <= 0 {
			t.Named = NamedStarts{4, 15 * time.Minute}
		}
		s.tenants[t.ID] = t
	}
	return s
}

// run is what travels with the browser from Begin to Resume.
type run struct {
	Ask      Ask       `json:"a"`
	Kind     string    `json:"k"` // who, challenge, verification, upstream
	ID       string    `json:"i"` // of the challenge or verification; else random
	Named    string    `json:"n,omitempty"`
	Keep     []byte    `json:"u,omitempty"` // of the upstream provider
	Deadline time.Time `json:"d"`
}

const (
	runWho          = "who"
	runChallenge    = "challenge"
	runVerification = "verification"
	runUpstream     = "upstream"
)

func (s *Service) home(tenant string) string     { return Prefix + tenant + "/" }
func (s *Service) callback(tenant string) string { return s.PublicURL + s.home(tenant) + "continue" }

// Begin starts a run for an Ask whose Client is set. An answer comes at once when a
// session of this browser will do. Its errors are *proof.Error.
func (s *Service) Begin(ctx context.Context, b Browser, a Ask) (Step, error) {
	t, err := s.tenant(&a)
	if err != nil {
		return Step{}, err
	}
	a.complete()
	a.Hint = strings.TrimSpace(a.Hint) // as on our page: blanks make no other name of it
	if !a.Fresh {
		if x, err := s.current(ctx, b, &a); err != nil {
			return Step{}, err
		} else if x != nil {
			return Step{Answer: x}, nil
		}
	}
	if a.Silent {
		return Step{}, &proof.Error{Code: proof.CodeLoginRequired, Reason: proof.ReasonNobodyKnown, Message: "no session of this browser satisfies the request, and nothing may be shown"}
	}
	if a.Client.Upstream {
		return s.sendUpstream(ctx, b, t, a)
	}
	if a.Hint == "" && a.HintSubject != "" {
		if a.Hint, err = s.identifierOf(ctx, a.Tenant, a.HintSubject); err != nil {
			return Step{}, err
		}
	}
	switch need := a.plan(); {
	case need == needProofing:
		return s.sendProofing(ctx, b, a)
	case !t.StepUp:
		return Step{}, errUnmet()
	case need == needChoice || a.Hint == "":
		return s.sendRun(b, a, runWho, "", nil, "who/")
	default:
		return s.sendChallenge(ctx, b, a)
	}
}

func (s *Service) tenant(a *Ask) (*Tenant, error) {
	t, ok := s.tenants[a.Client.Tenant]
	if !ok {
		return nil, &proof.Error{Code: proof.CodeNotFound, Message: "this tenant is not configured"}
	}
	a.Tenant, a.ClientID, a.Protocol = a.Client.Tenant, a.Client.ID, a.Client.Protocol
	return t, nil
}

// current is the answer out of this browser's session towards the client, nil if there is
// none that will do.
func (s *Service) current(ctx context.Context, b Browser, a *Ask) (*Answer, error) {
	session, err := s.sessionOf(ctx, b, a.Client)
	if err == nil && a.MaxAge != nil && s.Now().Sub(session.AuthTime) > *a.MaxAge {
		return nil, nil
	}
	var x *Answer
	if err == nil {
		x, err = s.answer(ctx, a, session)
	}
	switch {
	case errors.Is(err, proof.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !x.will(a) || a.Essential && !x.Met:
		return nil, nil
	}
	return x, nil
}

// sessionOf is this browser's session towards the client, ended ones included.
func (s *Service) sessionOf(ctx context.Context, b Browser, c *Client) (session *Session, err error) {
	value := b.Cookies[sessionCookie(c)]
	if value == "" {
		return nil, proof.ErrNotFound
	}
	err = s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		session, err = tx.FederationSession(c.Tenant, hashOf(value))
		return err
	})
	if err == nil && session.Client != c.ID {
		err = proof.ErrNotFound
	}
	return session, err
}

// Session is the id of this browser's session towards the client; "": there is none that
// lasts.
func (s *Service) Session(ctx context.Context, b Browser, c *Client) (sid string, err error) {
	session, err := s.sessionOf(ctx, b, c)
	switch {
	case errors.Is(err, proof.ErrNotFound):
		return "", nil
	case err != nil:
		return "", err
	case !session.EndedAt.IsZero() || !s.Now().Before(session.ExpiresAt):
		return "", nil
	}
	return session.ID, nil
}

// identifierOf is the user identifier of a subject that one of our own tokens names;
// "" if it has none.
func (s *Service) identifierOf(ctx context.Context, tenant, subject string) (string, error) {
	var who *proof.Subject
	err := s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		who, err = tx.Subject(tenant, subject)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return s.identifier(who)
}

func (s *Service) identifier(who *proof.Subject) (string, error) {
	if who.SealedIdentifier == nil || !who.ErasedAt.IsZero() {
		return "", nil
	}
	plain, err := s.OpenFor(who, "subjects", "identifier", who.ID, who.SealedIdentifier)
	return string(plain), err
}

// sendProofing begins a verification, of nobody in particular: a name that came with the
// browser does not become the subject of a document.
func (s *Service) sendProofing(ctx context.Context, b Browser, a Ask) (Step, error) {
	if err := s.admit(ctx, a.Tenant, b.From, ""); err != nil {
		return Step{}, err
	}
	caller := s.caller(a.Client)
	started, err := s.Journey.Start(ctx, caller, journey.StartRequest{
		Liveness: caller.Liveness[0], CallbackURL: s.callback(a.Tenant),
	})
	if err != nil {
		return Step{}, outward(err)
	}
	secret, err := secretOf(started.SessionURL)
	if err != nil {
		return Step{}, err
	}
	_, cookie, err := s.Journey.Open(ctx, started.SessionID, secret, "", "")
	if err != nil {
		return Step{}, outward(err)
	}
	page := "/v/" + started.SessionID
	return s.enter(b, a, runVerification, started.SessionID, page, cookie)
}

// sendChallenge begins a face check for whoever is named. Whether there is such a
// person does not show.
func (s *Service) sendChallenge(ctx context.Context, b Browser, a Ask) (Step, error) {
	if err := s.admit(ctx, a.Tenant, b.From, a.Hint); err != nil {
		return Step{}, err
	}
	started, err := s.startChallenge(ctx, &a, journey.ChallengeStart{CallbackURL: s.callback(a.Tenant), Request: proof.ChallengeRequest{Discreet: true}})
	if err != nil {
		return Step{}, err
	}
	secret, err := secretOf(started.ChallengeURL)
	if err != nil {
		return Step{}, err
	}
	_, cookie, err := s.Journey.OpenChallenge(ctx, started.ChallengeID, secret, "", "", b.From)
	if err != nil {
		return Step{}, outward(err)
	}
	return s.enter(b, a, runChallenge, started.ChallengeID, "/c/"+started.ChallengeID, cookie)
}

func (s *Service) startChallenge(ctx context.Context, a *Ask, r journey.ChallengeStart) (journey.ChallengeStarted, error) {
	r.Request.UserIdentifier = a.Hint
	started, err := s.Journey.StartChallenge(ctx, s.caller(a.Client), r)
	if err == nil && started.Refused != "" {
		err = &proof.Error{Code: proof.CodeDenied, Reason: started.Refused, Message: "the person cannot be asked for their face now"}
	}
	return started, outward(err)
}

// enter lets the browser into the page of a challenge or verification.
func (s *Service) enter(b Browser, a Ask, kind, id, page, cookie string) (Step, error) {
	step, err := s.sendRun(b, a, kind, id, nil, "")
	if err != nil {
		return Step{}, err
	}
	step.Go = page
	step.Set = append(step.Set, Cookie{Name: BrowserCookie, Value: cookie, Path: page})
	return step, nil
}

// sendRun seals the run into a cookie. below is the page of ours that it goes to.
func (s *Service) sendRun(b Browser, a Ask, kind, id string, keep []byte, below string) (Step, error) {
	if id == "" {
		id = random()
	}
	plain, err := json.Marshal(run{Ask: a, Kind: kind, ID: id, Named: a.Hint, Keep: keep, Deadline: s.Now().Add(runTTL)})
	if err != nil {
		return Step{}, err
	}
	value, err := s.Seal(a.Tenant, kindRun, plain)
	if err != nil {
		return Step{}, err
	}
	step := Step{Go: s.home(a.Tenant) + below + id, Set: s.crowd(b, a.Tenant)}
	for i := 0; value != ""; i++ {
		if i == len(parts) {
			return Step{}, proof.Invalid("", "the request is too long to travel with the browser; ask for fewer claims, or with a shorter state")
		}
		n := min(len(value), maxCookie)
		step.Set = append(step.Set, Cookie{Name: cookieFlow + id + parts[i], Value: value[:n], Path: s.home(a.Tenant), MaxAge: runTTL})
		value = value[n:]
	}
	return step, nil
}

// parts are the ends of the names of the cookies that a run is cut into. Browsers keep 4 KB
// of each, name and attributes included.
var parts = []string{"", ".1", ".2", ".3"}

const maxCookie = 3600

// runIn is the sealed run in a browser's cookies.
func runIn(b Browser, id string) string {
	var value strings.Builder
	for _, part := range parts {
		piece := b.Cookies[cookieFlow+id+part]
		if piece == "" {
			break
		}
		value.WriteString(piece)
	}
	return value.String()
}

// takeUp opens the run that this browser is on.
func (s *Service) takeUp(b Browser, tenant, id string) (*run, error) {
	gone := &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded, Message: "this browser is on no such way"}
	value := runIn(b, id)
	if value == "" {
		return nil, gone
	}
	plain, err := s.Open(tenant, kindRun, value)
	if err != nil {
		return nil, gone
	}
	var r run
	if err := json.Unmarshal(plain, &r); err != nil || r.ID != id || r.Ask.Tenant != tenant || !s.Now().Before(r.Deadline) {
		return nil, gone
	}
	client, ok := s.Client(tenant, r.Ask.ClientID)
	if !ok || client.Protocol != r.Ask.Protocol {
		return nil, gone
	}
	r.Ask.Client = client
	return &r, nil
}

func (s *Service) dropRun(b Browser, tenant, id string) (drop []Cookie) {
	for _, part := range parts {
		if name := cookieFlow + id + part; part == "" || b.Cookies[name] != "" {
			drop = append(drop, Cookie{Name: name, Path: s.home(tenant), MaxAge: -1})
		}
	}
	return drop
}

// maxRuns is how many runs of a browser go on beside a new one, and maxRunBytes how long
// they are: proxies refuse a request whose header is too long, and then nothing here could be
// reached for as long as the cookies last.
const (
	maxRuns     = 4
	maxRunBytes = 6 << 10
)

// crowd drops the runs of a browser that are too many beside a new one, the oldest first,
// and those that lead nowhere any more.
func (s *Service) crowd(b Browser, tenant string) (drop []Cookie) {
	type other struct {
		id   string
		ends time.Time
	}
	sizes := map[string]int{}
	for name, value := range b.Cookies {
		if id, ok := strings.CutPrefix(name, cookieFlow); ok {
			for _, part := range parts[1:] {
				id = strings.TrimSuffix(id, part)
			}
			sizes[id] += len(name) + len(value)
		}
	}
	var others []other
	for id := range sizes {
		var r run
		plain, err := s.Open(tenant, kindRun, runIn(b, id))
		if err == nil {
			err = json.Unmarshal(plain, &r)
		}
		if err != nil {
			r.Deadline = time.Time{}
		}
		others = append(others, other{id, r.Deadline})
	}
	slices.SortFunc(others, func(a, b other) int { return b.ends.Compare(a.ends) })
	now, size := s.Now(), 0
	for i, o := range others {
		if size += sizes[o.id]; i >= maxRuns || size > maxRunBytes || !now.Before(o.ends) {
			drop = append(drop, s.dropRun(b, tenant, o.id)...)
		}
	}
	return drop
}

// errOver says that a run came to its end before. Whoever kept its cookie begins nothing by
// it: no session after logging out, and no entry of the trail.
var errOver = error(&proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded, Message: "this came to its end before"})

// over notes that a run comes to its end, which it does once.
func (r *run) over(tx Tx, at time.Time) error {
	err := tx.Use(r.Ask.Tenant, kindRun, hashOf(r.ID), at, r.Deadline)
	if errors.Is(err, proof.ErrStale) {
		return errOver
	}
	return err
}

// errPending says that the person came back too early; page is where they go on.
type errPending struct{ page string }

func (e *errPending) Error() string { return "not over yet: " + e.page }

// Resume takes up a run at its end. The Ask is returned with an error, too, if it could
// be opened: then the relying party is to learn of it.
func (s *Service) Resume(ctx context.Context, b Browser, tenant, id string) (*Ask, *Answer, []Cookie, error) {
	r, err := s.takeUp(b, tenant, id)
	if err != nil {
		return nil, nil, nil, err
	}
	session, err := s.ended(ctx, r)
	if pending := (*errPending)(nil); errors.As(err, &pending) {
		return nil, nil, nil, err
	}
	drop := s.dropRun(b, tenant, id)
	if err != nil {
		if s.refusedRun(ctx, r, err) {
			return nil, nil, nil, errOver
		}
		return &r.Ask, nil, drop, err
	}
	x, cookies, err := s.signIn(ctx, &r.Ask, session, nil, r)
	if errors.Is(err, errOver) {
		return nil, nil, nil, err
	}
	return &r.Ask, x, append(cookies, drop...), err
}

// ended says who somebody is who came to the end of a challenge or verification.
func (s *Service) ended(ctx context.Context, r *run) (*Session, error) {
	caller := s.caller(r.Ask.Client)
	switch r.Kind {
	case runChallenge:
		return s.endedChallenge(ctx, &r.Ask, r.ID, r.Named)
	case runVerification:
		v, err := s.Journey.Result(ctx, caller, r.ID, "")
		if err != nil {
			return nil, outward(err)
		}
		switch {
		case !v.Verification.Status.Terminal():
			return nil, &errPending{"/v/" + r.ID}
		case v.Verification.Status != proof.Verified:
			return nil, denied(v.Verification.Reason)
		}
		return &Session{Subject: v.Verification.Subject, Verification: r.ID, AuthTime: v.Verification.FinishedAt}, nil
	}
	return nil, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded, Message: "nothing ends here"}
}

func (s *Service) endedChallenge(ctx context.Context, a *Ask, id, named string) (*Session, error) {
	c, err := s.Journey.ChallengeResult(ctx, s.caller(a.Client), id, named, "")
	if err != nil {
		return nil, outward(err)
	}
	switch {
	case !c.Status.Terminal():
		return nil, &errPending{"/c/" + id}
	case c.Status != proof.ChallengeMatch:
		return nil, denied(c.Reason)
	}
	return &Session{Subject: c.Subject, Challenge: id, AuthTime: c.FinishedAt}, nil
}

func denied(r proof.Reason) error {
	return &proof.Error{Code: proof.CodeDenied, Reason: r, Message: "the person did not come through"}
}

// signIn stores the session, with what an upstream provider said if there was one, and
// makes the answer out of it. r is the run that this ends, errOver if it did before; nil:
// there is none, or its end was noted.
func (s *Service) signIn(ctx context.Context, a *Ask, session *Session, notes *SessionNotes, r *run) (*Answer, []Cookie, error) {
	value := random()
	if err := s.keepSession(ctx, a, session, notes, value, r); err != nil {
		return nil, nil, err
	}
	x, err := s.answer(ctx, a, session)
	if err == nil && a.Essential && !x.Met {
		err = errUnmet()
	}
	if err != nil {
		s.refused(ctx, a, err)
	}
	return x, []Cookie{{Name: sessionCookie(a.Client), Value: value, Path: s.home(a.Tenant)}}, err
}

// keepSession fills in and stores a session.
func (s *Service) keepSession(ctx context.Context, a *Ask, session *Session, notes *SessionNotes, value string, r *run) error {
	now, lasts := s.Now(), time.Duration(a.Client.Session)
	if lasts <= 0 {
		lasts = DefaultSession
	}
	session.ID, session.Tenant, session.Client, session.Hash = proof.NewID(), a.Tenant, a.ClientID, hashOf(value)
	session.CreatedAt, session.ExpiresAt = now, now.Add(lasts)
	if session.AuthTime.IsZero() {
		session.AuthTime = now
	}
	var who *proof.Subject
	if err := s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		who, err = tx.Subject(a.Tenant, session.Subject)
		return err
	}); err != nil {
		return err
	}
	if !who.ErasedAt.IsZero() {
		return proof.ErrNotFound
	}
	if notes == nil {
		var err error
		if notes, err = s.asserted(ctx, a, session, who); err != nil {
			return err
		}
	}
	if notes != nil {
		plain, err := json.Marshal(notes)
		if err != nil {
			return err
		}
		if session.Sealed, err = s.SealFor(who, tableSessions, "notes", session.ID, plain); err != nil {
			return err
		}
	}
	detail := map[string]string{"client": a.ClientID}
	if session.Challenge != "" {
		detail["challenge"] = session.Challenge
	}
	if session.Verification != "" {
		detail["verification"] = session.Verification
	}
	return s.Store.UpdateFederation(ctx, func(tx Tx) error {
		if r != nil {
			if err := r.over(tx, s.Now()); err != nil {
				return err
			}
		}
		now, err := tx.Subject(a.Tenant, session.Subject)
		if err != nil {
			return err
		}
		if !now.ErasedAt.IsZero() {
			return proof.ErrNotFound
		}
		if err := tx.InsertFederationSession(session); err != nil {
			return err
		}
		return s.audit(tx, a.Tenant, "person", "federation.signed_in", "session:"+session.ID, "", detail)
	})
}

// asserted asks 1Kosmos which level it asserts for somebody whose face was matched. That
// it cannot be told costs the level alone.
func (s *Service) asserted(ctx context.Context, a *Ask, session *Session, who *proof.Subject) (*SessionNotes, error) {
	assert := s.tenants[a.Tenant].Assert
	if session.Challenge == "" || assert == nil {
		return nil, nil
	}
	name, err := s.identifier(who)
	if err != nil || name == "" {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	level, err := assert(asking, name)
	if err != nil {
		s.Logger.WarnContext(ctx, "1Kosmos does not say which level a person has", "tenant", a.Tenant, "reason", proof.ReasonOf(err), "error", err)
		return nil, nil
	}
	if level.Level == "" {
		return nil, nil
	}
	return &SessionNotes{IALLevel: level.Level, IALExpires: level.ExpiresAt}, nil
}

// refused writes down that a relying party is told no.
func (s *Service) refused(ctx context.Context, a *Ask, cause error) { s.refusal(ctx, a, cause, nil) }

// refusedRun is refused for the end of a run. It reports whether that came to its end
// before, and then writes nothing.
func (s *Service) refusedRun(ctx context.Context, r *run, cause error) (before bool) {
	return errors.Is(s.refusal(ctx, &r.Ask, cause, r), errOver)
}

func (s *Service) refusal(ctx context.Context, a *Ask, cause error, r *run) error {
	err := s.Store.UpdateFederation(ctx, func(tx Tx) error {
		if r != nil {
			if err := r.over(tx, s.Now()); err != nil {
				return err
			}
		}
		return s.audit(tx, a.Tenant, "person", "federation.refused", "caller:"+callerPrefix+a.ClientID, proof.ReasonOf(cause), map[string]string{"code": string(proof.CodeOf(cause))})
	})
	if err != nil && !errors.Is(err, errOver) {
		s.Logger.WarnContext(ctx, "a refusal of door B is not in the trail", "error", err)
	}
	return err
}

func (s *Service) audit(tx Tx, tenant, actor, action, object string, r proof.Reason, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{ID: proof.NewID(), Tenant: tenant, At: s.Now(), Actor: actor, Action: action, Object: object, Reason: r, Detail: detail})
}

// admit counts what one network begins, and how often it names one person.
func (s *Service) admit(ctx context.Context, tenant string, from netip.Addr, named string) error {
	type limit struct {
		name, key string
		NamedStarts
	}
	network, now := journey.Network(from), s.Now()
	limits := []limit{{limitStarts, network.String(), NamedStarts{startsNetwork, startsPer}}}
	if named != "" {
		limits = append(limits, limit{limitNamed, network.String() + "\x00" + strings.ToLower(named), s.tenants[tenant].Named})
	}
	return s.Store.UpdateFederation(ctx, func(tx Tx) error {
		for _, l := range limits {
			key := s.Vault.MAC(tenant, "federation-limit", l.key)
			n, err := tx.Hits(tenant, l.name, key, now.Add(-l.Per))
			if err != nil {
				return err
			}
			if n >= l.Max {
				return &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonTooManyAttempts, Message: "too many attempts from this network", RetryAfter: l.Per}
			}
			if err := tx.Hit(tenant, l.name, key, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// outward is an error as a relying party may know it.
func outward(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*proof.Error](err); ok {
		return e
	}
	return &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "something went wrong here", Err: err}
}

func secretOf(link string) (string, error) {
	i := strings.LastIndexByte(link, '/')
	if i < 0 || i == len(link)-1 {
		return "", fmt.Errorf("federation: a link without a secret")
	}
	return link[i+1:], nil
}

func sessionCookie(c *Client) string {
	sum := sha256.Sum256([]byte(c.ID))
	return cookieSession + hex.EncodeToString(sum[:4])
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
