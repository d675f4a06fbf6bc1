package signal_test

import (
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestRecentProofing(t *testing.T) {
	ago := func(d time.Duration, by string) risk.Observation {
		return risk.Observation{ProofingKnown: true, ProofedAt: now.Add(-d), ProofedBy: by}
	}
	unsure := ago(time.Hour, "challenge")
	unsure.ProofingKnown = false
	table(t, "recent_proofing", []row{
		{name: "an hour ago", o: ago(90*time.Minute, "verification"), want: risk.Fired, value: 1.5, evidence: "The person proved who they are 90 minutes ago."},
		{name: "just now", o: ago(59*time.Second, "challenge"), want: risk.Fired, value: 59. / 3600, evidence: "The person showed their face less than a minute ago."},
		{name: "a minute ago", o: ago(80*time.Second, "verification"), want: risk.Fired, value: 80. / 3600, evidence: "The person proved who they are 1 minute ago."},
		{name: "two minutes ago", o: ago(90*time.Second, "verification"), want: risk.Fired, value: 90. / 3600, evidence: "The person proved who they are 2 minutes ago."},
		{name: "a face, an hour ago", o: ago(time.Hour, "challenge"), want: risk.Fired, value: 1.0, evidence: "The person showed their face 60 minutes ago."},
		{name: "a day ago", o: ago(24*time.Hour, "verification"), want: risk.Fired, value: 24.0, evidence: "The person proved who they are 24 hours ago."},
		{name: "a day and a bit", o: ago(25*time.Hour, "verification"), want: risk.Clear, value: 25.0, evidence: "The person proved who they are 25 hours ago."},
		{name: "a week is lately", params: map[string]any{"hours": 168.0}, o: ago(72*time.Hour, "verification"), want: risk.Fired, value: 72.0, evidence: "The person proved who they are 3 days ago."},
		{name: "never", o: risk.Observation{ProofingKnown: true}, want: risk.Clear, evidence: "The person has not proved who they are, as far as we know."},
		{name: "not looked up", o: unsure, want: risk.CannotTell, evidence: "Whether the person has proved who they are was not looked up."},
		{name: "nothing", o: missing, want: risk.CannotTell, evidence: "Whether the person has proved who they are was not looked up."},
	})
}
