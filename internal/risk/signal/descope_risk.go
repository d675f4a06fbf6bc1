package signal

import (
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

var descopeRisk = Signal{
	Name: "descope_risk", Title: "Descope's own score", Weight: 50, Unit: "score (0 to 1)",
	Help: "Fires when Descope's risk score is high, when it sees a bot or, if you want, a VPN. Cannot tell if the flow says none of these.",
	Asks: "Descope sees a risk",
	Params: []Param{
		{Name: "score", Title: "High from", Kind: Number, Number: 0.5, Min: 0.01, Max: 1},
		{Name: "vpn", Title: "A VPN counts", Help: "1: yes. 0: no. Many people use one all day.", Kind: Number, Max: 1},
	},
	Bind: func(p Params) func(*risk.Observation) risk.Reading {
		score, vpn := p.number("score"), p.number("vpn") >= 0.5
		return func(o *risk.Observation) risk.Reading { return readDescope(o, score, vpn) }
	},
}

func readDescope(o *risk.Observation, high float64, vpn bool) risk.Reading {
	score := o.RiskScore
	if score != nil && !finite(*score) {
		score = nil
	}
	r := risk.Reading{Signal: "descope_risk", Outcome: risk.Clear, Value: score}
	switch {
	case o.Bot == risk.Yes:
		r.Outcome, r.Evidence = risk.Fired, "Descope sees a bot."
	case score != nil && *score >= high:
		r.Outcome, r.Evidence = risk.Fired, fmt.Sprintf("Descope's risk score is %.2f.", *score)
	case vpn && o.VPN == risk.Yes:
		r.Outcome, r.Evidence = risk.Fired, "Descope sees a VPN."
	case score != nil:
		r.Evidence = fmt.Sprintf("Descope's risk score is %.2f.", *score)
	case o.Bot == risk.No:
		r.Evidence = "Descope sees no bot, and gives no score."
	case vpn && o.VPN == risk.No:
		r.Evidence = "Descope sees no VPN, and gives no score."
	default:
		r.Outcome, r.Evidence = risk.CannotTell, "Descope's view of the risk was not passed on."
	}
	return r
}
