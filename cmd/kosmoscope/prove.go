package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

type proveCmd struct {
	Document       string        `required:"" type:"existingfile" placeholder:"FILE" help:"Photo of the document: its front, or the page with the portrait."`
	DocumentBack   string        `type:"existingfile" placeholder:"FILE" help:"Photo of the back, for cards that carry the machine-readable zone there."`
	Selfie         []string      `required:"" xor:"face" type:"existingfile" placeholder:"FILE" help:"Photo of the person's face; may be repeated. Proves no living person, so it goes with --liveness none."`
	Head           []string      `required:"" xor:"face" type:"existingdir" placeholder:"DIR" help:"Folder of frames to play where a living person is to be shown, as kosmoscope engine specimen --kind head renders it: an injection, which the engine cannot exclude. A stack takes no frame twice; further folders are for further tries."`
	DocumentType   string        `enum:"passport,id_card,drivers_license" default:"passport" help:"What the document is: ${enum}."`
	Liveness       string        `placeholder:"MODE" help:"Liveness mode to ask for: none, passive or active. Without it the bridge's default applies, in a stack of its own active, which still photos cannot meet."`
	UserIdentifier string        `placeholder:"ID" help:"Whom the caller means; the stand-in knows ada (IAL2), bob (IAL1) and cora."`
	GivenName      string        `placeholder:"NAME" help:"What the caller expects the given name to be."`
	FamilyName     string        `placeholder:"NAME" help:"What the caller expects the family name to be."`
	BirthDate      string        `placeholder:"YYYY-MM-DD" help:"What the caller expects the birth date to be."`
	Enrol          bool          `help:"Tick the box that keeps the face for step-ups; needs --user-identifier."`
	ReadyFile      string        `type:"existingfile" placeholder:"FILE" help:"Use the stack that wrote this file (demo --ready-file) instead of starting one."`
	Models         string        `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	Timeout        time.Duration `default:"2m" help:"Give up after this long."`
	JSON           bool          `name:"json" help:"Print the result node's JSON and nothing else."`
}

// Help is shown under the command's flags.
func (proveCmd) Help() string {
	return `Plays three parts over HTTP: the Descope flow that calls the IDV node, the person who
consents on the hand-off page and hands in photos on the capture page, and the flow again
that reads the IDV Result node. Prints that node's JSON. With --enrol the person also
agrees that their face is kept, so that kosmoscope stepup can recognise them; enrolled in
the JSON says whether it is.

Where a living person is to be shown, --head plays frames from files as if a camera saw
them, four a second and each action when the page asks for it. That is an injection of
rendered frames, which the engine cannot exclude: it tries the way, not the liveness.

Exit status: 0 verified, 1 not verified, 2 error.`
}

func (c *proveCmd) Run(ctx context.Context, s *streams) (err error) {
	if c.Enrol && c.UserIdentifier == "" {
		return hint(fmt.Errorf("--enrol needs to know for whom the face is kept"), "add --user-identifier ID")
	}
	if len(c.Head) > 0 && c.Liveness != "" && c.Liveness != api.LivenessActive {
		return hint(fmt.Errorf("--head shows a living person, which --liveness %s does not ask for", c.Liveness), "leave --liveness away, or give photos with --selfie FILE")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	progress := stopwatch(s.err, c.JSON)
	if len(c.Head) > 0 {
		progress(headWarning)
	}
	r, end, err := useStack(ctx, c.ReadyFile, c.Models, api.LivenessActive, progress)
	if err != nil {
		return err
	}
	defer end()
	result, err := c.verify(ctx, r, progress)
	if err != nil {
		if ctx.Err() != nil {
			err = hint(err, "it took longer than --timeout %s", c.Timeout)
		}
		return err
	}
	if err := printNode(s.out, result); err != nil {
		return err
	}
	var verdict struct{ Status, Reason string }
	if err := json.Unmarshal(result, &verdict); err != nil {
		return err
	}
	if verdict.Status == "verified" {
		progress("verified")
		return nil
	}
	progress(fmt.Sprintf("not verified: %s (%s)", verdict.Status, verdict.Reason))
	if (verdict.Reason == api.ReasonLivenessUnavailable || verdict.Reason == api.ReasonLivenessWeak) && !c.JSON {
		fmt.Fprintln(s.err, "hint: "+livelyHint)
	}
	return &exit{status: 1}
}

// verify runs one verification and returns the result node's answer as it came.
func (c *proveCmd) verify(ctx context.Context, r ready, progress func(string)) (json.RawMessage, error) {
	flow := &http.Client{Timeout: 30 * time.Second}
	progress("flow: IDV node")
	in := map[string]any{"document_types": []string{c.DocumentType}}
	if c.Liveness != "" {
		in["liveness_mode"] = c.Liveness
	}
	if c.UserIdentifier != "" {
		in["user_identifier"] = c.UserIdentifier
	}
	expected := map[string]string{}
	for name, value := range map[string]string{"given_name": c.GivenName, "family_name": c.FamilyName, "birth_date": c.BirthDate} {
		if value != "" {
			expected[name] = value
		}
	}
	if len(expected) > 0 {
		in["expected"] = expected
	}
	start, err := startVerification(ctx, flow, r.BridgeURL, r.Connector.Token, in)
	if err != nil {
		return nil, err
	}

	progress("person: hand-off page, consent")
	person, err := newPerson(r.Kosmos.CAFile)
	if err != nil {
		return nil, err
	}
	capture, err := consent(ctx, person, start, c.DocumentType)
	if err != nil {
		return nil, err
	}
	if capture != "" {
		if err := c.capture(ctx, person, capture, progress); err != nil {
			return nil, err
		}
	}

	progress("flow: IDV Result node")
	var result json.RawMessage
	err = polling(ctx, func() (bool, error) {
		if err := callNode(ctx, flow, r.BridgeURL+"/descope/v1/idv/result", r.Connector.Token, map[string]string{"session_id": start.SessionID}, &result); err != nil {
			return false, err
		}
		var state struct{ Status string }
		err := json.Unmarshal(result, &state)
		return state.Status != "pending", err
	})
	return result, err
}

// consent opens the link as a browser would, agrees, and returns the address of
// the capture page; "" if the verification ended there.
func consent(ctx context.Context, person *http.Client, start started, documentType string) (string, error) {
	page, at, err := openPage(ctx, person, start.SessionURL)
	if err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	if err := agree(ctx, person, page, at, "/consent", url.Values{"document_type": {documentType}, "consent": {"yes"}}); err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	if page, _, err = openPage(ctx, person, at.String()); err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	return openHere(page), nil
}

// livelyHint is what to do where photos prove no living person.
const livelyHint = "photos from files prove no living person; add --liveness none to accept them, or " + headHint

// capture hands the photos in and asks for judgement, whatever guidance comes
// back: a file cannot be taken again.
func (c *proveCmd) capture(ctx context.Context, person *http.Client, page string, progress func(string)) error {
	start := url.Values{}
	if c.Enrol {
		start.Set("enrol", "yes")
	}
	steps := []struct {
		action string
		fields url.Values
		files  []string
	}{
		{"start", start, nil},
		{"document", url.Values{"side": {"front"}}, []string{c.Document}},
		{"document", url.Values{"side": {"back"}}, []string{c.DocumentBack}},
		{"selfie", nil, c.Selfie},
	}
	var face head
	if len(c.Head) > 0 {
		var err error
		if face, err = openHead(c.Head...); err != nil {
			return err
		}
		steps = steps[:3]
	}
	for _, step := range steps {
		side := step.fields.Get("side")
		if side == "back" && c.DocumentBack == "" {
			continue
		}
		progress("person: " + strings.TrimSpace(step.action+" "+side))
		state, err := submit(ctx, person, page+"/"+step.action, step.fields, step.files...)
		if err != nil {
			return fmt.Errorf("capture page, %s: %w", step.action, err)
		}
		if state.Message != "" {
			progress("        " + state.Message)
		}
		if state.Reason == "camera_needed" {
			return hint(errors.New(state.Message), livelyHint)
		}
		if state.ended() {
			return nil
		}
	}
	var shown pageState // what the last sequence came to
	for again := face != nil; again; {
		progress("person: in front of the camera")
		state, err := face.play(ctx, person, page, url.Values{}, progress)
		if err != nil {
			return fmt.Errorf("capture page, live: %w", err)
		}
		if state.Message != "" {
			progress("        " + state.Message)
		}
		if state.ended() {
			return nil
		}
		if state.Action == "" && state.Reason != "attempts_exhausted" { // it did not even begin
			return explain(fmt.Errorf("%s (%s)", state.Message, state.Reason), state.Reason)
		}
		shown, again = state, state.again()
	}
	progress("person: submit")
	state, err := submit(ctx, person, page+"/submit", nil)
	if err != nil {
		return fmt.Errorf("capture page, submit: %w", err)
	}
	if state.Reason != "" && !state.ended() && shown.Over { // the sequence that is missing
		state = shown
	}
	if state.Reason != "" && !state.ended() { // nothing is judged, and nobody would wait for it
		return explain(fmt.Errorf("%s (%s)", state.Message, state.Reason), state.Reason)
	}
	return nil
}
