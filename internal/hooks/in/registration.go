package in

import (
	"fmt"
	"slices"
	"strings"
)

// Registration says who has to prove who they are after registering. The zero value has
// everybody do so.
type Registration struct {
	// Otherwise is what holds where neither list names the domain of the e-mail address:
	// Verify, which is also what "" means, or Continue.
	Otherwise string `yaml:"otherwise"`
	// Verify and Continue are domains of e-mail addresses, "example.com" or
	// "*.example.com" for those below it. Where both name one, Verify holds. Continue is
	// only for an address that the flow says was verified: anybody can type one.
	Verify   []string `yaml:"verify"`
	Continue []string `yaml:"continue"`
}

// Reasons of the answer after a registration.
const (
	becauseDomain    = "email_domain"
	becauseNoAddress = "email_unknown"
	becauseOtherwise = "registered"
)

func (r Registration) check() error {
	if r.Otherwise != "" && r.Otherwise != Verify && r.Otherwise != Continue {
		return fmt.Errorf("registration.otherwise must be %s or %s", Verify, Continue)
	}
	for _, d := range slices.Concat(r.Verify, r.Continue) {
		if rest := strings.TrimPrefix(d, "*."); rest == "" || strings.ContainsAny(rest, "*@ ") || strings.HasPrefix(rest, ".") {
			return fmt.Errorf("registration: %q is no domain such as example.com or *.example.com", d)
		}
	}
	return nil
}

// decide says what is to happen, and why.
func (r Registration) decide(email string, verified bool) (action, why string) {
	at := strings.LastIndexByte(email, '@')
	domain := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(email[at+1:]), "."))
	known := at > 0 && domain != ""
	names := func(list []string) bool {
		return known && slices.ContainsFunc(list, func(d string) bool {
			d = strings.ToLower(d)
			if below, ok := strings.CutPrefix(d, "*"); ok {
				return strings.HasSuffix(domain, below) && len(domain) > len(below)
			}
			return domain == d
		})
	}
	switch {
	case names(r.Verify):
		return Verify, becauseDomain
	case names(r.Continue) && verified:
		return Continue, becauseDomain
	case r.Otherwise == Continue && !known && len(r.Verify) > 0:
		return Verify, becauseNoAddress // it may be one of those
	case r.Otherwise == Continue:
		return Continue, becauseOtherwise
	}
	return Verify, becauseOtherwise
}
