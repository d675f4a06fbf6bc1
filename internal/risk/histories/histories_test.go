package histories_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

var update = flag.Bool("update", false, "write testdata/presets.txt anew")

// Where the addresses of the stories are. They are made up; nothing is looked up.
var where = map[string]risk.Where{
	"78.55.20.10":   {Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true, ASN: 6805, ASName: "Home Net"},
	"78.55.99.1":    {Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true, ASN: 6805, ASName: "Home Net"},
	"77.188.30.20":  {Country: "DE", City: "Berlin", Latitude: 52.5, Longitude: 13.4, RadiusKM: 10, HasCoordinates: true, ASN: 3320, ASName: "Office Net"},
	"109.40.1.1":    {Country: "DE", City: "Munich", Latitude: 48.1, Longitude: 11.6, RadiusKM: 20, HasCoordinates: true, ASN: 3209, ASName: "Mobile"},
	"109.41.2.2":    {Country: "DE", City: "Hamburg", Latitude: 53.6, Longitude: 10.0, RadiusKM: 20, HasCoordinates: true, ASN: 3209, ASName: "Mobile"},
	"85.240.1.1":    {Country: "PT", City: "Lisbon", Latitude: 38.7, Longitude: -9.1, RadiusKM: 10, HasCoordinates: true, ASN: 3243, ASName: "Hotel"},
	"49.180.20.30":  {Country: "AU", City: "Sydney", Latitude: -33.9, Longitude: 151.2, RadiusKM: 20, HasCoordinates: true, ASN: 4804, ASName: "Sydney Net"},
	"185.220.101.1": {Country: "NL", City: "Amsterdam", Latitude: 52.4, Longitude: 4.9, RadiusKM: 10, HasCoordinates: true, ASN: 60729, ASName: "Exit"},
	"146.70.10.1":   {Country: "NL", City: "Amsterdam", Latitude: 52.4, Longitude: 4.9, RadiusKM: 10, HasCoordinates: true, ASN: 9009, ASName: "Company VPN"},
	"146.70.99.9":   {Country: "SE", City: "Stockholm", Latitude: 59.3, Longitude: 18.1, RadiusKM: 10, HasCoordinates: true, ASN: 9009, ASName: "Company VPN"},
}

var listed = map[string]string{"185.220.101.1": "Tor exit"}

// monday is where the stories begin: a Monday morning.
var monday = time.Date(2026, 9, 7, 8, 0, 0, 0, time.UTC)

// story is a history and one login after it.
type story struct {
	name    string
	history string // in words
	past    func(h *risk.History)
	login   string        // in words
	after   time.Duration // since the last login of the history
	ip      string
	known   risk.Tri
	scopes  []string
	more    func(l *risk.Login, c *risk.Context)
}

// weekdays are thirty mornings from one address.
func weekdays(ips ...string) func(h *risk.History) {
	return func(h *risk.History) {
		at := monday
		for i := range 30 {
			learn(h, fmt.Sprintf("d%d", i), at, ips[i%len(ips)])
			at = at.Add(24 * time.Hour)
			for at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
				at = at.Add(24 * time.Hour)
			}
		}
	}
}

func learn(h *risk.History, id string, at time.Time, ip string) {
	w := where[ip]
	h.Learn(risk.Lesson{
		Decision: id, At: at, IP: netip.MustParseAddr(ip), ASN: w.ASN, Country: w.Country, City: w.City,
		Latitude: w.Latitude, Longitude: w.Longitude, RadiusKM: w.RadiusKM, HasCoordinates: w.HasCoordinates,
	})
}

const (
	home   = "78.55.20.10"
	office = "77.188.30.20"
	lisbon = "85.240.1.1"
	sydney = "49.180.20.30"
	exit   = "185.220.101.1"
	atHome = "Ada signs in at home in Berlin at eight, thirty weekdays long."
	none   = "Nobody has signed in yet."
)

var stories = []story{
	{name: "as ever", history: atHome, past: weekdays(home), login: "The same laptop, at home, the next morning.", after: 24 * time.Hour, ip: home, known: risk.Yes},
	{name: "new address at home", history: atHome, past: weekdays(home), login: "The same laptop; the provider has given her another address.", after: 24 * time.Hour, ip: "78.55.99.1", known: risk.Yes},
	{name: "new phone at home", history: atHome, past: weekdays(home), login: "A new phone, at home.", after: 24 * time.Hour, ip: home, known: risk.No},
	{name: "device unknown", history: atHome, past: weekdays(home), login: "At home; the flow does not say whether the device is known.", after: 24 * time.Hour, ip: home},
	{name: "in the office", history: atHome, past: weekdays(home), login: "The same laptop, for the first time in the office across town.", after: 25 * time.Hour, ip: office, known: risk.Yes},
	{name: "on the train", history: "Ada signs in at home and with her phone on a mobile network that seems to be now here, now there.", past: weekdays(home, "109.40.1.1"), login: "Her phone, on the mobile network, which says Hamburg an hour after it said Munich.", after: time.Hour, ip: "109.41.2.2", known: risk.Yes},
	{name: "company VPN", history: "Ada works through her company's VPN all day.", past: weekdays("146.70.10.1"), login: "The same laptop; the VPN now ends in Stockholm, half an hour later.", after: 30 * time.Minute, ip: "146.70.99.9", known: risk.Yes, more: func(l *risk.Login, _ *risk.Context) { l.VPN = risk.Yes }},
	{name: "hotel", history: atHome, past: weekdays(home), login: "The same laptop, in a hotel in Lisbon, two days later.", after: 48 * time.Hour, ip: lisbon, known: risk.Yes},
	{name: "around the world", history: atHome, past: weekdays(home), login: "A laptop that is known, in Sydney, an hour later.", after: time.Hour, ip: sydney, known: risk.Yes},
	{name: "stolen password", history: atHome, past: weekdays(home), login: "A device that nobody knows, in Sydney, at three in the night.", after: 19 * time.Hour, ip: sydney, known: risk.No},
	{name: "sensitive scope", history: atHome, past: weekdays(home), login: "The same laptop, at home, and she wants to pay something back.", after: 24 * time.Hour, ip: home, known: risk.Yes, scopes: []string{"openid", "orders:refund"}},
	{name: "behind Tor", history: atHome, past: weekdays(home), login: "A device that nobody knows, through Tor, after six failures on this account.", after: 24 * time.Hour, ip: exit, known: risk.No, more: func(_ *risk.Login, c *risk.Context) { c.Failures = risk.Counts{Subject: 6, Network: 6} }},
	{name: "an attack through Tor", history: atHome, past: weekdays(home), login: "A device that nobody knows, through Tor, after forty failures from that network with many accounts.", after: 24 * time.Hour, ip: exit, known: risk.No, more: func(_ *risk.Login, c *risk.Context) { c.Failures = risk.Counts{Subject: 1, Network: 40} }},
	{name: "somebody fails elsewhere", history: atHome, past: weekdays(home), login: "Somebody else fails with her account, again and again; Ada signs in at home as ever.", after: 24 * time.Hour, ip: home, known: risk.Yes, more: func(_ *risk.Login, c *risk.Context) { c.Failures = risk.Counts{Subject: 9} }},
	{name: "a face that did not match", history: atHome + " Then, in the office, a face did not match.", past: func(h *risk.History) {
		weekdays(home)(h)
		h.Scorch(h.Last.Add(23*time.Hour), "", netip.MustParseAddr(office))
	}, login: "From that network again, an hour later, on a laptop that is known.", after: 24 * time.Hour, ip: office, known: risk.Yes},
	{name: "back after long", history: atHome, past: weekdays(home), login: "The same laptop, at home, two hundred days later.", after: 200 * 24 * time.Hour, ip: home, known: risk.Yes},
	{name: "proved yesterday", history: atHome, past: weekdays(home), login: "The same laptop at home, long unused and at an odd hour; yesterday she proved who she is.", after: 100*24*time.Hour + 12*time.Hour, ip: home, known: risk.Yes, more: func(l *risk.Login, c *risk.Context) {
		c.ProofedAt, c.ProofedBy = l.At.Add(-20*time.Hour), "verification"
	}},
	{name: "first login", history: none, login: "From Berlin, on a device that nobody knows.", ip: home, known: risk.No},
	{name: "first login, device known", history: none, login: "From Berlin, on a device that Descope knows.", ip: home, known: risk.Yes},
	{name: "private address", history: atHome, past: weekdays(home), login: "The same laptop; the address is one of a private network.", after: 24 * time.Hour, ip: "10.1.2.3", known: risk.Yes},
	{name: "no address", history: atHome, past: weekdays(home), login: "The same laptop; the flow gives no address.", after: 24 * time.Hour, known: risk.Yes},
	{name: "nothing is known", history: none, login: "The flow gives nothing but who it is."},
	{name: "bot", history: atHome, past: weekdays(home), login: "At home, on a device that is known, and Descope sees a bot.", after: 24 * time.Hour, ip: home, known: risk.Yes, more: func(l *risk.Login, _ *risk.Context) { l.Bot = risk.Yes }},
	{name: "clocks disagree", history: atHome + " Our clock was an hour ahead then.", past: weekdays(home), login: "The same laptop, at home, half an hour before the last login.", after: -30 * time.Minute, ip: home, known: risk.Yes},
}

func (s *story) observe() risk.Observation {
	h := new(risk.History)
	if s.past != nil {
		s.past(h)
	}
	l := risk.Login{At: monday, Scopes: s.scopes, KnownDevice: s.known}
	if !h.Last.IsZero() {
		l.At = h.Last.Add(s.after)
	}
	if l.Scopes == nil && s.name != "nothing is known" {
		l.Scopes = []string{"openid"}
	}
	if s.ip != "" {
		l.IP, l.IPGiven = netip.MustParseAddr(s.ip), true
	}
	c := risk.Context{Window: 15 * time.Minute, ProofingKnown: true}
	if s.more != nil {
		s.more(&l, &c)
	}
	w := where[s.ip]
	if w.Address = risk.KindOf(l.IP, l.IPGiven); w.Address == risk.AddressPublic {
		w.Listed, w.Anonymiser = true, listed[s.ip]
	}
	return risk.Observe(l, w, h, c)
}

func TestPresets(t *testing.T) {
	var b strings.Builder
	b.WriteString("What each preset makes of these logins. Made by `go test ./internal/risk/histories -update`.\n")
	for _, s := range stories {
		o := s.observe()
		fmt.Fprintf(&b, "\n# %s\n\n%s\n%s\n\n", s.name, s.history, s.login)
		for _, p := range policy.Presets() {
			compiled, err := policy.Compile(p.Document)
			if err != nil {
				t.Fatal(err)
			}
			r := compiled.Evaluate(&o, false)
			why := make([]string, len(r.Reasons))
			for i, reason := range r.Reasons {
				why[i] = string(reason)
			}
			score := "-"
			if r.Score != nil {
				score = fmt.Sprintf("%.0f", *r.Score)
			}
			fmt.Fprintf(&b, "    %-9s %-8s score %3s  %s\n", p.Name, r.Verdict, score, strings.Join(why, ", "))
			if p.Name == policy.Strict {
				b.WriteString("\n")
				for _, reading := range r.Readings {
					if reading.Outcome != risk.Clear {
						fmt.Fprintf(&b, "    %-18s %-12s %s\n", reading.Signal, reading.Outcome, reading.Evidence)
					}
				}
			}
		}
	}
	file := filepath.Join("testdata", "presets.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("%s is not what comes out now; look at the difference after -update:\n%s", file, difference(string(want), got))
	}
}

// difference is the first line that differs.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d:\n- %s\n+ %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("%d lines were, %d are", len(w), len(g))
}
