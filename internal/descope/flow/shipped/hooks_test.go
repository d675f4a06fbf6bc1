package shipped_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
)

// addresses are keys that people type into.
var addresses = []string{"form.email", "user.email"}

func shippedFlow(t *testing.T, id string) shipped.Flow {
	t.Helper()
	for _, f := range all() {
		if f.FlowID == id {
			return f
		}
	}
	t.Fatalf("no flow %s", id)
	return shipped.Flow{}
}

// endings are the tasks by which somebody gets in, or something is written.
func endings(f shipped.Flow) (ids []string) {
	a := flow.DefaultNames().Actions
	for id, task := range f.Contents.Tasks {
		if slices.Contains([]string{a.End, a.UpdateUser, a.CustomClaims, a.StepUp, a.GenerateJWT}, task.Action) {
			ids = append(ids, id)
		}
	}
	return ids
}

// none says that without these edges nobody gets in.
func (e edges) none(t *testing.T, f shipped.Flow, what string) {
	t.Helper()
	gone := unreachable(f.Document, func(task *flow.Task, interaction string) bool { return slices.Contains(e, task.ID+"."+interaction) })
	for _, id := range endings(f) {
		if !slices.Contains(gone, id) {
			t.Errorf("%s: task %s %q is reached without %s", f.FlowID, id, f.Contents.Tasks[id].Name, what)
		}
	}
}

// edges are named TASK.INTERACTION.
type edges []string

// where are the edges of conditions by what they compare.
func where(f shipped.Flow, key string, holds func(flow.Atomic) bool) (list edges) {
	for id, task := range f.Contents.Tasks {
		for _, b := range task.Conditions {
			for _, a := range b.Atomic {
				if a.Target.Value == key && holds(a) {
					list = append(list, id+"."+b.InteractionID)
				}
			}
		}
	}
	return list
}

func equals(word string) func(flow.Atomic) bool {
	return func(a flow.Atomic) bool { return a.Operator == "equal" && a.Predicate.Value == word }
}

// Whatever a hook, a decision or a face says, nobody comes in without having entered a code.
func TestNobodyComesInWithoutACode(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, f := range all() {
		var codes edges
		for id, task := range f.Contents.Tasks {
			if task.Action == flow.DefaultNames().Actions.OTPVerify {
				codes = append(codes, id+".success")
				if len(task.Errors) > 0 {
					t.Errorf("%s: task %s: a wrong code leads on", f.FlowID, id)
				}
			}
		}
		if len(codes) > 0 {
			checked++
			codes.none(t, f, "a code")
		}
	}
	if checked != 9 {
		t.Errorf("%d flows with a code", checked)
	}
}

// Authentication alone is not enough either: it takes what the hook demanded.
func TestTheHooksDemandIsMet(t *testing.T) {
	t.Parallel()
	f := shippedFlow(t, "kosmos-pre-login")
	goesOn := where(f, "connectors.kosmosPreLogin.action", equals("continue"))
	match := where(f, "connectors.kosmosStepUpResult.match_result", equals("match"))
	if !slices.Equal(goesOn, edges{"105.continue"}) || !slices.Equal(match, edges{"56.match"}) {
		t.Fatalf("continue at %v, match at %v", goesOn, match)
	}
	append(goesOn, match...).none(t, f, "continue or match")
	// The two sign-ins do not lead into each other, but for the beginning of all: with
	// continue gone, the first one is not reached at all; without the ways to the second
	// one, nobody's face is asked for.
	gone := unreachable(f.Document, func(task *flow.Task, i string) bool { return task.ID+"."+i == "105.continue" })
	if want := []string{"108", "2", "3", "4", "5", "75"}; !slices.Equal(gone, want) {
		t.Errorf("without continue %v is not reached, want %v", gone, want)
	}
	gone = unreachable(f.Document, func(task *flow.Task, i string) bool {
		return task.To(i) == "110" && task.ID != "111" || task.ID+"."+i == "108.ELSE"
	})
	for _, id := range []string{"46", "50", "56", "71", "72", "115", "116"} {
		if !slices.Contains(gone, id) {
			t.Errorf("task %s is reached by those who need not", id)
		}
	}
	// Nothing but the first page follows a refusal.
	if next := f.Contents.Tasks["106"].Next.Rules; len(next) != 1 || next[0].TaskID != "1" {
		t.Errorf("after deny: %v", next)
	}

	f = shippedFlow(t, "kosmos-post-registration")
	goesOn = where(f, "connectors.kosmosPostRegistration.action", equals("continue"))
	verified := where(f, "connectors.kosmosIdvResult.status", equals("verified"))
	slices.Sort(goesOn)
	if !slices.Equal(goesOn, edges{"132.continue", "132.known"}) || len(verified) != 2 {
		t.Fatalf("continue at %v, verified at %v", goesOn, verified)
	}
	append(verified, "132.continue").none(t, f, "verified, or continue for somebody new")
}

// What people typed is told only behind a guard, by which it cannot be more than a text.
func TestTypedAddresses(t *testing.T) {
	t.Parallel()
	told := 0
	for _, f := range all() {
		for id, task := range f.Contents.Tasks {
			for _, key := range addresses {
				if !strings.Contains(asks(t, task), "{{"+key+"}}") {
					continue
				}
				told++
				guards := where(f, key, func(a flow.Atomic) bool { return a.Operator == "matches" })
				gone := unreachable(f.Document, func(task *flow.Task, i string) bool { return slices.Contains(guards, task.ID+"."+i) })
				if !slices.Contains(gone, id) {
					t.Errorf("%s: task %s tells %s without a guard", f.FlowID, id, key)
				}
				for _, guard := range guards {
					at, _, _ := strings.Cut(guard, ".")
					guarded(t, f.Contents.Tasks[at], key)
				}
			}
		}
	}
	if told != 2 {
		t.Errorf("addresses are told %d times", told)
	}
}

func guarded(t *testing.T, task *flow.Task, key string) {
	t.Helper()
	for _, b := range task.Conditions {
		for _, a := range b.Atomic {
			if a.Target.Value != key {
				continue
			}
			re := regexp.MustCompile(a.Predicate.Value.(string))
			for s, want := range map[string]bool{
				ada: true, "o'brien+x@sub.example.org": true, "ädä@exämple.org": true,
				"": false, "ada": false, "@": false, "a@b@c": false, "a b@c": false, "a@b\n": false, "a\x01@b": false, "a@b\x00": false,
				`a","vpn":"false@b`: false, `a\@b`: false, `a@b"}`: false, "{{user.userId}}@b": false, "<a@b>": false,
			} {
				if re.MatchString(s) != want {
					t.Errorf("%s: %q is %v", key, s, !want)
				}
			}
		}
	}
}

// What the flows send and read is what the door takes and answers.
func TestHooksSpeakAsTheDoorDoes(t *testing.T) {
	t.Parallel()
	var members []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[in.Answer]()) {
		members = append(members, f.Tag.Get("json"))
	}
	if got := slices.Sorted(maps.Keys(goOn)); !slices.Equal(got, slices.Sorted(slices.Values(members))) {
		t.Errorf("the door answers %v, and our tests %v", members, got)
	}
	for id, c := range map[string]struct {
		path, key string
		words     []string
		read      func(payload string) (typed string, err error)
	}{
		"kosmos-pre-login": {in.PreLoginPath, "kosmosPreLogin", []string{in.Continue, in.Deny, in.StepUp}, func(p string) (string, error) {
			r, err := connector.ReadPreLogin([]byte(p))
			return r.Identifier, err
		}},
		"kosmos-post-registration": {in.PostRegistrationPath, "kosmosPostRegistration", []string{in.Continue, in.Verify}, func(p string) (string, error) {
			r, err := connector.ReadPostRegistration([]byte(p))
			return r.Email, err
		}},
	} {
		f := shippedFlow(t, id)
		read := func(keys string) { // of {{templates}} and conditions
			for _, m := range regexp.MustCompile(`connectors\.`+c.key+`\.(\w+)`).FindAllStringSubmatch(keys, -1) {
				if !slices.Contains(members, m[1]) {
					t.Errorf("%s reads %s, which the door does not answer", id, m[0])
				}
			}
		}
		document, err := f.JSON()
		if err != nil {
			t.Fatal(err)
		}
		read(string(document))
		words := map[string]bool{}
		for _, task := range f.Contents.Tasks {
			for _, b := range task.Conditions {
				for _, a := range b.Atomic {
					if a.Target.Value == "connectors."+c.key+".action" {
						words[a.Predicate.Value.(string)] = true
					}
				}
			}
			endpoint, payload, hook := strings.Cut(asks(t, task), " ")
			if !hook || !strings.HasPrefix(endpoint, "/hooks/") {
				continue
			}
			if "/descope/v1"+endpoint != c.path {
				t.Errorf("%s calls %s", id, endpoint)
			}
			fill := regexp.MustCompile(`{{([^}]+)}}`)
			filled := func(typed string) string {
				return fill.ReplaceAllStringFunc(payload, func(key string) string {
					if slices.Contains(addresses, strings.Trim(key, "{}")) {
						return typed
					}
					return map[string]string{"{{user.userId}}": "U1", "{{unauthUser.userId}}": "U1"}[key]
				})
			}
			if got, err := c.read(filled(ada)); err != nil || got != ada && got != "U1" {
				t.Errorf("%s: task %s: %q, %v: %s", id, task.ID, got, err, payload)
			}
			if filled("x") == filled("y") {
				continue
			}
			// And if there were no guard, what is typed would be refused: every member is there once already.
			for _, typed := range []string{`a","known_device":"true`, `a","email_verified":"true`, `a"}`, `a","z":{"y":"`, `a\`, "a\n"} {
				if typed == `a","known_device":"true` && id != "kosmos-pre-login" || typed == `a","email_verified":"true` && id == "kosmos-pre-login" {
					continue
				}
				if got, err := c.read(filled(typed)); err == nil {
					t.Errorf("%s: task %s: %q is taken as %q", id, task.ID, typed, got)
				}
			}
		}
		if got := slices.Sorted(maps.Keys(words)); !slices.Equal(got, slices.Sorted(slices.Values(c.words))) {
			t.Errorf("%s knows the actions %v", id, got)
		}
	}
}
