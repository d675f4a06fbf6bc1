package upstream

import (
	"encoding/json"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// extension is the block named "kosmoscope" that the local 1Kosmos adds to a
// result. 1Kosmos itself sends nothing of the kind: its answers carry neither
// scores nor a framework. Reading it is optional everywhere.
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
		Score      *float64 `json:"score"`
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
	Score       *float64           `json:"score"`
	Liveness    proof.LivenessMode `json:"liveness"`
	Session     string             `json:"session"` // that was answered
}

const extensionName = "kosmoscope"

// readExtension returns nil if the answer has no such block or one that we do not understand.
func readExtension(extra map[string]json.RawMessage) *extension {
	raw, ok := extra[extensionName]
	if !ok {
		return nil
	}
	var x extension
	if json.Unmarshal(raw, &x) != nil {
		return nil
	}
	return &x
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
	o.Framework, o.Assessed, o.Enrolled = x.Framework, x.Assessed, x.Enrolled
	if x.Engine.Name != "" {
		o.Engine = x.Engine.Name + " " + x.Engine.Version
	}
	for _, c := range x.Checks {
		outcome := proof.CheckOutcome(c.Outcome)
		if outcome != proof.CheckPass && outcome != proof.CheckFail {
			outcome = proof.CheckCannotTell
		}
		o.Checks = append(o.Checks, proof.Check{Name: c.Name, Outcome: outcome, Score: c.Score, Threshold: c.Threshold, DurationMS: c.DurationMS})
	}
	for _, e := range x.Evidence {
		o.Evidence = append(o.Evidence, proof.Evidence{Type: e.Type, DocumentType: proof.DocumentType(e.DocumentType), Country: e.Country})
	}
}
