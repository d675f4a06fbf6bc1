package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

const (
	riskPath    = "/descope/v1/risk"
	outcomePath = "/descope/v1/risk/outcome"
)

// weigher is a Risk that remembers what it was asked.
type weigher struct {
	answer decide.Answer
	ended  decide.Ended
	err    error
	block  bool
	caller proof.Caller
	asked  []decide.Request
	told   []string
}

func (w *weigher) Evaluate(ctx context.Context, who proof.Caller, r decide.Request) (decide.Answer, error) {
	w.caller = who
	w.asked = append(w.asked, r)
	if w.block {
		<-ctx.Done()
		return decide.Answer{}, ctx.Err()
	}
	return w.answer, w.err
}

func (w *weigher) End(_ context.Context, who proof.Caller, id, user, outcome string) (decide.Ended, error) {
	w.caller = who
	w.told = append(w.told, id+" "+user+" "+outcome)
	switch {
	case w.err != nil:
		return decide.Ended{}, w.err
	case id != mineID, user != "" && user != mineUser:
		return decide.Ended{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownDecision, Message: "no such decision " + id}
	}
	return w.ended, nil
}

func riskHandler(t testing.TB, r connector.Risk, log *slog.Logger) http.Handler {
	t.Helper()
	reg, err := callers.New([]callers.Config{{ID: "descope", Tenant: "acme", Application: "Acme Shop", Bearer: token}}, callers.Options{PublicURL: "https://bridge.acme.test"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := connector.New(connector.Options{Proofing: &core{}, Risk: r, Callers: reg, Logger: log, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func stepUpDecision() decide.Answer {
	return decide.Answer{DecisionID: mineID, Verdict: risk.StepUp, Score: num(55.5), Reasons: []risk.Reason{"new_device", "geo_anomaly"}, PolicyApplication: "shop", PolicyVersion: 3}
}

// TestRiskAnswers holds one golden answer for each kind of decision.
func TestRiskAnswers(t *testing.T) {
	for name, a := range map[string]decide.Answer{
		"step_up":  stepUpDecision(),
		"allow":    {DecisionID: mineID, Verdict: risk.Allow, Score: num(0)},
		"deny":     {DecisionID: mineID, Verdict: risk.Deny, Reasons: []risk.Reason{"velocity"}, PolicyVersion: 1},
		"failed":   {DecisionID: mineID, Verdict: risk.StepUp, Reasons: []risk.Reason{risk.ReasonEvaluationFailed}},
		"made_up":  {DecisionID: mineID, Verdict: "pass", Reasons: []risk.Reason{}},
		"nothing":  {DecisionID: mineID},
		"as_allow": {DecisionID: mineID, Verdict: "ALLOW"},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(riskHandler(t, &weigher{answer: a}, nil), riskPath, `{"user_identifier":"U2abc"}`)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			golden(t, "risk_"+name, w.Body.Bytes())
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			if len(out) != 7 {
				t.Errorf("%d members: %s", len(out), w.Body)
			}
			if (out["decision"] == "allow") != (a.Verdict == risk.Allow) {
				t.Errorf("%q became %v", a.Verdict, out["decision"])
			}
		})
	}
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestRiskRequest(t *testing.T) {
	c := &weigher{answer: stepUpDecision()}
	w := post(riskHandler(t, c, nil), riskPath, `{
		"user_identifier": "U2abc", "ip": "192.0.2.7", "user_agent": "Mozilla/5.0", "application": "shop", "scopes": ["openid", "orders:refund", "openid"],
		"known_device": true, "trusted_device": false, "impossible_travel": true, "vpn": false, "bot": true, "risk_score": 0.25,
		"last_countries": ["DE", "fr"], "last_ips": ["192.0.2.7", "2001:db8::7"]}`, "X-Forwarded-For", "203.0.113.9")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := decide.Request{UserIdentifier: "U2abc", Login: risk.Login{
		Application: "shop", Scopes: []string{"openid", "orders:refund"}, IP: netip.MustParseAddr("192.0.2.7"), IPGiven: true, UserAgent: "Mozilla/5.0",
		KnownDevice: risk.Yes, TrustedDevice: risk.No, ImpossibleTravel: risk.Yes, VPN: risk.No, Bot: risk.Yes, RiskScore: num(0.25),
		LastCountries: []string{"DE", "FR"}, LastIPs: addrs("192.0.2.7", "2001:db8::7"),
	}}
	if len(c.asked) != 1 || !reflect.DeepEqual(c.asked[0], want) {
		t.Errorf("core was asked %+v", c.asked)
	}
	if c.caller.ID != "descope" || c.caller.Tenant != "acme" {
		t.Errorf("caller %+v", c.caller)
	}
}

// lenient are fields as Descope's templates may send them, with what is read. What cannot
// be told is the zero value, and never an error.
var lenient = map[string]risk.Login{
	``: {},
	`"ip":null,"user_agent":"","application":null,"scopes":"","known_device":null,"trusted_device":"","impossible_travel":"","vpn":null,"bot":"","risk_score":"","last_countries":"","last_ips":null`: {},

	`"ip":"192.0.2.7:4711"`:                    {IPGiven: true, IP: netip.MustParseAddr("192.0.2.7")},
	`"ip":" 192.0.2.7 "`:                       {IPGiven: true, IP: netip.MustParseAddr("192.0.2.7")},
	`"ip":"[2001:db8::7]:443"`:                 {IPGiven: true, IP: netip.MustParseAddr("2001:db8::7")},
	`"ip":"::ffff:192.0.2.7"`:                  {IPGiven: true, IP: netip.MustParseAddr("192.0.2.7")},
	`"ip":"fe80::1%eth0"`:                      {IPGiven: true, IP: netip.MustParseAddr("fe80::1")},
	`"ip":"10.0.0.1"`:                          {IPGiven: true, IP: netip.MustParseAddr("10.0.0.1")}, // what follows from it is not ours to say
	`"ip":"unknown"`:                           {IPGiven: true},
	`"ip":"192.0.2.7, 198.51.100.1"`:           {IPGiven: true},
	`"ip":"192.0.2.007"`:                       {IPGiven: true},
	`"ip":" "`:                                 {IPGiven: true},
	`"ip":"\u0000"`:                            {IPGiven: true},
	`"ip":"{{ipAddress}}"`:                     {IPGiven: true},
	`"ip":"` + strings.Repeat("1", 1000) + `"`: {IPGiven: true},

	`"known_device":"true","trusted_device":"false","impossible_travel":"false","vpn":"true","bot":"false"`: {KnownDevice: risk.Yes, TrustedDevice: risk.No, ImpossibleTravel: risk.No, VPN: risk.Yes, Bot: risk.No},

	`"risk_score":"0.25"`:                            {RiskScore: num(0.25)},
	`"risk_score":0`:                                 {RiskScore: num(0)},
	`"risk_score":"0"`:                               {RiskScore: num(0)},
	`"risk_score":1`:                                 {RiskScore: num(1)},
	`"risk_score":2.5e-1`:                            {RiskScore: num(0.25)},
	`"risk_score":1.01`:                              {}, // on another scale
	`"risk_score":"73"`:                              {},
	`"risk_score":-0.5`:                              {},
	`"risk_score":1e999`:                             {},
	`"risk_score":"-1e999"`:                          {},
	`"scopes":[]`:                                    {Scopes: []string{}},
	`"scopes":[null,""]`:                             {},
	`"scopes":"openid"`:                              {Scopes: []string{"openid"}},
	`"scopes":"openid  orders:refund"`:               {Scopes: []string{"openid", "orders:refund"}},
	`"scopes":["openid email",null,"openid"]`:        {Scopes: []string{"openid", "email"}},
	`"scopes":"a,b"`:                                 {Scopes: []string{"a,b"}}, // a scope may have a comma
	`"last_countries":"DE"`:                          {LastCountries: []string{"DE"}},
	`"last_countries":"DE,FR"`:                       {LastCountries: []string{"DE", "FR"}},
	`"last_countries":"[DE FR]"`:                     {LastCountries: []string{"DE", "FR"}},
	`"last_countries":"[\"DE\", \"FR\"]"`:            {LastCountries: []string{"DE", "FR"}},
	`"last_countries":["de","DE","Germany",""]`:      {LastCountries: []string{"DE"}},
	`"last_countries":["Germany"]`:                   {}, // nothing to compare with
	`"last_countries":["D1"]`:                        {},
	`"last_countries":[]`:                            {LastCountries: []string{}},
	`"last_ips":"192.0.2.7,2001:db8::7"`:             {LastIPs: addrs("192.0.2.7", "2001:db8::7")},
	`"last_ips":["192.0.2.7","unknown","192.0.2.8"]`: {LastIPs: addrs("192.0.2.7", "192.0.2.8")},
	`"last_ips":["unknown"]`:                         {},
	`"last_ips":[]`:                                  {LastIPs: []netip.Addr{}},

	`"user_agent":"a\u0000b\r\nc"`:                              {UserAgent: "abc"},
	`"user_agent":"` + strings.Repeat("ü", 300) + `"`:           {UserAgent: strings.Repeat("ü", 256)},
	`"user_agent":"x` + strings.Repeat("ü", 300) + `"`:          {UserAgent: "x" + strings.Repeat("ü", 255)},
	`"user_agent":"\",\"known_device\":\"true"`:                 {UserAgent: `","known_device":"true`},
	`"application":"Acme Shop"`:                                 {Application: "Acme Shop"},
	`"application":"` + strings.Repeat("x", 200) + `"`:          {Application: strings.Repeat("x", 200)},
	`"last_ips":[` + strings.Repeat(`"192.0.2.7",`, 99) + `""]`: {LastIPs: addrs("192.0.2.7")},
}

func TestRiskLenient(t *testing.T) {
	for fields, want := range lenient {
		c := &weigher{answer: stepUpDecision()}
		body := `{"user_identifier":"U2abc"` + strings.TrimSuffix(","+fields, ",") + `}`
		w := post(riskHandler(t, c, nil), riskPath, body)
		if w.Code != 200 || len(c.asked) != 1 {
			t.Errorf("%.200s: %d %s", body, w.Code, w.Body)
		} else if !reflect.DeepEqual(c.asked[0], decide.Request{UserIdentifier: "U2abc", Login: want}) {
			t.Errorf("%.200s: core was asked %+v", body, c.asked[0].Login)
		}
	}
}

// badRisk lists malformed bodies with the field that must be named.
var badRisk = []struct{ name, body, field string }{
	{"empty", ``, ""},
	{"list", `[]`, ""},
	{"no user", `{}`, "user_identifier"},
	{"user: null", `{"user_identifier":null,"ip":"192.0.2.7"}`, "user_identifier"},
	{"user: empty", `{"user_identifier":""}`, "user_identifier"},
	{"user: number", `{"user_identifier":1}`, "user_identifier"},
	{"user: long", `{"user_identifier":"` + strings.Repeat("x", 257) + `"}`, "user_identifier"},
	{"user: control", `{"user_identifier":"a\u0000b"}`, "user_identifier"},
	{"unknown", `{"user_identifier":"u","device":"x"}`, "device"},
	{"unknown, as an answer", `{"user_identifier":"u","decision":"allow"}`, "decision"},
	{"other case", `{"user_identifier":"u","VPN":true}`, "VPN"},
	{"twice", `{"user_identifier":"u","vpn":true,"vpn":false}`, "vpn"},
	{"ip: number", `{"user_identifier":"u","ip":1}`, "ip"},
	{"ip: list", `{"user_identifier":"u","ip":["192.0.2.7"]}`, "ip"},
	{"user agent: list", `{"user_identifier":"u","user_agent":["x"]}`, "user_agent"},
	{"application: list", `{"user_identifier":"u","application":["shop"]}`, "application"},
	{"application: long", `{"user_identifier":"u","application":"` + strings.Repeat("x", 201) + `"}`, "application"},
	{"application: control", `{"user_identifier":"u","application":"a\nb"}`, "application"},
	{"scopes: number", `{"user_identifier":"u","scopes":1}`, "scopes"},
	{"scopes: object", `{"user_identifier":"u","scopes":{"a":1}}`, "scopes"},
	{"scopes: number in a list", `{"user_identifier":"u","scopes":["a",1]}`, "scopes[1]"},
	{"scopes: list in a list", `{"user_identifier":"u","scopes":[["a"]]}`, "scopes[0]"},
	{"scopes: too many", `{"user_identifier":"u","scopes":[` + strings.Repeat(`"a",`, 100) + `"a"]}`, "scopes"},
	{"scopes: too many in a string", `{"user_identifier":"u","scopes":"` + many(101) + `"}`, "scopes"},
	{"scopes: long", `{"user_identifier":"u","scopes":["` + strings.Repeat("x", 257) + `"]}`, "scopes[0]"},
	{"scopes: control", `{"user_identifier":"u","scopes":"a\u0000b"}`, "scopes"},
	{"known device: word", `{"user_identifier":"u","known_device":"yes"}`, "known_device"},
	{"known device: number", `{"user_identifier":"u","known_device":1}`, "known_device"},
	{"trusted device: case", `{"user_identifier":"u","trusted_device":"True"}`, "trusted_device"},
	{"travel: list", `{"user_identifier":"u","impossible_travel":[true]}`, "impossible_travel"},
	{"vpn: object", `{"user_identifier":"u","vpn":{}}`, "vpn"},
	{"bot: word", `{"user_identifier":"u","bot":"null"}`, "bot"},
	{"score: NaN", `{"user_identifier":"u","risk_score":"NaN"}`, "risk_score"},
	{"score: infinite", `{"user_identifier":"u","risk_score":"Inf"}`, "risk_score"},
	{"score: minus infinite", `{"user_identifier":"u","risk_score":"-Inf"}`, "risk_score"},
	{"score: hexadecimal", `{"user_identifier":"u","risk_score":"0x1p-2"}`, "risk_score"},
	{"score: comma", `{"user_identifier":"u","risk_score":"0,5"}`, "risk_score"},
	{"score: sign", `{"user_identifier":"u","risk_score":"+0.5"}`, "risk_score"},
	{"score: blank before", `{"user_identifier":"u","risk_score":" 0.5"}`, "risk_score"},
	{"score: blank after", `{"user_identifier":"u","risk_score":"0.5 "}`, "risk_score"},
	{"score: dot", `{"user_identifier":"u","risk_score":".5"}`, "risk_score"},
	{"score: word", `{"user_identifier":"u","risk_score":"high"}`, "risk_score"},
	{"score: boolean", `{"user_identifier":"u","risk_score":true}`, "risk_score"},
	{"score: list", `{"user_identifier":"u","risk_score":[0.5]}`, "risk_score"},
	{"countries: number", `{"user_identifier":"u","last_countries":49}`, "last_countries"},
	{"countries: null and a number", `{"user_identifier":"u","last_countries":[null,49]}`, "last_countries[1]"},
	{"ips: object", `{"user_identifier":"u","last_ips":{"0":"192.0.2.7"}}`, "last_ips"},
	{"ips: too many", `{"user_identifier":"u","last_ips":[` + strings.Repeat(`null,`, 100) + `"192.0.2.7"]}`, "last_ips"},
}

// many is that many different words.
func many(n int) string {
	list := make([]string, n)
	for i := range n {
		list[i] = fmt.Sprint("s", i)
	}
	return strings.Join(list, " ")
}

func TestRiskMalformed(t *testing.T) {
	for _, tt := range badRisk {
		t.Run(tt.name, func(t *testing.T) {
			c := &weigher{answer: decide.Answer{Verdict: risk.Allow, DecisionID: mineID}}
			w := post(riskHandler(t, c, nil), riskPath, tt.body)
			var p struct{ Reason, Field, Detail string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Reason != "invalid_request" || p.Field != tt.field {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if len(c.asked) != 0 {
				t.Errorf("core was asked %+v", c.asked)
			}
		})
	}
}

// No trouble ever reads as a decision.
func TestRiskTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		risk connector.Risk
		code int
	}{
		"not configured": {nil, 503},
		"internal":       {&weigher{answer: decide.Answer{Verdict: risk.Allow}, err: errors.New("SECRET")}, 500},
		"unavailable":    {&weigher{err: &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "not now"}}, 503},
		"stale":          {&weigher{err: proof.ErrStale}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for path, body := range map[string]string{riskPath: `{"user_identifier":"U2abc"}`, outcomePath: `{"decision_id":"` + mineID + `","outcome":"success"}`} {
				w := post(riskHandler(t, c.risk, nil), path, body)
				if c.code != 0 && w.Code != c.code || w.Code < 400 || w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
				if s := w.Body.String(); strings.Contains(s, "SECRET") || strings.Contains(s, `"decision"`) || strings.Contains(s, `"allow"`) {
					t.Errorf("%s: %s", path, s)
				}
			}
		})
	}
}

func TestRiskTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := post(riskHandler(t, &weigher{block: true}, nil), riskPath, `{"user_identifier":"U2abc"}`)
		if w.Code != 503 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func TestOutcomeAnswers(t *testing.T) {
	for name, e := range map[string]decide.Ended{
		"learned":       {DecisionID: mineID, Outcome: "success", Learned: true},
		"no_match_seen": {DecisionID: mineID, Outcome: "success", Why: decide.WhyNoMatch},
		"failure":       {DecisionID: mineID, Outcome: "failure", Why: decide.WhyFailed},
		"ended":         {DecisionID: mineID, Outcome: "match", Learned: true, Why: decide.WhyEnded},
		"too_late":      {DecisionID: mineID, Why: decide.WhyTooLate},
		"before_login":  {DecisionID: mineID, Why: decide.WhyNobody},
	} {
		t.Run(name, func(t *testing.T) {
			c := &weigher{ended: e}
			w := post(riskHandler(t, c, nil), outcomePath, `{"decision_id":"`+mineID+`","outcome":"success","user_identifier":"U2abc"}`)
			if w.Code != 200 || len(c.told) != 1 || c.told[0] != mineID+" U2abc success" || c.caller.ID != "descope" {
				t.Fatalf("%d %s, told %q", w.Code, w.Body, c.told)
			}
			golden(t, "outcome_"+name, w.Body.Bytes())
		})
	}
}

// Unknown, foreign, of another user and no id at all: nobody can tell them apart.
func TestOutcomeUnknown(t *testing.T) {
	for _, body := range []string{
		`{"decision_id":"` + foreignID + `","outcome":"success"}`,
		`{"decision_id":"` + mineID + `","outcome":"success","user_identifier":"U2other"}`,
		`{"decision_id":"d-4711","outcome":"failure"}`,
		`{"decision_id":"` + strings.ReplaceAll(mineID, "-", "") + `","outcome":"success"}`,
		`{"decision_id":"{{connectors.kosmosRisk.decision_id}}","outcome":"success"}`,
	} {
		w := post(riskHandler(t, &weigher{ended: decide.Ended{DecisionID: mineID, Outcome: "success", Learned: true}}, nil), outcomePath, body)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", body, w.Code, w.Body)
		}
		golden(t, "outcome_unknown", w.Body.Bytes())
	}
	c := &weigher{ended: decide.Ended{DecisionID: mineID, Outcome: "success"}}
	if w := post(riskHandler(t, c, nil), outcomePath, `{"decision_id":"`+strings.ToUpper(mineID)+`","outcome":"success","user_identifier":""}`); w.Code != 200 || c.told[0] != mineID+"  success" {
		t.Errorf("%d %s %q", w.Code, w.Body, c.told)
	}
}

var badOutcome = []struct{ name, body, field string }{
	{"empty", ``, ""},
	{"nothing", `{}`, "decision_id"},
	{"no id", `{"outcome":"success"}`, "decision_id"},
	{"id: empty", `{"decision_id":"","outcome":"success"}`, "decision_id"},
	{"id: number", `{"decision_id":7,"outcome":"success"}`, "decision_id"},
	{"id: long", `{"decision_id":"` + strings.Repeat("x", 257) + `","outcome":"success"}`, "decision_id"},
	{"no outcome", `{"decision_id":"x"}`, "outcome"},
	{"outcome: empty", `{"decision_id":"x","outcome":""}`, "outcome"},
	{"outcome: null", `{"decision_id":"x","outcome":null}`, "outcome"},
	{"outcome: match", `{"decision_id":"x","outcome":"match"}`, "outcome"}, // what a challenge came to is not a flow's to say
	{"outcome: no match", `{"decision_id":"x","outcome":"no_match"}`, "outcome"},
	{"outcome: case", `{"decision_id":"x","outcome":"Success"}`, "outcome"},
	{"outcome: boolean", `{"decision_id":"x","outcome":true}`, "outcome"},
	{"outcome: list", `{"decision_id":"x","outcome":["success"]}`, "outcome"},
	{"user: list", `{"decision_id":"x","outcome":"success","user_identifier":["u"]}`, "user_identifier"},
	{"unknown", `{"decision_id":"x","outcome":"success","learn":true}`, "learn"},
	{"twice", `{"decision_id":"x","outcome":"failure","outcome":"success"}`, "outcome"},
}

func TestOutcomeMalformed(t *testing.T) {
	for _, tt := range badOutcome {
		t.Run(tt.name, func(t *testing.T) {
			c := &weigher{}
			w := post(riskHandler(t, c, nil), outcomePath, tt.body)
			var p struct{ Reason, Field string }
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 400 || p.Reason != "invalid_request" || p.Field != tt.field {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if len(c.told) != 0 {
				t.Errorf("core was told %q", c.told)
			}
		})
	}
}

// TestRiskFitsTheDocument: as TestRequestsFitTheDocument.
func TestRiskFitsTheDocument(t *testing.T) {
	reg, doc := openAPI(t)
	in := func(path string) func(body string) []error {
		s := schema(t, reg, doc, "paths", path, "post", "requestBody", "content", "application/json", "schema")
		return func(body string) []error { return valid(reg, s, unjson(t, []byte(body))) }
	}
	weigh, end := in(riskPath), in(outcomePath)
	for fields := range lenient {
		body := `{"user_identifier":"U2abc"` + strings.TrimSuffix(","+fields, ",") + `}`
		if strings.Contains(body, "1e999") {
			continue // encoding/json of the test cannot hold it
		}
		if errs := weigh(body); len(errs) > 0 {
			t.Errorf("the document refuses %.200s: %v", body, errs)
		}
	}
	stricter := map[string]bool{
		"twice": true, "other case": true, "user: control": true, "application: control": true, "scopes: control": true,
		"scopes: too many in a string": true, "scopes: long": true,
	}
	check := func(name, body string, refuses func(string) []error) {
		if !json.Valid([]byte(body)) || !strings.HasPrefix(body, "{") || stricter[name] {
			return
		}
		if errs := refuses(body); len(errs) == 0 {
			t.Errorf("%s: the document takes what the decoder refuses: %s", name, body)
		}
	}
	for _, tt := range badRisk {
		check(tt.name, tt.body, weigh)
	}
	for _, tt := range badOutcome {
		check(tt.name, tt.body, end)
	}
}

// Nothing of a login reaches the log.
func TestRiskLogTellsNothing(t *testing.T) {
	var log bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := riskHandler(t, &weigher{answer: stepUpDecision()}, l)
	post(h, riskPath, `{"user_identifier":"SECRET","ip":"203.0.113.77","user_agent":"SECRET","application":"SECRET","scopes":"SECRET"}`)
	post(h, riskPath, `{"user_identifier":"SECRET","ip":"203.0.113.77","vpn":"SECRET"}`)
	post(h, outcomePath, `{"decision_id":"`+foreignID+`","outcome":"success","user_identifier":"SECRET"}`)
	s := log.String()
	if strings.Contains(s, "SECRET") || strings.Contains(s, "203.0.113.77") || strings.Contains(s, foreignID) {
		t.Errorf("the log holds what is personal: %s", s)
	}
	if !strings.Contains(s, "unknown_decision") || strings.Count(s, "\n") != 3 {
		t.Errorf("the log does not say enough: %s", s)
	}
}

// Whatever bytes come, the door neither breaks nor asks the core about a login without
// a user, a score outside 0 to 1, or a list without bounds.
func FuzzRisk(f *testing.F) {
	for fields := range lenient {
		f.Add([]byte(`{"user_identifier":"U2abc"` + strings.TrimSuffix(","+fields, ",") + `}`))
	}
	for _, tt := range badRisk {
		f.Add([]byte(tt.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &weigher{answer: stepUpDecision()}
		w := post(riskHandler(t, c, nil), riskPath, string(body))
		switch {
		case w.Code == 200 && len(c.asked) == 1:
			l := c.asked[0].Login
			if c.asked[0].UserIdentifier == "" || l.RiskScore != nil && !(*l.RiskScore >= 0 && *l.RiskScore <= 1) ||
				len(l.Scopes) > 100 || len(l.LastIPs) > 100 || len(l.LastCountries) > 100 || len(l.UserAgent) > 512 || l.IP.IsValid() && !l.IPGiven || l.IP.Zone() != "" {
				t.Errorf("core was asked %+v", c.asked[0])
			}
		case w.Code >= 400 && w.Code < 500 && len(c.asked) == 0:
		default:
			t.Errorf("%d, asked %d times", w.Code, len(c.asked))
		}
	})
}
