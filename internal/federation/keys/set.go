package keys

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
)

// keySet is a tenant's keys at one moment. It does not change.
type keySet struct {
	at        time.Time
	published []*key             // those that sign first, then the next, then the retiring
	byID      map[string]*key    // of oidc
	active    map[[2]string]*key // by use and algorithm
	jwks      json.RawMessage
}

// key is one that is published.
type key struct {
	federation.Key
	private crypto.Signer
	jwk     jose.JSONWebKey // the public half
}

// isYoung: a clock that was set back makes nothing young.
func (s *keySet) isYoung(now time.Time, than time.Duration) bool {
	if s == nil {
		return false
	}
	age := now.Sub(s.at)
	return age >= 0 && age < than
}

var order = map[federation.KeyState]int{federation.KeyActive: 1, federation.KeyNext: 2, federation.KeyRetiring: 3}

// open opens what is stored. A key that was open before is not opened again; one that
// cannot be opened is not published, and the others do their work.
func (s *Service) open(ctx context.Context, tenant string, stored []*federation.Key, before *keySet) (*keySet, error) {
	set := &keySet{byID: map[string]*key{}, active: map[[2]string]*key{}}
	was := map[string]*key{}
	if before != nil {
		for _, k := range before.published {
			was[k.ID] = k
		}
	}
	for _, k := range stored {
		if order[k.State] == 0 {
			continue
		}
		opened, err := s.openOne(k, was[k.ID])
		if err != nil {
			s.opt.Logger.ErrorContext(ctx, "a signing key cannot be used", "tenant", tenant, "kid", k.ID, "use", k.Use, "error", err)
			continue
		}
		set.published = append(set.published, opened)
	}
	slices.SortStableFunc(set.published, func(a, b *key) int { return cmp.Compare(order[a.State], order[b.State]) })
	public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range set.published {
		if k.State == federation.KeyActive {
			set.active[[2]string{k.Use, k.Alg}] = k
		}
		if k.Use == OIDC {
			set.byID[k.ID] = k
			public.Keys = append(public.Keys, k.jwk)
		}
	}
	var err error
	if set.jwks, err = json.Marshal(public); err != nil {
		return nil, fmt.Errorf("keys: the public keys: %w", err)
	}
	return set, nil
}

func (s *Service) openOne(k *federation.Key, was *key) (*key, error) {
	opened := &key{Key: *k}
	if was != nil && string(was.Sealed) == string(k.Sealed) && string(was.Public) == string(k.Public) && was.Use == k.Use && was.Alg == k.Alg {
		opened.private, opened.jwk = was.private, was.jwk
		return opened, nil
	}
	der, err := s.opt.Vault.OpenOwn(place(k.Tenant, k.ID), k.Sealed)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T does not sign", parsed)
	}
	if opened.jwk, err = publicHalf(private.Public(), k.Alg); err != nil {
		return nil, err
	}
	if opened.jwk.KeyID != k.ID {
		return nil, errors.New("the key is not the one that it is named after")
	}
	if err := holds(k, private.Public()); err != nil {
		return nil, err
	}
	if k.Use == OIDC && k.Alg == RS256 {
		if opened.jwk.Certificates, err = introduced(k, private); err != nil {
			return nil, err
		}
	}
	opened.private = private
	return opened, nil
}

// holds reports whether what is stored in the clear belongs to the key.
func holds(k *federation.Key, public crypto.PublicKey) error {
	var said crypto.PublicKey
	var err error
	if k.Use == SAML {
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(k.Public); err == nil {
			said = c.PublicKey
		}
	} else {
		said, err = x509.ParsePKIXPublicKey(k.Public)
	}
	if err != nil {
		return err
	}
	if same, ok := said.(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(public) {
		return errors.New("the public key is not that of the private one")
	}
	return nil
}

// place is where the private half of a key is sealed.
func place(tenant, id string) journey.Place {
	return journey.Place{Tenant: tenant, Table: "federation_keys", Column: "sealed", Row: id}
}
