package httpsig_test

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
)

// Keys and messages of RFC 9421 appendix B.
const (
	rsaPSSPublic = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----`
	// Without line breaks, as a form field may deliver it.
	p256Public = `-----BEGIN PUBLIC KEY----- MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ== -----END PUBLIC KEY-----`
	edPublic   = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----`
	edSeed = "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU"
	// Modulus of test-key-rsa (B.1.1); its exponent is 65537.
	rsaModulus   = "hAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrwWEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFqMGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd_QBwVW9OwNFhekro3RtlinV0a75jfZgkne_YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0PuKxI4T-HIaFpv8-rdV6eUgOrB2xeI1dSFFn_nnv5OoZJEIB-VmuKn3DCUcCZSFlQPSXSfBDiUGhwOw76WuSSsf1D4b_vLoJ10w"
	clientCert   = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"
	sharedSecret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

	testRequest = "POST /foo?param=Value&Pet=dog HTTP/1.1\r\n" +
		"Host: example.com\r\n" +
		"Date: Tue, 20 Apr 2021 02:07:55 GMT\r\n" +
		"Content-Type: application/json\r\n" +
		"Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\r\n" +
		"Content-Length: 18\r\n\r\n" +
		`{"hello": "world"}`
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(t testing.TB, text, origin string) httpsig.Message {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(origin + r.RequestURI)
	if err != nil {
		t.Fatal(err)
	}
	return httpsig.Message{Method: r.Method, URL: u, Header: r.Header}
}

func verifyKey(t testing.TB, alg httpsig.Algorithm, public string, secret []byte) *httpsig.VerifyKey {
	t.Helper()
	k, err := httpsig.NewVerifyKey(alg, public, secret)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRFC verifies the request examples of RFC 9421 appendices B.2 to B.4, and
// that of section 4.3, the only one with rsa-v1_5-sha256.
func TestRFC(t *testing.T) {
	get := "GET /demo?name1=Value1&Name2=value2 HTTP/1.1\r\nHost: example.org\r\nDate: Fri, 15 Jul 2022 14:24:55 GMT\r\n" +
		"Accept: application/json\r\nAccept: */*\r\n\r\n"
	proxied := "POST /foo?param=Value&Pet=dog HTTP/1.1\r\nHost: service.internal.example\r\nDate: Tue, 20 Apr 2021 02:07:55 GMT\r\n" +
		"Content-Type: application/json\r\nContent-Length: 18\r\nClient-Cert: " + clientCert + "\r\n\r\n" + `{"hello": "world"}`
	forwarded := strings.Replace(testRequest, "Host: example.com\r\n",
		"Host: origin.host.internal.example\r\nForwarded: for=192.0.2.123;host=example.com;proto=https\r\n", 1)
	pss := verifyKey(t, httpsig.RSAPSSSHA512, rsaPSSPublic, nil)
	ed := verifyKey(t, httpsig.Ed25519, edPublic, nil)
	tests := []struct {
		name, text, origin, input, sig, base string
		key                                  *httpsig.VerifyKey
	}{
		{
			name: "B.2.1", text: testRequest, origin: "https://example.com", key: pss,
			input: `sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
			sig:   `sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:`,
			base:  `"@signature-params": ();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"`,
		},
		{
			name: "B.2.2", text: testRequest, origin: "https://example.com", key: pss,
			input: `sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
			sig:   `sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:`,
			base: `"@authority": example.com
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"@query-param";name="Pet": dog
"@signature-params": ("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"`,
		},
		{
			name: "B.2.3", text: testRequest, origin: "https://example.com", key: pss,
			input: `sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			sig:   `sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:`,
			base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
		},
		{
			name: "B.2.5", text: testRequest, origin: "https://example.com", key: verifyKey(t, httpsig.HMACSHA256, "", unbase64(t, sharedSecret)),
			input: `sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			sig:   `sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:`,
			base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
		},
		{
			name: "B.2.6", text: testRequest, origin: "https://example.com", key: ed,
			input: `sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			sig:   `sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:`,
			base: `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
		},
		{
			name: "B.3", text: proxied, origin: "https://service.internal.example", key: verifyKey(t, httpsig.ECDSAP256, p256Public, nil),
			input: `ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"`,
			sig:   `ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:`,
			base: `"@path": /foo
"@query": ?param=Value&Pet=dog
"@method": POST
"@authority": service.internal.example
"client-cert": ` + clientCert + `
"@signature-params": ("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"`,
		},
		{
			name: "4.3", text: forwarded, origin: "https://origin.host.internal.example", key: verifyKey(t, httpsig.RSAv15SHA256, rsaPublic(t), nil),
			input: `proxy_sig=("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded");created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540`,
			sig:   `proxy_sig=:S6ZzPXSdAMOPjN/6KXfXWNO/f7V6cHm7BXYUh3YD/fRad4BCaRZxP+JH+8XY1I6+8Cy+CM5g92iHgxtRPz+MjniOaYmdkDcnL9cCpXJleXsOckpURl49GwiyUpZ10KHgOEe11sx3G2gxI8S0jnxQB+Pu68U9vVcasqOWAEObtNKKZd8tSFu7LB5YAv0RAGhB8tmpv7sFnIm9y+7X5kXQfi8NMaZaA8i2ZHwpBdg7a6CMfwnnrtflzvZdXAsD3LH2TwevU+/PBPv0B6NMNk93wUs/vfJvye+YuI87HU38lZHowtznbLVdp770I6VHR6WfgS9ddzirrswsE1w5o0LV/g==:`,
			base: `"@method": POST
"@authority": origin.host.internal.example
"@path": /foo
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-type": application/json
"content-length": 18
"forwarded": for=192.0.2.123;host=example.com;proto=https
"@signature-params": ("@method" "@authority" "@path" "content-digest" "content-type" "content-length" "forwarded");created=1618884480;keyid="test-key-rsa";alg="rsa-v1_5-sha256";expires=1618884540`,
		},
		{
			name: "B.4", text: get, origin: "https://example.org", key: ed,
			input: `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
			sig:   `transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`,
			base: `"@method": GET
"@path": /demo
"@authority": example.org
"accept": application/json, */*
"@signature-params": ("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := message(t, tt.text, tt.origin)
			m.Header.Set("Signature-Input", tt.input)
			m.Header.Set("Signature", tt.sig)
			sigs, err := httpsig.Signatures(m.Header)
			if err != nil || len(sigs) != 1 {
				t.Fatalf("Signatures: %v, %v", sigs, err)
			}
			base, err := sigs[0].Input.Base(m)
			if err != nil {
				t.Fatal(err)
			}
			if string(base) != tt.base {
				t.Errorf("base:\n%s\nwant:\n%s", base, tt.base)
			}
			if err := tt.key.Verify(base, sigs[0].Value); err != nil {
				t.Errorf("the RFC's signature does not verify: %v", err)
			}
			sigs[0].Value[3] ^= 1
			if err := tt.key.Verify(base, sigs[0].Value); err == nil {
				t.Error("an altered signature verifies")
			}
			sigs[0].Value[3] ^= 1
			if err := tt.key.Verify(append(base, ' '), sigs[0].Value); err == nil {
				t.Error("an altered message verifies")
			}
		})
	}
}

// rsaPublic is test-key-rsa in the PEM form of PKCS #1, as B.1.1 prints it.
func rsaPublic(t testing.TB) string {
	t.Helper()
	n, err := base64.RawURLEncoding.DecodeString(rsaModulus)
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537})
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der}))
}

// TestRFCTransformations is the rest of B.4: what may happen to a message on its
// way without breaking the signature, and what may not.
func TestRFCTransformations(t *testing.T) {
	const (
		host   = "Host: example.org\r\n"
		date   = "Date: Fri, 15 Jul 2022 14:24:55 GMT\r\n"
		accept = "Accept: application/json\r\nAccept: */*\r\n"
		line   = "GET /demo?name1=Value1&Name2=value2 HTTP/1.1\r\n"
	)
	key := verifyKey(t, httpsig.Ed25519, edPublic, nil)
	for _, tt := range []struct {
		name, text, origin string
		ok                 bool
	}{
		{"field and parameter added", strings.Replace(line, "value2", "value2&param=added", 1) + host + date + accept + "Accept-Language: en-US,en;q=0.5\r\n", "https://example.org", true},
		{"date gone, referer added, accept in one line", line + host + "Referer: https://developer.example.org/demo\r\nAccept: application/json, */*\r\n", "https://example.org", true},
		{"other order of fields", line + accept + date + host, "https://example.org", true},
		{"other method and authority", strings.Replace(line, "GET", "POST", 1) + "Host: example.com\r\n" + date + accept, "https://example.com", false},
		{"other order of one field's lines", line + host + date + "Accept: */*\r\nAccept: application/json\r\n", "https://example.org", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := message(t, tt.text+"\r\n", tt.origin)
			m.Header.Set("Signature-Input", `transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"`)
			m.Header.Set("Signature", `transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:`)
			sigs, err := httpsig.Signatures(m.Header)
			if err != nil {
				t.Fatal(err)
			}
			base, err := sigs[0].Input.Base(m)
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(base, sigs[0].Value); (err == nil) != tt.ok {
				t.Errorf("verified: %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// TestRFCResponseSignature is B.2.4. Responses are not our business, but its
// ECDSA signature shows which encoding the RFC means.
func TestRFCResponseSignature(t *testing.T) {
	base := []byte(`"@status": 200
"content-type": application/json
"content-digest": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:
"content-length": 23
"@signature-params": ("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"`)
	sig := unbase64(t, "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==")
	if err := verifyKey(t, httpsig.ECDSAP256, p256Public, nil).Verify(base, sig); err != nil {
		t.Fatal(err)
	}
}

// TestSignDeterministic reproduces B.2.5 and B.2.6 byte for byte.
func TestSignDeterministic(t *testing.T) {
	seed, err := base64.RawURLEncoding.DecodeString(edSeed)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		signer     httpsig.Signer
		components []string
		want       string
	}{
		{
			httpsig.Signer{Algorithm: httpsig.HMACSHA256, Key: unbase64(t, sharedSecret), KeyID: "test-shared-secret", Label: "sig-b25"},
			[]string{"date", "@authority", "content-type"},
			"sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
		},
		{
			httpsig.Signer{Algorithm: httpsig.Ed25519, Key: ed25519.NewKeyFromSeed(seed), KeyID: "test-key-ed25519", Label: "sig-b26"},
			[]string{"date", "@method", "@path", "@authority", "content-type", "content-length"},
			"sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
		},
	}
	for _, tt := range tests {
		m := message(t, testRequest, "https://example.com")
		r := &http.Request{Method: m.Method, URL: m.URL, Header: m.Header}
		in := httpsig.Input{Params: []httpsig.Param{{Name: "created", Value: int64(1618884473)}, {Name: "keyid", Value: tt.signer.KeyID}}}
		for _, c := range tt.components {
			in.Components = append(in.Components, httpsig.Component{Name: c})
		}
		if err := tt.signer.SignInput(r, in); err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Get("Signature"); got != tt.want {
			t.Errorf("Signature: %s, want %s", got, tt.want)
		}
	}
}

func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestRoundTrip(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a shared secret of some length")
	for alg, key := range map[httpsig.Algorithm]any{
		httpsig.ECDSAP256: p256, httpsig.ECDSAP384: p384, httpsig.Ed25519: ed,
		httpsig.RSAPSSSHA512: rsaKey, httpsig.RSAv15SHA256: rsaKey, httpsig.HMACSHA256: secret,
	} {
		t.Run(string(alg), func(t *testing.T) {
			body := []byte(`{"a":1}`)
			r, _ := http.NewRequest("POST", "https://bridge.example.com/descope/v1/idv", nil)
			now := time.Unix(1700000000, 0)
			s := httpsig.Signer{KeyID: "k1", Algorithm: alg, Key: key, Now: func() time.Time { return now }}
			if err := s.Sign(r, body); err != nil {
				t.Fatal(err)
			}
			if err := httpsig.CheckDigest(r.Header, body); err != nil {
				t.Error(err)
			}
			sigs, err := httpsig.Signatures(r.Header)
			if err != nil {
				t.Fatal(err)
			}
			base, err := sigs[0].Input.Base(httpsig.Message{Method: r.Method, URL: r.URL, Header: r.Header})
			if err != nil {
				t.Fatal(err)
			}
			var k *httpsig.VerifyKey
			if signer, ok := key.(crypto.Signer); ok {
				k = verifyKey(t, alg, publicPEM(t, signer), nil)
			} else {
				k = verifyKey(t, alg, "", secret)
			}
			if err := k.Verify(base, sigs[0].Value); err != nil {
				t.Error(err)
			}
			if created, ok := sigs[0].Input.Int("created"); !ok || created != now.Unix() {
				t.Error("created is wrong")
			}
			if nonce, ok := sigs[0].Input.Text("nonce"); !ok || len(nonce) < 22 {
				t.Error("nonce is missing or short")
			}
		})
	}
}

func TestECDSAInDER(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	base := []byte("base")
	sum := sha256.Sum256(base)
	der, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyKey(t, httpsig.ECDSAP256, publicPEM(t, key), nil).Verify(base, der); err != nil {
		t.Error(err)
	}
}

func TestNewVerifyKeyRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	smallPEM := ""
	if err == nil { // newer toolchains refuse to make one
		smallPEM = publicPEM(t, small)
	}
	for name, f := range map[string]func() (*httpsig.VerifyKey, error){
		"other curve":       func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey(httpsig.ECDSAP384, p256Public, nil) },
		"other kind":        func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey(httpsig.RSAPSSSHA512, p256Public, nil) },
		"small RSA":         func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey(httpsig.RSAPSSSHA512, smallPEM, nil) },
		"no PEM":            func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey(httpsig.Ed25519, "abc", nil) },
		"unknown algorithm": func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey("none", p256Public, nil) },
		"short secret":      func() (*httpsig.VerifyKey, error) { return httpsig.NewVerifyKey(httpsig.HMACSHA256, "", []byte("x")) },
		"secret for a curve": func() (*httpsig.VerifyKey, error) {
			return httpsig.NewVerifyKey(httpsig.ECDSAP256, p256Public, []byte("0123456789abcdef"))
		},
		"public key as hmac secret": func() (*httpsig.VerifyKey, error) {
			return httpsig.NewVerifyKey(httpsig.HMACSHA256, p256Public, []byte("0123456789abcdef"))
		},
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSignaturesRefuses(t *testing.T) {
	for _, h := range []struct{ input, sig string }{
		{`sig1=("@method");created=1`, ``},
		{``, `sig1=:AAAA:`},
		{`sig1=("@method")`, `sig2=:AAAA:`},
		{`sig1=("@method"), sig1=("@path")`, `sig1=:AAAA:`},
		{`sig1="@method"`, `sig1=:AAAA:`},
		{`sig1=("@method"`, `sig1=:AAAA:`},
		{`sig1=(@method)`, `sig1=:AAAA:`},
		{`sig1=("@method"),`, `sig1=:AAAA:`},
		{`sig1=("@method");created=1.5`, `sig1=:AAAA:`},
		{`sig1=("@method");created=1;created=2`, `sig1=:AAAA:`},
		{`sig1=("@method")`, `sig1=:A:`},
		{`sig1=("@method")`, `sig1=AAAA`},
		{`Sig1=("@method")`, `Sig1=:AAAA:`},
	} {
		hd := http.Header{}
		if h.input != "" {
			hd.Set("Signature-Input", h.input)
		}
		if h.sig != "" {
			hd.Set("Signature", h.sig)
		}
		if _, err := httpsig.Signatures(hd); err == nil {
			t.Errorf("accepted %q with %q", h.input, h.sig)
		}
	}
}

func TestBaseRefuses(t *testing.T) {
	for _, comps := range []string{
		`"@method" "@method"`, `"x-absent"`, `"@status"`, `"@unknown"`, `"Content-Type"`, `"content-type";sf`, `"@method";req`,
		`"@query-param";name="absent"`, `"@query-param";name="twice"`, `""`,
	} {
		m := message(t, strings.Replace(testRequest, "Pet=dog", "twice=1&twice=2", 1), "https://example.com")
		m.Header.Set("Signature-Input", "s=("+comps+");created=1")
		m.Header.Set("Signature", "s=:AAAA:")
		sigs, err := httpsig.Signatures(m.Header)
		if err != nil {
			t.Errorf("%s: %v", comps, err)
			continue
		}
		if _, err := sigs[0].Input.Base(m); err == nil {
			t.Errorf("%s: accepted", comps)
		}
	}
}

func TestCheckDigest(t *testing.T) {
	body := []byte(`{"hello": "world"}`)
	good512 := "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
	for _, tt := range []struct {
		field string
		ok    bool
	}{
		{good512, true},
		{httpsig.Digest(body), true},
		{httpsig.Digest(body) + ", " + good512, true},
		{"md5=:AAAA:, " + good512, true},
		{httpsig.Digest([]byte("other")), false},
		{good512 + ", " + httpsig.Digest([]byte("other")), false},
		{"md5=:AAAA:", false},
		{"sha-256=?1", false},
		{"sha-256", false},
		{"garbage=", false},
	} {
		err := httpsig.CheckDigest(http.Header{"Content-Digest": {tt.field}}, body)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
	if httpsig.CheckDigest(http.Header{}, body) == nil {
		t.Error("no field: accepted")
	}
}

func FuzzSignatures(f *testing.F) {
	f.Add(`sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="a\"b";tag="t"`, `sig-b22=:AAAA:`)
	f.Add(`a=();x=?0;y=tok;z=:AA==:;n=-5`, `a=:AAAA:`)
	f.Add(`a=("x" "y"), b=()`, `a=:AAAA:, b=::`)
	f.Fuzz(func(t *testing.T, input, sig string) {
		h := http.Header{"Signature-Input": {input}, "Signature": {sig}}
		sigs, err := httpsig.Signatures(h)
		if err != nil {
			return
		}
		for _, s := range sigs {
			// What was parsed, written and parsed again must be the same.
			again, err := httpsig.Signatures(http.Header{"Signature-Input": {s.Label + "=" + s.Input.String()}, "Signature": {s.Label + "=:AAAA:"}})
			if err != nil {
				t.Fatalf("%q: %v", s.Input, err)
			}
			if again[0].Input.String() != s.Input.String() {
				t.Fatalf("%q became %q", s.Input, again[0].Input)
			}
		}
	})
}
