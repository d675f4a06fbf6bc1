package hooks_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	good := func() hooks.Rule {
		return hooks.Rule{ID: "r", Name: "R", On: []string{"LoginFailed"}, Do: []hooks.Action{{Do: hooks.Notify}}}
	}
	action := func(a hooks.Action) func(r *hooks.Rule) {
		return func(r *hooks.Rule) { r.Do = []hooks.Action{a} }
	}
	for _, tc := range []struct {
		name   string
		change func(r *hooks.Rule)
		want   string // path and code; with ! before a warning
	}{
		{"good", func(*hooks.Rule) {}, ""},
		{"id", func(r *hooks.Rule) { r.ID = "A b" }, "rules[0].id bad_id"},
		{"no name", func(r *hooks.Rule) { r.Name = " " }, "rules[0].name missing_name"},
		{"name with a line", func(r *hooks.Rule) { r.Name = "a\nb" }, "rules[0].name bad_text"},
		{"nothing to listen to", func(r *hooks.Rule) { r.On = nil }, "rules[0].on missing_event"},
		{"any", func(r *hooks.Rule) { r.On = []string{"*"} }, "!rules[0].on[0] any_event"},
		{"misspelt", func(r *hooks.Rule) { r.On = []string{"loginfailed"} }, "!rules[0].on[0] unknown_event"},
		{"twice", func(r *hooks.Rule) { r.On = []string{"LoginFailed", "LoginFailed"} }, "rules[0].on[1] duplicate_event"},
		{"no action's name", func(r *hooks.Rule) { r.On = []string{"Login Failed"} }, "rules[0].on[0] bad_event"},
		{"condition", func(r *hooks.Rule) { r.If = `event.geo ==` }, "rules[0].if expression_invalid"},
		{"condition of a wrong type", func(r *hooks.Rule) { r.If = `event.geo` }, "rules[0].if expression_not_bool"},
		{"condition over a result", func(r *hooks.Rule) { r.If = `result.status == "verified"` }, "rules[0].if expression_invalid"},
		{"condition that mixes types", func(r *hooks.Rule) { r.If = `event.hour == "1"` }, "rules[0].if expression_invalid"},
		{"condition that costs", func(r *hooks.Rule) {
			r.If = `event.login_ids.all(a, event.login_ids.all(b, event.login_ids.all(c, a + b + c != "")))`
		}, "rules[0].if expression_cost"},
		{"condition that is constant", func(r *hooks.Rule) { r.If = `1 == 1` }, "!rules[0].if expression_constant"},
		{"count", func(r *hooks.Rule) { r.Count = &hooks.Count{AtLeast: 0, Within: "1h"} }, "rules[0].count.at_least bad_count"},
		{"count within what", func(r *hooks.Rule) { r.Count = &hooks.Count{AtLeast: 3, Within: "25h"} }, "rules[0].count.within bad_duration"},
		{"nothing to do", func(r *hooks.Rule) { r.Do = nil }, "rules[0].do missing_action"},
		{"unknown action", action(hooks.Action{Do: "explode"}), "rules[0].do[0].do unknown_action"},
		{"field of another", action(hooks.Action{Do: hooks.Notify, Status: "enabled"}), "rules[0].do[0].status misplaced_field"},
		{"link without a way", action(hooks.Action{Do: hooks.StartVerification}), "rules[0].do[0].deliver bad_deliver"},
		{"flow without a name", action(hooks.Action{Do: hooks.StartVerification, Deliver: "flow"}), "rules[0].do[0].flow bad_flow"},
		{"mapping without an outcome", action(hooks.Action{Do: hooks.WriteAttributes}), "rules[0].do[0].attributes missing_attributes"},
		{"attribute", action(hooks.Action{Do: hooks.WriteAttributes, Attributes: map[string]string{"1": "true"}}), "rules[0].do[0].attributes.1 bad_attribute"},
		{"attribute's expression", action(hooks.Action{Do: hooks.WriteAttributes, Attributes: map[string]string{"a": "event.data"}}), "rules[0].do[0].attributes.a expression_type"},
		{"status", action(hooks.Action{Do: hooks.WriteStatus, Status: "off"}), "rules[0].do[0].status bad_status"},
		{"lock", action(hooks.Action{Do: hooks.WriteStatus, Status: "disabled"}), "!rules[0].do[0].status locks"},
		{"log out", action(hooks.Action{Do: hooks.RevokeSessions}), "!rules[0].do[0].do locks"},
		{"roles", action(hooks.Action{Do: hooks.AddRoles}), "rules[0].do[0].roles bad_roles"},
		{"audit", action(hooks.Action{Do: hooks.WriteAudit}), "rules[0].do[0].type bad_type"},
		{"audit as Descope", action(hooks.Action{Do: hooks.WriteAudit, Type: "LoginSucceed"}), "rules[0].do[0].type bad_type"},
		{"message's type", action(hooks.Action{Do: hooks.Notify, Type: "a..b"}), "rules[0].do[0].type bad_type"},
		{"erase", action(hooks.Action{Do: hooks.Erase}), "!rules[0].do[0].do erases"},
		{"loop over Descope", func(r *hooks.Rule) {
			r.On, r.Do = []string{"UserModified"}, []hooks.Action{{Do: hooks.AddRoles, Roles: []string{"a"}}}
		}, "rules[0].do[0].do loop"},
		{"loop over ourselves", func(r *hooks.Rule) {
			r.On, r.Do = []string{hooks.VerificationEnded}, []hooks.Action{{Do: hooks.StartVerification, Deliver: "none"}}
		}, "rules[0].do[0].do loop"},
		{"loop with a condition", func(r *hooks.Rule) {
			r.On, r.If, r.Do = []string{hooks.VerificationEnded}, `event.reason == "x"`, []hooks.Action{{Do: hooks.StartVerification, Deliver: "none"}}
		}, "!rules[0].do[0].do loop"},
		{"loop over the trail", func(r *hooks.Rule) {
			r.On, r.Do = []string{"Mine"}, []hooks.Action{{Do: hooks.WriteAudit, Type: "Mine"}}
		}, "rules[0].do[0].type loop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := good()
			tc.change(&r)
			var got []string
			fatal := false
			for _, p := range hooks.Check([]hooks.Rule{r}) {
				mark := ""
				if p.Warning {
					mark = "!"
				}
				fatal = fatal || !p.Warning
				got = append(got, mark+p.Path+" "+p.Code)
				if !strings.HasSuffix(p.Message, ".") && !strings.HasSuffix(p.Message, "?") {
					t.Errorf("%q is no sentence", p.Message)
				}
			}
			if tc.want != "" && !slices.Contains(got, tc.want) || tc.want == "" && len(got) > 0 {
				t.Errorf("problems %q, want %q", got, tc.want)
			}
			_, err := hooks.Compile([]hooks.Rule{r})
			if (err != nil) != fatal || err != nil && proof.CodeOf(err) != proof.CodeInvalid {
				t.Errorf("compiling says %v", err)
			}
		})
	}
	if got := hooks.Check([]hooks.Rule{good(), good()}); len(got) != 1 || got[0].Code != "duplicate_id" {
		t.Errorf("two with the same id: %+v", got)
	}
	if got := hooks.Check(make([]hooks.Rule, hooks.MaxRules+1)); len(got) != 1 || got[0].Code != "too_many" {
		t.Errorf("too many: %+v", got)
	}
}

func TestParseRules(t *testing.T) {
	t.Parallel()
	for raw, code := range map[string]string{
		`[{"id":"a","name":"A","on":["UserCreated"],"do":[{"do":"notify"}]}]`: "",
		`[{"id":"a","nam":"A"}]`: "bad_json", `[] []`: "bad_json", `{`: "bad_json", "[\"\xff\"]": "bad_json",
		`[` + strings.Repeat(" ", hooks.MaxBytes) + `]`: "too_big",
	} {
		rules, problems := hooks.ParseRules([]byte(raw))
		if code == "" && (len(problems) > 0 || len(rules) != 1) || code != "" && (len(problems) != 1 || problems[0].Code != code) {
			t.Errorf("%.40s: %v %+v, want %q", raw, rules, problems, code)
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	first := []hooks.Rule{rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions})}
	r, err := w.Publish(t.Context(), tenant, "operator:ada", 0, first, "first")
	if err != nil || r.Version != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := w.Publish(t.Context(), tenant, "operator:bob", 0, nil, ""); proof.CodeOf(err) != proof.CodeConflict {
		t.Errorf("from a version that is old: %v", err)
	}
	if _, err := w.Publish(t.Context(), tenant, "operator:bob", 1, []hooks.Rule{{}}, ""); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("what cannot be taken: %v", err)
	}
	bad, invalid := rule("LoginFailed", hooks.Action{Do: hooks.StartChallenge, Deliver: "none", Caller: "nobody"}), (*hooks.InvalidError)(nil)
	if _, err := w.Publish(t.Context(), tenant, "operator:bob", 1, []hooks.Rule{bad}, ""); !errors.As(err, &invalid) {
		t.Errorf("a caller that is not there: %v", err)
	}
	if _, err := w.Publish(t.Context(), tenant, "operator:bob", 1, nil, "no rules at all"); err != nil {
		t.Fatal(err)
	}
	w.accept(told("LoginFailed", w.clock(), "ada"))
	w.run()
	old, err := w.RulesVersion(t.Context(), tenant, 1)
	if err != nil || old.Author != "operator:ada" || len(old.Rules) != 1 {
		t.Fatalf("%+v, %v", old, err)
	}
	if _, err := w.Publish(t.Context(), tenant, "operator:ada", 2, old.Rules, "back"); err != nil {
		t.Fatal(err)
	}
	w.accept(told("LoginFailed", w.clock(), "bob"))
	w.run()
	if !slices.Equal(w.project.log, []string{"logout bob"}) {
		t.Errorf("Descope was told %q", w.project.log)
	}
	list, err := w.RuleVersions(t.Context(), tenant)
	if err != nil || len(list) != 4 || list[0].Version != 3 || list[3].Version != 0 {
		t.Errorf("versions %+v, %v", list, err)
	}
	if zero, err := w.RulesVersion(t.Context(), tenant, 0); err != nil || len(zero.Rules) != len(hooks.Defaults()) {
		t.Errorf("%+v, %v", zero, err)
	}
	if _, err := w.RulesVersion(t.Context(), tenant, 9); proof.CodeOf(err) != proof.CodeNotFound {
		t.Errorf("version 9: %v", err)
	}
	if _, err := w.InForce(t.Context(), "nobody's"); proof.CodeOf(err) != proof.CodeNotFound {
		t.Errorf("a tenant that is not there: %v", err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	a := hooks.Defaults()
	b := hooks.Defaults()
	b[2].Name = "Erase"
	b[3].If = `event.result != "match"`
	b[4].Off = false
	b[5].Count.AtLeast = 5
	b[0].Do = b[0].Do[:1]
	b = append(b[1:], b[0], hooks.Rule{ID: "new", Name: "New", On: []string{"LoginFailed"}, Do: []hooks.Action{{Do: hooks.WriteStatus, Status: "disabled"}}})
	var got []string
	for _, c := range hooks.Diff(a, b) {
		got = append(got, c.Kind+" "+c.Rule+" "+c.Text)
	}
	want := []string{
		`changed erase-deleted Rule "Erase whom Descope has deleted" is called "Erase" now`,
		"changed tell-step-up-failed Rule \"Tell of a step-up by a wrong face\", if: `event.result == \"no_match\"` → `event.result != \"match\"`",
		`changed verify-registered Rule "Send whoever registers the link to a verification" turned on`,
		`changed three-step-ups-failed Rule "Log out whoever failed three step-ups within an hour", count: 3 times within 1h → 5 times within 1h`,
		`changed write-outcome Rule "Write the outcome of a verification to the Descope user", do: write attributes by the outcome mapping, then write to Descope's audit trail: KosmosIdvCompleted → write attributes by the outcome mapping`,
		`added new Rule "New" added: on LoginFailed: set the status to disabled`,
		`changed  The rules stand in another order, which changes nothing but the order of what they do`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := hooks.Diff(a, hooks.Defaults()); len(got) != 0 {
		t.Errorf("nothing changed, but %+v", got)
	}
	if got := hooks.Diff(a, nil); len(got) != len(a) {
		t.Errorf("all removed: %+v", got)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.publish() // nothing
	var list []hooks.Told
	for i := range 1200 {
		e := told("LoginFailed", w.clock(), fmt.Sprint("user", i%10))
		if i%2 == 0 {
			e.Content.Geo = "DE"
		}
		list = append(list, e)
	}
	w.accept(list...)
	w.run()
	off := rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}, hooks.Action{Do: hooks.Notify})
	off.If, off.Off = `event.geo == "DE"`, true
	counted := rule("*", hooks.Action{Do: hooks.Notify})
	counted.ID, counted.Count = "c", &hooks.Count{AtLeast: 3, Within: "1h"}
	var progress []int
	report, err := w.DryRun(t.Context(), tenant, []hooks.Rule{off, counted}, hooks.EventQuery{}, func(n int) { progress = append(progress, n) })
	if err != nil {
		t.Fatal(err)
	}
	if report.Events != 1200 || report.More || report.Unreadable != 0 || !slices.Equal(progress, []int{500, 1000, 1200}) {
		t.Errorf("%+v, %v", report, progress)
	}
	if r := report.Rules[0]; r.Heard != 1200 || r.Matched != 600 || r.Fired != 600 || r.Persons != 5 || !r.Off || len(r.Actions) != 2 || r.Actions[0].Times != 600 || len(r.Examples) != 5 {
		t.Errorf("%+v", r)
	}
	if r := report.Rules[1]; r.Matched != 1200 || r.Fired != 10 || r.Persons != 10 {
		t.Errorf("%+v", r)
	}
	if len(w.works()) != 0 || len(w.project.log) != 0 || len(w.outbox.drafts) != 0 {
		t.Error("a dry run did something")
	}
	if report, err = w.DryRun(t.Context(), tenant, []hooks.Rule{off}, hooks.EventQuery{Limit: 600, Since: w.clock().Add(-time.Hour)}, nil); err != nil || report.Events != 600 || !report.More {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err = w.DryRun(t.Context(), tenant, []hooks.Rule{{}}, hooks.EventQuery{}, nil); proof.CodeOf(err) != proof.CodeInvalid {
		t.Error(err)
	}
}
