package hooks

import (
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// seen is what expressions see of an event.
type seen struct {
	event   *Event
	content *Content
	result  *result // nil where the event is no ended verification
}

// result is what a verification came to, for attributes.
type result struct {
	verification *proof.Verification
	claims       *proof.Claims // those that the caller may see; nil: not read
}

// fact is a variable of expressions. told is false if it cannot be told.
type fact struct {
	policy.Declared
	get func(x *seen) (v any, told bool)
}

func eventFact(name string, typ *cel.Type, help string, get func(x *seen) (any, bool)) fact {
	return fact{policy.Declared{Name: "event." + name, Type: typ, Help: help}, get}
}

func text(s string) (any, bool) { return s, s != "" }

// ours is a fact of an event of our own, which is there even if it is empty.
func ours(name, field, help string) fact {
	return eventFact(name, cel.StringType, help, func(x *seen) (any, bool) {
		v, ok := x.content.Data[field].(string)
		return v, ok && x.event.Source == SourceHere
	})
}

// eventFacts are in the order in which they are documented. Which of them Descope fills
// for which action is its own affair (reference/descope.md 6.2): what is empty cannot be told.
var eventFacts = []fact{
	eventFact("action", cel.StringType, "What happened, as `UserCreated`.", func(x *seen) (any, bool) { return text(x.event.Action) }),
	eventFact("source", cel.StringType, "How it got here: `webhook`, `search` or `here`.", func(x *seen) (any, bool) { return text(string(x.event.Source)) }),
	eventFact("type", cel.StringType, "How serious Descope takes it.", func(x *seen) (any, bool) { return text(x.content.Type) }),
	eventFact("user_id", cel.StringType, "Descope's id of the user.", func(x *seen) (any, bool) { return text(x.content.UserID) }),
	eventFact("actor_id", cel.StringType, "Who did it: the user, a person in the console, a key.", func(x *seen) (any, bool) { return text(x.content.ActorID) }),
	eventFact("login_id", cel.StringType, "The first login id.", func(x *seen) (any, bool) { return text(firstLogin(x.content)) }),
	eventFact("login_ids", cel.ListType(cel.StringType), "All login ids.", func(x *seen) (any, bool) { return x.content.LoginIDs, len(x.content.LoginIDs) > 0 }),
	eventFact("email_domain", cel.StringType, "The domain of the first login id that is an e-mail address, in lower case.", func(x *seen) (any, bool) {
		_, domain, _ := strings.Cut(firstAddress(x.content), "@")
		return text(strings.ToLower(domain))
	}),
	eventFact("method", cel.StringType, "How the user logged in, as `otp`.", func(x *seen) (any, bool) { return text(x.content.Method) }),
	eventFact("device", cel.StringType, "The kind of device, as `Desktop`.", func(x *seen) (any, bool) { return text(x.content.Device) }),
	eventFact("geo", cel.StringType, "The country, as `DE`.", func(x *seen) (any, bool) { return text(x.content.Geo) }),
	eventFact("remote_address", cel.StringType, "The address.", func(x *seen) (any, bool) { return text(x.content.RemoteAddress) }),
	eventFact("tenants", cel.ListType(cel.StringType), "Descope tenants of the user.", func(x *seen) (any, bool) { return x.content.Tenants, len(x.content.Tenants) > 0 }),
	eventFact("data", cel.MapType(cel.StringType, cel.DynType), "What else Descope says, as `event.data.error_message`.", func(x *seen) (any, bool) { return x.content.Data, x.content.Data != nil }),
	eventFact("hour", cel.IntType, "The hour of the day at which it happened, 0 to 23, in UTC.", func(x *seen) (any, bool) {
		return x.event.OccurredAt.UTC().Hour(), !x.event.OccurredAt.IsZero()
	}),
	eventFact("late_seconds", cel.DoubleType, "How long after it happened we heard of it; never negative.", func(x *seen) (any, bool) {
		return max(x.event.ReceivedAt.Sub(x.event.OccurredAt).Seconds(), 0), !x.event.OccurredAt.IsZero() && !x.event.ReceivedAt.IsZero()
	}),
	ours("status", "status", "Of `verification.ended`: `verified`, `failed`, `expired` or `abandoned`."),
	ours("result", "result", "Of `challenge.ended`: `match`, `no_match`, `expired` or `error`."),
	ours("reason", "reason", "Why it ended so, as a code of docs/reasons.md; empty if it ended well."),
	ours("level", "ial_level", "Of `verification.ended`: the level, as `IAL2`; empty if nobody said one."),
	ours("caller", "caller", "Who had asked for it: the id of the caller."),
}

func resultFact(name, help string, get func(r *result) (string, bool)) fact {
	return fact{policy.Declared{Name: "result." + name, Type: cel.StringType, Help: help}, func(x *seen) (any, bool) {
		if x.result == nil {
			return nil, false
		}
		return get(x.result)
	}}
}

// resultFacts are what attributes can be made of besides. What a verification says nothing
// of is an empty text here, as an attribute of an earlier one must not stay then.
var resultFacts = sync.OnceValue(func() []fact {
	list := []fact{
		resultFact("status", "How the verification ended: `verified`, `failed`, `expired` or `abandoned`.", func(r *result) (string, bool) { return string(r.verification.Status), true }),
		resultFact("reason", "Why, as a code; empty if verified.", func(r *result) (string, bool) { return string(r.verification.Reason), true }),
		resultFact("session_id", "Its id.", func(r *result) (string, bool) { return r.verification.ID, true }),
		resultFact("ial_level", "The level, as `IAL2`; empty if nobody said one.", func(r *result) (string, bool) { return r.verification.IALLevel, true }),
		resultFact("ial_source", "Who said so.", func(r *result) (string, bool) { return r.verification.IALSource, true }),
		resultFact("ial_expires_at", "Until when, as 2027-01-31T00:00:00Z; empty if unknown.", func(r *result) (string, bool) { return stamp(r.verification.IALExpiresAt), true }),
		resultFact("verified_at", "When the verification was verified; empty if it was not.", func(r *result) (string, bool) {
			if r.verification.Status != proof.Verified {
				return "", true
			}
			return stamp(r.verification.FinishedAt), true
		}),
	}
	for _, name := range journey.ClaimNames() {
		list = append(list, resultFact(name, "As the document says, if the caller that asked for the verification may see it.", func(r *result) (string, bool) {
			if r.claims == nil {
				return "", false
			}
			v := claim(r.claims, name)
			return v, v != ""
		}))
	}
	return list
})

// claim is one claim by its name.
func claim(c *proof.Claims, name string) string {
	one := journey.Visible(*c, []string{name})
	for _, v := range []string{
		one.GivenName, one.FamilyName, one.BirthDate, one.Gender, one.Nationality, string(one.DocumentType),
		one.DocumentNumber, one.IssuingCountry, one.IssueDate, one.ExpiryDate,
	} {
		if v != "" {
			return v
		}
	}
	return ""
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func firstLogin(c *Content) string {
	if len(c.LoginIDs) == 0 {
		return ""
	}
	return c.LoginIDs[0]
}

// firstAddress is the first login id that looks like an e-mail address.
func firstAddress(c *Content) string {
	for _, id := range c.LoginIDs {
		if isAddress(id) {
			return id
		}
	}
	return ""
}

func isAddress(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(s, " \t\r\n<>,;\"") && !strings.Contains(domain, "@")
}

// tongue is a language and the facts behind its variables.
type tongue struct {
	*policy.Language
	facts map[string]*fact
}

func newTongue(lists ...[]fact) (*tongue, error) {
	t := &tongue{facts: map[string]*fact{}}
	var vars []policy.Declared
	for _, list := range lists {
		for i := range list {
			t.facts[list[i].Name] = &list[i]
			vars = append(vars, list[i].Declared)
		}
	}
	var err error
	t.Language, err = policy.NewLanguage(vars, "docs/hooks.md", "rules document")
	return t, err
}

// conditions is the language of Rule.If, values that of attributes.
var (
	conditions = sync.OnceValues(func() (*tongue, error) { return newTongue(eventFacts) })
	values     = sync.OnceValues(func() (*tongue, error) { return newTongue(eventFacts, resultFacts()) })
)

// eval evaluates over an event.
func (t *tongue) eval(e *policy.Expression, x *seen) (any, error) {
	return e.Eval(func(name string) (any, bool) {
		f := t.facts[name]
		if f == nil {
			return nil, false
		}
		return f.get(x)
	})
}

// Variables lists what expressions can name, for people to choose from: those of
// conditions, and with attributes those of a result, too.
func Variables(attributes bool) []policy.Variable {
	lists := [][]fact{eventFacts}
	if attributes {
		lists = append(lists, resultFacts())
	}
	var all []policy.Variable
	for _, list := range lists {
		for _, f := range list {
			all = append(all, policy.Variable{Name: f.Name, Type: cel.FormatCELType(f.Type), Help: f.Help})
		}
	}
	return all
}
