package shipped_test

import (
	"reflect"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

const somebody = "grace@example.org"

func TestProofVerified(t *testing.T) {
	s := newStage(t, "kosmos-proof-on-signup")
	s.signIn(somebody)
	s.on("15")
	if got := s.shows("connectors.kosmosIdv.session_url"); got != "https://bridge.example/v/1" {
		t.Fatalf("the screen links to %v", got)
	}
	if s.shows("connectors.kosmosIdv.session_id") != nil {
		t.Fatal("the screen sees more than it shows")
	}
	if want := (answer{"user_identifier": "U2", "document_types": "", "liveness_mode": ""}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("the IDV node was asked %v, want %v", s.last(), want)
	}
	s.outside()
	s.click("continue")
	if want := (answer{"session_id": "v-1", "user_identifier": "U2"}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("the result node was asked %v, want %v", s.last(), want)
	}
	g := s.inside()
	if g.UserID != "U2" || g.SteppedUp || !g.FirstSeen || !reflect.DeepEqual(g.AMR, []string{"email"}) {
		t.Fatalf("%+v", g)
	}
	if want := (answer{"kosmos_status": "verified", "kosmos_ial": "IAL2", "kosmos_verified_at": "2026-11-29T00:00:00Z"}); !reflect.DeepEqual(g.Claims, want) {
		t.Fatalf("claims %v, want %v", g.Claims, want)
	}
	u := s.accounts.Users[somebody]
	if want := (answer{"kosmosStatus": "verified", "kosmosIal": "IAL2", "kosmosVerifiedAt": "2026-11-29T00:00:00Z", "kosmosSessionId": "v-1"}); !reflect.DeepEqual(u.CustomAttributes, want) || u.GivenName != "ADA" {
		t.Fatalf("the user has %v, %q", u.CustomAttributes, u.GivenName)
	}
}

// A level that nobody gave is none, also where there was one before.
func TestProofWithoutLevel(t *testing.T) {
	s := newStage(t, "kosmos-proof-on-signup")
	s.accounts.Users["ada@example.org"].CustomAttributes["kosmosIal"] = "IAL2"
	s.answers("/idv/result", answer{"status": "verified", "session_id": "v-1", "ial_level": nil, "completed_at": "t", "claims": nil})
	s.signIn("ada@example.org")
	s.click("continue")
	g := s.inside()
	if _, ok := g.Claims["kosmos_ial"]; ok || g.Claims["kosmos_status"] != "verified" {
		t.Fatalf("claims %v", g.Claims)
	}
	if got := s.accounts.Users["ada@example.org"].CustomAttributes; got["kosmosIal"] != "" || got["kosmosStatus"] != "verified" {
		t.Fatalf("the user has %v", got)
	}
}

// Everything but verified ends on a screen with its own words and a way on, and
// nothing is written to the user.
func TestProofNotVerified(t *testing.T) {
	for name, c := range map[string]struct {
		answer any
		screen string
		then   string // interaction
		onto   string // screen that it leads to
	}{
		"pending":         {pendingIDV, "19", "again", "15"},
		"photos":          {answer{"status": "failed", "reason": "image_blurred"}, "20", "again", "15"},
		"document":        {answer{"status": "failed", "reason": "document_expired"}, "21", "again", "15"},
		"another face":    {answer{"status": "failed", "reason": "enrolment_conflict"}, "22", "again", "15"},
		"failed":          {answer{"status": "failed", "reason": "face_mismatch"}, "23", "again", "15"},
		"failed, no word": {answer{"status": "failed", "reason": nil}, "23", "again", "15"},
		"new reason":      {answer{"status": "failed", "reason": "of_next_year"}, "23", "again", "15"},
		"expired":         {answer{"status": "expired", "reason": "time_limit"}, "24", "again", "15"},
		"abandoned":       {answer{"status": "abandoned", "reason": "declined"}, "25", "again", "15"},
		"error":           {answer{"status": "error", "reason": "unknown_session"}, "26", "again", "15"},
		"new status":      {answer{"status": "of_next_year"}, "26", "again", "15"},
		"upper case":      {answer{"status": "VERIFIED"}, "26", "again", "15"},
		"list":            {answer{"status": []any{}}, "26", "again", "15"},
		"empty":           {answer{}, "26", "again", "15"},
		"text":            {"verified", "26", "again", "15"},
		"null":            {nil, "26", "again", "15"},
		"down":            {down, "18", "again", "18"},
		"cannot be run":   {broken, "18", "again", "18"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-proof-on-signup")
			s.answers("/idv/result", c.answer)
			s.signIn(somebody)
			s.click("continue")
			s.on(c.screen)
			s.outside()
			if got := s.accounts.Users[somebody].CustomAttributes; len(got) > 0 {
				t.Fatalf("the user has %v", got)
			}
			s.click(c.then)
			s.on(c.onto)
			s.outside()
			if c.onto != "15" {
				return
			}
			s.answers("/idv/result", verified)
			s.click("continue")
			s.inside()
		})
	}
}

func TestProofPendingThenVerified(t *testing.T) {
	s := newStage(t, "kosmos-proof-on-signup")
	s.answers("/idv/result", pendingIDV, pendingIDV, down, verified)
	s.signIn(somebody)
	s.click("continue")
	s.on("19")
	if s.shows("connectors.kosmosIdv.session_url") == nil {
		t.Fatal("the link is gone")
	}
	s.click("continue")
	s.on("19")
	s.click("continue")
	s.on("18")
	s.outside()
	s.click("again")
	s.inside()
	if want := "/idv /idv/result /idv/result /idv/result /idv/result"; s.endpoints() != want {
		t.Fatalf("asked %s, want %s", s.endpoints(), want)
	}
}

// A bridge that is down, or opens nothing, lets nobody in.
func TestProofCannotStart(t *testing.T) {
	for name, first := range map[string]any{
		"down": down, "cannot be run": broken, "no link": answer{"status": "pending", "session_url": nil}, "verified already": answer{"status": "verified", "session_id": "x", "session_url": "https://x.example"},
		"error": answer{"status": "error", "session_url": "https://x.example"}, "nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			for _, id := range []string{"kosmos-proof-on-signup", "kosmos-proof-external"} {
				t.Run(id, func(t *testing.T) {
					s := newStage(t, id)
					s.answers("/idv", first, idvOpen)
					s.signIn(somebody)
					if id == "kosmos-proof-external" {
						s.on("15")
						s.click("continue")
					}
					s.on("14")
					s.outside()
					s.click("again")
					if id == "kosmos-proof-external" {
						s.away("https://bridge.example/v/1", "U2")
					} else {
						s.on("15")
						s.click("continue")
					}
					s.inside()
				})
			}
		})
	}
}

// What cannot be written is tried again; it is not forgotten.
func TestProofNotSaved(t *testing.T) {
	s := newStage(t, "kosmos-proof-on-signup")
	s.signIn(somebody)
	s.accounts.Fail["UpdateUser"] = down
	s.click("continue")
	s.on("15")
	if s.shows("errorText") == nil {
		t.Fatal("nothing is said")
	}
	s.outside()
	delete(s.accounts.Fail, "UpdateUser")
	s.click("continue")
	s.inside()
}

// Proofing proves a person, not the one whose account it is. Who was verified before
// comes in by a sign-in.
func TestProofOfSomebodyVerified(t *testing.T) {
	for _, id := range []string{"kosmos-proof-on-signup", "kosmos-proof-external"} {
		t.Run(id, func(t *testing.T) {
			s := newStage(t, id)
			s.accounts.Users["ada@example.org"].CustomAttributes["kosmosStatus"] = "verified"
			s.signIn("ada@example.org")
			s.on("11")
			s.outside()
			if s.endpoints() != "" {
				t.Fatalf("asked %s", s.endpoints())
			}
			s.click("again")
			s.on("1")
		})
	}
}

// The bridge is told of nobody before the code was right, and never what was typed.
func TestProofNamesTheUser(t *testing.T) {
	s := newStage(t, "kosmos-proof-on-signup")
	s.form = map[string]any{"email": "eve@example.org", "userId": "U1"}
	s.start()
	s.click("continue", "email", somebody)
	s.click("continue", "code", "000000")
	s.on("3")
	if s.shows("errorText") == nil || s.endpoints() != "" {
		t.Fatalf("%v, asked %q", s.at.Screen.State, s.endpoints())
	}
	s.click("resend")
	s.on("3")
	s.click("other")
	s.on("1")
	s.click("continue", "email", somebody)
	s.click("continue", "code", rt.Code, "email", "ada@example.org")
	s.on("15")
	if got := s.last()["user_identifier"]; got != "U2" {
		t.Fatalf("named %v", got)
	}
}

func TestProofExternal(t *testing.T) {
	s := newStage(t, "kosmos-proof-external")
	s.signIn(somebody)
	s.on("15")
	if s.endpoints() != "" {
		t.Fatal("a verification was started before it was asked for")
	}
	s.click("continue")
	if want := (answer{"user_identifier": "U2", "document_types": "", "liveness_mode": "", "external_auth": true}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("the IDV node was asked %v, want %v", s.last(), want)
	}
	s.outside()
	s.away("https://bridge.example/v/1", "U2")
	g := s.inside()
	if g.UserID != "U2" || g.Claims["kosmos_status"] != "verified" || s.accounts.Users[somebody].CustomAttributes["kosmosStatus"] != "verified" {
		t.Fatalf("%+v", g)
	}
	if want := (answer{"session_id": "v-1", "user_identifier": "U2"}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("last asked %v, want %v", s.last(), want)
	}
	if want := "/idv /idv/result /idv/result"; s.endpoints() != want {
		t.Fatalf("asked %s, want %s", s.endpoints(), want)
	}
}

// ofUser answers a result node as the bridge does: what is somebody else's is unknown.
func ofUser(user string, good, unknown answer) func(answer) any {
	return func(q answer) any {
		if u, named := q["user_identifier"]; named && u != user {
			return unknown
		}
		return good
	}
}

var unknownSession = answer{"status": "error", "reason": "unknown_session"}

// The bridge completes what went wrong as nobody; and whoever else comes back is not
// whom the verification was for.
func TestProofExternalNotVerified(t *testing.T) {
	for name, c := range map[string]struct {
		back   string // login id
		answer any
		screen string
	}{
		"failed":                {"kosmos-failed-1", answer{"status": "failed", "reason": "image_blurred"}, "20"},
		"expired":               {"kosmos-failed-1", answer{"status": "expired"}, "24"},
		"abandoned":             {"kosmos-failed-1", answer{"status": "abandoned"}, "25"},
		"pending":               {"kosmos-failed-1", pendingIDV, "19"},
		"down":                  {"kosmos-failed-1", down, "18"},
		"error":                 {"kosmos-failed-1", unknownSession, "26"},
		"verified, but nobody":  {"kosmos-failed-1", ofUser("U2", verified, unknownSession), "26"},
		"verified, but another": {"ada@example.org", ofUser("U2", verified, unknownSession), "26"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-proof-external")
			s.answers("/idv/result", c.answer)
			s.signIn(somebody)
			s.click("continue")
			s.away("https://bridge.example/v/1", c.back)
			s.on(c.screen)
			s.outside()
			for email, u := range s.accounts.Users {
				if len(u.CustomAttributes) > 0 {
					t.Fatalf("%s has %v", email, u.CustomAttributes)
				}
			}
			s.click("again")
			s.outside()
			if c.screen == "18" || c.screen == "19" {
				s.on(c.screen)
				return
			}
			s.on("1") // only a new sign-in helps: the flow's user is somebody else now
			s.answers("/idv/result", ofUser("U2", verified, unknownSession))
			s.click("continue", "email", somebody)
			s.click("continue", "code", rt.Code)
			s.click("continue")
			s.away("https://bridge.example/v/1", "U2")
			if g := s.inside(); g.UserID != "U2" {
				t.Fatalf("%+v", g)
			}
		})
	}
}

// Every reason that has a screen of its own leads there.
func TestProofReasons(t *testing.T) {
	want := map[proof.Reason]string{
		proof.ReasonMRZCheckDigit: "20", proof.ReasonLivenessIncomplete: "20", proof.ReasonBarcodeNotFound: "20", proof.ReasonDocumentAgain: "20",
		proof.ReasonDocumentScreen: "21", proof.ReasonDocumentUnsupported: "21", proof.ReasonTemplateForeign: "22",
		proof.ReasonLivenessReplayed: "23", proof.ReasonExpectedMismatch: "23", proof.ReasonRetriesExhausted: "23",
	}
	for reason, screen := range want {
		t.Run(string(reason), func(t *testing.T) {
			s := newStage(t, "kosmos-proof-on-signup")
			s.answers("/idv/result", answer{"status": "failed", "reason": string(reason)})
			s.signIn(somebody)
			s.click("continue")
			s.on(screen)
		})
	}
}

func TestUnknownRedirectComesBackToTheScreen(t *testing.T) {
	s := newStage(t, "kosmos-proof-external")
	s.answers("/idv", answer{"status": "pending", "session_id": "v-1", "session_url": "javascript:alert(1)"})
	s.signIn(somebody)
	s.click("continue")
	s.on("15")
	if s.at.Action != runner.ActionScreen || s.shows("errorText") == nil {
		t.Fatalf("%+v", s.at)
	}
	s.outside()
}
