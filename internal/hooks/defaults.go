package hooks

// DefaultMapping is how the outcome of a verification is written to the Descope user where
// a tenant configures nothing else. All are texts: an attribute that Descope does not know
// is created as one.
func DefaultMapping() Mapping {
	return Mapping{
		"kosmosIdvStatus":    "result.status",
		"kosmosIal":          "result.ial_level",
		"kosmosIalExpiresAt": "result.ial_expires_at",
		"kosmosVerifiedAt":   "result.verified_at",
	}
}

// Defaults are the rules of a tenant that has published none, version 0. What is on of
// them never locks an account and never takes anything from one (promise 5). What is off is
// there to be read, changed and turned on.
//
// UsersDeleted, Descope's word for many at once, is not listened to: nobody has seen yet
// whom such an event names, and erasing the wrong person cannot be undone.
func Defaults() []Rule {
	return []Rule{
		{
			ID: "write-outcome", Name: "Write the outcome of a verification to the Descope user",
			On: []string{VerificationEnded}, If: `event.status == "verified"`,
			Do: []Action{{Do: WriteAttributes}, {Do: WriteAudit, Type: "KosmosIdvCompleted"}},
		},
		{
			ID: "tell-verification", Name: "Tell how a verification ended",
			On: []string{VerificationEnded},
			Do: []Action{{Do: Notify, Type: VerificationEnded, Text: "A verification has ended."}},
		},
		{
			ID: "erase-deleted", Name: "Erase whom Descope has deleted",
			On: []string{"UserDeleted"},
			Do: []Action{{Do: Erase}},
		},
		{
			ID: "tell-step-up-failed", Name: "Tell of a step-up by a wrong face",
			On: []string{ChallengeEnded}, If: `event.result == "no_match"`,
			Do: []Action{{Do: Notify, Type: "hook.step-up-failed", Text: "A step-up was answered by somebody whose face does not match."}},
		},
		{
			ID: "verify-registered", Name: "Send whoever registers the link to a verification", Off: true,
			On: []string{"UserCreated"}, If: `has(event.login_id)`,
			Do: []Action{{Do: StartVerification, Deliver: DeliverMessage}},
		},
		{
			ID: "three-step-ups-failed", Name: "Log out whoever failed three step-ups within an hour", Off: true,
			On: []string{ChallengeEnded}, If: `event.result == "no_match"`,
			Count: &Count{AtLeast: 3, Within: "1h"},
			Do: []Action{
				{Do: RevokeSessions},
				{Do: Notify, Type: "hook.three-step-ups-failed", Text: "Three step-ups of one person failed within an hour. They were logged out everywhere."},
			},
		},
	}
}
