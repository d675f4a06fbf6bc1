package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

var place = journey.Place{Tenant: "t1", Subject: "s1", Table: "verifications", Column: "sealed_outcome", Row: "v1"}

func keyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := vault.Create(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSealAndOpen(t *testing.T) {
	v := open(t, keyFile(t))
	key := must(v.NewSubjectKey("t1", "s1"))(t)
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("claims "), 1000)} {
		sealed := must(v.Seal(key, place, plain))(t)
		if len(plain) > 1 && bytes.Contains(sealed, plain[:7]) {
			t.Fatal("the plaintext shows")
		}
		if got := must(v.Open(key, place, sealed))(t); !bytes.Equal(got, plain) {
			t.Fatalf("opened %d bytes, sealed %d", len(got), len(plain))
		}
		if again := must(v.Seal(key, place, plain))(t); bytes.Equal(again, sealed) {
			t.Fatal("sealing twice gave the same bytes")
		}
	}
}

// A value, or a key, that was moved does not open.
func TestMoved(t *testing.T) {
	v := open(t, keyFile(t))
	key := must(v.NewSubjectKey("t1", "s1"))(t)
	sealed := must(v.Seal(key, place, []byte("claims")))(t)
	own := must(v.SealOwn(place, []byte("our key pair")))(t)
	moves := map[string]func(*journey.Place){
		"tenant":  func(p *journey.Place) { p.Tenant = "t2" },
		"subject": func(p *journey.Place) { p.Subject = "s2" },
		"table":   func(p *journey.Place) { p.Table = "subjects" },
		"column":  func(p *journey.Place) { p.Column = "sealed_request" },
		"row":     func(p *journey.Place) { p.Row = "v2" },
		"no row":  func(p *journey.Place) { p.Row = "" },
		"blurred": func(p *journey.Place) { p.Column, p.Row = "sealed_outcomev", "1" },
		"shifted": func(p *journey.Place) { p.Table, p.Column = "", "verificationssealed_outcome" },
	}
	for name, move := range moves {
		t.Run(name, func(t *testing.T) {
			p := place
			move(&p)
			if _, err := v.Open(key, p, sealed); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("opened elsewhere: %v", err)
			}
			if _, err := v.OpenOwn(p, own); !errors.Is(err, vault.ErrSealed) {
				t.Errorf("own secret opened elsewhere: %v", err)
			}
		})
	}
	t.Run("another subject's key", func(t *testing.T) {
		other := must(v.NewSubjectKey("t1", "s2"))(t)
		if _, err := v.Open(other, place, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another key of the same subject", func(t *testing.T) {
		other := must(v.NewSubjectKey("t1", "s1"))(t)
		if _, err := v.Open(other, place, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("own as the subject's and back", func(t *testing.T) {
		if _, err := v.OpenOwn(place, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
		if _, err := v.Open(key, place, own); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("got %v", err)
		}
		if _, err := v.Open(own, place, sealed); !errors.Is(err, vault.ErrSealed) {
			t.Errorf("own secret served as a key: %v", err)
		}
	})
}

// Every single changed or missing byte is noticed, in the value and in the key.
func TestTampered(t *testing.T) {
	v := open(t, keyFile(t))
	key := must(v.NewSubjectKey("t1", "s1"))(t)
	sealed := must(v.Seal(key, place, []byte("claims")))(t)
	own := must(v.SealOwn(place, []byte("secret")))(t)
	each := func(b []byte, try func([]byte) error) {
		t.Helper()
		for i := range b {
			bad := bytes.Clone(b)
			bad[i] ^= 1
			if err := try(bad); !errors.Is(err, vault.ErrSealed) {
				t.Fatalf("byte %d changed: %v", i, err)
			}
			if err := try(b[:i]); err == nil {
				t.Fatalf("cut after %d bytes: opened", i)
			}
		}
		if err := try(append(bytes.Clone(b), 0)); !errors.Is(err, vault.ErrSealed) {
			t.Fatalf("one byte more: %v", err)
		}
	}
	each(sealed, func(b []byte) error { _, err := v.Open(key, place, b); return err })
	each(key, func(b []byte) error { _, err := v.Open(b, place, sealed); return err })
	each(own, func(b []byte) error { _, err := v.OpenOwn(place, b); return err })
}

func TestErased(t *testing.T) {
	v := open(t, keyFile(t))
	sealed := must(v.Seal(must(v.NewSubjectKey("t1", "s1"))(t), place, []byte("claims")))(t)
	_, err := v.Open(nil, place, sealed)
	if !errors.Is(err, vault.ErrErased) || proof.ReasonOf(err) != proof.ReasonErased || proof.CodeOf(err) != proof.CodeNotFound {
		t.Errorf("opening without a key: %v", err)
	}
	if _, err := v.Seal([]byte{}, place, []byte("claims")); !errors.Is(err, vault.ErrErased) {
		t.Errorf("sealing without a key: %v", err)
	}
}

func TestRotate(t *testing.T) {
	path := keyFile(t)
	v, bystander := open(t, path), open(t, path)
	key := must(v.NewSubjectKey("t1", "s1"))(t)
	sealed := must(v.Seal(key, place, []byte("claims")))(t)
	own := must(v.SealOwn(place, []byte("secret")))(t)
	mac := v.MAC("t1", "lookup", "someone")
	for range 3 {
		if err := v.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	fresh := must(v.NewSubjectKey("t1", "s1"))(t)
	if bytes.Equal(fresh[:5], key[:5]) {
		t.Fatal("the old wrapping key is still in use")
	}
	freshSealed := must(v.Seal(fresh, place, []byte("new claims")))(t)
	for name, v := range map[string]*vault.Vault{"rotated": v, "reopened": open(t, path), "a process that did not hear of it": bystander} {
		t.Run(name, func(t *testing.T) {
			if got := must(v.Open(key, place, sealed))(t); string(got) != "claims" {
				t.Error("the old value does not open")
			}
			if got := must(v.OpenOwn(place, own))(t); string(got) != "secret" {
				t.Error("the old secret does not open")
			}
			if got := must(v.Open(fresh, place, freshSealed))(t); string(got) != "new claims" {
				t.Error("the new value does not open")
			}
			if !bytes.Equal(v.MAC("t1", "lookup", "someone"), mac) {
				t.Error("the hash changed")
			}
		})
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after rotation: %v, %v", info.Mode(), err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRotateAgainstRotate(t *testing.T) {
	path := keyFile(t)
	v := open(t, path)
	if err := os.WriteFile(path+".rotating", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Rotate(); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(path + ".rotating"); err != nil {
		t.Fatal("the other rotation's lock is gone")
	}
}

// Rotation under load loses nothing (run with -race).
func TestConcurrent(t *testing.T) {
	path := keyFile(t)
	v := open(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				key, err := v.NewSubjectKey("t1", "s1")
				if err != nil {
					t.Error(err)
					return
				}
				sealed, err := v.Seal(key, place, []byte("claims"))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := v.Open(key, place, sealed); err != nil || string(got) != "claims" {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 3 {
		if err := v.Rotate(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestMAC(t *testing.T) {
	path := keyFile(t)
	v := open(t, path)
	mac := v.MAC("t1", "lookup", "someone")
	if len(mac) != 32 {
		t.Fatalf("%d bytes", len(mac))
	}
	if !bytes.Equal(mac, open(t, path).MAC("t1", "lookup", "someone")) {
		t.Error("not the same after reopening")
	}
	for _, other := range [][3]string{
		{"t2", "lookup", "someone"}, {"t1", "link", "someone"}, {"t1", "lookup", "someone else"},
		{"t1", "lookups", "omeone"}, {"t1l", "ookup", "someone"}, {"", "t1lookup", "someone"},
	} {
		if bytes.Equal(mac, v.MAC(other[0], other[1], other[2])) {
			t.Errorf("the same for %q", other)
		}
	}
	if bytes.Equal(mac, open(t, keyFile(t)).MAC("t1", "lookup", "someone")) {
		t.Error("the same under another master key")
	}
}

func TestFile(t *testing.T) {
	t.Run("created private, never replaced", func(t *testing.T) {
		path := keyFile(t)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		before, _ := os.ReadFile(path)
		if err := vault.Create(path); !errors.Is(err, os.ErrExist) {
			t.Fatalf("got %v", err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Fatal("replaced")
		}
	})
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o601} {
		t.Run("refused with mode "+mode.String(), func(t *testing.T) {
			path := keyFile(t)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := vault.Open(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Fatalf("got %v", err)
			}
		})
	}
	t.Run("read-only is fine", func(t *testing.T) {
		path := keyFile(t)
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		open(t, path)
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := vault.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("a directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(dir); err == nil {
			t.Fatal("opened")
		}
	})
	good, err := os.ReadFile(keyFile(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty": "", "not JSON": "secret sauce", "other JSON": `{"secret":"sauce"}`, "half": string(good[:len(good)/2]),
		"other format": strings.Replace(string(good), "master key 1", "master key 9", 1),
		"no keys":      `{"format":"kosmoscope master key 1","wrapping_keys":{},"hash_key":{}}`,
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "k")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := vault.Open(path)
			if err == nil {
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), "sauce") {
				t.Errorf("the error tells the content: %v", err)
			}
		})
	}
}

// Whatever bytes are found in the two columns, nothing opens and nothing breaks.
func FuzzOpen(f *testing.F) {
	path := keyFile(f)
	v := open(f, path)
	key := must(v.NewSubjectKey("t1", "s1"))(f)
	sealed := must(v.Seal(key, place, []byte("claims")))(f)
	f.Add(key, sealed[:len(sealed)-1])
	f.Add(key[:7], sealed)
	f.Add([]byte{1}, []byte{1})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, k, s []byte) {
		if got, err := v.Open(k, place, s); err == nil && !(bytes.Equal(k, key) && bytes.Equal(s, sealed)) {
			t.Fatalf("opened to %q", got)
		}
		if _, err := v.OpenOwn(place, s); err == nil {
			t.Fatal("opened as own")
		}
		if _, err := v.Open(key, place, s); err == nil && !bytes.Equal(s, sealed) {
			t.Fatal("opened a forgery")
		}
	})
}

func BenchmarkSealAndOpen2KiB(b *testing.B) {
	v := open(b, keyFile(b))
	key := must(v.NewSubjectKey("t1", "s1"))(b)
	plain := make([]byte, 2048)
	for b.Loop() {
		sealed, err := v.Seal(key, place, plain)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Open(key, place, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
