package proof_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestFinishKeepsTheFirstTerminalAnswer(t *testing.T) {
	for _, first := range []proof.Status{proof.Failed, proof.Expired, proof.Abandoned, proof.Verified} {
		for _, second := range []proof.Status{proof.Failed, proof.Expired, proof.Abandoned, proof.Verified} {
			v := &proof.Verification{Status: proof.InProgress}
			if err := v.Finish(noon, first, reasonFor(first)); err != nil {
				t.Fatalf("in_progress -> %s: %v", first, err)
			}
			if err := v.Finish(noon.Add(time.Second), second, reasonFor(second)); proof.CodeOf(err) != proof.CodeConflict {
				t.Errorf("%s -> %s: got %v, want a conflict", first, second, err)
			}
			if v.Status != first || !v.FinishedAt.Equal(noon) {
				t.Errorf("%s -> %s: state changed to %s at %s", first, second, v.Status, v.FinishedAt)
			}
		}
	}
}

func reasonFor(s proof.Status) proof.Reason {
	if s == proof.Verified {
		return ""
	}
	return proof.ReasonProviderRejected
}

// Whatever is tried in whatever order, a terminal state never changes, verified
// comes only out of in_progress, and only verified has no reason.
func TestStateMachine(t *testing.T) {
	statuses := []proof.Status{proof.Pending, proof.InProgress, proof.Verified, proof.Failed, proof.Expired, proof.Abandoned, "nonsense"}
	rapid.Check(t, func(t *rapid.T) {
		v := &proof.Verification{Status: proof.Pending}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			before := *v
			if rapid.Bool().Draw(t, "begin") {
				_ = v.Begin(noon, proof.Passport, proof.Upstream{})
			} else {
				to := rapid.SampledFrom(statuses).Draw(t, "to")
				r := rapid.SampledFrom([]proof.Reason{"", proof.ReasonTimeLimit}).Draw(t, "reason")
				_ = v.Finish(noon, to, r)
			}
			if before.Status.Terminal() && (v.Status != before.Status || v.Reason != before.Reason) {
				t.Fatalf("terminal %s became %s", before.Status, v.Status)
			}
			if v.Status == proof.Verified && before.Status != proof.Verified && before.Status != proof.InProgress {
				t.Fatalf("%s became verified", before.Status)
			}
			if v.Status.Terminal() && (v.Status == proof.Verified) != (v.Reason == "") {
				t.Fatalf("%s with reason %q", v.Status, v.Reason)
			}
		}
	})
}

func TestErrorsKeepTheirCodeAndReasonThroughWrapping(t *testing.T) {
	inner := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamTimeout, Err: errors.New("deadline")}
	wrapped := fmt.Errorf("poll: %w", inner)
	if got := proof.CodeOf(wrapped); got != proof.CodeUpstream {
		t.Errorf("code %s", got)
	}
	if got := proof.ReasonOf(wrapped); got != proof.ReasonUpstreamTimeout {
		t.Errorf("reason %s", got)
	}
	if got := proof.ReasonOf(errors.New("plain")); got != proof.ReasonInternal {
		t.Errorf("a plain error has reason %s", got)
	}
	if got := proof.CodeOf(nil); got != "" {
		t.Errorf("nil has code %s", got)
	}
}
