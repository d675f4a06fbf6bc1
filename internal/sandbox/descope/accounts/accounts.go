package accounts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Options makes a project's accounts. ProjectID must be given.
type Options struct {
	Dir       string // where they are kept; empty: in memory only
	ProjectID string
	BaseURL   string // of the project's APIs

	// ConformanceIssuer makes iss of tokens BaseURL/ProjectID instead of the project id
	// alone, as a JWT template of a project can.
	ConformanceIssuer bool
	// RotateRefresh gives a new refresh token out with every refresh. One that was
	// rotated away ends its session. It is a setting of the project; off, as it comes.
	RotateRefresh bool
	Algorithm     string // of the signatures: RS256 (default) or ES384

	// Geo is where an address is: ISO country, city, degrees, and within how many km it
	// may really be. Nil: nowhere.
	Geo func(netip.Addr) (country, city string, lat, lon, radiusKM float64, ok bool)

	SessionTTL time.Duration // default 10 minutes
	RefreshTTL time.Duration // default 4 weeks
	StepUpTTL  time.Duration // default 10 minutes
	TrustTTL   time.Duration // default 4 weeks

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: silent
}

// Limits. What is older goes first.
const (
	maxUsers    = 10_000
	maxSessions = 50 // of one user
	maxDevices  = 50 // of one user
	maxLogins   = 100
	maxRecent   = 20 // IPs, countries and cities that a flow gets to see
	maxEvents   = 10_000
	maxPending  = 1000 // codes
	maxMails    = 100
	maxLoginIDs = 20
	maxListed   = 100 // roles, tenants, attributes
	maxText     = 1000
)

// Accounts are the users of one project. It is safe for concurrent use.
type Accounts struct {
	opt   Options
	store *store
	keys  keyring

	mu         sync.RWMutex
	users      map[string]*record // by user id; a record is never changed, only replaced
	logins     map[string]string  // user ids by login id
	sessions   map[string]session
	ofUser     map[string]map[string]bool // session ids by user id
	attributes map[string]Attribute
	events     []Event // oldest first
	lastEvent  int64

	codes codes

	hookMu     sync.Mutex
	hooks      []func(Event)
	queue      []Event
	delivering bool
}

// record is all that is known about a user.
type record struct {
	User    project.User `json:"user"`
	Devices []device     `json:"devices"` // newest login first
	Logins  []visit      `json:"logins"`  // newest first
}

// Open makes the accounts, or opens those that Dir has.
func Open(o Options) (*Accounts, error) {
	if o.ProjectID == "" {
		return nil, errors.New("accounts: a project id is needed")
	}
	if o.ConformanceIssuer && o.BaseURL == "" {
		return nil, errors.New("accounts: a conformance issuer needs a base URL")
	}
	for d, fallback := range map[*time.Duration]time.Duration{
		&o.SessionTTL: 10 * time.Minute, &o.RefreshTTL: 28 * 24 * time.Hour, &o.StepUpTTL: 10 * time.Minute, &o.TrustTTL: 28 * 24 * time.Hour,
	} {
		if *d == 0 {
			*d = fallback
		}
		if *d < time.Second {
			return nil, errors.New("accounts: tokens must last a second or longer")
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &Accounts{
		opt: o, users: map[string]*record{}, logins: map[string]string{}, sessions: map[string]session{},
		ofUser: map[string]map[string]bool{}, attributes: map[string]Attribute{},
		codes: newCodes(),
	}
	ctx := context.Background()
	if o.Dir != "" {
		var err error
		if a.store, err = openStore(ctx, o.Dir); err != nil {
			return nil, fmt.Errorf("accounts: %w", err)
		}
	}
	if err := a.load(ctx); err != nil {
		_ = a.store.close()
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return a, nil
}

func (a *Accounts) load(ctx context.Context) error {
	err := a.store.load(ctx, func(c change, plain []byte) error {
		switch c.kind {
		case kindUser:
			r := new(record)
			if err := json.Unmarshal(plain, r); err != nil {
				return err
			}
			a.put(nil, r)
		case kindSession:
			var s session
			if err := json.Unmarshal(plain, &s); err != nil {
				return err
			}
			a.remember(s)
		case kindAttribute:
			var t Attribute
			if err := json.Unmarshal(plain, &t); err != nil {
				return err
			}
			a.attributes[t.Name] = t
		case kindKey:
			return a.keys.take(c.id, plain)
		case kindEvent:
			var e Event
			if err := json.Unmarshal(plain, &e); err != nil {
				return err
			}
			a.events = append(a.events, e)
			a.lastEvent = e.ID
		default:
			return errors.New("unknown kind of record")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.keys.needs(a.opt.Algorithm) {
		return a.RotateKey(ctx)
	}
	return nil
}

// Close closes the database.
func (a *Accounts) Close() error { return a.store.close() }

// put makes r what is known in the place of old; either may be nil. The caller has
// the lock, and has saved it.
func (a *Accounts) put(old, r *record) {
	if old != nil {
		for _, id := range old.User.LoginIDs {
			delete(a.logins, id)
		}
		delete(a.users, old.User.UserID)
	}
	if r != nil {
		for _, id := range r.User.LoginIDs {
			a.logins[id] = r.User.UserID
		}
		a.users[r.User.UserID] = r
	}
}

// find gets a record by user id or login id; nil if there is none. The caller has
// the lock.
func (a *Accounts) find(id string) *record {
	if r := a.users[id]; r != nil {
		return r
	}
	return a.users[a.logins[loginID(id)]]
}

func (a *Accounts) now() time.Time { return a.opt.Now() }

// failed is an error inside that the person hears nothing of.
func (a *Accounts) failed(err error) error {
	if err == nil {
		return nil
	}
	a.opt.Logger.Error("accounts", "error", err)
	return &project.Error{Code: "E050000", Status: 500, Message: "Something went wrong here. Try again.", Cause: err}
}

func bad(format string, args ...any) error {
	return &project.Error{Code: "E011003", Status: 400, Message: fmt.Sprintf(format, args...)}
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID is a prefix and 26 letters and digits, as Descope's ids look. It has no
// underscore.
func newID(prefix string) string {
	id := []byte(prefix)
	for b := make([]byte, 1); len(id) < len(prefix)+26; {
		_, _ = rand.Read(b)
		if n := int(b[0]); n < 256/len(alphanumeric)*len(alphanumeric) { // each as likely as the others
			id = append(id, alphanumeric[n%len(alphanumeric)])
		}
	}
	return string(id)
}
