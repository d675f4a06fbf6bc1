package keys

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
)

// Uses of keys, and their algorithms (RFC 7518, section 3.1).
const (
	OIDC = "oidc" // ES256 and RS256
	SAML = "saml" // RS256, with a certificate

	ES256 = "ES256"
	RS256 = "RS256"
)

// Vault is what the keys have of journey.Vault.
type Vault interface {
	SealOwn(at journey.Place, plaintext []byte) ([]byte, error)
	OpenOwn(at journey.Place, sealed []byte) ([]byte, error)
}

// Options wires a Service; a zero time means its default.
type Options struct {
	Store  federation.Store
	Vault  Vault
	Now    func() time.Time // time.Now
	Logger *slog.Logger     // nowhere
	// Lifetime is how long a key of oidc signs; 90 days. Those of saml sign until
	// somebody rotates them: service providers keep certificates by hand.
	Lifetime time.Duration
	// Overlap is how long a key stays published after it signed last, for oidc (24
	// hours) and for saml (30 days). It must be longer than what was signed is good for.
	Overlap, SAMLOverlap time.Duration
}

// Service signs, and looks after the keys. It is safe for concurrent use. Tenants are
// those of the configuration: it remembers every one that it is asked about.
type Service struct {
	opt     Options
	tenants sync.Map // name of a tenant -> *kept
}

// New makes a Service. Nothing is signed for a tenant before Ensure.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 90 * 24 * time.Hour
	}
	if o.Overlap <= 0 {
		o.Overlap = 24 * time.Hour
	}
	if o.SAMLOverlap <= 0 {
		o.SAMLOverlap = 30 * 24 * time.Hour
	}
	return &Service{opt: o}
}

const (
	// renewAfter is how old the keys that we know may be before somebody looks; others
	// go on with them meanwhile. askAgain bounds how often the store is asked out of
	// turn: for a key that nobody knows, or when it did not answer.
	renewAfter = 5 * time.Second
	askAgain   = time.Second
	// tooOld is when they are not used any more, though the store does not answer.
	tooOld = time.Minute
)

// kept is what we know of a tenant's keys.
type kept struct {
	set   atomic.Pointer[keySet]
	turn  chan struct{} // held by whoever asks the store; guards tried
	tried time.Time     // when it was asked last
}

func (s *Service) of(tenant string) *kept {
	if k, ok := s.tenants.Load(tenant); ok {
		return k.(*kept)
	}
	k, _ := s.tenants.LoadOrStore(tenant, &kept{turn: make(chan struct{}, 1)})
	return k.(*kept)
}

// current is the tenant's keys as they were at most a little more than after ago. Only
// who finds them older asks the store, and only one at a time; unless they are too old,
// nobody waits for that one.
func (s *Service) current(ctx context.Context, tenant string, after time.Duration) (*keySet, error) {
	k, now := s.of(tenant), s.opt.Now()
	known := k.set.Load()
	if known.isYoung(now, after) {
		return known, nil
	}
	usable := known.isYoung(now, tooOld)
	if usable {
		select {
		case k.turn <- struct{}{}:
		default:
			return known, nil
		}
	} else {
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-k.turn }()
	if again := k.set.Load(); again != known && again.isYoung(now, after) {
		return again, nil // whoever had the turn before found it
	}
	if since := now.Sub(k.tried); usable && since >= 0 && since < askAgain {
		return known, nil
	}
	set, err := s.load(ctx, tenant, k)
	if err != nil && usable {
		s.opt.Logger.WarnContext(ctx, "signing keys could not be read again; going on with those known", "tenant", tenant, "error", err)
		return known, nil
	}
	return set, err
}

// load asks the store; whoever calls it has the turn.
func (s *Service) load(ctx context.Context, tenant string, k *kept) (*keySet, error) {
	now := s.opt.Now()
	k.tried = now
	stored, err := s.stored(ctx, tenant)
	if err != nil {
		return nil, err
	}
	set, err := s.open(ctx, tenant, stored, k.set.Load())
	if err != nil {
		return nil, err
	}
	set.at = now
	k.set.Store(set)
	return set, nil
}

func (s *Service) stored(ctx context.Context, tenant string) (keys []*federation.Key, err error) {
	err = s.opt.Store.ViewFederation(ctx, func(tx federation.Tx) (err error) {
		keys, err = tx.Keys(tenant)
		return err
	})
	return keys, err
}

// changed takes over what this process has just stored: nobody shall go on with what
// was known before, or with what somebody began to read before.
func (s *Service) changed(ctx context.Context, tenant string) error {
	k := s.of(tenant)
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	_, err := s.load(ctx, tenant, k)
	if err != nil {
		k.set.Store(nil)
		return errors.Join(errors.New("keys: stored, but not read back"), err)
	}
	return nil
}
