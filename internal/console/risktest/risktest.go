// Package risktest is a console.Risk in memory, for tests and for working on the pages:
// policies are kept as decide.Service keeps them, and are checked, compared and tried by
// package policy; decisions are a few that it makes up, by the balanced preset, and
// nothing is stored.
package risktest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

var _ console.Risk = (*Risk)(nil)

// Risk is the state. It is safe for concurrent use.
type Risk struct {
	decide.Drafts

	// Step, if not nil, is called by Replay before each batch of logins and may wait; an
	// error ends the replay.
	Step func(ctx context.Context, done, total int) error

	now    func() time.Time
	preset json.RawMessage

	mu        sync.Mutex
	published map[slot][]version // oldest first
	decisions []decision         // newest first
}

type slot struct{ tenant, application string }

type version struct {
	info     decide.VersionInfo
	document json.RawMessage
}

type decision struct {
	user    string // the whole identifier
	explain decide.Explanation
}

// Tenants of a new Risk. The decisions are all of the first.
const (
	Tenant      = "acme"
	OtherTenant = "globex"
)

// New makes one with the preset in force everywhere and some decisions of the last days.
func New(now func() time.Time) (*Risk, error) {
	r := &Risk{Drafts: decide.NewDrafts(now), now: now, published: map[slot][]version{}}
	balanced, _ := policy.PresetByName(policy.Balanced)
	var err error
	if r.preset, err = json.Marshal(balanced); err != nil {
		return nil, err
	}
	return r, r.makeUp()
}

// logins are what decisions are made up of: of the same person and of others, from usual
// to odd.
var logins = []struct {
	user, application, outcome string
	hoursAgo                   int
	change                     func(o *risk.Observation)
}{
	{"ada@example.com", "shop", decide.OutcomeSuccess, 1, func(*risk.Observation) {}},
	{"grace@example.com", "shop", decide.OutcomeMatch, 3, func(o *risk.Observation) {
		o.AddressSeen, o.NetworkSeen, o.ASSeen, o.ASN, o.ASName = risk.No, risk.No, risk.No, 64501, "EXAMPLE-ABROAD"
		o.Country, o.City, o.CountrySeen, o.KnownCountries = "PT", "Lisbon", risk.No, []string{"DE"}
	}},
	{"alan@example.com", "admin", decide.OutcomeNoMatch, 6, func(o *risk.Observation) {
		o.DeviceKnown, o.AddressSeen, o.NetworkSeen, o.ASSeen = risk.No, risk.No, risk.No, risk.No
		o.Country, o.City, o.CountrySeen, o.KnownCountries = "BR", "Recife", risk.No, []string{"GB"}
		o.Travels = []risk.Travel{{FromCountry: "GB", FromCity: "London", KM: 7450, RadiusKM: 60, Hours: 2.5}}
	}},
	{"katherine@example.com", "admin", "", 20, func(o *risk.Observation) { o.Scopes, o.ScopesGiven = []string{"payments:write"}, true }},
	{"ada@example.com", "shop", decide.OutcomeSuccess, 30, func(o *risk.Observation) { o.DeviceKnown = risk.Unknown; o.DeviceSource = "" }},
	{"edsger@example.com", "shop", decide.OutcomeFailure, 50, func(o *risk.Observation) {
		o.Failures = risk.Counts{Subject: 7, Network: 12}
		o.Attempts = risk.Counts{Subject: 9, Network: 15}
	}},
	{"barbara@example.com", "shop", decide.OutcomeSuccess, 70, func(o *risk.Observation) {
		o.Address, o.IP = risk.AddressPrivate, "10.1.2.3"
		o.AddressSeen, o.NetworkSeen, o.ASSeen, o.CountrySeen = risk.Unknown, risk.Unknown, risk.Unknown, risk.Unknown
		o.ASN, o.ASName, o.Country, o.City = 0, "", "", ""
	}},
}

func (r *Risk) makeUp() error {
	for i := range 9 * len(logins) {
		l := logins[i%len(logins)]
		at := r.now().UTC().Truncate(time.Second).Add(-time.Duration(l.hoursAgo+73*(i/len(logins))) * time.Hour)
		o := risk.Observation{
			At: at, Application: l.application, UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
			DeviceKnown: risk.Yes, DeviceTrusted: risk.Yes, DeviceSource: "cookie",
			Address: risk.AddressPublic, IP: "198.51.100." + strconv.Itoa(20+i%len(logins)), AddressSeen: risk.Yes, NetworkSeen: risk.Yes, ASSeen: risk.Yes,
			ASN: 64500, ASName: "EXAMPLE-NET", AddressSource: "history",
			Country: "DE", City: "Berlin", CountrySeen: risk.Yes, KnownCountries: []string{"DE"}, CountrySource: "history",
			Window: 15 * time.Minute, Attempts: risk.Counts{Subject: 1, Network: 1},
			Logins: 40, LastLogin: at.Add(-26 * time.Hour), HourShare: 0.4, HourSamples: 40, VPN: risk.No, Bot: risk.No,
		}
		l.change(&o)
		result, problems, err := r.Try(r.preset, o)
		if err != nil || len(problems) > 0 {
			return fmt.Errorf("risktest: the preset: %v %w", problems, err)
		}
		s := decide.Summary{
			ID: fmt.Sprintf("01940000-0000-7000-8000-%012d", i), At: at, User: l.user[:1] + "•••@example.com", Application: l.application,
			Verdict: result.Verdict, Score: result.Score, Reasons: result.Reasons, Outcome: l.outcome,
		}
		if l.outcome != "" {
			s.OutcomeAt = at.Add(time.Minute)
		}
		r.decisions = append(r.decisions, decision{l.user, decide.Explanation{Summary: s, Observation: &o, Result: &result, Policy: r.preset}})
	}
	slices.SortFunc(r.decisions, func(a, b decision) int {
		return cmp.Or(b.explain.At.Compare(a.explain.At), cmp.Compare(a.explain.ID, b.explain.ID))
	})
	// One person was erased: of their decision, only the policy is left.
	last := &r.decisions[len(r.decisions)-1].explain
	last.Erased, last.User, last.Observation, last.Result = true, "", nil, nil
	return nil
}

// Tenants implements console.Risk.
func (r *Risk) Tenants() []string { return []string{Tenant, OtherTenant} }

// Slots implements console.Risk.
func (r *Risk) Slots(_ context.Context, tenant string) ([]decide.Slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	if tenant == Tenant {
		names["shop"], names["admin"] = true, true
	}
	for s := range r.published {
		if s.tenant == tenant && s.application != "" {
			names[s.application] = true
		}
	}
	sorted := []string{""}
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	slots := make([]decide.Slot, 0, len(sorted))
	for _, name := range sorted {
		one := decide.Slot{Application: name}
		for _, v := range r.published[slot{tenant, name}] {
			one.Latest = v.info.Version
			if v.info.Mode == decide.Enforce {
				one.Enforced, one.Shadow = v.info.Version, 0
			} else {
				one.Shadow = v.info.Version
			}
		}
		slots = append(slots, one)
	}
	return slots, nil
}

// Versions implements console.Risk.
func (r *Risk) Versions(_ context.Context, tenant, application string) ([]decide.VersionInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []decide.VersionInfo{}
	for _, v := range r.published[slot{tenant, application}] {
		list = append(list, v.info)
	}
	slices.Reverse(list)
	return list, nil
}

// Version implements console.Risk.
func (r *Risk) Version(_ context.Context, tenant, application string, number int) (decide.VersionInfo, json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.published[slot{tenant, application}]
	switch {
	case number == 0:
		return decide.VersionInfo{Mode: decide.Enforce, Comment: "comes with the program: " + policy.Balanced}, r.preset, nil
	case number < 0 || number > len(all):
		return decide.VersionInfo{}, nil, proof.ErrNotFound
	}
	return all[number-1].info, all[number-1].document, nil
}

// Publish implements console.Risk.
func (r *Risk) Publish(_ context.Context, tenant string, p decide.Publish) (decide.VersionInfo, []policy.Problem, error) {
	if problems := r.Check(p.Document); len(problems) > 0 {
		return decide.VersionInfo{}, problems, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slot{tenant, p.Application}
	if len(r.published[at]) != p.Base {
		return decide.VersionInfo{}, nil, proof.ErrStale
	}
	info := decide.VersionInfo{Version: p.Base + 1, Mode: p.Mode, Author: p.Author, Comment: p.Comment, At: r.now().UTC()}
	r.published[at] = append(r.published[at], version{info, p.Document})
	return info, nil, nil
}

// Rollback implements console.Risk.
func (r *Risk) Rollback(ctx context.Context, tenant, application string, to, base int, author, comment string) (decide.VersionInfo, error) {
	_, document, err := r.Version(ctx, tenant, application, to)
	if err != nil {
		return decide.VersionInfo{}, err
	}
	info, _, err := r.Publish(ctx, tenant, decide.Publish{
		Application: application, Document: document, Base: base, Mode: decide.Enforce, Author: author,
		Comment: cmp.Or(comment, "Back to version "+strconv.Itoa(to)+"."),
	})
	return info, err
}

// Replay implements console.Risk: it tries the draft on the decisions that it made up.
func (r *Risk) Replay(ctx context.Context, tenant string, q decide.ReplayRequest, progress func(done, total int)) (*decide.Replay, error) {
	begin := r.now()
	since := begin.Add(-time.Duration(q.Days) * 24 * time.Hour)
	var chosen []decision
	for _, d := range r.decisions {
		if tenant == Tenant && !d.explain.Erased && (q.Application == "" || q.Application == d.explain.Application) && !d.explain.At.Before(since) {
			chosen = append(chosen, d)
		}
	}
	out := &decide.Replay{Who: []decide.Affected{}}
	who := map[string]*decide.Affected{}
	for i, d := range chosen {
		progress(i, len(chosen))
		if r.Step != nil {
			if err := r.Step(ctx, i, len(chosen)); err != nil {
				return nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, document, err := r.Version(ctx, tenant, "", r.enforced(tenant))
		if err != nil {
			return nil, err
		}
		now, _, err := r.Try(document, *d.explain.Observation)
		if err != nil {
			return nil, err
		}
		draft, _, err := r.Try(q.Document, *d.explain.Observation)
		if err != nil {
			return nil, err
		}
		out.Logins++
		count(&out.Then, d.explain.Verdict)
		count(&out.Now, now.Verdict)
		count(&out.Draft, draft.Verdict)
		if now.Verdict == draft.Verdict {
			continue
		}
		if draft.Verdict.Strictness() > now.Verdict.Strictness() {
			out.Stricter++
		} else {
			out.Milder++
		}
		a := who[d.user]
		if a == nil {
			a = &decide.Affected{User: d.explain.User, Decision: d.explain.ID}
			who[d.user] = a
		}
		a.Logins++
		count(&a.Now, now.Verdict)
		count(&a.Draft, draft.Verdict)
	}
	progress(len(chosen), len(chosen))
	for _, a := range who {
		out.Who = append(out.Who, *a)
	}
	slices.SortFunc(out.Who, func(a, b decide.Affected) int { return cmp.Or(b.Logins-a.Logins, cmp.Compare(a.Decision, b.Decision)) })
	out.People, out.Seconds = len(who), r.now().Sub(begin).Seconds()
	return out, nil
}

func (r *Risk) enforced(tenant string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	enforced := 0
	for _, v := range r.published[slot{tenant, ""}] {
		if v.info.Mode == decide.Enforce {
			enforced = v.info.Version
		}
	}
	return enforced
}

func count(t *decide.Tally, v risk.Verdict) {
	switch v {
	case risk.Allow:
		t.Allow++
	case risk.Deny:
		t.Deny++
	default:
		t.StepUp++
	}
}

// List implements console.Risk. A cursor is how many decisions came before.
func (r *Risk) List(_ context.Context, tenant string, f decide.ListFilter) ([]decide.Summary, string, error) {
	skip := 0
	if f.Cursor != "" {
		var err error
		if skip, err = strconv.Atoi(f.Cursor); err != nil || skip < 0 {
			return nil, "", proof.Invalid("cursor", "cursor is not one that a list gave")
		}
	}
	page, limit, next := []decide.Summary{}, cmp.Or(f.Limit, 50), ""
	for _, d := range r.decisions {
		s := d.explain.Summary
		if tenant != Tenant || f.Application != nil && *f.Application != s.Application || f.User != "" && (f.User != d.user || d.explain.Erased) ||
			f.Verdict != "" && f.Verdict != s.Verdict || f.Outcome != "" && f.Outcome != s.Outcome || s.At.Before(f.Since) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(page) == limit {
			before, _ := strconv.Atoi(f.Cursor) // it was read above, or is empty
			next = strconv.Itoa(before + limit)
			break
		}
		page = append(page, s)
	}
	return page, next, nil
}

// Explain implements console.Risk.
func (r *Risk) Explain(_ context.Context, tenant, id string) (*decide.Explanation, error) {
	for _, d := range r.decisions {
		if tenant == Tenant && d.explain.ID == id {
			e := d.explain
			return &e, nil
		}
	}
	return nil, proof.ErrNotFound
}
