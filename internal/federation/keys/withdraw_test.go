package keys_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestWithdraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	leaked := m.sign(s, keys.ES256)
	was, next := m.one(keys.OIDC, keys.ES256, federation.KeyActive), m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	rsa := m.one(keys.OIDC, keys.RS256, federation.KeyActive)
	m.ok(s.Withdraw(t.Context(), tenant, was, "operator"))
	m.equal("signs", m.one(keys.OIDC, keys.ES256, federation.KeyActive), next)
	m.equal("the other algorithm", m.one(keys.OIDC, keys.RS256, federation.KeyActive), rsa)
	if _, err := s.Verify(t.Context(), tenant, leaked); err == nil {
		t.Error("what a withdrawn key signed still holds")
	}
	if slices.ContainsFunc(keySet(t, s), func(k jwk) bool { return k.Kid == was }) {
		t.Error("it is still published")
	}
	trail := m.trail(was)
	m.equal("audit", trail[len(trail)-1], fmt.Sprint("federation_key.withdrawn by operator ", map[string]string{"use": "oidc", "alg": "ES256"}))
	m.verify(s, m.sign(s, keys.ES256))

	// One that has not signed yet is replaced, and so is one that signs no more.
	next = m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	m.ok(s.Withdraw(t.Context(), tenant, next, "operator"))
	if m.one(keys.OIDC, keys.ES256, federation.KeyNext) == next {
		t.Error("the next key is still the one that was withdrawn")
	}
	m.ok(s.Rotate(t.Context(), tenant, keys.SAML, "operator"))
	m.ok(s.Withdraw(t.Context(), tenant, m.one(keys.SAML, keys.RS256, federation.KeyRetiring), "operator"))
	if _, _, published, err := s.SAML(t.Context(), tenant); err != nil || len(published) != 2 {
		t.Errorf("%d certificates are published, %v", len(published), err)
	}

	if err := s.Withdraw(t.Context(), tenant, was, "operator"); !errors.Is(err, proof.ErrStale) {
		t.Errorf("again: %v", err)
	}
	for _, id := range []string{"", "unknown"} {
		if err := s.Withdraw(t.Context(), tenant, id, "operator"); !errors.Is(err, proof.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
