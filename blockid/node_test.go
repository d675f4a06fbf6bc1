package blockid_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// nodeScript does the protocol's cryptography with Node's own, for a list of
// cases on standard input: it opens what we sealed and seals something for us.
const nodeScript = `
const c = require('crypto');
const cases = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(cases.map(({curve, publicKey, sealed}) => {
  const me = c.createECDH(curve);
  me.setPrivateKey(Buffer.from(sealed.priv, 'base64'));
  const key = me.computeSecret(Buffer.concat([Buffer.from([4]), Buffer.from(publicKey, 'base64')]));
  const raw = Buffer.from(sealed.text, 'base64');
  const d = c.createDecipheriv('aes-256-gcm', key, raw.subarray(0, 16));
  d.setAuthTag(raw.subarray(raw.length - 16));
  const plain = Buffer.concat([d.update(raw.subarray(16, raw.length - 16)), d.final()]).toString('utf8');
  const iv = c.randomBytes(16), e = c.createCipheriv('aes-256-gcm', key, iv);
  const ct = Buffer.concat([e.update('from node: ' + plain, 'utf8'), e.final()]);
  return {plain, publicKey: me.getPublicKey().subarray(1).toString('base64'),
    sealed: Buffer.concat([iv, ct, e.getAuthTag()]).toString('base64')};
})));
`

func TestAgainstNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	type sealed struct {
		Priv string `json:"priv"`
		Text string `json:"text"`
	}
	type request struct {
		Curve     string `json:"curve"`
		PublicKey string `json:"publicKey"`
		Sealed    sealed `json:"sealed"`
	}
	var requests []request
	var shared []*blockid.SharedKey
	var plain, public []string
	// Enough rounds to meet coordinates and secrets with leading zeros.
	for i := range 600 {
		curve, name := blockid.Secp256k1, "secp256k1"
		if i%2 == 1 {
			curve, name = blockid.P256, "prime256v1"
		}
		ours, err := blockid.GenerateKey(curve)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := blockid.GenerateKey(curve)
		if err != nil {
			t.Fatal(err)
		}
		s := mustShared(t, ours, theirs.Public())
		text := strings.Repeat("Zoë 名 ", i%7)
		enc, err := s.Seal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request{name, ours.Public().String(), sealed{theirs.Encode(), enc}})
		shared, plain, public = append(shared, s), append(plain, text), append(public, theirs.Public().String())
	}
	in, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", nodeScript)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var answers []struct{ Plain, PublicKey, Sealed string }
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(requests) {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	for i, a := range answers {
		if a.Plain != plain[i] || a.PublicKey != public[i] {
			t.Errorf("case %d: node reads %q, has key %s", i, a.Plain, a.PublicKey)
		}
		if got, err := shared[i].Open(a.Sealed); err != nil || string(got) != "from node: "+plain[i] {
			t.Errorf("case %d: %q, %v", i, got, err)
		}
	}
}
