package hooks

import (
	"slices"
	"strings"
)

// fieldsOf are the fields of an action that its kind has.
var fieldsOf = map[string][]string{
	StartVerification: {"deliver", "flow", "caller", "type", "text"},
	StartChallenge:    {"deliver", "flow", "caller", "type", "text"},
	WriteAttributes:   {"attributes"},
	WriteStatus:       {"status"},
	AddRoles:          {"roles"},
	RemoveRoles:       {"roles"},
	RevokeSessions:    {},
	WriteAudit:        {"type"},
	Erase:             {},
	Notify:            {"type", "text"},
}

// changesUser are the kinds that Descope tells of in turn.
var changesUser = []string{WriteAttributes, WriteStatus, AddRoles, RemoveRoles}

func (in *inspector) action(path string, r *Rule, a *Action) {
	fields, ok := fieldsOf[a.Do]
	if !ok {
		in.add(path+".do", "unknown_action", "There is no action %q. Choose one of %s.", clip(a.Do), strings.Join(Kinds(), ", "))
		return
	}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"deliver", a.Deliver != ""}, {"flow", a.Flow != ""}, {"caller", a.Caller != ""}, {"attributes", len(a.Attributes) > 0},
		{"status", a.Status != ""}, {"roles", len(a.Roles) > 0}, {"type", a.Type != ""}, {"text", a.Text != ""},
	} {
		if f.has && !slices.Contains(fields, f.name) {
			in.add(path+"."+f.name, "misplaced_field", "The action %s has no %s. Remove it.", a.Do, f.name)
		}
	}
	in.text(path+".text", a.Text, maxText, true)
	if len(a.Caller) > 100 {
		in.add(path+".caller", "bad_caller", "No caller has so long an id.")
	}
	if a.Type != "" && a.Do != WriteAudit && (len(a.Type) > maxName || !messageType.MatchString(a.Type)) {
		in.add(path+".type", "bad_type", "A message's type has a-z, 0-9, -, _ and dots between, at most %d characters, as hook.step-up-failed.", maxName)
	}
	switch a.Do {
	case StartVerification, StartChallenge:
		in.link(path, a)
	case WriteAttributes:
		in.attributes(path+".", a.Attributes)
		if len(a.Attributes) == 0 && !slices.Equal(r.On, []string{VerificationEnded}) {
			in.add(path+".attributes", "missing_attributes", "Name the attributes: only a rule on %s alone can leave it to the outcome mapping.", VerificationEnded)
		}
	case WriteStatus:
		if a.Status != "enabled" && a.Status != "disabled" {
			in.add(path+".status", "bad_status", "The status is enabled or disabled. Choose one.")
		}
	case AddRoles, RemoveRoles:
		in.roles(path+".roles", a.Roles)
	case WriteAudit:
		if !auditAction.MatchString(a.Type) || slices.Contains(actions, a.Type) {
			in.add(path+".type", "bad_type", "Name the action of the entry in type, as KosmosIdvCompleted: letters, digits, dots, - and _, and none of Descope's own.")
		}
		if slices.Contains(r.On, a.Type) || slices.Contains(r.On, AnyAction) {
			in.add(path+".type", "loop", "The rule listens to the entry that it writes, and would go on for ever. Name other events in on.")
		}
	}
	in.consequences(path, r, a)
}

func (in *inspector) link(path string, a *Action) {
	switch a.Deliver {
	case DeliverMessage, DeliverNone:
		if a.Flow != "" {
			in.add(path+".flow", "misplaced_field", "A flow goes with deliver: flow. Remove it, or change that.")
		}
	case DeliverFlow:
		if !flowID.MatchString(a.Flow) {
			in.add(path+".flow", "bad_flow", "Name the Descope flow by its id.")
		}
	default:
		in.add(path+".deliver", "bad_deliver", "Say how the link gets to the person: message (1Kosmos sends it), flow (a Descope flow does) or none (it is in the message to your endpoints).")
	}
	if a.Deliver != DeliverNone && (a.Type != "" || a.Text != "") && (a.Do != StartChallenge || a.Type != "") {
		in.add(path+".type", "misplaced_field", "Type and text are of the message to your endpoints, which there is with deliver: none only. Remove them.")
	}
}

func (in *inspector) roles(path string, roles []string) {
	if len(roles) == 0 || len(roles) > maxRoles {
		in.add(path, "bad_roles", "Name 1 to %d roles.", maxRoles)
	}
	for i, name := range roles[:min(len(roles), maxRoles)] {
		if strings.TrimSpace(name) == "" || slices.Contains(roles[:i], name) {
			in.add(path, "bad_roles", "Role number %d is empty or stands twice. Remove it.", i+1)
		}
		in.text(path, name, 100, false)
	}
}

// consequences tells what somebody may not have thought of.
func (in *inspector) consequences(path string, r *Rule, a *Action) {
	bounded := r.If != "" || r.Count != nil
	if slices.Contains(changesUser, a.Do) && slices.ContainsFunc(r.On, func(on string) bool { return slices.Contains(echoes, on) }) {
		if !bounded {
			in.add(path+".do", "loop", "Descope tells of this change in turn, and the rule would go on for ever. Name other events in on, or a condition that does not hold then.")
		} else {
			in.warn(path+".do", "loop", "Descope tells of this change in turn. Make sure that the condition does not hold then, or the rule goes on for ever.")
		}
	}
	again := a.Do == StartVerification && slices.Contains(r.On, VerificationEnded) || a.Do == StartChallenge && slices.Contains(r.On, ChallengeEnded)
	if (a.Do == StartVerification || a.Do == StartChallenge) && slices.Contains(r.On, AnyAction) || again && !bounded {
		in.add(path+".do", "loop", "What this starts ends in an event that the rule listens to, and it would go on for ever. Name other events in on, or a condition.")
	} else if again {
		in.warn(path+".do", "loop", "What this starts ends in an event that the rule listens to. Make sure that it does not go on for ever.")
	}
	switch {
	case a.Do == WriteStatus && a.Status == "disabled":
		in.warn(path+".status", "locks", "This locks accounts. Whoever can bring the event about, for instance by failing a login, can lock somebody else out.")
	case a.Do == RevokeSessions && r.Count == nil:
		in.warn(path+".do", "locks", "This logs the person out each time. Whoever can bring the event about can do that to somebody else.")
	case a.Do == Erase && !slices.Equal(r.On, []string{"UserDeleted"}):
		in.warn(path+".do", "erases", "This erases a person here for good, and not only when Descope has deleted the user.")
	}
}
