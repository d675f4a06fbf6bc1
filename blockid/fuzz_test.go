package blockid_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// seed adds every golden file that matches, and some nonsense.
func seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob("testdata/wire/" + pattern)
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files match %s: %v", pattern, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{}", "[]", "null", `{"a":`, "<html>", `{"":{}}`, "\xff"} {
		f.Add([]byte(s))
	}
}

// ours fails the test unless err is nil or one of this package's errors, with
// a short text.
func ours(t *testing.T, err error) {
	t.Helper()
	if err != nil && (blockid.KindOf(err) == "" || len(err.Error()) > 200) {
		t.Errorf("error %v", err)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add("CbXriDQBGASQEoaotrsAvIrpbWrRDMN4HvsvjuR59O5gxunUKZ9ao/ajpER8WGvVm9u2ToTEvMOXta08uDIJcQ==")
	f.Add("AMXr7N9xGon8CH5EihwymtdyWtwId//AQHsdFW5dmNt42RYMMo0iwzZdqFitKDSl38wS6KVfI0WM47ULydxAVQ==")
	f.Add("")
	me, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := blockid.ParsePublicKey(blockid.Auto, s)
		if err != nil {
			if p != nil || !errors.Is(err, blockid.ErrKey) {
				t.Error(p, err)
			}
			return
		}
		again, err := blockid.ParsePublicKey(p.Curve(), p.String())
		if err != nil || again.String() != p.String() {
			t.Error(err)
		}
		if _, err := me.Shared(p); (err == nil) != (p.Curve() == me.Curve()) {
			t.Error(err)
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	f.Add("UI2pefZpnRp00lQ8uydn7KoQP44lM98bPFUT0fXWL2c=", true)
	f.Add("L4Rf120A925+L6NNH4uzYO7m/8z51bIVzTmSBhh6yA==", false)
	f.Fuzz(func(t *testing.T, s string, p256 bool) {
		c := blockid.Secp256k1
		if p256 {
			c = blockid.P256
		}
		k, err := blockid.ParsePrivateKey(c, s)
		if err != nil {
			if k != nil || !errors.Is(err, blockid.ErrKey) {
				t.Error(err)
			}
			return
		}
		raw, err := base64.StdEncoding.DecodeString(k.Encode())
		if err != nil || len(raw) != 32 {
			t.Errorf("%d bytes, %v", len(raw), err)
		}
		if again, err := blockid.ParsePrivateKey(c, k.Encode()); err != nil || again.Public().String() != k.Public().String() {
			t.Error(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	a, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		f.Fatal(err)
	}
	s, err := a.Shared(a.Public())
	if err != nil {
		f.Fatal(err)
	}
	good, _ := s.Seal([]byte("hello"))
	f.Add(good)
	f.Add("")
	f.Add(strings.Repeat("A", 44))
	f.Fuzz(func(t *testing.T, in string) {
		plain, err := s.Open(in)
		// Nobody guesses a tag: what opens is what was sealed.
		if err == nil && string(plain) != "hello" || err != nil && (plain != nil || !errors.Is(err, blockid.ErrCiphertext)) {
			t.Error(plain, err)
		}
	})
}

func FuzzParseRequestID(f *testing.F) {
	f.Add([]byte(`{"ts":1767225600,"appid":"com.example.bridge","uuid":"00000000-0000-4000-8000-000000000001"}`))
	f.Add([]byte(`{'ts':1,'appid':'x','uuid':'y','deviceId':'z'}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		r, err := blockid.ParseRequestID(b)
		if !bytes.Equal(in, b) {
			t.Error("changes its input")
		}
		if err == nil && (r.TS <= 0 || r.UUID == "") || err != nil && !errors.Is(err, blockid.ErrRequestID) {
			t.Error(r, err)
		}
	})
}

func FuzzParseIDVResult(f *testing.F) {
	seed(f, "v[13].*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		for i, parse := range []func([]byte) (*blockid.IDVResult, error){blockid.ParseIDVResult, blockid.ParseIDVResultV1} {
			r, err := parse(b)
			ours(t, err)
			if err != nil {
				continue
			}
			if !json.Valid(b) {
				t.Error("accepts broken JSON")
			}
			// Success, seen through another reader of the same bytes.
			if r.Status == blockid.StatusSuccess {
				var w map[string]any
				if err := json.Unmarshal(b, &w); err != nil {
					t.Fatal(err)
				}
				word, _ := w[[]string{"sessionResult", "responseStatus"}[i]].(string)
				if !strings.EqualFold(word, "success") {
					t.Errorf("success out of %s", b)
				}
			}
			if r.Status == "" || r.Status == blockid.StatusFailed && r.Failure == nil {
				t.Errorf("%q", r.Status)
			}
			if r.Document != nil {
				_, _ = blockid.ParseUnverifiedProof(r.Document.ProofJWT)
			}
		}
	})
}

func FuzzParseIAL(f *testing.F) {
	seed(f, "ial.*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := blockid.ParseIAL(b)
		ours(t, err)
		if err != nil {
			return
		}
		if i.Username == "" || levelAt(i, time.Now()) > i.Stated {
			t.Errorf("%#v", i)
		}
		if i.Stated >= blockid.IAL2 && !bytes.Contains(bytes.ToUpper(b), []byte("IAL")) && !bytes.Contains(b, []byte(`\u`)) {
			t.Errorf("%s out of nothing", i.Stated)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Add("e30.e30.")
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.x")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := blockid.ParseUnverifiedProof(s); (p == nil) != (err != nil) || err != nil && !errors.Is(err, blockid.ErrProof) {
			t.Error(err)
		}
		if _, err := blockid.ParseIALProof("x", s); err != nil && !errors.Is(err, blockid.ErrProof) {
			t.Error(err)
		}
	})
}

func FuzzErrorEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"code":400,"message":"m"}`, `{"message":"m"}`, `{"error_code":404,"message":"m","status":false}`,
		`{"errorCode":"E10001","errorMessage":"m","message":"m","status":false}`, `{"errors":[{"message":"m","param":"p"}]}`,
		`{"statusCode":400,"error":"Bad Request","message":"m"}`, "<html>", "",
	} {
		f.Add(400, "application/json", "", []byte(s))
	}
	f.Add(429, "text/html", "120", []byte("x"))
	now := time.Unix(1767225600, 0)
	f.Fuzz(func(t *testing.T, status int, contentType, after string, b []byte) {
		e := blockid.AnswerError(status, http.Header{"Content-Type": {contentType}, "Retry-After": {after}}, b, now)
		ours(t, e)
		if e.Kind == "" || e.RetryAfter < 0 || e.RetryAfter > blockid.MaxRetryAfterFor {
			t.Errorf("%#v", e)
		}
		if in := blockid.ErrorInSuccess(b); in != nil {
			ours(t, in)
		}
	})
}

func FuzzCommunity(f *testing.F) {
	seed(f, "community.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := blockid.ParseCommunity(b)
		ours(t, err)
		if err == nil && (c.Name == "" || c.PublicKey == "" || strings.ContainsAny(c.TenantTag, "\r\n")) {
			t.Errorf("%#v", c)
		}
	})
}

func FuzzDirectory(f *testing.F) {
	seed(f, "directory.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := blockid.ParseDirectory(b)
		ours(t, err)
		if err == nil && d["licenses"] == "" {
			t.Error(d)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	seed(f, "*.json")
	f.Add([]byte(`{"data":"AAAA","publicKey":"x","signature_token":"00"}`))
	f.Add([]byte(`{"data":"A\/\u0041A"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := blockid.SealedTextForm(b); err == nil && !json.Valid(b) {
			t.Error("accepts broken JSON")
		}
	})
}

func FuzzV1(f *testing.F) {
	seed(f, "bearer.*.json")
	f.Add([]byte(`{"session_id":"x","url":"https://acme.example/"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := blockid.ParseV1Create(b, blockid.DefaultV1URLKeys())
		ours(t, err)
		if err == nil && (s.ID == "" || s.URL == "") {
			t.Error("empty session")
		}
		_, err = blockid.ParseCreate(b)
		ours(t, err)
		r, _, err := blockid.ParseV1Result(b)
		ours(t, err)
		if err == nil && r.Status != blockid.StatusUnknown {
			t.Error(r.Status)
		}
		if err == nil && blockid.JudgeV1(r) == blockid.StatusSuccess && r.Level < blockid.IAL2 {
			t.Error("success without a level")
		}
	})
}

// FuzzDecodeObject compares the reader of answers with the standard one.
func FuzzDecodeObject(f *testing.F) {
	seed(f, "*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := blockid.DecodeObject(b, nil)
		var want map[string]json.RawMessage
		werr := json.Unmarshal(b, &want)
		if err == nil && werr != nil {
			t.Fatalf("accepts what encoding/json does not: %v", werr)
		}
		if err == nil && len(got) != len(want) {
			t.Fatalf("%d fields, want %d", len(got), len(want))
		}
		for k, v := range got {
			if err == nil && !bytes.Equal(v, want[k]) {
				t.Errorf("%q: %s, want %s", k, v, want[k])
			}
		}
	})
}
