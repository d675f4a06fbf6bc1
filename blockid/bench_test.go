package blockid_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// benchServer, in the environment, makes the test binary be the fake server
// for another one, so that its CPU time is not counted with the client's. The
// value says how large the result is, in bytes of images.
const benchServer = "BLOCKID_BENCH_SERVER"

func TestMain(m *testing.M) {
	if size, ok := os.LookupEnv(benchServer); ok {
		serveBench(size)
		return
	}
	os.Exit(m.Run())
}

func serveBench(size string) {
	var n int
	fmt.Sscan(size, &n)
	f := newFake("secp256k1")
	f.plain[pathResult] = `{"responseStatus":"INPROGRESS","id":"` + fakeSession + `"}`
	if n > 0 {
		f.plain[pathResult] = bigResult(n)
	}
	f.uuids = nil
	f.override = benchHandlers(f)
	fmt.Println(f.dns, base64.StdEncoding.EncodeToString(f.srv.Certificate().Raw))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
}

// benchHandlers answer at once: everything is made once per caller, after the
// caller has shown that it speaks the protocol.
func benchHandlers(f *fake) map[string]http.HandlerFunc {
	created := []byte(`{"sessionId":"` + fakeSession + `","url":"` + f.url + `"}`)
	key := f.keys["docuverify"]
	var mu sync.Mutex
	answers := map[string][]byte{}
	reply := func(w http.ResponseWriter, r *http.Request, b []byte) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	}
	return map[string]http.HandlerFunc{
		pathCreate: func(w http.ResponseWriter, r *http.Request) { reply(w, r, created) },
		pathResult: func(w http.ResponseWriter, r *http.Request) {
			caller := r.Header.Get("publickey")
			mu.Lock()
			b, ok := answers[caller]
			if !ok {
				var env map[string]string
				_, errHeader := key.open(caller, r.Header.Get("requestid"))
				errJSON := json.NewDecoder(r.Body).Decode(&env)
				_, errBody := key.open(caller, env["data"])
				if err := errors.Join(errHeader, errJSON, errBody); err != nil {
					mu.Unlock()
					fail(w, 400, err.Error())
					return
				}
				b = []byte(`{"data":"` + key.seal(caller, f.plain[pathResult]) + `","publicKey":"` + key.public() + `"}`)
				answers[caller] = b
			}
			mu.Unlock()
			reply(w, r, b)
		},
	}
}

// bigResult is a success with about n bytes of images.
func bigResult(n int) string {
	image := base64.StdEncoding.EncodeToString(make([]byte, n/2*3/4))
	return `{"sessionResult":"SUCCESS","sessionId":"` + fakeSession + `","document":{"type":"ppt","image":"` + image + `","face":"` + image + `"}}`
}

// cpu is what this process has used, user and system.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCreateResult counts encrypted create + result pairs per second of
// the client's own CPU time, over TLS, against a server in a child process
// that answers at once. Closed loop, with as many callers as the name says.
func BenchmarkCreateResult(b *testing.B) {
	for _, bm := range []struct {
		name    string
		callers int
		size    int // bytes of images in the result
	}{{"callers=1", 1, 0}, {"callers=8", 8, 0}, {"callers=32", 32, 0}, {"callers=8/images=700kB", 8, 700_000}} {
		b.Run(bm.name, func(b *testing.B) { benchCreateResult(b, bm.callers, bm.size) })
	}
}

func benchCreateResult(b *testing.B, callers, size int) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), benchServer+"="+fmt.Sprint(size))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	dns, cert, ok := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || !ok {
		b.Fatalf("server says %q, %v", line, err)
	}
	der, err := base64.StdEncoding.DecodeString(cert)
	if err != nil {
		b.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.MaxIdleConnsPerHost = 64
	tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	c, err := blockid.NewClient(blockid.Config{
		DNS: dns, Community: "default", LicenseKey: fakeLicense, HTTPClient: &http.Client{Transport: tr},
	})
	if err != nil {
		b.Fatal(err)
	}
	pair := func() error {
		ctx := context.Background()
		s, err := c.CreateIDV(ctx, blockid.IDVRequest{DVCID: fakeDVC, DocumentType: blockid.Passport,
			User: blockid.IDVUser{Username: "j.doe", FirstName: "John", LastName: "Doe"}})
		if err != nil {
			return err
		}
		_, err = c.IDVResult(ctx, fakeDVC, s.ID)
		return err
	}
	if err := pair(); err != nil { // discovery
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	work := make(chan struct{}, callers)
	errs := make(chan error, callers)
	for range callers {
		wg.Go(func() {
			for range work {
				if err := pair(); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	used := cpu(b) - before
	b.StopTimer()
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
	b.ReportMetric(float64(b.N)/used.Seconds(), "pairs/cpu-s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
}

// BenchmarkSealOpen is the cryptography of one request id, there and back.
func BenchmarkSealOpen(b *testing.B) {
	k, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		b.Fatal(err)
	}
	s := mustShared(b, k, k.Public())
	plain := []byte(vectors(b).Plaintexts["P1"])
	for b.Loop() {
		text, _ := s.Seal(plain)
		if _, err := s.Open(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShared is what caching the shared key saves.
func BenchmarkShared(b *testing.B) {
	k, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Shared(k.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
