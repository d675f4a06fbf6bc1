package deliveries_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
)

// The vectors of the specification's own libraries (standard-webhooks/standard-webhooks,
// libraries/go: webhook_symmetric_test.go, webhook_asymmetric_test.go).
const (
	vectorID   = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody = `{"test": 2432232314}`
	vectorHMAC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorSeed = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
)

var vectorAt = time.Unix(1614265330, 0)

func TestVectors(t *testing.T) {
	t.Parallel()
	got, err := deliveries.Sign([]string{vectorHMAC, vectorSeed}, vectorID, vectorAt, []byte(vectorBody))
	want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= " +
		"v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
	if err != nil || got != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func signedHeader(t *testing.T, secrets ...string) http.Header {
	t.Helper()
	s, err := deliveries.Sign(secrets, vectorID, vectorAt, []byte(vectorBody))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set(deliveries.HeaderID, vectorID)
	h.Set(deliveries.HeaderTimestamp, strconv.FormatInt(vectorAt.Unix(), 10))
	h.Set(deliveries.HeaderSignature, s)
	return h
}

func TestVerify(t *testing.T) {
	t.Parallel()
	other, key := deliveries.NewSecret(), deliveries.NewKey()
	public := deliveries.PublicKey(key)
	for _, c := range []struct {
		name    string
		with    []string
		by      string
		change  func(http.Header)
		body    string
		later   time.Duration
		refused bool
	}{
		{name: "hmac", with: []string{vectorHMAC}, by: vectorHMAC},
		{name: "ed25519", with: []string{key}, by: public},
		{name: "newer of two", with: []string{other, vectorHMAC}, by: other},
		{name: "older of two", with: []string{other, vectorHMAC}, by: vectorHMAC},
		{name: "mixed", with: []string{key, vectorHMAC}, by: vectorHMAC},
		{name: "other secret", with: []string{vectorHMAC}, by: other, refused: true},
		{name: "other key", with: []string{deliveries.NewKey()}, by: public, refused: true},
		{name: "other scheme", with: []string{vectorHMAC}, by: public, refused: true},
		{name: "other body", with: []string{vectorHMAC}, by: vectorHMAC, body: `{"test":2432232314}`, refused: true},
		{name: "other id", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Set("webhook-id", "msg_x") }, refused: true},
		{name: "no id", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Del("webhook-id") }, refused: true},
		{name: "dot moved", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Set("webhook-id", vectorID+".1") }, refused: true},
		{name: "no timestamp", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Del("webhook-timestamp") }, refused: true},
		{name: "other timestamp", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Set("webhook-timestamp", "1614265331") }, refused: true},
		{name: "no signature", with: []string{vectorHMAC}, by: vectorHMAC, change: func(h http.Header) { h.Set("webhook-signature", "v1,") }, refused: true},
		{name: "public key as hmac", with: []string{key}, by: vectorHMAC, refused: true},
		{name: "as late as can be", with: []string{vectorHMAC}, by: vectorHMAC, later: 5 * time.Minute},
		{name: "too late", with: []string{vectorHMAC}, by: vectorHMAC, later: 5*time.Minute + time.Second, refused: true},
		{name: "too early", with: []string{vectorHMAC}, by: vectorHMAC, later: -5*time.Minute - time.Second, refused: true},
		{name: "short secret", with: []string{vectorHMAC}, by: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)), refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := signedHeader(t, c.with...)
			if c.change != nil {
				c.change(h)
			}
			body := vectorBody
			if c.body != "" {
				body = c.body
			}
			if err := deliveries.Verify(c.by, h, []byte(body), vectorAt.Add(c.later)); (err != nil) != c.refused {
				t.Error(err)
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	seed := strings.TrimPrefix(vectorSeed, "whsk_")
	halves, _ := base64.StdEncoding.DecodeString(seed)
	for _, secret := range []string{"", "whsec_", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_AAAA", deliveries.PublicKey(vectorSeed),
		"whsk_" + base64.StdEncoding.EncodeToString(append(halves, make([]byte, 32)...))} {
		if got, err := deliveries.Sign([]string{secret}, "msg_1", vectorAt, nil); err == nil {
			t.Errorf("%q signs: %s", secret, got)
		}
	}
	if _, err := deliveries.Sign(nil, "msg_1", vectorAt, nil); err == nil {
		t.Error("signs without a secret")
	}
	if _, err := deliveries.Sign([]string{vectorHMAC}, "msg.1", vectorAt, nil); err == nil {
		t.Error("signs an id with a dot")
	}
}

// TestPublishedLibrary checks the scheme both ways against npm's standardwebhooks, which
// knows v1 and passes over other signatures.
func TestPublishedLibrary(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is needed")
		}
		t.Skip("node is not installed")
	}
	dir := "standardwebhooks"
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "standardwebhooks", "package.json")); err != nil {
		cmd := exec.CommandContext(t.Context(), "npm", "ci")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	secret, older, key := deliveries.NewSecret(), deliveries.NewSecret(), deliveries.NewKey()
	body := `{"type":"a.b","data":{"name":"Zoë ☂ </script>"}}`
	now := time.Now()
	sign := func(at time.Time, secrets ...string) map[string]string {
		s, err := deliveries.Sign(secrets, "msg_1", at, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"webhook-id": "msg_1", "webhook-timestamp": strconv.FormatInt(at.Unix(), 10), "webhook-signature": s}
	}
	type check struct {
		Secret  string            `json:"secret"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
		want    bool
	}
	checks := []check{
		{secret, body, sign(now, secret), true},
		{older, body, sign(now, secret, older), true},
		{secret, body, sign(now, key, secret), true},
		{older, body, sign(now, secret), false},
		{secret, body + " ", sign(now, secret), false},
		{secret, body, sign(now.Add(-10*time.Minute), secret), false},
		{secret, body, sign(now, key), false},
	}
	in, err := json.Marshal(map[string]any{"checks": checks, "secret": secret, "id": "msg_2", "at": now.Unix(), "body": body})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "both.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(string(in)), os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Good      []bool `json:"good"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(raw, &out); err != nil || len(out.Good) != len(checks) {
		t.Fatal(err, string(raw))
	}
	for i, c := range checks {
		if out.Good[i] != c.want {
			t.Errorf("check %d: the library says %v, want %v", i, out.Good[i], c.want)
		}
	}
	h := http.Header{}
	h.Set("webhook-id", "msg_2")
	h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("webhook-signature", out.Signature)
	if err := deliveries.Verify(secret, h, []byte(body), now); err != nil {
		t.Errorf("what the library signs: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(vectorHMAC, "msg_1", "1614265330", "v1,AAAA v1a,BBBB", []byte("{}"))
	f.Add(deliveries.PublicKey(vectorSeed), "msg_1", "1614265330", "v1a,", []byte(""))
	f.Fuzz(func(t *testing.T, secret, id, stamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if deliveries.Verify(deliveries.NewSecret(), h, body, vectorAt) == nil {
			t.Error("a signature without the secret")
		}
		_ = deliveries.Verify(secret, h, body, vectorAt)
	})
}
