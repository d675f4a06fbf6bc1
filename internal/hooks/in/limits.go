package in

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Limits of the hook before a login, whose caller anybody can make call. They are counted
// durably and alike for identifiers that exist and those that do not.
type Limits struct {
	Window     time.Duration // 15 min
	Pair       int           // calls for one identifier from one network; 10. Beyond: deny
	Network    int           // calls from one network; 300. Beyond: deny
	Identifier int           // challenges for one identifier, from wherever; 10. Beyond: step_up without a challenge
}

// Identifier does not deny: others could keep a person out by it.

func (l *Limits) complete() {
	if l.Window <= 0 {
		l.Window = 15 * time.Minute
	}
	for p, most := range map[*int]int{&l.Pair: 10, &l.Network: 300, &l.Identifier: 10} {
		if *p <= 0 {
			*p = most
		}
	}
}

// Names of the limits in the store.
const (
	limitPair       = "hooks.pre-login.pair"
	limitNetwork    = "hooks.pre-login.network"
	limitIdentifier = "hooks.pre-login.identifier"
	limitTold       = "hooks.pre-login.refused"
	limitHint       = "hooks.callback"
)

// errFull rolls a transaction back that had nothing to count.
var errFull = errors.New("in: a limit is reached")

// stranger is who calls before a login, without telling who.
type stranger struct {
	pair, network, identifier []byte // network: nil if no address is known
	name                      string // for the risk: this identifier from this network, and no account
}

func (d *door) stranger(tenant, identifier string, from netip.Addr) stranger {
	network := networkOf(from)
	key := func(of string) []byte { return d.Hasher.MAC(tenant, "hooks pre-login", of) }
	who := stranger{pair: key("pair\x00" + fold(identifier) + "\x00" + network), identifier: key("identifier\x00" + fold(identifier))}
	if network != "" {
		who.network = key("network\x00" + network)
	}
	id, _ := uuid.FromBytes(key("name\x00" + fold(identifier) + "\x00" + network)[:16])
	who.name = "pre-login:" + id.String()
	return who
}

// networkOf is what the journey counts as one network, too; "" if there is no address.
func networkOf(a netip.Addr) string {
	if n := journey.Network(a); n.IsValid() {
		return n.String()
	}
	return ""
}

// fold is how 1Kosmos knows users: without regard to the case of ASCII letters.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// admit counts a call, or says that there were too many. What is refused is not counted:
// after the window there is room again, whatever came meanwhile.
func (d *door) admit(ctx context.Context, c proof.Caller, who stranger) (full bool, err error) {
	now := d.Now()
	type limit struct {
		name string
		key  []byte
		most int
	}
	limits := []limit{{limitPair, who.pair, d.Limits.Pair}}
	if who.network != nil {
		limits = append(limits, limit{limitNetwork, who.network, d.Limits.Network})
	}
	err = d.update(ctx, func(tx hooks.Tx) error {
		full = false
		for _, l := range limits {
			n, err := tx.Hits(c.Tenant, l.name, l.key, now.Add(-d.Limits.Window))
			if err != nil {
				return err
			}
			if n >= l.most {
				full = true
				return d.tellRefusal(tx, c, l.key, now)
			}
		}
		for _, l := range limits {
			if err := tx.Hit(c.Tenant, l.name, l.key, now); err != nil {
				return err
			}
		}
		return nil
	})
	return full, err
}

// tellRefusal writes a refusal into the trail, at most once a minute for one key.
func (d *door) tellRefusal(tx hooks.Tx, c proof.Caller, key []byte, now time.Time) error {
	n, err := tx.Hits(c.Tenant, limitTold, key, now)
	if err != nil || n > 0 {
		return err
	}
	if err := tx.Hit(c.Tenant, limitTold, key, now); err != nil {
		return err
	}
	return d.audit(tx, c, "hook.pre_login.refused", "caller:"+c.ID, proof.ReasonTooManyAttempts, nil)
}

// admitChallenge counts a challenge for an identifier, or says that there were too many.
func (d *door) admitChallenge(ctx context.Context, tenant string, who stranger) (full bool, err error) {
	now := d.Now()
	err = d.update(ctx, func(tx hooks.Tx) error {
		n, err := tx.Hits(tenant, limitIdentifier, who.identifier, now.Add(-d.Limits.Window))
		if err != nil {
			return err
		}
		if n >= d.Limits.Identifier {
			return errFull
		}
		return tx.Hit(tenant, limitIdentifier, who.identifier, now)
	})
	if errors.Is(err, errFull) {
		return true, nil
	}
	return false, err
}

// update runs fn in a transaction, again when another one came between.
func (d *door) update(ctx context.Context, fn func(hooks.Tx) error) error {
	var err error
	for range 8 {
		if err = d.Store.UpdateHooks(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

func (d *door) audit(tx hooks.Tx, c proof.Caller, action, object string, reason proof.Reason, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: c.Tenant, At: d.Now(), Actor: "caller:" + c.ID, Action: action, Object: object, Reason: reason, Detail: detail,
	})
}
