package connector

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// Risk weighs logins and hears how they ended. risk/decide implements it.
type Risk interface {
	Evaluate(ctx context.Context, c proof.Caller, r decide.Request) (decide.Answer, error)
	// End answers about a caller's own decision; an unknown id, another caller's, and one
	// that is not about userIdentifier (unless that is empty) are the same *proof.Error
	// with CodeNotFound.
	End(ctx context.Context, c proof.Caller, id, userIdentifier, outcome string) (decide.Ended, error)
}

// Limits of a login's fields.
const (
	maxApplication = 200 // bytes
	maxItems       = 100 // of a list
	maxItem        = 256 // bytes
	maxUserAgent   = 512 // bytes; what is longer is cut
)

// riskAnswer is what node "Risk Evaluation" returns. Every member is always there.
type riskAnswer struct {
	Decision          string        `json:"decision" enum:"allow,step_up,deny" doc:"Only allow lets a login go straight through. Whatever else comes, an error included, asks for a face or refuses."`
	Score             *float64      `json:"score" doc:"0 to 100, if the policy has a score."`
	Reasons           []risk.Reason `json:"reasons" nullable:"false" doc:"Signals that fired and had a part in it, the heaviest first, or a code; docs/reasons.md lists all."`
	Reason            *risk.Reason  `json:"reason" doc:"The first of reasons, for the reason_code of node 1Kosmos LiveID Step-Up; null if there is none."`
	PolicyVersion     int           `json:"policy_version" doc:"Version of the policy that decided; 0 is the preset that holds until one is published."`
	PolicyApplication *string       `json:"policy_application" doc:"Whose policy decided: an application's, or null for the one of all applications."`
	DecisionID        string        `json:"decision_id" format:"uuid" doc:"For decision_id of the step-up nodes and of node Risk Outcome, and for kosmoscope explain."`
}

// outcomeAnswer is what node "Risk Outcome" returns. Every member is always there.
type outcomeAnswer struct {
	DecisionID *string `json:"decision_id" format:"uuid" doc:"The decision; null when it is unknown."`
	Outcome    *string `json:"outcome" enum:"success,failure,match,no_match" doc:"How the login ended, as it is stored now; null when that is nothing."`
	Learned    bool    `json:"learned" doc:"Whether device, network and place are familiar from now on."`
	Why        *string `json:"why" doc:"Why nothing was learned; docs/reasons.md lists all."`
}

func (d *door) evaluate(ctx context.Context, c *call, in *reader) (any, error) {
	r, err := readRisk(in)
	if err != nil {
		return nil, err
	}
	if d.Risk == nil {
		return nil, noRisk()
	}
	a, err := d.Risk.Evaluate(ctx, c.Caller, r)
	if err != nil {
		return nil, err
	}
	return riskOf(a), nil
}

func (d *door) outcome(ctx context.Context, c *call, in *reader) (any, error) {
	outcome := in.oneOf("outcome", decide.OutcomeSuccess, decide.OutcomeFailure)
	id, user, err := readResult(in, "decision_id")
	if err != nil {
		return nil, err
	}
	if outcome == "" {
		return nil, missing("outcome")
	}
	if d.Risk == nil {
		return nil, noRisk()
	}
	done, err := lookUp(ctx, c, id, user, func(ctx context.Context, who proof.Caller, id, user string) (decide.Ended, error) {
		return d.Risk.End(ctx, who, id, user, outcome)
	})
	if proof.CodeOf(err) == proof.CodeNotFound {
		c.Reason = proof.ReasonUnknownDecision
		return outcomeAnswer{Why: ptr(string(proof.ReasonUnknownDecision))}, nil
	}
	if err != nil {
		return nil, err
	}
	return outcomeAnswer{DecisionID: ptr(done.DecisionID), Outcome: opt(done.Outcome), Learned: done.Learned, Why: opt(done.Why)}, nil
}

// noRisk is never an allow: a flow treats it as any trouble.
func noRisk() error {
	return &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "risk evaluation is not configured here",
		Err: errors.New("connector: no Risk"),
	}
}

// riskOf translates a decision. What is none asks for a face.
func riskOf(a decide.Answer) riskAnswer {
	verdict := a.Verdict
	if !verdict.Valid() {
		verdict = risk.StepUp
	}
	out := riskAnswer{
		Decision: string(verdict), Score: a.Score, Reasons: a.Reasons, DecisionID: a.DecisionID,
		PolicyVersion: a.PolicyVersion, PolicyApplication: opt(a.PolicyApplication),
	}
	if len(out.Reasons) == 0 {
		out.Reasons = []risk.Reason{}
	} else {
		out.Reason = ptr(out.Reasons[0])
	}
	return out
}

// readRisk reads the request of node "Risk Evaluation". What a flow cannot tell is
// absent, and what cannot be read of an address, a place or a score cannot be told: a
// value that Descope spells in a new way is to cost one signal, not everybody's login.
func readRisk(in *reader) (decide.Request, error) {
	out := decide.Request{UserIdentifier: in.text("user_identifier", maxIdentifier), Login: readLogin(in)}
	if err := in.finish(); err != nil {
		return decide.Request{}, err
	}
	if out.UserIdentifier == "" {
		return decide.Request{}, missing("user_identifier")
	}
	return out, nil
}

func readLogin(in *reader) (l risk.Login) {
	l.IP, l.IPGiven = in.address("ip")
	l.UserAgent = in.shown("user_agent", maxUserAgent)
	l.Application = in.text("application", maxApplication)
	l.Scopes = in.items("scopes", func(r rune) bool { return r == ' ' }) // RFC 6749, 3.3
	l.KnownDevice = in.fact("known_device")
	l.TrustedDevice = in.fact("trusted_device")
	l.ImpossibleTravel = in.fact("impossible_travel")
	l.VPN = in.fact("vpn")
	l.Bot = in.fact("bot")
	l.RiskScore = in.share("risk_score")
	l.LastCountries = countries(in.items("last_countries", printed))
	l.LastIPs = addresses(in.items("last_ips", printed))
	return l
}

// printed parts a list that a template made a text of. How Descope prints one is
// unknown: with commas, as JavaScript does, or in brackets.
func printed(r rune) bool { return strings.ContainsRune(`,[]"`, r) || unicode.IsSpace(r) }

// fact reads a boolean, which Descope's templates send as a string.
func (r *reader) fact(name string) risk.Tri {
	v, at, given := r.get(name)
	switch {
	case !given:
	case v == true || v == "true":
		return risk.Yes
	case v == false || v == "false":
		return risk.No
	default:
		r.fail(at, "must be true or false")
	}
	return risk.Unknown
}

// share reads a number from 0 to 1, which Descope's templates send as a string; nil if it
// is absent. A number outside is on a scale that is not known, and so is nil, too.
func (r *reader) share(name string) *float64 {
	v, at, given := r.get(name)
	if !given {
		return nil
	}
	var digits string
	switch v := v.(type) {
	case json.Number:
		digits = v.String()
	case string:
		digits = v
	default:
		r.fail(at, "must be a number, not %s", kind(v))
		return nil
	}
	// ParseFloat takes NaN and hexadecimals, too, and Valid takes blanks at the end.
	if c := digits[0]; c != '-' && (c < '0' || c > '9') || strings.TrimSpace(digits) != digits || !json.Valid([]byte(digits)) {
		r.fail(at, "must be a number, in digits")
		return nil
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f < 0 || f > 1 {
		return nil
	}
	return &f
}

// address reads an IP address. One that cannot be read is given, and none.
func (r *reader) address(name string) (a netip.Addr, given bool) {
	v, at, given := r.get(name)
	if !given {
		return netip.Addr{}, false
	}
	s, ok := v.(string)
	if !ok {
		r.fail(at, "must be a string, not %s", kind(v))
		return netip.Addr{}, true
	}
	return parseAddress(s), true
}

func parseAddress(s string) netip.Addr {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(s)
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		a = with.Addr()
	}
	return a.Unmap().WithZone("")
}

// shown reads a text that is only shown to an operator. A browser may have written it, so
// nothing in it is a reason to refuse: it loses its control characters, and its end.
func (r *reader) shown(name string, limit int) string {
	v, at, given := r.get(name)
	if !given {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.fail(at, "must be a string, not %s", kind(v))
		return ""
	}
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, s)
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return s
}

// items reads a list of strings, or one string, and parts what it reads. nil: it is
// absent, or nothing is in it but what is absent. An empty list is a list.
func (r *reader) items(name string, parts func(rune) bool) []string {
	list, n := r.list(name)
	if n == 0 {
		return []string{}
	}
	if n > maxItems {
		r.fail(join(r.path, name), "must have at most %d items", maxItems)
		return nil
	}
	var out []string
	for _, item := range list {
		for _, s := range strings.FieldsFunc(r.check(item.at, item.v, maxItem*maxItems), parts) {
			if len(s) > maxItem {
				r.fail(item.at, "must be at most %d bytes long", maxItem)
				return nil
			}
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
		if len(out) > maxItems {
			r.fail(join(r.path, name), "must have at most %d items", maxItems)
			return nil
		}
	}
	return out
}

// countries keeps those that are spelled as ISO 3166-1 alpha-2, in capitals; whatever
// else a place is called by cannot be compared with. nil if none is left of some.
func countries(list []string) []string {
	out := list[:0:0]
	for _, s := range list {
		if s = strings.ToUpper(s); len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if len(out) == 0 && len(list) > 0 {
		return nil
	}
	return out
}

// addresses keeps what are addresses. nil if none is left of some.
func addresses(list []string) []netip.Addr {
	if list == nil {
		return nil
	}
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		if a := parseAddress(s); a.IsValid() {
			out = append(out, a)
		}
	}
	if len(out) == 0 && len(list) > 0 {
		return nil
	}
	return out
}
