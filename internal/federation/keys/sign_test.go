package keys_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/kosmoscope/kosmoscope/internal/federation"

	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var b64 = base64.RawURLEncoding

// split decodes a compact JWS by hand: nothing that made it has a say in it.
func split(t *testing.T, jws string) (header map[string]string, payload, input, signature []byte) {
	t.Helper()
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	decode := func(s string) []byte {
		b, err := b64.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if err := json.Unmarshal(decode(parts[0]), &header); err != nil {
		t.Fatal(err)
	}
	return header, decode(parts[1]), []byte(parts[0] + "." + parts[1]), decode(parts[2])
}

type jwk struct{ Kty, Use, Alg, Kid, Crv, X, Y, N, E, D, P string }

func keySet(t *testing.T, s *keys.Service) []jwk {
	t.Helper()
	raw, err := s.JWKS(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

// TestSign checks signatures with the standard library and the published keys alone.
func TestSign(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	published := keySet(t, s)
	if len(published) != 4 {
		t.Fatalf("%d keys are published", len(published))
	}
	payload := []byte(`{"größe":1, "as":"it is"}`)
	for _, alg := range []string{keys.ES256, keys.RS256} {
		for _, typ := range []string{"", "JWT", "at+jwt"} {
			jws, err := s.Sign(t.Context(), tenant, alg, typ, payload)
			m.ok(err)
			header, got, input, signature := split(t, jws)
			if !bytes.Equal(got, payload) {
				t.Errorf("payload %q", got)
			}
			kid := m.one(keys.OIDC, alg, federation.KeyActive)
			want := map[string]string{"alg": alg, "kid": kid}
			if typ != "" {
				want["typ"] = typ
			}
			if fmt.Sprint(header) != fmt.Sprint(want) {
				t.Errorf("header %v, want %v", header, want)
			}
			i := slices.IndexFunc(published, func(k jwk) bool { return k.Kid == kid })
			if i < 0 || i > 1 {
				t.Fatalf("the key that signs is number %d of those published", i)
			}
			check(t, published[i], alg, input, signature)
			back, err := s.Verify(t.Context(), tenant, jws)
			m.ok(err)
			if !bytes.Equal(back, payload) {
				t.Errorf("verified %q", back)
			}
		}
	}
	for _, alg := range []string{"", "none", "HS256", "ES384"} {
		if _, err := s.Sign(t.Context(), tenant, alg, "", payload); proof.CodeOf(err) != proof.CodeUnavailable {
			t.Errorf("%q: %v", alg, err)
		}
	}
	if _, err := s.Sign(t.Context(), "t2", keys.ES256, "", payload); proof.CodeOf(err) != proof.CodeUnavailable {
		t.Errorf("a tenant without keys: %v", err)
	}
	none, err := s.JWKS(t.Context(), "t2")
	if m.ok(err); string(none) != `{"keys":[]}` {
		t.Errorf("the key set of a tenant without keys: %s", none)
	}
}

func check(t *testing.T, k jwk, alg string, input, signature []byte) {
	t.Helper()
	decode := func(s string) []byte {
		b, err := b64.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(decode(s)) }
	if k.Alg != alg || k.Use != "sig" || k.D != "" || k.P != "" {
		t.Errorf("published: %+v", k)
	}
	sum := sha256.Sum256(input)
	var required string // RFC 7638, section 3.2
	if alg == keys.ES256 {
		required = fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, k.X, k.Y)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, decode(k.X), decode(k.Y)))
		if err != nil {
			t.Fatal(err)
		}
		if len(signature) != 64 || !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Error("the signature does not hold")
		}
	} else {
		required = fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, k.E, k.N)
		public := &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature); err != nil || public.N.BitLen() != 2048 {
			t.Errorf("%d bits: %v", public.N.BitLen(), err)
		}
	}
	print := sha256.Sum256([]byte(required))
	if k.Kid != b64.EncodeToString(print[:]) {
		t.Errorf("kid %s is not the thumbprint", k.Kid)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	ec, rs := m.sign(s, keys.ES256), m.sign(s, keys.RS256)
	parts := strings.Split(ec, ".")
	rsParts := strings.Split(rs, ".")
	encode := func(s string, args ...any) string { return b64.EncodeToString([]byte(fmt.Sprintf(s, args...))) }
	kid, rsKid := m.one(keys.OIDC, keys.ES256, federation.KeyActive), m.one(keys.OIDC, keys.RS256, federation.KeyActive)
	public := m.stored(keys.OIDC, federation.KeyActive)[0].Public
	hs := encode(`{"alg":"HS256","kid":"%s"}`, kid) + "." + parts[1]
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(hs))
	flipped := []byte(parts[2])
	flipped[10] ^= 1
	for name, jws := range map[string]string{
		"nothing":                  "",
		"no JWS":                   "hello",
		"no signature":             parts[0] + "." + parts[1] + ".",
		"another payload":          parts[0] + "." + encode(`{"sub":"y"}`) + "." + parts[2],
		"another signature":        parts[0] + "." + parts[1] + "." + string(flipped),
		"the other's signature":    parts[0] + "." + parts[1] + "." + rsParts[2],
		"another type":             encode(`{"alg":"ES256","kid":"%s","typ":"at+jwt"}`, kid) + "." + parts[1] + "." + parts[2],
		"alg none":                 encode(`{"alg":"none","kid":"%s"}`, kid) + "." + parts[1] + ".",
		"HMAC with the public key": hs + "." + b64.EncodeToString(mac.Sum(nil)),
		"RS256 with the EC key":    encode(`{"alg":"RS256","kid":"%s"}`, kid) + "." + parts[1] + "." + parts[2],
		"ES256 with the RSA key":   encode(`{"alg":"ES256","kid":"%s"}`, rsKid) + "." + rsParts[1] + "." + rsParts[2],
		"no kid":                   encode(`{"alg":"ES256"}`) + "." + parts[1] + "." + parts[2],
		"unknown kid":              encode(`{"alg":"ES256","kid":"x"}`) + "." + parts[1] + "." + parts[2],
		"the certificate's kid":    encode(`{"alg":"RS256","kid":"%s"}`, m.one(keys.SAML, keys.RS256, federation.KeyActive)) + "." + parts[1] + "." + parts[2],
		"JSON":                     fmt.Sprintf(`{"protected":"%s","payload":"%s","signature":"%s"}`, parts[0], parts[1], parts[2]),
		"too long":                 ec + strings.Repeat("A", 64<<10),
	} {
		if payload, err := s.Verify(t.Context(), tenant, jws); proof.CodeOf(err) != proof.CodeInvalid || payload != nil {
			t.Errorf("%s: %q, %v", name, payload, err)
		}
	}
	if _, err := s.Verify(t.Context(), "t2", ec); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("another tenant's: %v", err)
	}
	m.verify(s, ec)
	m.verify(s, rs)
}

func TestSAML(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	signer, der, published, err := s.SAML(t.Context(), tenant)
	m.ok(err)
	if len(published) != 2 || !bytes.Equal(published[0], der) {
		t.Fatalf("%d certificates are published; the first is not the one that signs", len(published))
	}
	var serials []string
	for _, der := range published {
		c, err := x509.ParseCertificate(der)
		m.ok(err)
		m.ok(c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)) // by itself
		if c.NotBefore.After(start) || !c.NotAfter.Equal(start.AddDate(10, 0, 0)) || c.SerialNumber.Sign() <= 0 || c.SignatureAlgorithm != x509.SHA256WithRSA {
			t.Errorf("from %v until %v, number %v, %v", c.NotBefore, c.NotAfter, c.SerialNumber, c.SignatureAlgorithm)
		}
		serials = append(serials, c.SerialNumber.String())
	}
	if serials[0] == serials[1] {
		t.Error("two certificates have the same number")
	}
	c, _ := x509.ParseCertificate(der)
	sum := sha256.Sum256([]byte("assertion"))
	signature, err := signer.Sign(nil, sum[:], crypto.SHA256)
	m.ok(err)
	m.ok(c.CheckSignature(x509.SHA256WithRSA, []byte("assertion"), signature))

	m.ok(s.Rotate(t.Context(), tenant, keys.SAML, "operator"))
	_, now, all, err := s.SAML(t.Context(), tenant)
	m.ok(err)
	if !bytes.Equal(now, published[1]) || len(all) != 3 || !bytes.Equal(all[0], now) || !bytes.Equal(all[2], der) {
		t.Error("after a rotation the next one signs, and the one before is published last")
	}
	if _, _, _, err := s.SAML(t.Context(), "t2"); proof.CodeOf(err) != proof.CodeUnavailable {
		t.Errorf("a tenant without keys: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	list, err := s.List(t.Context(), tenant)
	m.ok(err)
	if len(list) != 6 {
		t.Fatalf("%d keys", len(list))
	}
	for _, i := range list {
		rotates := i.Use == keys.OIDC && i.State == federation.KeyActive
		if i.NextAt.IsZero() == rotates || rotates && !i.NextAt.Equal(start.Add(90*24*time.Hour)) {
			t.Errorf("%s %s: next at %v", i.Use, i.State, i.NextAt)
		}
		if (len(i.Public) > 0) != (i.Use == keys.SAML) || i.ExpiresAt.IsZero() == (i.Use == keys.SAML) {
			t.Errorf("%s: certificate of %d bytes, until %v", i.Use, len(i.Public), i.ExpiresAt)
		}
	}
	text, err := json.Marshal(list)
	m.ok(err)
	for _, k := range m.stored("", "") {
		if bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(k.Sealed)[:40])) {
			t.Error("a private half is shown")
		}
	}
}

// Everything at once, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	replicas := []*keys.Service{w.replica(), w.replica()}
	var wg sync.WaitGroup
	for i := range 8 {
		s := replicas[i%2]
		wg.Go(func() {
			for range 20 {
				w.clock.pass(time.Second)
				jws, err := s.Sign(t.Context(), tenant, keys.ES256, "JWT", []byte("{}"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := replicas[0].Verify(t.Context(), tenant, jws); err != nil {
					t.Error(err)
				}
				if _, err := s.JWKS(t.Context(), tenant); err != nil {
					t.Error(err)
				}
				if _, _, _, err := s.SAML(t.Context(), tenant); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		if err := replicas[0].Rotate(t.Context(), tenant, keys.OIDC, "operator"); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
}

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{keys.ES256, keys.RS256} {
		b.Run(alg, func(b *testing.B) {
			w := newWorld(b)
			s := w.replica()
			payload := bytes.Repeat([]byte("x"), 1000)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Sign(b.Context(), tenant, alg, "JWT", payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// FuzzVerify: whatever comes in, only what was signed comes out.
func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	s := w.replica()
	const payload = `{"sub":"x"}`
	for _, alg := range []string{keys.ES256, keys.RS256} {
		jws, err := s.Sign(f.Context(), tenant, alg, "JWT", []byte(payload))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(jws)
		f.Add(jws[:len(jws)-1])
		f.Add(strings.Replace(jws, ".", "..", 1))
	}
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6IngiLCJjcml0IjpbIngiXX0.e30.AAAA")
	f.Fuzz(func(t *testing.T, jws string) {
		got, err := s.Verify(t.Context(), tenant, jws)
		if err == nil && string(got) != payload {
			t.Errorf("%q was signed here", got)
		}
		if err != nil && proof.CodeOf(err) != proof.CodeInvalid {
			t.Error(err)
		}
	})
}

// Entra reads keys out of certificates: every RSA key has one, the same from every replica.
func TestCertificatesOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := tools{t, w}
	first, err := w.replica().JWKS(t.Context(), tenant)
	m.ok(err)
	again, err := w.replica().JWKS(t.Context(), tenant)
	m.ok(err)
	if string(first) != string(again) {
		t.Error("two replicas publish different sets")
	}
	var set jose.JSONWebKeySet
	m.ok(json.Unmarshal(first, &set))
	for _, k := range set.Keys {
		want := 0
		if k.Algorithm == "RS256" {
			want = 1
		}
		if len(k.Certificates) != want {
			t.Errorf("%s key with %d certificates", k.Algorithm, len(k.Certificates))
		}
	}
}
