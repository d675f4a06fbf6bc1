package upstream_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
	"github.com/kosmoscope/kosmoscope/internal/upstream/stepuptest"
)

// Against the local 1Kosmos, over TLS, with a person at its page. The client and the
// server share no code; what the reference leaves open is tested against our guess.

// signIn follows address as the person user would who has that face, and returns
// what the browser brings back.
func (k *localKosmos) signIn(t *testing.T, address, user string, face stepuptest.Face) map[string]string {
	t.Helper()
	return k.answer(t, proof.StepUpSession{URL: address}, user, face).Returned
}

func startFederated(t *testing.T) (*localKosmos, *upstream.Federated) {
	t.Helper()
	k := startKosmos(t, blockid.Secp256k1)
	f, err := upstream.NewFederated(upstream.FederatedConfig{
		DiscoveryURL: k.base + "/oauth2/community/default/.well-known/openid-configuration",
		ClientID:     kosmosClient, ClientSecret: kosmosSecret, HTTPClient: k.client(), Now: k.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.prove(t, oidcUser, "somebody", true)
	k.prove(t, "ada", "ada", true) // whom the tenant's records have at IAL2
	return k, f
}

func begun(t *testing.T, f *upstream.Federated, a federation.UpstreamAsk) (string, []byte) {
	t.Helper()
	a.State, a.ReturnURL = fedState, kosmosReturn
	address, keep, err := f.Begin(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return address, keep
}

func TestFederatedLocal(t *testing.T) {
	t.Parallel()
	k, f := startFederated(t)
	issuer := k.base + "/oauth2/community/default"
	at := time.Unix(k.now().Unix(), 0)
	for name, c := range map[string]struct {
		ask  federation.UpstreamAsk
		user string
		face stepuptest.Face
		want federation.SessionNotes
		code proof.Code
		why  proof.Reason
	}{
		"whoever": {federation.UpstreamAsk{}, oidcUser, "somebody", federation.SessionNotes{ACR: "liveID push", AMR: []string{"face"}, Face: true}, "", ""},
		"a face, and a hint of somebody else": {federation.UpstreamAsk{Essential: true, Face: true, Hint: fedHint}, oidcUser, "somebody",
			federation.SessionNotes{ACR: "liveID push", AMR: []string{"face"}, Face: true}, "", ""},
		"IAL2 of records": {federation.UpstreamAsk{Essential: true, IAL2: true, Face: true}, "ada", "ada",
			federation.SessionNotes{ACR: "/assurance/ial/2", AMR: []string{"face", "/assurance/ial/2"}, Face: true, IALLevel: "IAL2",
				Claims: proof.Claims{GivenName: "Anna", FamilyName: "Eriksson"}}, "", ""},
		"IAL2 that nobody gave": {federation.UpstreamAsk{Essential: true, IAL2: true}, oidcUser, "somebody", federation.SessionNotes{}, proof.CodeUnmet, proof.ReasonProviderRejected},
		"another face":          {federation.UpstreamAsk{}, oidcUser, "ada", federation.SessionNotes{}, proof.CodeDenied, proof.ReasonFaceMismatch},
		"nobody of that name":   {federation.UpstreamAsk{Hint: oidcUser}, "nobody@example.com", "ada", federation.SessionNotes{}, proof.CodeDenied, proof.ReasonFaceMismatch},
	} {
		address, keep := begun(t, f, c.ask)
		got, err := f.Finish(t.Context(), keep, k.signIn(t, address, c.user, c.face))
		if c.code != "" {
			refusedAs(t, got, err, c.code, c.why)
			continue
		}
		c.want.Issuer = issuer
		if err != nil || got.Identifier != c.user || got.Subject == "" || got.Subject == c.user || got.AuthTime.Before(at) || !reflect.DeepEqual(got.Notes, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}

	address, keep := begun(t, f, federation.UpstreamAsk{})
	got, err := f.Finish(t.Context(), keep, k.decline(t, proof.StepUpSession{URL: address}).Returned)
	if proof.CodeOf(err) != proof.CodeDenied || got.Subject != "" {
		t.Errorf("declined: %+v, %v", got, err)
	}
}

// Answers to other requests, used ones, and requests that somebody edited on the way.
func TestFederatedLocalReplayed(t *testing.T) {
	t.Parallel()
	k, f := startFederated(t)
	address, keep := begun(t, f, federation.UpstreamAsk{Essential: true, Face: true})
	back := k.signIn(t, address, oidcUser, "somebody")
	otherAddress, otherKeep := begun(t, f, federation.UpstreamAsk{})
	a, err := f.Finish(t.Context(), otherKeep, back) // the same state: an attacker's own, put on the victim
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerReplayed)
	a, err = f.Finish(t.Context(), keep, back) // it was spent by that
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerReplayed)

	back = k.signIn(t, otherAddress, oidcUser, "somebody")
	mixed := map[string]string{"code": back["code"], "state": fedState, "iss": "https://evil.example"}
	a, err = f.Finish(t.Context(), otherKeep, mixed)
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerUntrusted)
	delete(mixed, "iss")
	a, err = f.Finish(t.Context(), otherKeep, mixed)
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerUntrusted)
	if got, err := f.Finish(t.Context(), otherKeep, back); err != nil || got.Identifier != oidcUser {
		t.Errorf("%+v, %v", got, err)
	}

	edit := func(change func(url.Values)) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	// Without the essential level, the person comes back signed in; the token says how high.
	address, keep = begun(t, f, federation.UpstreamAsk{Essential: true, IAL2: true})
	a, err = f.Finish(t.Context(), keep, k.signIn(t, edit(func(q url.Values) { q.Del("claims") }), oidcUser, "somebody"))
	refusedAs(t, a, err, proof.CodeUnmet, proof.ReasonProviderRejected)
	address, keep = begun(t, f, federation.UpstreamAsk{})
	a, err = f.Finish(t.Context(), keep, k.signIn(t, edit(func(q url.Values) { q.Set("nonce", strings.Repeat("A", 43)) }), oidcUser, "somebody"))
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerUntrusted)
	address, keep = begun(t, f, federation.UpstreamAsk{})
	a, err = f.Finish(t.Context(), keep, k.signIn(t, edit(func(q url.Values) { q.Set("prompt", "none") }), oidcUser, "somebody"))
	refusedAs(t, a, err, proof.CodeLoginRequired, proof.ReasonProviderRejected)
	if to := k.do(t, http.MethodGet, edit(func(q url.Values) { q.Set("redirect_uri", "https://evil.example/") }), "text/html", "", nil); to.location != "" {
		t.Errorf("an edited address leads to %s", to.location)
	}

	// Switched off between the face and the code; and a key that changed.
	if err := k.server.RotateOAuthKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	address, keep = begun(t, f, federation.UpstreamAsk{})
	back = k.signIn(t, address, oidcUser, "somebody")
	k.disable(t, oidcUser)
	a, err = f.Finish(t.Context(), keep, back)
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerReplayed)
	address, keep = begun(t, f, federation.UpstreamAsk{})
	if got, err := f.Finish(t.Context(), keep, k.signIn(t, address, "ada", "ada")); err != nil || got.Identifier != "ada" {
		t.Errorf("after a rotation: %+v, %v", got, err)
	}
}
