package accounts

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Actions of the audit trail (documented), and how grave they are.
const (
	actionCreated      = "UserCreated"
	actionModified     = "UserModified"
	actionDeleted      = "UserDeleted"
	actionLogin        = "LoginSucceed"
	actionLoginFailed  = "LoginFailed"
	actionStarted      = "LoginStarted"
	actionStartFailed  = "LoginStartedFailed"
	actionTooManyTries = "LoginExceedMaxAttempts"

	levelInfo = "info"
	levelWarn = "warn"
)

// Event is a record of the audit trail.
type Event struct {
	ID            int64          `json:"id"` // counts from 1
	Action        string         `json:"action"`
	Type          string         `json:"type"` // info, warn, error
	ActorID       string         `json:"actor"`
	UserID        string         `json:"user"`
	Occurred      time.Time      `json:"occurred"`
	Device        string         `json:"device"` // Desktop, Mobile, or empty
	Method        string         `json:"method"`
	Geo           string         `json:"geo"` // ISO country
	RemoteAddress string         `json:"address"`
	LoginIDs      []string       `json:"login_ids"`
	Tenants       []string       `json:"tenants"`
	Data          map[string]any `json:"data"`

	erased bool // it is kept without what is personal
}

func (e Event) kept() Event {
	if e.erased {
		e.LoginIDs, e.RemoteAddress, e.Geo, e.Device, e.Data = nil, "", "", "", nil
	}
	return e
}

// OnEvent calls fn with every event that is recorded from now on, one at a time and
// in their order, after it was kept. fn may call the accounts; it is not to wait.
func (a *Accounts) OnEvent(fn func(Event)) {
	a.hookMu.Lock()
	defer a.hookMu.Unlock()
	a.hooks = append(a.hooks, fn)
}

// event begins one about somebody, who may be nil. The caller has the lock.
func (a *Accounts) event(action, level string, u *project.User) Event {
	e := Event{Action: action, Type: level, Occurred: a.now().UTC()}
	if u != nil {
		e.UserID, e.ActorID, e.LoginIDs = u.UserID, u.UserID, slices.Clone(u.LoginIDs)
		for _, t := range u.UserTenants {
			e.Tenants = append(e.Tenants, t.TenantID)
		}
	}
	return e
}

// origin says where an event came from.
func (a *Accounts) origin(e *Event, b project.Browser) {
	if b.Addr.IsValid() {
		e.RemoteAddress = b.Addr.Unmap().String()
		e.Geo = a.place(b.Addr).Country
	}
	switch {
	case strings.Contains(b.UserAgent, "Mobi"):
		e.Device = "Mobile"
	case b.UserAgent != "":
		e.Device = "Desktop"
	}
}

// commit saves changes and events as one. The caller has the lock, makes the changes
// in memory if there was no error, and delivers when it has let the lock go.
func (a *Accounts) commit(ctx context.Context, changes []change, events ...Event) error {
	kept := make([]Event, len(events))
	for i := range events {
		events[i].ID = a.lastEvent + int64(i) + 1
		kept[i] = events[i].kept()
		changes = append(changes, change{kind: kindEvent, event: kept[i].ID, value: kept[i]})
	}
	n := max(0, len(a.events)+len(events)-maxEvents)
	for _, old := range a.events[:n] {
		changes = append(changes, change{kind: kindEvent, event: old.ID})
	}
	if err := a.store.save(ctx, changes); err != nil {
		return a.failed(err)
	}
	a.events = append(a.events[n:], kept...)
	a.lastEvent += int64(len(events))
	a.hookMu.Lock()
	defer a.hookMu.Unlock()
	if len(a.hooks) > 0 {
		a.queue = append(a.queue, events...)
	}
	return nil
}

// deliver calls the hooks. Whoever comes while somebody else delivers leaves it to
// them.
func (a *Accounts) deliver() {
	a.hookMu.Lock()
	defer a.hookMu.Unlock()
	if a.delivering {
		return
	}
	a.delivering = true
	defer func() { a.delivering = false }()
	for len(a.queue) > 0 {
		e, hooks := a.queue[0], slices.Clone(a.hooks)
		a.queue = a.queue[1:]
		func() {
			a.hookMu.Unlock()
			defer a.hookMu.Lock()
			for _, hook := range hooks {
				hook(e)
			}
		}()
	}
}

// Record adds an event of somebody else's.
func (a *Accounts) Record(ctx context.Context, e Event) error {
	if e.Action == "" {
		return bad("action is missing.")
	}
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	e.Occurred = a.now().UTC()
	if r := a.users[e.UserID]; r != nil {
		e.LoginIDs = slices.Clone(r.User.LoginIDs)
	}
	return a.commit(ctx, nil, e)
}

// AuditQuery selects events; what is empty selects all. Page counts from 0.
type AuditQuery struct {
	From, To        time.Time // To is not included; zero: no limit
	Actions         []string
	ExcludedActions []string
	UserIDs         []string
	ActorIDs        []string
	LoginIDs        []string
	Tenants         []string
	NoTenants       bool // those without a tenant, beside those of Tenants
	Methods         []string
	Geos            []string
	Devices         []string
	RemoteAddresses []string
	Types           []string
	Text            string // anywhere in action, ids and address, in whatever case
	OldestFirst     bool
	Size, Page      int // default 1000, which is the most
}

const maxAuditPage = 1000

func (q *AuditQuery) matches(e *Event) bool {
	in := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool { return slices.Contains(list, v) })
	}
	switch {
	case !q.From.IsZero() && e.Occurred.Before(q.From), !q.To.IsZero() && !e.Occurred.Before(q.To),
		!in(q.Actions, e.Action), len(q.ExcludedActions) > 0 && slices.Contains(q.ExcludedActions, e.Action),
		!in(q.UserIDs, e.UserID), !in(q.ActorIDs, e.ActorID), !in(q.LoginIDs, e.LoginIDs...),
		!in(q.Methods, e.Method), !in(q.Geos, e.Geo), !in(q.Devices, e.Device), !in(q.RemoteAddresses, e.RemoteAddress), !in(q.Types, e.Type):
		return false
	case q.NoTenants && len(e.Tenants) == 0:
	case q.NoTenants && len(q.Tenants) == 0, !in(q.Tenants, e.Tenants...):
		return false
	}
	if q.Text == "" {
		return true
	}
	all := strings.ToLower(strings.Join(append([]string{e.Action, e.UserID, e.ActorID, e.Method, e.RemoteAddress}, e.LoginIDs...), "\n"))
	return strings.Contains(all, strings.ToLower(q.Text))
}

// Audit finds events, newest first unless asked otherwise, and how many there are
// beside those of the page.
func (a *Accounts) Audit(_ context.Context, q AuditQuery) (events []Event, total int) {
	if q.Size <= 0 || q.Size > maxAuditPage {
		q.Size = maxAuditPage
	}
	first := max(0, q.Page) * q.Size
	a.mu.RLock()
	defer a.mu.RUnlock()
	for i := range a.events {
		e := &a.events[i]
		if !q.OldestFirst {
			e = &a.events[len(a.events)-1-i]
		}
		if !q.matches(e) {
			continue
		}
		if total >= first && len(events) < q.Size {
			out := *e
			out.Data = maps.Clone(e.Data)
			events = append(events, out)
		}
		total++
	}
	return events, total
}

// scrub takes what is personal out of the events about somebody. The caller has the
// lock; the changes are to be saved, and then the events taken.
func (a *Accounts) scrub(userID string) (changes []change, scrubbed []Event) {
	scrubbed = slices.Clone(a.events)
	for i := range scrubbed {
		e := &scrubbed[i]
		if e.UserID != userID {
			continue
		}
		e.erased = true
		*e = e.kept()
		changes = append(changes, change{kind: kindEvent, event: e.ID, value: *e})
	}
	return changes, scrubbed
}
