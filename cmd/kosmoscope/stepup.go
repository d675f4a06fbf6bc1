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

type stepUpCmd struct {
	User        string   `required:"" placeholder:"ID" help:"Who has to show their face: the user_identifier of the verification that enrolled them."`
	Selfie      []string `required:"" xor:"face" type:"existingfile" placeholder:"FILE" help:"Photo of the face that is shown; may be repeated. Proves no living person."`
	Head        []string `required:"" xor:"face" type:"existingdir" placeholder:"DIR" help:"Folder of frames to play where a living person is to be shown, as kosmoscope engine specimen --kind head renders it: an injection, which the engine cannot exclude. A stack takes no frame twice; further folders are for further tries."`
	Account     string   `placeholder:"ID" help:"Whose LiveID the device that answers holds (default: that of --user)."`
	Transaction string   `placeholder:"TEXT" help:"What the person agrees to; they read it before they answer."`
	ReasonCode  string   `placeholder:"CODE" help:"Why the caller asks, such as new_device."`

	Document     string   `type:"existingfile" placeholder:"FILE" help:"First verify and enrol --user with this document and --enrol-selfie or --enrol-head. Needed without --ready-file, where nobody is enrolled."`
	DocumentBack string   `type:"existingfile" placeholder:"FILE" help:"Photo of its back, for cards that carry the machine-readable zone there."`
	DocumentType string   `enum:"passport,id_card,drivers_license" default:"passport" help:"What the document is: ${enum}."`
	EnrolSelfie  []string `xor:"enrol" type:"existingfile" placeholder:"FILE" help:"Photo of the face that is enrolled, in a verification that asks for no living person; may be repeated."`
	EnrolHead    []string `xor:"enrol" type:"existingdir" placeholder:"DIR" help:"Frames of the face that is enrolled, in another folder than --head: they are played like those."`

	ReadyFile string        `type:"existingfile" placeholder:"FILE" help:"Use the stack that wrote this file (demo --ready-file) instead of starting one."`
	Models    string        `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	Timeout   time.Duration `default:"2m" help:"Give up after this long."`
	JSON      bool          `name:"json" help:"Print the result node's JSON and nothing else."`
}

// Help is shown under the command's flags.
func (stepUpCmd) Help() string {
	return `Plays three parts over HTTP: the Descope flow that calls the LiveID Step-Up node, the
person who opens the challenge page and shows their face on the authenticator that stands
for the 1Kosmos app, and the flow again that reads the Step-Up Result node. Prints that
node's JSON. The same files are shown again until the authenticator accepts them or lets
nobody try any more.

A stack of its own asks for liveness where --head is given: frames from files are played
as if a camera saw them, four a second and each action when the page asks for it. That is
an injection of rendered frames, which the engine cannot exclude: it tries the way, not
the liveness. With --selfie it asks for none.

Exit status: 0 match, 1 no match, 2 error; refused and expired are errors.`
}

func (c *stepUpCmd) Run(ctx context.Context, s *streams) error {
	if (c.Document == "") != (len(c.EnrolSelfie) == 0 && len(c.EnrolHead) == 0) {
		return hint(errors.New("--document and --enrol-selfie or --enrol-head go together"), "give both to enrol the person first, or neither")
	}
	if c.ReadyFile == "" && c.Document == "" {
		return hint(errors.New("nobody is enrolled in a stack of its own"),
			"enrol the person first with --document FILE --enrol-selfie FILE, or use a running stack with --ready-file FILE")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	progress := stopwatch(s.err, c.JSON)
	liveness := api.LivenessNone
	if len(c.Head) > 0 {
		liveness = api.LivenessActive
	} else if c.ReadyFile == "" {
		progress("step-ups take still photos here, which prove no living person")
	}
	if len(c.Head) > 0 || len(c.EnrolHead) > 0 {
		progress(headWarning)
	}
	r, end, err := useStack(ctx, c.ReadyFile, c.Models, liveness, progress)
	if err != nil {
		return err
	}
	defer end()
	var result json.RawMessage
	if c.Document != "" {
		err = c.enrol(ctx, r, progress)
	}
	if err == nil {
		result, err = c.challenge(ctx, r, progress)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = hint(err, "it took longer than --timeout %s", c.Timeout)
		}
		return err
	}
	if err := printNode(s.out, result); err != nil {
		return err
	}
	var verdict challengeResult
	if err := json.Unmarshal(result, &verdict); err != nil {
		return err
	}
	switch verdict.MatchResult {
	case "match":
		progress("match")
		return nil
	case "no_match":
		progress(fmt.Sprintf("no match (%s)", verdict.Reason))
		return &exit{status: 1}
	}
	return explain(fmt.Errorf("no verdict: %s (%s)", verdict.MatchResult, verdict.Reason), verdict.Reason)
}

// enrol verifies the person first, and has them agree that their face is kept.
func (c *stepUpCmd) enrol(ctx context.Context, r ready, progress func(string)) error {
	prove := proveCmd{
		Document: c.Document, DocumentBack: c.DocumentBack, DocumentType: c.DocumentType, Selfie: c.EnrolSelfie,
		Head: c.EnrolHead, Liveness: api.LivenessNone, UserIdentifier: c.User, Enrol: true,
	}
	if len(c.EnrolHead) > 0 {
		prove.Liveness = api.LivenessActive
	}
	answer, err := prove.verify(ctx, r, progress)
	if err != nil {
		return fmt.Errorf("enrolling: %w", err)
	}
	var v struct {
		Status, Reason string
		Enrolled       *bool
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("enrolling: %w", err)
	}
	if v.Status != "verified" {
		return explain(fmt.Errorf("enrolling: the person is not verified: %s (%s)", v.Status, v.Reason), v.Reason)
	}
	if v.Enrolled == nil || !*v.Enrolled {
		return errors.New("enrolling: the person is verified, but 1Kosmos does not say that their face is kept")
	}
	progress("verified and enrolled")
	return nil
}

// challengeResult is what of the result node's answer matters here.
type challengeResult struct {
	MatchResult string `json:"match_result"`
	Reason      string
}

// challenge runs one step-up and returns the result node's answer as it came.
func (c *stepUpCmd) challenge(ctx context.Context, r ready, progress func(string)) (json.RawMessage, error) {
	flow := &http.Client{Timeout: 30 * time.Second}
	progress("flow: LiveID Step-Up node")
	in := map[string]string{"user_identifier": c.User, "reason_code": c.ReasonCode, "transaction": c.Transaction}
	var started struct {
		ChallengeURL string `json:"challenge_url"`
		ChallengeID  string `json:"challenge_id"`
		Status       string
		Reason       string
		RetryAt      string `json:"retry_at"`
	}
	if err := callNode(ctx, flow, r.BridgeURL+"/descope/v1/stepup", r.Connector.Token, in, &started); err != nil {
		return nil, err
	}
	if started.Status != "pending" {
		text := fmt.Sprintf("the step-up is %s: %s", started.Status, started.Reason)
		if started.RetryAt != "" {
			text += ", again from " + started.RetryAt
		}
		return nil, explain(errors.New(text), started.Reason)
	}

	person, err := newPerson(r.Kosmos.CAFile)
	if err != nil {
		return nil, err
	}
	progress("person: challenge page")
	_, at, err := openPage(ctx, person, started.ChallengeURL)
	if err != nil {
		return nil, fmt.Errorf("challenge page: %w", err)
	}
	// The link is good for one opening; from now on the cookie lets the browser in.
	var result json.RawMessage
	answered, reading := "", false
	err = polling(ctx, func() (bool, error) {
		ask := map[string]string{"challenge_id": started.ChallengeID, "user_identifier": c.User}
		if err := callNode(ctx, flow, r.BridgeURL+"/descope/v1/stepup/result", r.Connector.Token, ask, &result); err != nil {
			return false, err
		}
		var state challengeResult
		if err := json.Unmarshal(result, &state); err != nil || state.MatchResult != "pending" {
			return true, err
		}
		page, _, err := openPage(ctx, person, at.String())
		if err != nil {
			return false, fmt.Errorf("challenge page: %w", err)
		}
		// An upstream session may end before somebody answers it; then the page has
		// another link after a moment.
		if link := openHere(page); link != "" && link != answered {
			answered = link
			if err := c.show(ctx, person, link, progress); err != nil {
				return false, fmt.Errorf("authenticator: %w", err)
			}
			if !reading {
				reading = true
				progress("flow: Step-Up Result node")
			}
		}
		return false, nil
	})
	return result, err
}

// show plays the app: it shows the face to the page that link leads to until that
// page has ended.
func (c *stepUpCmd) show(ctx context.Context, person *http.Client, link string, progress func(string)) error {
	_, at, err := openPage(ctx, person, link)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(at.Path, "/authenticator/") {
		return hint(errors.New("the challenge leads to no page that takes a photo from a file"),
			"only the authenticator of the local 1Kosmos does; answer with the 1Kosmos app instead")
	}
	base := at.Scheme + "://" + at.Host + strings.TrimSuffix(at.EscapedPath(), "/")
	account := c.Account
	if account == "" {
		account = c.User
	}
	var face head
	if len(c.Head) > 0 {
		if face, err = openHead(c.Head...); err != nil {
			return err
		}
	}
	progress("person: authenticator")
	state, err := lookAt(ctx, person, base+"/state")
	for err == nil {
		switch state.State {
		case "match", "refused", "expired":
			if state.Message != "" {
				progress("        " + state.Message)
			}
			if state.ReturnURL == "" {
				return nil
			}
			back, err := at.Parse(state.ReturnURL)
			if err == nil { // to whoever sent the browser here
				_, _, err = openPage(ctx, person, back.String())
			}
			return err
		case "open":
		default:
			return fmt.Errorf("%s (%s)", state.Message, state.Reason)
		}
		switch state.Reason {
		case "liveness_unavailable", "engine_models_missing", "authtype_unsupported", "camera_needed": // no photo changes that
			return explain(fmt.Errorf("%s (%s)", state.Message, state.Reason), state.Reason)
		case "":
		default:
			progress("        " + state.Message)
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
		progress("person: face")
		fields := url.Values{"nonce": {state.Nonce}}
		if state.AccountNeeded {
			fields.Set("account", account)
		}
		if face == nil {
			state, err = submit(ctx, person, base+"/face", fields, c.Selfie...)
			continue
		}
		left := state.AttemptsLeft
		state, err = face.play(ctx, person, base, fields, progress)
		if err == nil && state.Reason == api.ReasonLivenessReplayed && state.AttemptsLeft == left { // and so on without end
			return explain(fmt.Errorf("%s (%s)", state.Message, state.Reason), state.Reason)
		}
	}
	return err
}

// explain adds what to do about a reason, where there is something.
func explain(err error, reason string) error {
	switch reason {
	case "user_unknown", "user_not_enrolled":
		return hint(err, "enrol the person first: add --document FILE and --enrol-selfie FILE or --enrol-head DIR, or run kosmoscope prove --enrol")
	case "enrolment_conflict":
		return hint(err, "another face is enrolled for this user; only an operator may remove it")
	case "too_many_attempts":
		return hint(err, "wait, or look at the audit record: somebody may be guessing")
	case "liveness_unavailable", "camera_needed":
		return hint(err, "photos from files prove no living person; use a stack that accepts them (demo --step-up-liveness none), or "+headHint)
	case "liveness_replayed":
		return hint(err, "this stack has seen these frames before; render another folder with another --seed")
	case "engine_models_missing":
		return hint(err, "run make build: without models nothing can be verified")
	}
	return err
}
