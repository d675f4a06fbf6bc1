package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// extension is the block named "kosmoscope" that the local 1Kosmos adds to a
// result. 1Kosmos itself sends nothing of the kind: its answers carry neither
// scores nor a framework. Reading it is optional everywhere.
//
// What it says about a success can only take the success back: a block that is
// there and broken, or a check in it that did not pass, leaves no match and no
// verified. Names are read without regard to case, as package json does, and in
// none of its objects may one come twice that way.
type extension struct {
	Reason    string `json:"reason"`
	Framework string `json:"framework"`
	Assessed  *bool  `json:"assessed"`
	Enrolled  *bool  `json:"enrolled"`
	Engine    struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"engine"`
	Checks []struct {
		Name       string   `json:"name"`
		Outcome    string   `json:"outcome"`
		Score      *float64 `json:"score"` // in a unit of the check's own
		Threshold  *float64 `json:"threshold"`
		DurationMS *float64 `json:"duration_ms"`
	} `json:"checks"`
	Evidence []struct {
		Type         string `json:"type"`
		DocumentType string `json:"document_type"`
		Country      string `json:"country"`
	} `json:"evidence"`

	// Of a step-up.
	MatchResult string             `json:"match_result"`
	Score       *float64           `json:"score"` // 0 to 1
	Liveness    proof.LivenessMode `json:"liveness"`
	Session     string             `json:"session"` // that was answered
}

const extensionName = "kosmoscope"

// readExtension returns nil if the answer has no such block; null is none. One
// that is broken is an error, with the reason upstream_malformed: who reads an
// answer that says no anyway may go on without the block, as if it were not
// there, but nobody who reads a success.
//
// A block whose own name is spelled in another case is broken. Of two blocks
// package blockid takes none, and in an ID token the last one counts (RFC 7519, 4).
func readExtension(extra map[string]json.RawMessage) (*extension, error) {
	for name := range extra {
		if name != extensionName && strings.EqualFold(name, extensionName) {
			return nil, brokenBlock(nil)
		}
	}
	raw, ok := extra[extensionName]
	if !ok {
		return nil, nil
	}
	var x *extension // stays nil for null
	if err := json.Unmarshal(raw, &x); err != nil {
		return nil, brokenBlock(nil) // err may quote what it read
	}
	if x == nil {
		return nil, nil
	}
	if err := distinctNames(json.NewDecoder(bytes.NewReader(raw))); err != nil {
		return nil, brokenBlock(err)
	}
	if x.Liveness != "" && !x.Liveness.Valid() {
		return nil, brokenBlock(errors.New("liveness of no known mode"))
	}
	if s := x.Score; s != nil && !(*s >= 0 && *s <= 1) {
		return nil, brokenBlock(errors.New("score outside 0 to 1"))
	}
	for _, c := range x.Checks {
		if !slices.Contains([]proof.CheckOutcome{proof.CheckPass, proof.CheckFail, proof.CheckCannotTell}, proof.CheckOutcome(c.Outcome)) {
			return nil, brokenBlock(errors.New("check of no known outcome"))
		}
	}
	return x, nil
}

func brokenBlock(err error) error {
	return &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed, Message: "the block \"kosmoscope\" of an answer cannot be read", Err: err}
}

// distinctNames refuses the next JSON value of dec, which is known to be well
// formed, if one of its objects has two names that package json takes for one:
// what such a block says would depend on the reader.
func distinctNames(dec *json.Decoder) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	object := t == json.Delim('{')
	if !object && t != json.Delim('[') {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if object {
			if t, err = dec.Token(); err != nil {
				return err
			}
			name, _ := t.(string)
			if name = foldedName(name); seen[name] {
				return errors.New("a name comes twice")
			}
			seen[name] = true
		}
		if err := distinctNames(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the closing one
	return err
}

// foldedName is the same for all names that package json takes for one.
func foldedName(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

// reason is the engine's own, if there is a block with one that we know.
func (x *extension) reason() proof.Reason {
	if x == nil || !proof.Reason(x.Reason).Known() {
		return ""
	}
	return proof.Reason(x.Reason)
}

// outcome adds what the block says. Checks that came otherwise stay: a failed one
// is not made undone by a block that leaves it out.
func (x *extension) outcome(o *proof.Outcome) {
	if x.Framework != "" {
		o.Framework = x.Framework
	}
	o.Assessed, o.Enrolled = x.Assessed, x.Enrolled
	if x.Engine.Name != "" {
		o.Engine = x.Engine.Name + " " + x.Engine.Version
	}
	for _, c := range x.Checks {
		o.Checks = append(o.Checks, proof.Check{Name: c.Name, Outcome: proof.CheckOutcome(c.Outcome), Score: c.Score, Threshold: c.Threshold, DurationMS: c.DurationMS})
	}
	for _, e := range x.Evidence {
		o.Evidence = append(o.Evidence, proof.Evidence{Type: e.Type, DocumentType: proof.DocumentType(e.DocumentType), Country: e.Country})
	}
}
