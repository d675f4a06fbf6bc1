package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the build.
var version = "dev"

type cli struct {
	Serve     serveCmd    `cmd:"" help:"Run the bridge: the doors that Descope calls and the pages that people see."`
	Demo      demoCmd     `cmd:"" help:"Run everything on this machine with generated credentials: shop, local Descope, bridge, local 1Kosmos, engine."`
	Prove     proveCmd    `cmd:"" help:"Verify one person from files, end to end, as a Descope flow would."`
	StepUp    stepUpCmd   `cmd:"" name:"stepup" help:"Have one person show their face from files, end to end, as a Descope flow would."`
	Explain   explainCmd  `cmd:"" help:"Show why a login was let through, asked for a face, or refused."`
	Console   consoleCmd  `cmd:"" help:"The operator's pages: policy, decisions, relying parties, rules, deliveries."`
	Rules     rulesCmd    `cmd:"" help:"What events lead to what."`
	Endpoint  endpointCmd `cmd:"" help:"Other tools that are told of what happens."`
	Erase     eraseCmd    `cmd:"" help:"Forget a person: drop the key that everything about them is sealed under."`
	RotateKey rotateCmd   `cmd:"" help:"Add a new master key; what older ones sealed still opens. A running bridge takes it up by itself."`
	Engine    engineCmd   `cmd:"" help:"The document and face engine and its models."`
	Flows     flowsCmd    `cmd:"" help:"The Descope flows that a customer imports: list them, and build them anew from their names."`
	Sandbox   sandboxCmd  `cmd:"" help:"Local stand-ins for the vendors."`
	Specimen  specimenCmd `cmd:"" help:"Render a synthetic passport, identity card or driving licence to try things with."`
	Version   versionCmd  `cmd:"" help:"Print the version."`
}

// exit is an error that carries the program's exit status. An empty text prints nothing.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// hinted is an error with a line that says what to do about it.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without its process. It exits with 0 for success, 2 for errors,
// and whatever else a command says of itself.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("kosmoscope"),
		kong.Description("Puts 1Kosmos identity proofing into Descope."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(n int) { code = n }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&streams{stdout, stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "kosmoscope:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if code >= 0 { // --help
		return code
	}
	if err == nil {
		err = k.Run()
	}
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(stderr, "kosmoscope: interrupted")
		return 130
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "kosmoscope:", text)
	}
	if h, ok := errors.AsType[*hinted](err); ok {
		fmt.Fprintln(stderr, "hint:", h.hint)
	}
	if e, ok := errors.AsType[*exit](err); ok {
		return e.status
	}
	if _, ok := errors.AsType[*kong.ParseError](err); ok {
		fmt.Fprintln(stderr, "hint: kosmoscope --help lists the commands")
	}
	return 2
}

type streams struct{ out, err io.Writer }

type versionCmd struct{}

func (versionCmd) Run(s *streams) error {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "dev" {
		v = info.Main.Version
	}
	fmt.Fprintln(s.out, v)
	return nil
}

// logger writes JSON lines; what is logged holds no personal data.
func logger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // checked where the configuration is read; info otherwise
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
