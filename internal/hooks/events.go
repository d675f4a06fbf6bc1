package hooks

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// MaxAccept is how many events one Accept takes: they are one transaction.
const MaxAccept = 500

// reserved are the actions of events that are made here. Nobody outside may tell them.
func reserved(action string) bool {
	return action == VerificationEnded || action == ChallengeEnded || action == SubjectErased
}

// Accept stores what is told of a tenant, all in one transaction together with the job
// that evaluates it, and says how many of it are new. What was told before, by whatever
// source, is not stored again. When Accept returns without an error, everything that was
// told is durable; after an error nothing is, and telling it again is harmless.
//
// What cannot be evaluated is stored too, parked with its reason, so that one bad event
// neither is lost nor holds up the others: Told.Refused, an event that only we may make,
// and one without an action or a time.
//
// At most MaxAccept events at a time; an unknown tenant is proof.CodeNotFound.
func (s *Service) Accept(ctx context.Context, tenant string, source Source, told []Told) (fresh int, err error) {
	if _, err := s.tenant(tenant); err != nil {
		return 0, err
	}
	if len(told) > MaxAccept {
		return 0, &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Message: fmt.Sprintf("more than %d events at once", MaxAccept)}
	}
	if len(told) == 0 {
		return 0, nil
	}
	now := s.Now()
	events := make([]*Event, 0, len(told))
	var parked []*Event
	for i := range told {
		e, err := s.event(tenant, source, &told[i], now)
		if err != nil {
			return 0, err
		}
		events = append(events, e)
		if e.State == EventParked {
			parked = append(parked, e)
		}
	}
	err = s.update(ctx, func(tx Tx) error {
		var err error
		if fresh, err = tx.InsertEvents(tenant, events); err != nil || fresh == 0 {
			return err
		}
		waiting := fresh
		for _, e := range parked {
			switch err := tx.ParkEvent(tenant, e.ID, e.Reason); {
			case err == nil:
				waiting--
			case !errors.Is(err, proof.ErrNotFound): // that one was there already, under another id
				return err
			}
		}
		if waiting == 0 {
			return nil
		}
		return tx.Enqueue(proof.NewJob(tenant, JobPump, "", now))
	})
	if err != nil {
		return 0, err
	}
	if fresh > 0 {
		s.Wake()
	}
	return fresh, nil
}

// event makes the Event of what is told, in the state in which it is to be stored.
func (s *Service) event(tenant string, source Source, told *Told, now time.Time) (*Event, error) {
	e := &Event{
		ID: proof.NewID(), Tenant: tenant, Source: source, Action: told.Action, OccurredAt: told.OccurredAt, ReceivedAt: now,
		State: EventWaiting, Hash: s.fingerprint(tenant, told), Lookups: s.lookups(tenant, &told.Content),
	}
	switch {
	case told.Refused != "":
		e.State, e.Reason = EventParked, told.Refused
	case told.Action == "" || told.OccurredAt.IsZero():
		e.State, e.Reason = EventParked, proof.ReasonInvalidRequest
	case source != SourceHere && reserved(told.Action):
		e.State, e.Reason = EventParked, proof.ReasonNotAllowed
	}
	if e.OccurredAt.IsZero() {
		e.OccurredAt = now // the store sorts by it
	}
	content := told.Content
	if source != SourceHere {
		content.Subject, content.Object = "", "" // those are ours to say
	}
	var err error
	e.Sealed, err = s.seal(contentPlace(tenant, e.ID), content)
	return e, err
}

// lookups finds an event again when a person is erased whom it names as its user. The
// actor is not among them: an operator's erasure is not to empty the events of others.
func (s *Service) lookups(tenant string, c *Content) [][]byte {
	out := make([][]byte, 0, 1+len(c.LoginIDs))
	add := func(identifier string) {
		if identifier == "" {
			return
		}
		l := s.Journey.Lookup(tenant, identifier)
		if !slices.ContainsFunc(out, func(have []byte) bool { return bytes.Equal(have, l) }) {
			out = append(out, l)
		}
	}
	add(c.UserID)
	for _, id := range c.LoginIDs {
		add(id)
	}
	return out
}

var scratch = sync.Pool{New: func() any { return new(canonical) }}

// fingerprint is a keyed hash of what says that two tellings are of the same event. There
// is no event id in the audit webhook that one could trust (reference/descope.md 6.2), so
// it is what both the webhook and the audit search tell in a comparable way: action, time
// to the millisecond, actor, user, login ids (externalIds there), Descope tenants, remote
// address, and data. Not in it are device, method, geo and type, which are derived and may
// be worded otherwise, and the ids, which the webhook need not have.
//
// Two events that agree in all of this within one millisecond are taken for one.
//
// It begins with one of sixteen values and the time, which the store holds in the clear
// anyway: so new events come to stand in a few places of the store's index of hashes, where
// hashes that are all random make it write a page for each event. One place alone would
// have PostgreSQL's transactions collide there.
func (s *Service) fingerprint(tenant string, told *Told) []byte {
	c, _ := scratch.Get().(*canonical)
	defer scratch.Put(c)
	c.b = c.b[:0]
	content := &told.Content
	c.text(told.Action)
	c.number(uint64(told.OccurredAt.UnixMilli()))
	c.text(content.ActorID)
	c.text(content.UserID)
	c.set(content.LoginIDs)
	c.set(content.Tenants)
	c.text(address(content.RemoteAddress))
	c.value(content.Data)
	if content.Object != "" { // of ours only: no sender can set it
		c.text(content.Object)
	}
	hash := s.Vault.MAC(tenant, "hooks event", string(c.b))
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(told.OccurredAt.UnixMilli()))
	hash[0] &= 15
	copy(hash[1:], at[2:])
	return hash
}

// address spells an address in one way, if it is one.
func address(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return s
	}
	return a.Unmap().WithZone("").String()
}

// canonical writes values so that different ones are different in their bytes. Lists of
// identifiers are sets. In data, null, "", {} and [] are the same as missing, and a number
// or a boolean the same as its text: which of them a JSON library between Descope's
// database and us makes is no difference between two events.
type canonical struct{ b []byte }

func (c *canonical) number(n uint64) { c.b = binary.AppendUvarint(c.b, n) }

func (c *canonical) text(s string) {
	c.number(uint64(len(s)))
	c.b = append(c.b, s...)
}

func (c *canonical) set(list []string) {
	if len(list) > 1 {
		list = slices.Compact(slices.Sorted(slices.Values(list)))
	}
	c.number(uint64(len(list)))
	for _, s := range list {
		c.text(s)
	}
}

func (c *canonical) value(v any) {
	switch v := v.(type) {
	case map[string]any:
		c.b = append(c.b, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if !empty(v[name]) {
				c.b = append(c.b, ':')
				c.text(name)
				c.value(v[name])
			}
		}
		c.b = append(c.b, '}')
	case []any:
		c.b = append(c.b, '[')
		for _, item := range v {
			c.value(item)
		}
		c.b = append(c.b, ']')
	default:
		c.b = append(c.b, '"')
		c.text(scalar(v))
	}
}

func empty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if !empty(member) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return scalar(v) == ""
}

func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return strconv.FormatFloat(f, 'g', -1, 64)
		}
		return v.String()
	}
	return fmt.Sprint(v) // of our own making: an int, a time
}
