package stepuptest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Forger is a backend and a 1Kosmos whose keys the test holds, so that it can
// say anything.
type Forger struct {
	Backend journey.StepUp
	Request journey.OpenStepUp // for a user who can be challenged
	// Say has 1Kosmos answer the session with a match that is as it should be but
	// for what a says. It returns the session as Harness.Answer does.
	Say func(t *testing.T, s proof.StepUpSession, a Answer) proof.StepUpSession
	// Unsealed: the protocol neither seals nor signs, so that a forged answer
	// cannot be told from a true one.
	Unsealed bool
}

// Answer is what is wrong with a match. The zero value is right in everything.
type Answer struct {
	Stranger bool   // sealed or signed with a key that is not the one it must be
	Session  bool   // says that it answers another session
	User     string // about this user; empty: the one who was asked
	Block    string // JSON, in the place of the block "kosmoscope"; empty: without one
}

// Trust holds a backend to what makes an answer worth believing. start makes a
// Forger for each of its parts.
func Trust(t *testing.T, start func(t *testing.T) *Forger) {
	asked := start(t).Request.Request.UserIdentifier
	none := proof.LivenessMode("")
	for name, c := range map[string]struct {
		answer   Answer
		status   proof.ChallengeStatus // empty: an error
		reasons  []proof.Reason
		liveness proof.LivenessMode
	}{
		"all as it should be":    {Answer{}, proof.ChallengeMatch, nil, none},
		"a stranger's key":       {Answer{Stranger: true}, "", []proof.Reason{proof.ReasonAnswerUntrusted}, none},
		"another session":        {Answer{Session: true}, "", []proof.Reason{proof.ReasonAnswerUntrusted, proof.ReasonUpstreamMalformed}, none},
		"another user":           {Answer{User: "mallory@example.test"}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonSubjectMismatch}, none},
		"a longer name":          {Answer{User: asked + ".example.test"}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonSubjectMismatch}, none},
		"the user, in capitals":  {Answer{User: strings.ToUpper(asked)}, proof.ChallengeMatch, nil, none},
		"a stranger as the user": {Answer{Stranger: true, User: strings.ToUpper(asked)}, "", []proof.Reason{proof.ReasonAnswerUntrusted}, none},

		"block: null":          {Answer{Block: `null`}, proof.ChallengeMatch, nil, none},
		"block: liveness none": {Answer{Block: `{"liveness":"none","score":0.9,"checks":[{"name":"face_match","outcome":"pass"}]}`}, proof.ChallengeMatch, nil, proof.LivenessNone},
		"block: unknown names": {Answer{Block: `{"liveness":"active","later":{"a":1,"b":[{"a":2}]}}`}, proof.ChallengeMatch, nil, proof.LivenessActive},

		"block: a failed check":     {Answer{Block: `{"liveness":"none","checks":[{"outcome":"pass"},{"outcome":"fail"}]}`}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonProviderRejected}, none},
		"block: a check not done":   {Answer{Block: `{"liveness":"none","checks":[{"outcome":"pass"},{"outcome":"cannot_tell"}]}`}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonProviderRejected}, none},
		"block: a reason":           {Answer{Block: `{"liveness":"none","reason":"face_uncertain"}`}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonFaceUncertain}, none},
		"block: a word against it":  {Answer{Block: `{"liveness":"none","match_result":"no_match"}`}, proof.ChallengeNoMatch, []proof.Reason{proof.ReasonProviderRejected}, none},
		"block: an unheard-of word": {Answer{Block: `{"liveness":"none","match_result":"Match"}`}, "", []proof.Reason{proof.ReasonUpstreamUnknown}, none},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			if f.Unsealed && c.answer.Stranger {
				t.Skip("nothing is sealed or signed")
			}
			p, err := f.poll(t, c.answer)
			if c.status == "" {
				f.refused(t, p, err, c.reasons...)
				return
			}
			if err != nil || p.Status != c.status || p.Liveness != c.liveness || p.Reason != "" && !slices.Contains(c.reasons, p.Reason) || p.Reason == "" && c.reasons != nil {
				t.Errorf("got %+v %v, want %s %s", p, err, c.status, c.reasons)
			}
		})
	}
	for _, block := range []string{
		`7`, `"match"`, `true`, `[]`, `[{"liveness":"none"}]`, `{}`,
		`{"liveness":null}`, `{"liveness":""}`, `{"liveness":"off"}`, `{"liveness":"None"}`, `{"liveness":" none"}`, `{"liveness":7}`, `{"score":0.9}`,
		`{"liveness":"none","score":"0.9"}`, `{"liveness":"none","score":93}`, `{"liveness":"none","score":-0.01}`, `{"liveness":"none","score":1e999}`,
		`{"liveness":"none","score":true}`, `{"match_result":"no_match","reason":"face_mismatch","score":"0.1"}`, `{"liveness":"none","match_result":true}`,
		`{"liveness":"none","reason":7}`, `{"liveness":"none","session":{}}`, `{"liveness":"none","assessed":"true"}`,
		`{"liveness":"none","checks":{}}`, `{"liveness":"none","checks":[7]}`, `{"liveness":"none","checks":[null]}`, `{"liveness":"none","checks":[{"name":"face_match"}]}`,
		`{"liveness":"none","checks":[{"outcome":"FAIL"}]}`, `{"liveness":"none","checks":[{"outcome":"Pass"}]}`, `{"liveness":"none","checks":[{"outcome":true}]}`,
		`{"liveness":"none","checks":[{"outcome":"fail","score":"0.1"}]}`,
		`{"liveness":"none","liveness":"active"}`, `{"liveness":"none","LIVENESS":"active"}`, `{"liveness":"none","live\u006eess":"active"}`,
		`{"liveness":"none","score":0.1,"` + "\u017f" + `core":0.9}`, `{"checks":[{"outcome":"fail"}],"liveness":"none","checks":[]}`,
		`{"liveness":"none","checks":[{"outcome":"fail","Outcome":"pass"}]}`, `{"liveness":"none","engine":{"name":"a","name":"b"}}`,
	} {
		t.Run("broken block "+block, func(t *testing.T) {
			f := start(t)
			p, err := f.poll(t, Answer{Block: block})
			f.refused(t, p, err, proof.ReasonUpstreamMalformed)
		})
	}
}

func (f *Forger) poll(t *testing.T, a Answer) (journey.StepUpProgress, error) {
	t.Helper()
	o, err := f.Backend.Open(t.Context(), f.Request)
	if err != nil {
		t.Fatal(err)
	}
	user := f.Request.Request.UserIdentifier
	if a.User == "" {
		a.User = user
	}
	return f.Backend.Poll(t.Context(), journey.PollStepUp{StepUpSession: f.Say(t, o.StepUpSession, a), UserIdentifier: user})
}

func (f *Forger) refused(t *testing.T, p journey.StepUpProgress, err error, reasons ...proof.Reason) {
	t.Helper()
	var e *proof.Error
	if p != (journey.StepUpProgress{}) || !errors.As(err, &e) || !slices.Contains(reasons, e.Reason) || e.Temporary {
		t.Errorf("got %+v %v, want one of %s", p, err, reasons)
	}
}
