package signal_test

import (
	"math"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

func TestDescopeRisk(t *testing.T) {
	score := func(n float64) risk.Observation { return risk.Observation{RiskScore: &n} }
	says := func(bot, vpn risk.Tri) risk.Observation { return risk.Observation{Bot: bot, VPN: vpn} }
	quiet := score(0.1)
	quiet.Bot, quiet.VPN = risk.Yes, risk.Yes
	tunnel := score(0.1)
	tunnel.VPN = risk.Yes
	counts := map[string]any{"vpn": 1.0}
	const none = "Descope's view of the risk was not passed on."
	table(t, "descope_risk", []row{
		{name: "low", o: score(0.1), want: risk.Clear, value: 0.1, evidence: "Descope's risk score is 0.10."},
		{name: "just below", o: score(0.49), want: risk.Clear, value: 0.49, evidence: "Descope's risk score is 0.49."},
		{name: "high", o: score(0.5), want: risk.Fired, value: 0.5, evidence: "Descope's risk score is 0.50."},
		{name: "high later", params: map[string]any{"score": 0.8}, o: score(0.5), want: risk.Clear, value: 0.5, evidence: "Descope's risk score is 0.50."},
		{name: "zero is a score", o: score(0), want: risk.Clear, value: 0.0, evidence: "Descope's risk score is 0.00."},
		{name: "a bot, whatever the score", o: quiet, want: risk.Fired, value: 0.1, evidence: "Descope sees a bot."},
		{name: "a bot", o: says(risk.Yes, risk.Unknown), want: risk.Fired, evidence: "Descope sees a bot."},
		{name: "no bot", o: says(risk.No, risk.Unknown), want: risk.Clear, evidence: "Descope sees no bot, and gives no score."},
		{name: "a VPN does not count", o: tunnel, want: risk.Clear, value: 0.1, evidence: "Descope's risk score is 0.10."},
		{name: "a VPN counts", params: counts, o: tunnel, want: risk.Fired, value: 0.1, evidence: "Descope sees a VPN."},
		{name: "no VPN, where it counts", params: counts, o: says(risk.Unknown, risk.No), want: risk.Clear, evidence: "Descope sees no VPN, and gives no score."},
		{name: "no VPN, where it does not count", o: says(risk.Unknown, risk.No), want: risk.CannotTell, evidence: none},
		{name: "a VPN, where it does not count", o: says(risk.Unknown, risk.Yes), want: risk.CannotTell, evidence: none},
		{name: "a score that is no number", o: score(math.NaN()), want: risk.CannotTell, evidence: none},
		{name: "nothing", o: missing, want: risk.CannotTell, evidence: none},
	})
}
