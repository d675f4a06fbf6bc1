package blockid_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// The vectors were generated with another implementation (Node's crypto); the
// labels hash to the private keys.
type vectorFile struct {
	Server     vectorKey         `json:"server"`
	Plaintexts map[string]string `json:"plaintexts"`
	Clients    []vectorKey       `json:"clients"`
}

type vectorKey struct {
	Name   string            `json:"name"`
	Label  string            `json:"label"`
	Priv   []string          `json:"priv"` // every encoding that must import to this key; the first is ours
	Pub    string            `json:"pub"`
	Shared string            `json:"shared"`
	Sealed map[string]string `json:"sealed"`
}

func vectors(t testing.TB) vectorFile {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectorFile
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func mustPriv(t testing.TB, c blockid.Curve, s string) *blockid.PrivateKey {
	t.Helper()
	k, err := blockid.ParsePrivateKey(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPub(t testing.TB, c blockid.Curve, s string) *blockid.PublicKey {
	t.Helper()
	k, err := blockid.ParsePublicKey(c, s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustShared(t testing.TB, k *blockid.PrivateKey, p *blockid.PublicKey) *blockid.SharedKey {
	t.Helper()
	s, err := k.Shared(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectors(t *testing.T) {
	v := vectors(t)
	if len(v.Clients) != 5 {
		t.Fatalf("have %d vectors, want 5", len(v.Clients))
	}
	server := mustPriv(t, blockid.Secp256k1, v.Server.Priv[0])
	for _, c := range append([]vectorKey{v.Server}, v.Clients...) {
		t.Run(c.Name, func(t *testing.T) {
			sum := sha256.Sum256([]byte(c.Label))
			for _, enc := range append([]string{base64.StdEncoding.EncodeToString(sum[:])}, c.Priv...) {
				k := mustPriv(t, blockid.Auto, enc)
				if got := k.Encode(); got != c.Priv[0] {
					t.Errorf("Encode of %d-character import differs", len(enc))
				}
				if k.Public().String() != c.Pub {
					t.Errorf("public key = %s, want %s", k.Public(), c.Pub)
				}
			}
			key := mustPriv(t, blockid.Auto, c.Priv[0])
			mine := mustShared(t, key, server.Public())
			theirs := mustShared(t, server, mustPub(t, blockid.Auto, c.Pub))
			for name, sealed := range c.Sealed {
				for side, s := range map[string]*blockid.SharedKey{"client": mine, "server": theirs} {
					got, err := s.Open(sealed)
					if err != nil || string(got) != v.Plaintexts[name] {
						t.Errorf("%s opens %s: %q, %v", side, name, got, err)
					}
				}
				// The published shared secret, used directly as an AES key by
				// nothing but the standard library, must say the same.
				if got := stdlibSeal(t, c.Shared, v.Plaintexts[name]); got != sealed {
					t.Errorf("%s: reference seal = %s", name, got)
				}
				// The negative vectors: every byte matters.
				raw, _ := base64.StdEncoding.DecodeString(sealed)
				for i := range raw {
					bad := bytes.Clone(raw)
					bad[i] ^= 1
					if _, err := mine.Open(base64.StdEncoding.EncodeToString(bad)); !errors.Is(err, blockid.ErrCiphertextAuth) {
						t.Fatalf("%s with byte %d flipped: %v", name, i, err)
					}
				}
				for n := range 32 {
					_, err := mine.Open(base64.StdEncoding.EncodeToString(raw[:n]))
					if !errors.Is(err, blockid.ErrCiphertextSize) || !errors.Is(err, blockid.ErrCiphertext) {
						t.Errorf("%s cut to %d bytes: %v", name, n, err)
					}
				}
			}
			if _, err := blockid.ParsePublicKey(blockid.P256, c.Pub); !errors.Is(err, blockid.ErrKey) {
				t.Errorf("secp256k1 key taken as P-256: %v", err)
			}
		})
	}
}

func TestSealIsFreshAndReadable(t *testing.T) {
	for _, curve := range []blockid.Curve{blockid.Secp256k1, blockid.P256} {
		a, err := blockid.GenerateKey(curve)
		if err != nil {
			t.Fatal(err)
		}
		b, err := blockid.GenerateKey(curve)
		if err != nil {
			t.Fatal(err)
		}
		ab, ba := mustShared(t, a, b.Public()), mustShared(t, b, a.Public())
		seen := map[string]bool{}
		for range 100 {
			s, err := ab.Seal([]byte("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if seen[s[:20]] {
				t.Fatal("IV repeated")
			}
			seen[s[:20]] = true
			if got, err := ba.Open(s); err != nil || string(got) != "hello" {
				t.Fatalf("%q, %v", got, err)
			}
		}
	}
}

func TestCurves(t *testing.T) {
	k, _ := blockid.GenerateKey(blockid.Auto)
	p, _ := blockid.GenerateKey(blockid.P256)
	if k.Curve() != blockid.Secp256k1 || p.Curve() != blockid.P256 {
		t.Fatalf("curves %s, %s", k.Curve(), p.Curve())
	}
	for _, key := range []*blockid.PrivateKey{k, p} {
		if got := mustPub(t, blockid.Auto, key.Public().String()); got.Curve() != key.Curve() {
			t.Errorf("Auto found %s for %s", got.Curve(), key.Curve())
		}
		if got := mustPriv(t, key.Curve(), key.Encode()); got.Public().String() != key.Public().String() {
			t.Error("private key does not survive Encode")
		}
	}
	if _, err := k.Shared(p.Public()); !errors.Is(err, blockid.ErrCurve) {
		t.Errorf("mixed curves: %v", err)
	}
	if _, err := blockid.ParsePublicKey(blockid.Secp256k1, p.Public().String()); !errors.Is(err, blockid.ErrKey) {
		t.Errorf("P-256 key taken as secp256k1: %v", err)
	}
	for _, c := range []blockid.Curve{"", "P-384"} {
		if _, err := blockid.GenerateKey(c); !errors.Is(err, blockid.ErrCurve) {
			t.Errorf("GenerateKey(%q): %v", c, err)
		}
		if _, err := blockid.ParsePrivateKey(c, k.Encode()); !errors.Is(err, blockid.ErrCurve) {
			t.Errorf("ParsePrivateKey(%q): %v", c, err)
		}
		if _, err := blockid.ParsePublicKey(c, k.Public().String()); !errors.Is(err, blockid.ErrCurve) {
			t.Errorf("ParsePublicKey(%q): %v", c, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	order := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	n256k1 := order("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	nP256 := order("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	enc := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct {
		curve blockid.Curve
		text  string
	}{
		"empty":           {blockid.Auto, ""},
		"not base64":      {blockid.Auto, "!!!!"},
		"zero":            {blockid.Auto, enc(make([]byte, 32))},
		"zero on P-256":   {blockid.P256, enc(make([]byte, 32))},
		"33 bytes":        {blockid.Auto, enc(bytes.Repeat([]byte{1}, 33))},
		"order":           {blockid.Secp256k1, enc(n256k1)},
		"order of P-256":  {blockid.P256, enc(nP256)},
		"all ones":        {blockid.Auto, enc(bytes.Repeat([]byte{255}, 32))},
		"too much to try": {blockid.Auto, strings.Repeat("A", 1<<20)},
	} {
		if _, err := blockid.ParsePrivateKey(c.curve, c.text); !errors.Is(err, blockid.ErrKey) {
			t.Errorf("private key %s: %v", name, err)
		}
	}
	n256k1[31]-- // n-1 is the largest valid scalar
	mustPriv(t, blockid.Secp256k1, enc(n256k1))

	good, _ := base64.StdEncoding.DecodeString(vectors(t).Server.Pub)
	off := bytes.Clone(good)
	off[63] ^= 1
	fieldPrime := append(bytes.Repeat([]byte{255}, 32), good[32:]...) // X not reduced
	for name, raw := range map[string][]byte{
		"empty": nil, "63 bytes": good[:63], "65 bytes": append([]byte{4}, good...),
		"off curve": off, "zero": make([]byte, 64), "X over p": fieldPrime,
	} {
		if _, err := blockid.ParsePublicKey(blockid.Auto, enc(raw)); !errors.Is(err, blockid.ErrKey) {
			t.Errorf("public key %s: %v", name, err)
		}
	}
	if _, err := blockid.ParsePublicKey(blockid.Auto, strings.Repeat("A", 1<<20)); !errors.Is(err, blockid.ErrKey) {
		t.Errorf("huge public key: %v", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	v := vectors(t)
	k := mustPriv(t, blockid.Auto, v.Clients[0].Priv[0])
	s := mustShared(t, k, mustPub(t, blockid.Auto, v.Server.Pub))
	raw, _ := base64.StdEncoding.DecodeString(v.Clients[0].Priv[0])
	var out bytes.Buffer
	for _, x := range []any{k, *k, s, *s, struct{ K *blockid.PrivateKey }{k}, []any{*k, *s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "x", x)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "x", x)
	}
	for _, leak := range []string{
		v.Clients[0].Priv[0], hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		fmt.Sprint(raw[:8]), strings.Trim(fmt.Sprint(raw[:4]), "[]"), v.Clients[0].Shared,
	} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("output reveals %q", leak)
		}
	}
}

func TestRequestID(t *testing.T) {
	v := vectors(t)
	want := blockid.RequestID{TS: 1767225600, AppID: "com.example.bridge", UUID: "00000000-0000-4000-8000-000000000001"}
	for _, in := range []string{v.Plaintexts["P1"], strings.ReplaceAll(v.Plaintexts["P1"], `"`, `'`)} {
		got, err := blockid.ParseRequestID([]byte(in))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	if b, _ := json.Marshal(want); string(b) != v.Plaintexts["P1"] {
		t.Errorf("marshals to %s", b)
	}
	for _, in := range []string{
		"", "x", "{}", "[]", "null", `{"ts":0,"uuid":"x"}`, `{"ts":-1,"uuid":"x"}`, `{"ts":1}`, `{"ts":"1","uuid":"x"}`,
		`{"ts":1e99,"uuid":"x"}`, `{'ts':1,"uuid":'x'}`, v.Plaintexts["P2"],
		`{"ts":1,"uuid":"` + strings.Repeat("x", 5000) + `"}`,
	} {
		if got, err := blockid.ParseRequestID([]byte(in)); !errors.Is(err, blockid.ErrRequestID) || got != (blockid.RequestID{}) {
			t.Errorf("%.40s: %+v, %v", in, got, err)
		}
	}
}
