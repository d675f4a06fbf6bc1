// Consoletest serves the console with made-up policies and decisions (package risktest)
// and doors B and C of its own (package doortest), for working on its pages and for
// testing them.
//
//	consoletest [-addr 127.0.0.1:0] [-role operator] [-static DIR] [-slow 0s]
//
// It writes {"url", "link", "viewer"} to its output when it is up: where the console is,
// a link that signs in with the role, and one for a viewer. For every line that it then
// reads it writes {"link", "viewer"} with new ones. It ends when its input does. At
// /sink/STATUS somebody listens who answers messages with that status.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/console/doortest"
	"github.com/kosmoscope/kosmoscope/internal/console/risktest"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "consoletest:", err)
		os.Exit(1)
	}
}

// sink is somebody else's program, which answers as it is told in its address.
func sink(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(r.PathValue("status"))
	if err != nil || status < 200 || status > 599 {
		status = http.StatusNotFound
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "this is the receiver, and says %d\n", status)
}

func run(ctx context.Context) (err error) {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	role := flag.String("role", "operator", "of the first link")
	dir := flag.String("static", "", "take the built pages from this folder; empty: those that are built in")
	slow := flag.Duration("slow", 0, "how long a replay takes for each login")
	flag.Parse()

	temp, err := os.MkdirTemp("", "consoletest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	db, err := store.OpenSQLite(ctx, filepath.Join(temp, "console.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	risk, err := risktest.New(time.Now)
	if err != nil {
		return err
	}
	risk.Step = func(ctx context.Context, _, _ int) error {
		select {
		case <-time.After(*slow):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	origin := "http://" + l.Addr().String()
	var static fs.FS
	if *dir != "" {
		static = os.DirFS(*dir)
	}
	doors, err := doortest.New(ctx, db, filepath.Join(temp, "master.key"), origin, time.Now)
	if err != nil {
		return err
	}
	if err := doors.MakeKeys(ctx); err != nil {
		return err
	}
	if err := doors.Seed(ctx, time.Now()); err != nil {
		return err
	}
	signin := console.NewSignin(db, risk.Tenants(), time.Now)
	c := console.New(console.Options{
		Signin: signin, Risk: risk, PublicURL: origin, Version: "consoletest", Static: static,
		Federation: doors.Federation, Hooks: doors.Hooks, Deliveries: doors.Deliveries,
		Sources: func() []console.Source {
			return []console.Source{{What: "Places of addresses", Date: "2026-11-01", Attribution: "Made-up places", URL: "https://example.com/places", Origin: "built-in"}}
		},
	})
	defer c.Close()
	links := func() (map[string]string, error) {
		out := map[string]string{}
		for name, role := range map[string]string{"link": *role, "viewer": "viewer"} {
			path, _, err := signin.NewLink(ctx, role, "Ada Lovelace", 0)
			if err != nil {
				return nil, err
			}
			out[name] = origin + path
		}
		return out, nil
	}

	failed := make(chan error, 2)
	mux := http.NewServeMux()
	mux.Handle("/", c)
	mux.HandleFunc("POST /sink/{status}", sink)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	go func() { failed <- server.Serve(l) }()
	first, err := links()
	if err != nil {
		return err
	}
	first["url"] = origin + "/console/"
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(first); err != nil {
		return err
	}
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			more, err := links()
			if err == nil {
				err = out.Encode(more)
			}
			if err != nil {
				failed <- err
				return
			}
		}
		failed <- in.Err()
	}()
	return <-failed
}
