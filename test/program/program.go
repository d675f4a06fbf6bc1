package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const source = "github.com/kosmoscope/kosmoscope/cmd/kosmoscope"

// binary is one build of the program, made when it is first asked for.
type binary struct {
	flags []string
	sync.Mutex
	path string
	err  error
}

var (
	plain    = &binary{}
	detector = &binary{flags: []string{"-race"}}
)

// Build builds the program once per test program, with the race detector if the
// tests have it, and returns the path of the file. Main removes it.
func Build(t testing.TB) string {
	t.Helper()
	if RaceEnabled {
		return detector.build(t)
	}
	return plain.build(t)
}

// BuildPlain is Build without the race detector, for a process whose work is
// arithmetic: the detector makes the engine ten times slower.
func BuildPlain(t testing.TB) string {
	t.Helper()
	return plain.build(t)
}

func (b *binary) build(t testing.TB) string {
	t.Helper()
	b.Lock()
	defer b.Unlock()
	if b.path == "" && b.err == nil {
		if b.err = look(); b.err == nil {
			b.path, b.err = compile(b.flags)
		}
	}
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.path
}

// look looks at all sources. Without it `go test` would not know that the test
// depends on them, and answer from its cache when they have changed.
func look() error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(root)
		if up == root {
			return errors.New("no go.mod above the test")
		}
		root = up
	}
	for _, name := range []string{"go.sum", "blockid", "cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func compile(flags []string) (string, error) {
	dir, err := os.MkdirTemp("", "kosmoscope-test-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kosmoscope")
	args := append([]string{"build", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, source)...).CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// Main is for TestMain: it runs the tests, calls last, removes what was built,
// and returns the exit status. An error of last is a failure.
func Main(m *testing.M, last func() error) int {
	status := m.Run()
	if err := last(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	for _, b := range []*binary{plain, detector} {
		if b.path != "" {
			os.RemoveAll(filepath.Dir(b.path))
		}
	}
	return status
}

var ports struct {
	sync.Mutex
	next int
}

// FreePort finds a port on loopback that nobody listens on. None is given twice,
// and all lie below those that the system gives to outgoing connections, so that
// a process that was killed finds its port free when it starts again.
func FreePort(t testing.TB) int {
	t.Helper()
	const from, to = 10240, 20480
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = os.Getpid() * 37 // test programs that run beside this one begin elsewhere
	}
	for range to - from {
		ports.next++
		port := from + ports.next%(to-from)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// Process runs a program with its arguments, again and again if wanted. All that
// it prints goes to one file.
type Process struct {
	Name    string
	LogFile string

	program string
	args    []string
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	err     error         // how it ended
}

// Start runs a program; what it prints goes to NAME.log in dir.
func Start(dir, name, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, LogFile: filepath.Join(dir, name+".log"), program: program, args: args}
	return p, p.Again()
}

// Again starts a process that has ended.
func (p *Process) Again() error {
	if p.Running() {
		return fmt.Errorf("%s is still running", p.Name)
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.program, p.args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, attributes()
	if err := cmd.Start(); err != nil {
		log.Close()
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		p.err = cmd.Wait()
		log.Close()
		close(ended)
	}()
	return nil
}

// Running reports whether the process has been started and has not ended.
func (p *Process) Running() bool {
	if p.ended == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits until it is gone. It is an error
// if it had ended by itself before.
func (p *Process) Kill() error {
	if !p.Running() {
		return fmt.Errorf("%s had ended by itself: %w\n%s", p.Name, p.err, p.Tail())
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended
	return nil
}

// Stop asks the process to end, as Ctrl-C does, and returns how that went. One
// that takes longer than patience is killed, which is an error.
func (p *Process) Stop(patience time.Duration) error {
	if !p.Running() {
		return fmt.Errorf("%s had ended by itself: %w\n%s", p.Name, p.err, p.Tail())
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s ended with %w\n%s", p.Name, p.err, p.Tail())
		}
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s\n%s", p.Name, patience, p.Tail())
	}
}

// Ready waits until url answers 200, or the process has ended, or ctx has.
func (p *Process) Ready(ctx context.Context, client *http.Client, url string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %w\n%s", p.Name, p.err, p.Tail())
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w\n%s", p.Name, err, p.Tail())
		case <-tick.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

// Log is all that the process has printed so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail is the end of Log.
func (p *Process) Tail() string {
	log := p.Log()
	return log[max(0, len(log)-4000):]
}
