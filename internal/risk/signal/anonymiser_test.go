package signal_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestAnonymiser(t *testing.T) {
	listed := func(name string, listed bool) risk.Observation {
		return public(func(o *risk.Observation) { o.Anonymiser, o.Listed = name, listed })
	}
	table(t, "anonymiser", []row{
		{name: "on the list", o: listed("Tor exit", true), want: risk.Fired, evidence: "78.55.20.10 (Home Net, AS6805) is on the list of anonymisers as Tor exit."},
		{name: "not on the list", o: listed("", true), want: risk.Clear, evidence: "78.55.20.10 (Home Net, AS6805) is not on the list of anonymisers."},
		{name: "no list", o: listed("", false), want: risk.CannotTell, evidence: "There is no list of anonymisers."},
		{name: "private", o: private, want: risk.CannotTell, evidence: isPrivate},
		{name: "bad", o: bad, want: risk.CannotTell, evidence: isBad},
		{name: "missing", o: missing, want: risk.CannotTell, evidence: isMissing},
	})
}
