package hooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// AnyAction in Rule.On is every action.
const AnyAction = "*"

// Bounds of a document.
const (
	MaxRules   = 100
	MaxActions = 10 // of one rule
	MaxBytes   = 256 << 10

	maxOn         = 50
	maxName       = 80   // characters
	maxText       = 500  // characters
	maxAttributes = 30   // of one action
	maxRoles      = 20   // of one action
	maxAtLeast    = 1000 // events
	minWithin     = time.Minute
	maxWithin     = 24 * time.Hour
	maxProblems   = 100 // told at once; a person mends no more in one go
)

// Problem is something wrong with a document. A warning does not keep it from being
// published.
type Problem struct {
	Path    string `json:"path"`    // in the document, as "rules[2].do[0].status"
	Code    string `json:"code"`    // stable
	Message string `json:"message"` // a sentence that says what to do
	Warning bool   `json:"warning,omitempty"`
}

// actions of Descope that are documented or were seen (reference/descope.md 6.3; the list
// there is partial, and anybody may send entries with actions of their own), and ours.
var actions = []string{
	"UserCreated", "UsersCreated", "UserModified", "UsersModified", "UserDeleted", "UsersDeleted", "LoginSucceed", "LoginFailed",
	"LoginStarted", "LoginStartedFailed", "LoginExceedMaxAttempts", "UserRefresh", "AccessKeyCreated", "AccessKeyDeleted",
	"AccessKeyModified", "AccessKeysDeleted", "AccessKeyActivated", "AccessKeyDeactivated", "ProjectDeleted", "PermissionCreated",
	"PermissionModified", "PermissionDeleted", "RoleModified", "TenantCreated", "TenantModified", "ConsentGiven", "ConsentRevoked",
	"FlowUpdated", VerificationEnded, ChallengeEnded, SubjectErased,
}

// KnownActions lists the actions of events that are known, for people to choose from.
func KnownActions() []string { return slices.Clone(actions) }

// echoes are the actions that what rules do to a user brings about at Descope.
var echoes = []string{AnyAction, "UserModified", "UsersModified"}

// Kinds lists the kinds of actions of rules.
func Kinds() []string {
	return []string{
		StartVerification, StartChallenge, WriteAttributes, WriteStatus, AddRoles, RemoveRoles, RevokeSessions, WriteAudit, Erase, Notify,
	}
}

// Ways to deliver a link.
const (
	DeliverMessage = "message"
	DeliverFlow    = "flow"
	DeliverNone    = "none"
)

// ParseRules reads a list of rules strictly.
func ParseRules(raw []byte) ([]Rule, []Problem) {
	bad := func(code, format string, args ...any) ([]Rule, []Problem) {
		return nil, []Problem{{Path: "rules", Code: code, Message: fmt.Sprintf(format, args...)}}
	}
	if len(raw) > MaxBytes {
		return bad("too_big", "The rules have %d bytes; at most %d are read. Take some out.", len(raw), MaxBytes)
	}
	if !utf8.Valid(raw) {
		return bad("bad_json", "The rules are not UTF-8. Save them as UTF-8.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var rules []Rule
	if err := dec.Decode(&rules); err != nil {
		return bad("bad_json", "The rules cannot be read, at byte %d: %s.", dec.InputOffset(), clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("bad_json", "Something follows after the end of the rules, at byte %d. Remove it.", dec.InputOffset())
	}
	return rules, nil
}

// Check tells everything that is wrong with rules, in their order, and what is worth a
// warning. Rules without problems but warnings compile.
func Check(rules []Rule) []Problem {
	problems, _ := check(rules)
	return problems
}

// parsed is what checking a rule made of it.
type parsed struct {
	cond   *policy.Expression
	tongue *tongue
	within time.Duration
}

type inspector struct{ problems []Problem }

func (in *inspector) add(path, code, format string, args ...any) {
	in.tell(Problem{Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (in *inspector) warn(path, code, format string, args ...any) {
	in.tell(Problem{Path: path, Code: code, Message: fmt.Sprintf(format, args...), Warning: true})
}

// tell keeps an error rather than a warning where there are too many.
func (in *inspector) tell(p Problem) {
	if len(in.problems) < maxProblems {
		in.problems = append(in.problems, p)
		return
	}
	if i := slices.IndexFunc(in.problems, func(o Problem) bool { return o.Warning }); i >= 0 && !p.Warning {
		in.problems[i] = p
	}
}

func check(rules []Rule) ([]Problem, []parsed) {
	in := &inspector{}
	out := make([]parsed, len(rules))
	if len(rules) > MaxRules {
		in.add("rules", "too_many", "There are %d rules; at most %d are read. Take some out.", len(rules), MaxRules)
		return in.problems, nil
	}
	ids := map[string]int{}
	for i := range rules {
		r, path := &rules[i], fmt.Sprintf("rules[%d]", i)
		switch other, twice := ids[r.ID]; {
		case !ruleID.MatchString(r.ID):
			in.add(path+".id", "bad_id", "Rule number %d needs an id of a-z, 0-9 and -, at most 40 characters.", i+1)
		case twice:
			in.add(path+".id", "duplicate_id", "Rules number %d and %d have the same id. Give one another.", other+1, i+1)
		default:
			ids[r.ID] = i
		}
		out[i] = in.rule(path, r)
	}
	return in.problems, out
}

var (
	ruleID        = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)
	attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,59}$`)
	flowID        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	messageType   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*$`)
	auditAction   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)
)

func (in *inspector) rule(path string, r *Rule) (out parsed) {
	if strings.TrimSpace(r.Name) == "" {
		in.add(path+".name", "missing_name", "The rule has no name. Give it one.")
	}
	in.text(path+".name", r.Name, maxName, false)
	in.on(path+".on", r.On)
	if strings.TrimSpace(r.If) != "" {
		out.cond, out.tongue = in.condition(path+".if", r.If)
	} else if r.If != "" {
		in.add(path+".if", "missing_expression", "The condition is blank. Write one, or leave it out.")
	}
	if c := r.Count; c != nil {
		if c.AtLeast < 1 || c.AtLeast > maxAtLeast {
			in.add(path+".count.at_least", "bad_count", "Say how many events it takes: 1 to %d.", maxAtLeast)
		}
		d, err := time.ParseDuration(c.Within)
		if err != nil || d < minWithin || d > maxWithin {
			in.add(path+".count.within", "bad_duration", "Say within which time, as 1h or 15m: 1m to 24h.")
		}
		out.within = d
	}
	switch {
	case len(r.Do) == 0:
		in.add(path+".do", "missing_action", "The rule does nothing. Add an action, or remove the rule.")
	case len(r.Do) > MaxActions:
		in.add(path+".do", "too_many", "The rule has %d actions; at most %d are read. Split it.", len(r.Do), MaxActions)
	default:
		for i := range r.Do {
			in.action(fmt.Sprintf("%s.do[%d]", path, i), r, &r.Do[i])
		}
	}
	return out
}

func (in *inspector) on(path string, on []string) {
	switch {
	case len(on) == 0:
		in.add(path, "missing_event", "The rule listens to nothing. Name the action of an event, as UserCreated.")
	case len(on) > maxOn:
		in.add(path, "too_many", "The rule names %d actions; at most %d are read.", len(on), maxOn)
		return
	}
	for i, action := range on {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case action == AnyAction:
			if len(on) > 1 {
				in.add(at, "bad_event", "* is every action already. Remove the others, or it.")
			}
			in.warn(at, "any_event", "The rule looks at every event, also those of Descope that are added later. Name those that are meant.")
		case !auditAction.MatchString(action):
			in.add(at, "bad_event", "%q is no action. Write it as Descope does, for example UserCreated.", clip(action))
		case slices.Contains(on[:i], action):
			in.add(at, "duplicate_event", "%s stands twice. Remove one.", action)
		case !slices.Contains(actions, action):
			hint := "Is it one that a flow or a program of yours sends?"
			if j := slices.IndexFunc(actions, func(a string) bool { return strings.EqualFold(a, action) }); j >= 0 {
				hint = "Is " + actions[j] + " meant?"
			}
			in.warn(at, "unknown_event", "%s is not among the actions that are known. %s", action, hint)
		}
	}
}

func (in *inspector) condition(path, text string) (*policy.Expression, *tongue) {
	t, err := conditions()
	if err != nil {
		in.add(path, "expression_invalid", "Expressions do not work in this program: %v.", err)
		return nil, nil
	}
	e, code, message := t.Compile(text, true)
	if code != "" {
		in.add(path, code, "%s", message)
		return nil, nil
	}
	if len(e.Names()) == 0 {
		in.warn(path, "expression_constant", "The condition names nothing of the event and always gives the same.")
	}
	return e, t
}

func (in *inspector) attributes(path string, attributes map[string]string) map[string]*policy.Expression {
	if len(attributes) > maxAttributes {
		in.add(path+"attributes", "too_many", "There are %d attributes; at most %d are written at once.", len(attributes), maxAttributes)
		return nil
	}
	t, err := values()
	if err != nil {
		in.add(path+"attributes", "expression_invalid", "Expressions do not work in this program: %v.", err)
		return nil
	}
	out := make(map[string]*policy.Expression, len(attributes))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		at := path + "attributes." + clip(name)
		if !attributeName.MatchString(name) {
			in.add(at, "bad_attribute", "An attribute's name begins with a letter, and has letters, digits and _ only.")
			continue
		}
		e, code, message := t.Compile(attributes[name], false)
		if code != "" {
			in.add(at, code, "%s", message)
			continue
		}
		out[name] = e
	}
	return out
}

// text looks at words for people.
func (in *inspector) text(path, s string, most int, lines bool) {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !(lines && r == '\n') }):
		in.add(path, "bad_text", "There are characters in it that cannot be shown. Write it anew.")
	case utf8.RuneCountInString(s) > most:
		in.add(path, "too_long", "It has %d characters; shorten it to %d.", utf8.RuneCountInString(s), most)
	}
}

// clip keeps what somebody else wrote short enough for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
