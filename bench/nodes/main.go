//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/kosmoscope/kosmoscope/test/fixtures"
)

type options struct {
	rate      float64
	duration  time.Duration
	store     string
	program   string
	readyFile string
	only      string
	makeDemo  bool
	json      bool
}

func main() {
	var o options
	flag.Float64Var(&o.rate, "rate", 100, "calls a `second` of each node")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "how long to call")
	flag.StringVar(&o.store, "store", "sqlite", "what the bridge keeps its data in: `sqlite|postgres`")
	flag.StringVar(&o.program, "program", "bin/kosmoscope", "the built `program`")
	flag.StringVar(&o.readyFile, "ready-file", "", "measure the running demo that wrote this `file`")
	flag.StringVar(&o.only, "only", "", "measure only this `part`: idv, stepup, risk, flow or engine")
	flag.BoolVar(&o.makeDemo, "make-demo", false, "measure instead how long make demo takes in a fresh copy of this checkout")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := o.check()
	if err == nil {
		err = o.run(ctx, os.Stdout)
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	case o.rate <= 0 || o.duration < time.Second:
		return errors.New("--rate must be positive, --duration at least 1s")
	case o.store != "sqlite" && o.store != "postgres":
		return fmt.Errorf("--store %q is neither sqlite nor postgres", o.store)
	case o.only != "" && o.only != "idv" && o.only != "stepup" && o.only != "risk" && o.only != "flow" && o.only != "engine":
		return fmt.Errorf("--only %q is none of idv, stepup, risk, flow, engine", o.only)
	case o.store != "sqlite" && o.readyFile != "":
		return errors.New("a running demo has its store; leave --store away")
	}
	program, err := filepath.Abs(o.program)
	o.program = program
	return err
}

// run measures and prints.
func (o *options) run(ctx context.Context, out io.Writer) (err error) {
	scratch, err := os.MkdirTemp("", "kosmoscope-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	log, err := os.Create(filepath.Join(scratch, "log"))
	if err != nil {
		return err
	}
	defer func() {
		if end := tail(log.Name()); err != nil && ctx.Err() == nil && len(end) > 0 {
			err = fmt.Errorf("%w\nthe end of what the programs printed:\n%s", err, end)
		}
		log.Close()
	}()
	r := &report{Machine: thisMachine()}
	if r.LoadBefore, err = loadAverage(); err != nil {
		return err
	}
	if o.makeDemo {
		err = o.timeMakeDemo(ctx, log, scratch, r)
	} else {
		err = o.measure(ctx, log, scratch, r)
	}
	if err != nil {
		return err
	}
	if r.LoadAfter, err = loadAverage(); err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		err = r.print(out)
	}
	return errors.Join(err, r.wrong())
}

func tail(file string) []byte {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(b[max(len(b)-2000, 0):])
}

func progress(step string) { fmt.Fprintln(os.Stderr, "==", step) }

func (o *options) measure(ctx context.Context, log *os.File, scratch string, r *report) error {
	photos := filepath.Join(scratch, "photos")
	if err := fixtures.Write(photos); err != nil {
		return err
	}
	file := o.readyFile
	if file == "" {
		progress("starting the demo")
		begun := time.Now()
		started, l, err := demo(ctx, nil, log, scratch, "", time.Minute, func(flags string) []string {
			return append([]string{o.program, "demo", "--step-up-liveness", "none"}, strings.Fields(flags)...)
		})
		if err != nil {
			return err
		}
		defer l.stop()
		file = started
		stack, err := readReady(file)
		if err != nil {
			return err
		}
		if err := firstPage(ctx, stack); err != nil {
			return err
		}
		r.FirstPage = &startFigures{What: "demo, program built", Seconds: time.Since(begun).Seconds()}
	}
	stack, err := readReady(file)
	if err != nil {
		return err
	}
	engine, err := find(" engine serve ", strings.TrimPrefix(stack.EngineURL, "http://"))
	if err != nil {
		return err
	}
	idle, err := memoryOf(engine)
	if err != nil {
		return err
	}
	r.EngineIdle = idle.RSS
	if r.Disk, err = disk(stack.Data); err != nil {
		return err
	}
	if o.part("idv") {
		if err := o.measureIDV(ctx, log, scratch, file, photos, r); err != nil {
			return err
		}
	}
	if o.part("stepup") {
		if r.StepUp, err = o.measureStepUp(ctx, log, scratch, file, photos); err != nil {
			return err
		}
	}
	if o.part("risk") {
		if r.Risk, err = o.measureRisk(ctx, log, scratch, file); err != nil {
			return err
		}
	}
	if o.part("flow") && (o.store == "sqlite" || o.only != "") { // it has no store of the bridge's
		if r.Flow, err = o.measureFlow(ctx, log, scratch, stack); err != nil {
			return err
		}
	}
	if o.part("engine") {
		r.Engine, err = measureEngine(ctx, stack.EngineURL, engine, photos, o.models(), progress)
	}
	return err
}

// models is where the program looks for them.
func (o *options) models() string {
	return cmp.Or(os.Getenv("KOSMOSCOPE_MODELS"), filepath.Join(filepath.Dir(o.program), "models"))
}

func (o *options) part(name string) bool { return o.only == "" || o.only == name }

// measureIDV measures the two nodes of verifications at the demo's own bridge,
// or at one beside it that has PostgreSQL.
func (o *options) measureIDV(ctx context.Context, log io.Writer, scratch, file, photos string, r *report) error {
	r.Store = o.store
	var pid int
	if o.store == "postgres" {
		b, err := another(ctx, log, o.program, scratch, file, "idv", o.store, nil)
		if err != nil {
			return err
		}
		defer b.stop()
		file, pid = b.file, b.pid
	}
	stack, err := readReady(file)
	if err != nil {
		return err
	}
	if pid == 0 {
		if pid, err = find(" serve --config ", filepath.Join(stack.Data, "kosmoscope.yaml")); err != nil {
			return err
		}
	}
	if o.readyFile != "" {
		r.Store = "as in the ready file"
	} else if err := firstPage(ctx, stack); err != nil { // idle is after the first page, in either store
		return err
	}
	idle, err := memoryOf(pid)
	if err != nil {
		return err
	}
	r.Bridge.Idle = idle.RSS
	progress("finishing four verifications")
	done, err := finish(ctx, o.program, file, photos)
	if err != nil {
		return err
	}
	return o.callNodes(ctx, stack, pid, done, r)
}

// pendingSessions is how many open verifications, and challenges, the Result
// nodes are asked about.
const pendingSessions = 200

// callNodes drives both nodes at once, and the health endpoint beside them to
// compare with.
func (o *options) callNodes(ctx context.Context, stack ready, bridge int, done []finished, r *report) error {
	n := newNodes(stack)
	run := rand.Text() // makes the user identifiers of this run its own
	var open []finished
	for range pendingSessions {
		s, err := n.idv(ctx, "")
		if err != nil {
			return err
		}
		open = append(open, finished{SessionID: s.SessionID, Status: "pending"})
	}
	kinds := []string{"a new user", "no user", "the same user"}
	p, err := o.phase(ctx, "IDV and IDV Result", stack, bridge, o.rate, o.duration,
		stream{name: "IDV", kind: func(i int) string { return kinds[i%3] },
			call: func(ctx context.Context, i int) error {
				user := [3]string{fmt.Sprintf("%s-%d", run, i), "", run}[i%3]
				_, err := n.idv(ctx, user)
				return err
			}},
		stream{name: "Result", kind: func(i int) string { return []string{"pending", "finished"}[i%2] },
			call: func(ctx context.Context, i int) error {
				of := [2][]finished{open, done}[i%2]
				return n.result(ctx, of[i/2%len(of)])
			}},
		stream{name: "health", call: func(ctx context.Context, _ int) error { return n.health(ctx) }})
	if err != nil {
		return err
	}
	r.Nodes, r.Bridge.Load, r.Bridge.Peak = &p, p.BridgeRSS, p.BridgePeak
	return nil
}

// disk times 200 appends of 512 bytes with fsync, the price of anything durable here.
func disk(dir string) (*diskFigures, error) {
	f, err := os.CreateTemp(dir, "fsync-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	h := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	block := make([]byte, 512)
	for range 200 {
		begun := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		h.RecordValue(bounded(time.Since(begun)))
	}
	return &diskFigures{P50: float64(h.ValueAtQuantile(50)) / 1000, P99: float64(h.ValueAtQuantile(99)) / 1000}, nil
}

// timeMakeDemo copies what a clone of this checkout would hold and runs `make
// demo` there. Caches of Go and npm are as they are.
func (o *options) timeMakeDemo(ctx context.Context, log *os.File, scratch string, r *report) error {
	copied := filepath.Join(scratch, "checkout")
	if err := checkout(ctx, copied); err != nil {
		return err
	}
	progress("make demo in a fresh copy")
	begun := time.Now()
	shown := io.MultiWriter(log, &stamped{to: os.Stderr, begun: begun})
	file, l, err := demo(ctx, shown, shown, scratch, copied, 10*time.Minute, func(flags string) []string {
		return []string{"make", "demo", "DEMO=" + flags}
	})
	if err != nil {
		return err
	}
	defer l.stop()
	stack, err := readReady(file)
	if err != nil {
		return err
	}
	if err := firstPage(ctx, stack); err != nil {
		return err
	}
	r.FirstPage = &startFigures{What: "make demo in a fresh copy", Seconds: time.Since(begun).Seconds()}
	return nil
}

// stamped puts the seconds since it begun in front of each line that it passes
// on, which are those until everything is up: then come credentials.
type stamped struct {
	to    io.Writer
	begun time.Time
	line  []byte
	up    bool
}

func (s *stamped) Write(b []byte) (int, error) {
	s.line = append(s.line, b...)
	for {
		line, rest, whole := bytes.Cut(s.line, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if s.line = rest; s.up {
			continue
		}
		if _, err := fmt.Fprintf(s.to, "%6.1f s  %s\n", time.Since(s.begun).Seconds(), line); err != nil {
			return 0, err
		}
		s.up = bytes.HasSuffix(line, []byte("everything is up"))
	}
}

// checkout copies the files that git knows or would add, and nothing that it ignores.
func checkout(ctx context.Context, to string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and git does not know yet
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
