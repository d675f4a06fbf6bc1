//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// stepUpFigures are those of the two nodes of the step-up. The same backend
// calls that the Step-Up node makes are made without it first, beside the same
// other calls.
type stepUpFigures struct {
	Store   string    `json:"store"`
	People  int       `json:"enrolled_people"`
	Backend phase     `json:"backend"`
	Nodes   phase     `json:"nodes"`
	Adds    float64   `json:"step_up_adds_p99_ms"` // p99 of the node less p99 of the backend calls
	AddsP50 float64   `json:"step_up_adds_p50_ms"`
	Open    openPhase `json:"open"`
}

// enrolledPeople is how many have a LiveID at the local 1Kosmos. Enrolling one is
// a whole verification, so they are few; but the bridge lets step-ups of one person
// wait for each other, so they are not too few.
const enrolledPeople = 16

// people are the usernames of those who are enrolled.
type people []string

// user gives the i-th of very many users. 1Kosmos' usernames that differ in the
// case of letters alone are one user there, and user identifiers at the bridge
// are never the same: so a few people stand for many.
func (p people) user(i int) string {
	name := []byte(p[i%len(p)])
	i /= len(p)
	for k, c := range name {
		if c >= 'a' && c <= 'z' {
			if i&1 == 1 {
				name[k] -= 'a' - 'A'
			}
			i >>= 1
		}
	}
	return string(name)
}

// longest is how long a challenge is open that is to outlast the measuring; it
// is the most that the bridge allows a caller.
const longest = 15 * time.Minute

// measureStepUp enrols some people at the local 1Kosmos, then measures the nodes
// and the many open challenges at a bridge of its own each.
func (o *options) measureStepUp(ctx context.Context, log io.Writer, scratch, file, photos string) (*stepUpFigures, error) {
	f := &stepUpFigures{Store: o.store, People: enrolledPeople}
	progress(fmt.Sprintf("enrolling %d people", enrolledPeople))
	var all people
	for i := range enrolledPeople {
		user := fmt.Sprintf("somebody.enrolled-%d@example.com", i)
		if err := enrol(ctx, o.program, file, photos, user); err != nil {
			return nil, err
		}
		all = append(all, user)
	}
	if err := o.callStepUp(ctx, log, scratch, file, photos, all, f); err != nil {
		return nil, err
	}
	return f, o.holdOpen(ctx, log, scratch, file, all, &f.Open)
}

// roomy is the configuration of the bridges that step-ups are measured at: the
// program's own times instead of the demo's quicker ones, and limits that
// everybody at one address does not reach.
func roomy(config map[string]any) error {
	tenants, _ := config["tenants"].([]any)
	if len(tenants) != 1 {
		return errors.New("the demo has not one tenant")
	}
	tenant, _ := tenants[0].(map[string]any)
	stepUp, _ := tenant["step_up"].(map[string]any)
	if stepUp == nil {
		return errors.New("the demo's tenant says nothing of step-ups")
	}
	delete(tenant, "poll")
	stepUp["poll"] = "2s"
	stepUp["limits"] = map[string]any{
		"subject_starts": map[string]any{"max": 1_000_000, "per": "10m"},
		"network_opens":  map[string]any{"max": 1_000_000, "per": "10m"},
	}
	return nil
}

// callStepUp drives the backend alone, then both nodes.
func (o *options) callStepUp(ctx context.Context, log io.Writer, scratch, file, photos string, all people, f *stepUpFigures) error {
	b, err := another(ctx, log, o.program, scratch, file, "stepup", o.store, roomy)
	if err != nil {
		return err
	}
	defer b.stop()
	progress("finishing two step-ups")
	judgedOnes, err := judge(ctx, o.program, b.file, photos, all.user(0))
	if err != nil {
		return err
	}
	n := newNodes(b.ready)
	var open []judged
	for i := range pendingSessions {
		c, err := n.stepUp(ctx, all.user(i), longest)
		if err != nil {
			return err
		}
		open = append(open, judged{ChallengeID: c.ChallengeID, MatchResult: "pending"})
	}
	backend, err := directly(b.ready)
	if err != nil {
		return err
	}
	if err := backend(ctx, all.user(0)); err != nil { // which also finds and keeps keys and addresses
		return err
	}
	// Every other one for somebody new, the rest for those whose challenges are
	// open: within the limits for one user, unless it goes on for longer than usual.
	kinds := []string{"a new user", "a known user"}
	user := func(i int) string {
		if i%2 == 0 {
			return all.user(pendingSessions + i/2)
		}
		return all.user(i / 2 % pendingSessions)
	}
	others := []stream{
		{name: "Step-Up Result", kind: func(i int) string { return []string{"pending", "finished"}[i%2] },
			call: func(ctx context.Context, i int) error {
				of := [2][]judged{open, judgedOnes}[i%2]
				return n.stepUpResult(ctx, of[i/2%len(of)])
			}},
		{name: "health", call: func(ctx context.Context, _ int) error { return n.health(ctx) }},
	}
	alone := stream{name: "backend", call: func(ctx context.Context, i int) error { return backend(ctx, user(i)) }}
	if f.Backend, err = o.phase(ctx, "the backend calls of Step-Up alone, Step-Up Result, health", b.ready, b.pid, o.rate, o.duration, append([]stream{alone}, others...)...); err != nil {
		return err
	}
	node := stream{name: "Step-Up", kind: func(i int) string { return kinds[i%2] }, call: func(ctx context.Context, i int) error {
		_, err := n.stepUp(ctx, user(i), 0)
		return err
	}}
	if f.Nodes, err = o.phase(ctx, "Step-Up, Step-Up Result, health", b.ready, b.pid, o.rate, o.duration, append([]stream{node}, others...)...); err != nil {
		return err
	}
	with, without := f.Nodes.total("Step-Up"), f.Backend.total("backend")
	f.Adds, f.AddsP50 = with.P99-without.P99, with.P50-without.P50
	return nil
}

// directly makes the backend calls of a Step-Up by the very code of the bridge,
// package upstream over package blockid, and with as many connections.
func directly(r ready) (open func(ctx context.Context, user string) error, err error) {
	pem, err := os.ReadFile(r.Kosmos.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the local 1Kosmos has no certificate authority")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConnsPerHost = nil, 64
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	kosmos := upstream.Connect(blockid.Config{
		DNS: r.Kosmos.DNS, Community: r.Kosmos.Community, LicenseKey: r.Kosmos.LicenseKey, AppID: "bench",
		HTTPClient: &http.Client{Transport: transport, Timeout: time.Minute},
	}, func(_ context.Context, curve blockid.Curve) (*blockid.PrivateKey, error) {
		return blockid.GenerateKey(curve)
	})
	uwl := upstream.NewUWL(kosmos, 0, time.Now)
	return func(ctx context.Context, user string) error {
		s, err := uwl.Open(ctx, journey.OpenStepUp{
			Application: "Demo shop", MaskedAccount: "be***@example.com",
			Request: proof.ChallengeRequest{UserIdentifier: user, ReasonCode: reasonCode, Transaction: transaction},
		})
		if err == nil && s.URL == "" {
			err = errors.New("a session without an address")
		}
		return err
	}, nil
}

// enrol proves a person through the whole program and has their face kept.
func enrol(ctx context.Context, program, readyFile, photos, user string) error {
	var v struct {
		Status, Reason string
		Enrolled       bool
	}
	err := run(ctx, program, &v, "prove", "--ready-file", readyFile, "--liveness", "none", "--user-identifier", user, "--enrol",
		"--document", filepath.Join(photos, "passport.jpg"), "--selfie", filepath.Join(photos, "selfie.jpg"))
	if err == nil && (v.Status != "verified" || !v.Enrolled) {
		err = fmt.Errorf("prove --enrol gave %q (%s), enrolled: %t", v.Status, v.Reason, v.Enrolled)
	}
	return err
}

// judge runs two step-ups through the whole program: as the person and as another.
func judge(ctx context.Context, program, readyFile, photos, user string) ([]judged, error) {
	var out []judged
	for _, c := range []struct{ photo, result string }{{"selfie", "match"}, {"other", "no_match"}} {
		var j judged
		if err := run(ctx, program, &j, "stepup", "--ready-file", readyFile, "--user", user, "--selfie", filepath.Join(photos, c.photo+".jpg")); err != nil {
			return nil, err
		}
		if j.MatchResult != c.result {
			return nil, fmt.Errorf("stepup gave %q (%s) where %q is right", j.MatchResult, j.Reason, c.result)
		}
		out = append(out, j)
	}
	return out, nil
}
