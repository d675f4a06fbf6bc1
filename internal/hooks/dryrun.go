package hooks

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Bounds of a dry run.
const (
	MaxDryRun     = 100_000 // events
	dryRunPage    = 500     // read at a time
	dryRunEvents  = 5       // examples of a rule
	defaultDryRun = 10_000
)

// Report is what rules would have done.
type Report struct {
	Events     int          `json:"events"`     // looked at
	Unreadable int          `json:"unreadable"` // of those, that could not be; or are of a person who was erased
	Since      time.Time    `json:"since,omitzero"`
	Until      time.Time    `json:"until,omitzero"` // receipt of the oldest and the newest
	More       bool         `json:"more,omitempty"` // there are older ones that were not looked at
	Rules      []RuleReport `json:"rules"`          // in the order of the document, also those that are off
}

// RuleReport is what one rule would have done.
type RuleReport struct {
	Rule     string         `json:"rule"`
	Name     string         `json:"name"`
	Off      bool           `json:"off,omitempty"` // it would have, had it been on
	Heard    int            `json:"heard"`         // events that it listens to
	Matched  int            `json:"matched"`       // of those, that its condition holds for
	Fired    int            `json:"fired"`         // how often it would have fired, with its count
	Persons  int            `json:"persons"`       // different ones, of those for whom it fired
	Nobody   int            `json:"nobody"`        // fired for events that name no person
	Actions  []ActionReport `json:"actions"`
	Examples []string       `json:"examples"` // ids of the newest events for which it fired
}

// ActionReport is one action and how often it would have been done.
type ActionReport struct {
	Do    string `json:"do"`
	Words string `json:"words"`
	Times int    `json:"times"`
}

// match is an event that a rule's condition holds for.
type match struct {
	event string
	at    time.Time
	who   string
}

// DryRun tells what rules would have done about recorded events, without doing anything.
// q says which, newest first; its Limit is how many at most: 10,000, or up to MaxDryRun.
// progress, which may be nil, is told after each page how many were looked at. Rules that
// cannot be taken are an *InvalidError. Counts begin at nothing with the oldest event.
func (s *Service) DryRun(ctx context.Context, tenant string, rules []Rule, q EventQuery, progress func(events int)) (Report, error) {
	if _, err := s.tenant(tenant); err != nil {
		return Report{}, err
	}
	rules = slices.Clone(rules)
	report := Report{Rules: make([]RuleReport, len(rules))}
	for i := range rules {
		report.Rules[i] = RuleReport{Rule: rules[i].ID, Name: rules[i].Name, Off: rules[i].Off, Actions: []ActionReport{}, Examples: []string{}}
		rules[i].Off = false
	}
	c, err := Compile(rules)
	if err != nil {
		return Report{}, err
	}
	most := min(q.Limit, MaxDryRun)
	if most <= 0 {
		most = defaultDryRun
	}
	q.Tenant = tenant
	matches := make([][]match, len(rules)) // newest first
	for {
		q.Limit = min(most-report.Events, dryRunPage)
		var page []*Event
		who := map[string]person{} // by event, of those that match
		if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
			page, err = tx.Events(q)
			return err
		}); err != nil {
			return Report{}, err
		}
		found := make([][]*compiledRule, len(page))
		contents := make([]*Content, len(page))
		for i, e := range page {
			report.saw(e)
			for k, r := range c.rules {
				if r.any || slices.Contains(r.On, e.Action) {
					report.Rules[k].Heard++
				}
			}
			if contents[i], found[i] = s.wouldMatch(c, e); contents[i] == nil {
				report.Unreadable++
			}
		}
		if err := s.Store.ViewHooks(ctx, func(tx Tx) error {
			for i, e := range page {
				if len(found[i]) == 0 {
					continue
				}
				p, err := s.person(tx, tenant, contents[i])
				if err != nil {
					return err
				}
				who[e.ID] = p
			}
			return nil
		}); err != nil {
			return Report{}, err
		}
		for i, e := range page {
			for _, r := range found[i] {
				matches[r.place] = append(matches[r.place], match{e.ID, moment(e), who[e.ID].key})
			}
		}
		if progress != nil && len(page) > 0 {
			progress(report.Events)
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
		if report.Events == most {
			report.More = true
			break
		}
	}
	for k, r := range c.rules {
		report.Rules[k].tell(r, matches[k])
	}
	return report, ctx.Err()
}

func (r *Report) saw(e *Event) {
	r.Events++
	if r.Until.IsZero() || e.ReceivedAt.After(r.Until) {
		r.Until = e.ReceivedAt
	}
	if r.Since.IsZero() || e.ReceivedAt.Before(r.Since) {
		r.Since = e.ReceivedAt
	}
}

// wouldMatch gives the content of an event and the rules that it meets; no content if it
// cannot be read.
func (s *Service) wouldMatch(c *Compiled, e *Event) (content *Content, found []*compiledRule) {
	defer func() {
		if recover() != nil {
			content, found = nil, nil // the pump would park it
		}
	}()
	read, err := s.content(e)
	if err != nil {
		if !errors.Is(err, errGone) {
			s.Logger.Warn("hooks: a dry run could not read an event", "tenant", e.Tenant, "event", e.ID, "error", err)
		}
		return nil, nil
	}
	return &read, c.matching(e, &read)
}

// tell counts as the pump would have, in the order of receipt.
func (r *RuleReport) tell(rule *compiledRule, matches []match) {
	r.Matched = len(matches)
	hits := memory{}
	persons := map[string]bool{}
	for _, m := range slices.Backward(matches) {
		if rule.Count != nil {
			if m.who == "" {
				continue
			}
			hits.add(hitSeen, m)
			reached, _ := within(rule, m.at, func(limit string, since time.Time) (int, error) { return hits.since(limit, m.who, since), nil })
			if !reached {
				continue
			}
			hits.add(hitFired, m)
		}
		r.Fired++
		if m.who == "" {
			r.Nobody++
		} else {
			persons[m.who] = true
		}
		r.Examples = append(r.Examples, m.event)
	}
	r.Persons = len(persons)
	slices.Reverse(r.Examples)
	r.Examples = r.Examples[:min(len(r.Examples), dryRunEvents)]
	for i := range rule.Do {
		r.Actions = append(r.Actions, ActionReport{Do: rule.Do[i].Do, Words: rule.Do[i].Words(), Times: r.Fired})
	}
}

// memory counts as the store does, by the minute: counts by limit and person, ascending.
type memory map[[2]string][]tally

type tally struct {
	minute time.Time
	n      int
}

func byMinute(t tally, at time.Time) int { return t.minute.Compare(at) }

func (h memory) add(limit string, m match) {
	key, at := [2]string{limit, m.who}, m.at.Truncate(time.Minute)
	i, there := slices.BinarySearchFunc(h[key], at, byMinute)
	if !there {
		h[key] = slices.Insert(h[key], i, tally{minute: at})
	}
	h[key][i].n++
}

func (h memory) since(limit, who string, since time.Time) (n int) {
	list := h[[2]string{limit, who}]
	i, _ := slices.BinarySearchFunc(list, since.Truncate(time.Minute), byMinute)
	for _, t := range list[i:] {
		n += t.n
	}
	return n
}
