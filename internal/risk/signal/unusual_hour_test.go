package signal_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestUnusualHour(t *testing.T) {
	share := func(share float64, samples int) risk.Observation {
		return risk.Observation{HourShare: share, HourSamples: samples}
	}
	table(t, "unusual_hour", []row{
		{name: "usual", o: share(0.8, 40), want: risk.Clear, value: 80.0, evidence: "80 % of 40 earlier logins were at about 12:30 UTC."},
		{name: "never yet", o: share(0, 20), want: risk.Fired, value: 0.0, evidence: "0 % of 20 earlier logins were at about 12:30 UTC."},
		{name: "hardly ever", o: share(0.02, 200), want: risk.Fired, value: 2.0, evidence: "2 % of 200 earlier logins were at about 12:30 UTC."},
		{name: "now and then", o: share(0.03, 200), want: risk.Clear, value: 3.0, evidence: "3 % of 200 earlier logins were at about 12:30 UTC."},
		{name: "now and then is not enough", params: map[string]any{"share": 10.0}, o: share(0.03, 200), want: risk.Fired, value: 3.0, evidence: "3 % of 200 earlier logins were at about 12:30 UTC."},
		{name: "too few to tell", o: share(0, 19), want: risk.CannotTell, evidence: "Too few logins are known to tell (19)."},
		{name: "fewer will do", params: map[string]any{"samples": 5.0}, o: share(0, 5), want: risk.Fired, value: 0.0, evidence: "0 % of 5 earlier logins were at about 12:30 UTC."},
		{name: "none", o: missing, want: risk.CannotTell, evidence: "Too few logins are known to tell (0)."},
	})
}
