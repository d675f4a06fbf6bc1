package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// maxJWS bounds what Verify looks at; our own ID tokens, with claims out of a document,
// are a few kilobytes.
const maxJWS = 64 << 10

// Sign makes a compact JWS (RFC 7515) over payload with the tenant's active key for alg,
// ES256 or RS256. Its header has alg, kid and, unless it is empty, typ.
func (s *Service) Sign(ctx context.Context, tenant, alg, typ string, payload []byte) (jws string, err error) {
	set, err := s.current(ctx, tenant, renewAfter)
	if err != nil {
		return "", err
	}
	k, ok := set.active[[2]string{OIDC, alg}]
	if !ok {
		return "", none(tenant, OIDC, alg)
	}
	options := new(jose.SignerOptions)
	if typ != "" {
		options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: k.private, KeyID: k.ID}}, options)
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("keys: %w", err)
	}
	return signed.CompactSerialize()
}

func none(tenant, use, alg string) error {
	return &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "there is no key to sign with",
		Err: fmt.Errorf("keys: tenant %q has no active key of %s for %s that opens", tenant, use, alg),
	}
}

// JWKS is the tenant's public key set (RFC 7517): the keys of oidc that are published,
// those that sign before the others.
func (s *Service) JWKS(ctx context.Context, tenant string) (json.RawMessage, error) {
	set, err := s.current(ctx, tenant, renewAfter)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(set.jwks), nil
}

// errForeign is the answer to whatever we did not sign.
var errForeign = &proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonInvalidRequest, Message: "the token was not signed here, or not with a key that is still known"}

// Verify returns the payload of a compact JWS that one of the tenant's published keys of
// oidc signed, with the algorithm of that key. It reads nothing in it: what kind of
// token it is, for whom, and until when, is for the caller to see. What we did not sign
// is a proof.CodeInvalid.
func (s *Service) Verify(ctx context.Context, tenant, jws string) (payload []byte, err error) {
	if len(jws) > maxJWS {
		return nil, errForeign
	}
	parsed, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil || len(parsed.Signatures) != 1 {
		return nil, errForeign
	}
	header := parsed.Signatures[0].Header
	set, err := s.current(ctx, tenant, renewAfter)
	if err != nil {
		return nil, err
	}
	k, ok := set.byID[header.KeyID]
	if !ok {
		// Another replica may have made it just now.
		if set, err = s.current(ctx, tenant, askAgain); err != nil {
			return nil, err
		}
		k, ok = set.byID[header.KeyID]
	}
	if !ok || header.Algorithm != k.Alg {
		return nil, errForeign
	}
	if payload, err = parsed.Verify(k.jwk); err != nil {
		return nil, errForeign
	}
	return payload, nil
}

// SAML is what signs for the tenant now, RS256, its certificate (DER), and all
// certificates that are published, that one first.
func (s *Service) SAML(ctx context.Context, tenant string) (signer crypto.Signer, certificate []byte, published [][]byte, err error) {
	set, err := s.current(ctx, tenant, renewAfter)
	if err != nil {
		return nil, nil, nil, err
	}
	k, ok := set.active[[2]string{SAML, RS256}]
	if !ok {
		return nil, nil, nil, none(tenant, SAML, RS256)
	}
	for _, k := range set.published {
		if k.Use == SAML {
			published = append(published, k.Public)
		}
	}
	return k.private, k.Public, published, nil
}

// Info is a key, as the console shows it.
type Info struct {
	ID        string              `json:"kid"`
	Use       string              `json:"use"` // oidc or saml
	Alg       string              `json:"alg"`
	State     federation.KeyState `json:"state"`
	CreatedAt time.Time           `json:"created_at"`
	ChangedAt time.Time           `json:"changed_at"`           // when it came into its state
	NextAt    time.Time           `json:"next_at,omitzero"`     // when it leaves it, by itself; zero: does not
	ExpiresAt time.Time           `json:"expires_at,omitzero"`  // of saml: end of the certificate
	Public    []byte              `json:"certificate,omitzero"` // of saml: the certificate, DER
}

// List is the tenant's keys as they are in the store, the oldest first.
func (s *Service) List(ctx context.Context, tenant string) ([]Info, error) {
	stored, err := s.stored(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := make([]Info, 0, len(stored))
	for _, k := range stored {
		i := Info{ID: k.ID, Use: k.Use, Alg: k.Alg, State: k.State, CreatedAt: k.CreatedAt, ChangedAt: k.ChangedAt, NextAt: s.leaves(k)}
		if k.Use == SAML {
			c, err := x509.ParseCertificate(k.Public)
			if err != nil {
				return nil, fmt.Errorf("keys: the certificate of %s: %w", k.ID, err)
			}
			i.Public, i.ExpiresAt = k.Public, c.NotAfter
		}
		all = append(all, i)
	}
	return all, nil
}

// leaves is when a key leaves its state without anybody's doing; zero if it does not.
func (s *Service) leaves(k *federation.Key) time.Time {
	switch {
	case k.State == federation.KeyActive && k.Use == OIDC:
		return k.ChangedAt.Add(s.opt.Lifetime)
	case k.State == federation.KeyRetiring && k.Use == SAML:
		return k.ChangedAt.Add(s.opt.SAMLOverlap)
	case k.State == federation.KeyRetiring:
		return k.ChangedAt.Add(s.opt.Overlap)
	}
	return time.Time{}
}
