package hooks_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// truth is what a plain interpreter says of a condition: of three values, as what cannot be
// told is neither.
type truth int

const (
	untold truth = iota
	no
	yes
)

func of(b bool) truth {
	if b {
		return yes
	}
	return no
}

// known gives of(b), or untold.
func known(told, b bool) truth {
	if !told {
		return untold
	}
	return of(b)
}

// node is a condition: as it is written, and as the plain interpreter reads it.
type node struct {
	text string
	eval func(e *hooks.Event, c *hooks.Content) truth
}

// atoms are the leaves of conditions.
var atoms = []node{
	{`event.geo == "DE"`, func(_ *hooks.Event, c *hooks.Content) truth { return known(c.Geo != "", c.Geo == "DE") }},
	{`event.method.startsWith("o")`, func(_ *hooks.Event, c *hooks.Content) truth {
		return known(c.Method != "", strings.HasPrefix(c.Method, "o"))
	}},
	{`has(event.geo)`, func(_ *hooks.Event, c *hooks.Content) truth { return of(c.Geo != "") }},
	{`has(event.status)`, func(e *hooks.Event, c *hooks.Content) truth {
		_, ok := c.Data["status"].(string)
		return of(ok && e.Source == hooks.SourceHere)
	}},
	{`event.status == "verified"`, func(e *hooks.Event, c *hooks.Content) truth {
		s, ok := c.Data["status"].(string)
		return known(ok && e.Source == hooks.SourceHere, s == "verified")
	}},
	{`"t1" in event.tenants`, func(_ *hooks.Event, c *hooks.Content) truth {
		return known(len(c.Tenants) > 0, slices.Contains(c.Tenants, "t1"))
	}},
	{`event.login_ids.exists(x, x.contains("@"))`, func(_ *hooks.Event, c *hooks.Content) truth {
		return known(len(c.LoginIDs) > 0, slices.ContainsFunc(c.LoginIDs, func(s string) bool { return strings.Contains(s, "@") }))
	}},
	{`event.email_domain == "example.org"`, func(_ *hooks.Event, c *hooks.Content) truth {
		for _, id := range c.LoginIDs {
			if _, domain, ok := strings.Cut(id, "@"); ok {
				return of(strings.EqualFold(domain, "example.org"))
			}
		}
		return untold
	}},
	{`event.data.n > 2`, func(_ *hooks.Event, c *hooks.Content) truth {
		n, ok := c.Data["n"].(float64)
		return known(ok, n > 2)
	}},
	{`event.data.n == 3`, func(_ *hooks.Event, c *hooks.Content) truth {
		n, ok := c.Data["n"]
		return known(ok, n == any(3.0))
	}},
	{`"n" in event.data`, func(_ *hooks.Event, c *hooks.Content) truth {
		_, ok := c.Data["n"]
		return known(c.Data != nil, ok)
	}},
	{`event.hour < 12`, func(e *hooks.Event, _ *hooks.Content) truth {
		return known(!e.OccurredAt.IsZero(), e.OccurredAt.Hour() < 12)
	}},
	{`event.action == "UserCreated"`, func(e *hooks.Event, _ *hooks.Content) truth { return known(e.Action != "", e.Action == "UserCreated") }},
}

func grow(r *rand.Rand, depth int) node {
	if depth == 0 || r.IntN(4) == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	a, b := grow(r, depth-1), grow(r, depth-1)
	switch r.IntN(4) {
	case 0:
		return node{"!(" + a.text + ")", func(e *hooks.Event, c *hooks.Content) truth {
			return map[truth]truth{yes: no, no: yes, untold: untold}[a.eval(e, c)]
		}}
	case 1:
		return node{"(" + a.text + " && " + b.text + ")", func(e *hooks.Event, c *hooks.Content) truth {
			x, y := a.eval(e, c), b.eval(e, c)
			if x == no || y == no {
				return no
			}
			return min(x, y)
		}}
	case 2:
		return node{"(" + a.text + " || " + b.text + ")", func(e *hooks.Event, c *hooks.Content) truth {
			x, y := a.eval(e, c), b.eval(e, c)
			if x == yes || y == yes {
				return yes
			}
			return min(x, y)
		}}
	}
	d := grow(r, depth-1)
	return node{"(" + a.text + " ? " + b.text + " : " + d.text + ")", func(e *hooks.Event, c *hooks.Content) truth {
		switch a.eval(e, c) {
		case yes:
			return b.eval(e, c)
		case no:
			return d.eval(e, c)
		}
		return untold
	}}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

var heard = []string{"UserCreated", "LoginFailed", "LoginSucceed", hooks.VerificationEnded, "x"}

func anyEvent(r *rand.Rand) (*hooks.Event, *hooks.Content) {
	c := &hooks.Content{
		Geo: pick(r, "", "DE", "FR"), Method: pick(r, "", "otp", "saml"), Tenants: pick(r, nil, []string{"t1"}, []string{"t2", "t3"}),
		LoginIDs: pick(r, nil, []string{"ada"}, []string{"ada", "a@Example.ORG"}, []string{"a@b.example"}),
		Data:     pick(r, nil, map[string]any{}, map[string]any{"n": 3.0}, map[string]any{"n": "3"}, map[string]any{"n": 1.5, "status": "verified"}),
	}
	e := &hooks.Event{Action: pick(r, heard...), Source: pick(r, hooks.SourceWebhook, hooks.SourceHere)}
	if r.IntN(3) > 0 {
		e.OccurredAt = time.Date(2026, 1, 1, r.IntN(24), 0, 0, 0, time.UTC)
	}
	return e, c
}

// Rules as they are compiled fire for exactly those events for which a plain interpreter of
// them does, in the order of the document.
func TestCompiledIsPlain(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 3)) // the same each time
	fired := 0
	for range 60 {
		var rules []hooks.Rule
		conditions := map[string]node{}
		for i := range 1 + r.IntN(5) {
			one := hooks.Rule{ID: fmt.Sprint("r", i), Name: "R", Off: r.IntN(5) == 0, Do: []hooks.Action{{Do: hooks.Notify}}}
			if r.IntN(4) == 0 {
				one.On = []string{hooks.AnyAction}
			} else {
				one.On = []string{pick(r, heard...)}
				if other := pick(r, heard...); other != one.On[0] {
					one.On = append(one.On, other)
				}
			}
			if r.IntN(5) > 0 {
				c := grow(r, 3)
				one.If, conditions[one.ID] = c.text, c
			}
			rules = append(rules, one)
		}
		compiled, err := hooks.Compile(rules)
		if err != nil {
			t.Fatalf("%v: %+v", err, rules)
		}
		for range 50 {
			e, c := anyEvent(r)
			var want []string
			for _, one := range rules {
				condition, there := conditions[one.ID]
				if one.Off || !slices.Contains(one.On, e.Action) && one.On[0] != hooks.AnyAction || e.Action == hooks.VerificationEnded && e.Source != hooks.SourceHere {
					continue
				}
				if !there || condition.eval(e, c) == yes {
					want = append(want, one.ID)
				}
			}
			if got := compiled.Matching(e, c); !slices.Equal(got, want) {
				t.Fatalf("%+v\n%+v %+v\nfires %v, want %v", rules, e, c, got, want)
			}
			fired += len(want)
		}
	}
	if fired < 500 {
		t.Errorf("only %d rules fired: this shows little", fired)
	}
}
