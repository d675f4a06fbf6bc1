package upstream_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// What the contract suite does not ask, because it is so of this way alone. The
// client and the local 1Kosmos share no code; what the reference leaves open (acr,
// amr and the username in the token, discovery, the reasons in error_description)
// is tested against our guess.

func startOIDC(t *testing.T) (*localKosmos, func(user string) journey.OpenedStepUp, func(proof.StepUpSession) (journey.StepUpProgress, error)) {
	t.Helper()
	k := startKosmos(t, blockid.Secp256k1)
	o, err := upstream.NewOIDC(upstream.OIDCConfig{ // without Eligibility, so that the provider is asked for whomever
		DiscoveryURL: k.base + "/oauth2/community/default/.well-known/openid-configuration",
		ClientID:     kosmosClient, ClientSecret: kosmosSecret, HTTPClient: k.client(), Now: k.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.prove(t, oidcUser, "ada", true)
	open := func(user string) journey.OpenedStepUp {
		t.Helper()
		s, err := o.Open(t.Context(), journey.OpenStepUp{Challenge: oidcChallenge, Deadline: k.now().Add(10 * time.Minute), ReturnURL: kosmosReturn,
			Request: proof.ChallengeRequest{UserIdentifier: user}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	poll := func(s proof.StepUpSession) (journey.StepUpProgress, error) {
		return o.Poll(t.Context(), journey.PollStepUp{StepUpSession: s, UserIdentifier: oidcUser})
	}
	return k, open, poll
}

func TestOIDCLocal(t *testing.T) {
	k, open, poll := startOIDC(t)
	expect := func(name string, s proof.StepUpSession, status proof.ChallengeStatus, reason proof.Reason) {
		t.Helper()
		if got, err := poll(s); err != nil || got.Status != status || got.Reason != reason {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	replayed := func(s proof.StepUpSession) {
		t.Helper()
		got, err := poll(s)
		noVerdict(t, got, err, proof.ReasonAnswerReplayed, false)
	}
	show := func() proof.StepUpSession {
		t.Helper()
		s := open(oidcUser)
		return k.answer(t, s.StepUpSession, oidcUser, "ada")
	}

	fresh, other := show(), open(oidcUser).StepUpSession
	other.Returned = fresh.Returned
	replayed(other)
	// The same by somebody who edits the address that the browser comes back to.
	other.Returned = map[string]string{"code": fresh.Returned["code"], "iss": fresh.Returned["iss"], "state": other.ID}
	replayed(other)
	replayed(fresh) // that one was spent on the way

	late := show()
	k.advance(time.Minute)
	replayed(late)

	// A request that somebody edits to name another user.
	k.prove(t, "bob@example.com", "bob", true)
	edited := open(oidcUser).StepUpSession
	edited.URL = strings.Replace(edited.URL, url.QueryEscape(oidcUser), url.QueryEscape("bob@example.com"), 1)
	expect("another user", k.answer(t, edited, "bob@example.com", "bob"), proof.ChallengeNoMatch, proof.ReasonSubjectMismatch)

	k.prove(t, "known@example.com", "anybody", false)
	// The request came through a browser, so the provider does not tell who is a user.
	for _, user := range []string{"nobody@example.com", "known@example.com"} {
		expect(user, k.answer(t, open(user).StepUpSession, user, "ada"), proof.ChallengeNoMatch, proof.ReasonFaceMismatch)
	}
	k.disable(t, "bob@example.com")
	expect("disabled", k.answer(t, open("bob@example.com").StepUpSession, "bob@example.com", "bob"), proof.ChallengeNoMatch, proof.ReasonFaceMismatch)

	before := show()
	if err := k.server.RotateOAuthKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("before a rotation", before, proof.ChallengeMatch, "")
	expect("after a rotation", show(), proof.ChallengeMatch, "")
}

// Several pollers with one answer: one verdict, and errors for the others.
func TestOIDCLocalRace(t *testing.T) {
	k, open, poll := startOIDC(t)
	s := k.answer(t, open(oidcUser).StepUpSession, oidcUser, "ada")
	var mu sync.Mutex
	var all sync.WaitGroup
	matches := 0
	for range 6 {
		all.Go(func() {
			got, err := poll(s)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && got.Status == proof.ChallengeMatch {
				matches++
				return
			}
			noVerdict(t, got, err, proof.ReasonAnswerReplayed, false)
		})
	}
	all.Wait()
	if matches != 1 {
		t.Errorf("%d matches", matches)
	}
}
