package signal_test

import (
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestDormantAccount(t *testing.T) {
	const day = 24 * time.Hour
	ago := func(d time.Duration) risk.Observation { return risk.Observation{LastLogin: now.Add(-d)} }
	table(t, "dormant_account", []row{
		{name: "yesterday", o: ago(day), want: risk.Clear, value: 1.0, evidence: "The last login that ended well was 24 hours ago."},
		{name: "89 days", o: ago(89 * day), want: risk.Clear, value: 89.0, evidence: "The last login that ended well was 89 days ago."},
		{name: "90 days", o: ago(90 * day), want: risk.Fired, value: 90.0, evidence: "The last login that ended well was 90 days ago."},
		{name: "years", o: ago(1000 * day), want: risk.Fired, value: 1000.0, evidence: "The last login that ended well was 1000 days ago."},
		{name: "a week is long", params: map[string]any{"days": 7.0}, o: ago(7*day + 12*time.Hour), want: risk.Fired, value: 7.5, evidence: "The last login that ended well was 8 days ago."},
		{name: "clocks disagree", o: ago(-time.Hour), want: risk.Clear, value: 0.0, evidence: "The last login that ended well was less than a minute ago."},
		{name: "the first login ever", o: missing, want: risk.CannotTell, evidence: "No earlier login is known."},
	})
}
