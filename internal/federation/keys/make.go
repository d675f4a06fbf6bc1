package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	rsaBits = 2048
	// certificateYears is how long a certificate holds, and so the longest that nobody
	// has to exchange it with service providers.
	certificateYears = 10
)

// slot is where a tenant has one key.
type slot struct {
	use, alg string
	state    federation.KeyState
}

// slots are what every tenant has.
var slots = []slot{
	{OIDC, ES256, federation.KeyActive}, {OIDC, ES256, federation.KeyNext},
	{OIDC, RS256, federation.KeyActive}, {OIDC, RS256, federation.KeyNext},
	{SAML, RS256, federation.KeyActive}, {SAML, RS256, federation.KeyNext},
}

// Ensure makes the keys that the tenant does not have. Whoever does so at the same
// moment, in whichever process: one of them makes each.
func (s *Service) Ensure(ctx context.Context, tenant string) error {
	there, err := s.stored(ctx, tenant)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(slots), func(l slot) bool {
		return slices.ContainsFunc(there, func(k *federation.Key) bool { return k.Use == l.use && k.Alg == l.alg && k.State == l.state })
	})
	if len(missing) == 0 {
		return nil
	}
	made, err := s.makeAll(tenant, missing)
	if err != nil {
		return err
	}
	err = s.opt.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		for _, k := range made {
			err := tx.InsertKey(k)
			if errors.Is(err, proof.ErrStale) {
				continue // somebody else made one
			}
			if err == nil {
				err = s.audit(tx, tenant, "job", "federation_key.made", k, map[string]string{"state": string(k.State)})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.changed(ctx, tenant)
}

// makeAll makes keys side by side: an RSA key takes a processor's time.
func (s *Service) makeAll(tenant string, where []slot) ([]*federation.Key, error) {
	made := make([]*federation.Key, len(where))
	var g errgroup.Group
	g.SetLimit(4)
	for i, l := range where {
		g.Go(func() (err error) {
			made[i], err = s.make(tenant, l)
			return err
		})
	}
	return made, g.Wait()
}

func (s *Service) make(tenant string, l slot) (*federation.Key, error) {
	now := s.opt.Now()
	var private crypto.Signer
	var err error
	switch l.alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	default:
		err = fmt.Errorf("keys: no algorithm %q", l.alg)
	}
	if err != nil {
		return nil, err
	}
	jwk, err := publicHalf(private.Public(), l.alg)
	if err != nil {
		return nil, err
	}
	k := &federation.Key{ID: jwk.KeyID, Tenant: tenant, Use: l.use, Alg: l.alg, State: l.state, CreatedAt: now, ChangedAt: now}
	if l.use == SAML {
		k.Public, err = certificate(private, now)
	} else {
		k.Public, err = x509.MarshalPKIXPublicKey(private.Public())
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	k.Sealed, err = s.opt.Vault.SealOwn(place(tenant, k.ID), der)
	return k, err
}

// certificate is what service providers know a key by: they compare it, or its key, and
// believe nothing that it says.
func certificate(private crypto.Signer, now time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // RFC 5280, section 4.1.2.2: above zero
		Subject:      pkix.Name{CommonName: "Kosmoscope SAML signing"},
		NotBefore:    now.Add(-time.Hour), // a clock that is behind
		NotAfter:     now.AddDate(certificateYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	return x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
}

// introduced is the certificate that the set of public keys has for an RSA key (x5c),
// because Microsoft Entra reads keys out of nothing else. It is made of the key and its
// time alone, so that it is the same each time and on every replica: an RSA signature
// of PKCS #1 v1.5 has no randomness.
func introduced(k *federation.Key, private crypto.Signer) ([]*x509.Certificate, error) {
	sum := sha256.Sum256([]byte(k.ID))
	serial := new(big.Int).SetBytes(sum[:15])
	c := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: "Kosmoscope ID tokens"},
		NotBefore:    k.CreatedAt.Add(-time.Hour),
		NotAfter:     k.CreatedAt.AddDate(certificateYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	return []*x509.Certificate{parsed}, err
}

// publicHalf names a key by its thumbprint (RFC 7638).
func publicHalf(public crypto.PublicKey, alg string) (jose.JSONWebKey, error) {
	ok := false
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		ok = alg == ES256 && p.Curve == elliptic.P256()
	case *rsa.PublicKey:
		ok = alg == RS256 && p.N.BitLen() >= rsaBits
	}
	if !ok {
		return jose.JSONWebKey{}, fmt.Errorf("keys: a %T is none for %s", public, alg)
	}
	jwk := jose.JSONWebKey{Key: public, Algorithm: alg, Use: "sig"}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("keys: the thumbprint: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	return jwk, nil
}

// audit says what became of a key.
func (s *Service) audit(tx federation.Tx, tenant, actor, action string, k *federation.Key, detail map[string]string) error {
	detail["use"], detail["alg"] = k.Use, k.Alg
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: tenant, At: s.opt.Now(), Actor: actor, Action: action, Object: "federation_key:" + k.ID, Detail: detail,
	})
}
