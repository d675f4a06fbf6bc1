package saml

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	life        = 5 * time.Minute // in which an assertion can be used
	early       = time.Minute     // clocks differ
	sessionLife = 12 * time.Hour  // that a service provider may build on one authentication
	maxMessage  = 300             // characters of a StatusMessage
)

// Finish answers the request that a came from: answer, or err. A refusal is told to
// the service provider in a signed response (statusOf); only what cannot be signed or
// has nowhere to go ends on a page of ours.
func (p *Provider) Finish(w http.ResponseWriter, r *http.Request, a federation.Ask, answer *federation.Answer, err error) {
	var s state
	if e := json.Unmarshal(a.State, &s); e != nil || s.ID == "" {
		p.refuse(w, r, a.Client, bad("what it came from is lost"))
		return
	}
	s, ok := p.join(w, r, a.Tenant, s)
	if !ok {
		p.refuse(w, r, a.Client, &refused{http.StatusBadRequest, "Your browser lost what the application gave it to keep. Go back to the application and start again.", "the RelayState is lost"})
		return
	}
	p.finish(w, r, a, s, answer, err)
}

func (p *Provider) finish(w http.ResponseWriter, r *http.Request, a federation.Ask, s state, answer *federation.Answer, err error) {
	// The client may have changed meanwhile.
	if c := a.Client; c == nil || c.Disabled || c.SAML == nil || !slices.Contains(c.SAML.ACS, s.ACS) {
		p.refuse(w, r, a.Client, bad("its address is not registered any more"))
		return
	}
	if err == nil && answer == nil {
		err = errors.New("saml: neither an answer nor an error")
	}
	if err != nil {
		if _, ok := statuses[proof.CodeOf(err)]; !ok {
			p.Logger.ErrorContext(r.Context(), "saml: failed", "tenant", a.Tenant, "client", a.Client.ID, "error", err)
		}
		p.deny(w, r, a, s, statusOf(err))
		return
	}
	if unmet(a, answer) {
		p.deny(w, r, a, s, statusOf(&proof.Error{Code: proof.CodeUnmet, Message: "the requested authentication context was not reached"}))
		return
	}
	// SAML core 3.4.1.4: who was named by a name of ours is whom the answer has to be about.
	if a.HintSubject != "" && answer.Matched && answer.Subject != a.HintSubject {
		p.deny(w, r, a, s, statusOf(&proof.Error{Code: proof.CodeDenied, Message: "somebody else signed in than the request names"}))
		return
	}
	name, wrong := nameFor(a.Client, s, answer)
	if wrong != nil {
		p.deny(w, r, a, s, wrong)
		return
	}
	p.deliver(w, r, a, s, success, func(k seal) (string, error) { return p.assertion(k, a, s, answer, name) })
}

// unmet reports whether an authentication context that was a must was not reached. It
// believes no Met of a context that was not asked for.
func unmet(a federation.Ask, answer *federation.Answer) bool {
	if len(a.ACR) == 0 {
		return (a.Essential || a.Client.Essential) && !answer.Met
	}
	return a.Essential && !(answer.Met && slices.ContainsFunc(a.ACR, func(s string) bool { return sameClass(s, answer.ACR) }))
}

// deny answers without an assertion.
func (p *Provider) deny(w http.ResponseWriter, r *http.Request, a federation.Ask, s state, why *status) {
	p.deliver(w, r, a, s, why, nil)
}

// deliver signs a response and sends the browser off with it.
func (p *Provider) deliver(w http.ResponseWriter, r *http.Request, a federation.Ask, s state, how *status, assertion func(seal) (string, error)) {
	xml, err := p.response(r.Context(), a, s, how, assertion)
	if err != nil {
		p.refuse(w, r, a.Client, err)
		return
	}
	p.post(w, r, a, s, xml)
}

func (p *Provider) response(ctx context.Context, a federation.Ask, s state, how *status, assertion func(seal) (string, error)) (string, error) {
	signer, cert, _, err := p.Keys.SAML(ctx, a.Tenant)
	if err != nil {
		return "", err
	}
	if signer == nil || len(cert) == 0 {
		return "", errors.New("saml: there is no key")
	}
	k := seal{signer, cert}
	inner := ""
	if assertion != nil {
		if inner, err = assertion(k); err != nil {
			return "", err
		}
	}
	id := newID()
	var head, tail document
	head.open("samlp:Response", "xmlns:samlp", nsProtocol, "Destination", s.ACS, "ID", id, "InResponseTo", s.ID, "IssueInstant", stamp(p.Now()), "Version", "2.0")
	head.leaf("saml:Issuer", p.entityID(a.Tenant), "xmlns:saml", nsAssertion)
	tail.open("samlp:Status")
	tail.open("samlp:StatusCode", "Value", how.top)
	if how.second != "" {
		tail.leaf("samlp:StatusCode", "", "Value", how.second)
	}
	tail.close("samlp:StatusCode")
	if how.message != "" {
		tail.leaf("samlp:StatusMessage", bounded(how.message))
	}
	tail.close("samlp:Status")
	tail.WriteString(inner)
	tail.close("samlp:Response")
	return k.sign(id, head.String(), tail.String())
}

func bounded(s string) string {
	if r := []rune(s); len(r) > maxMessage {
		return string(r[:maxMessage])
	}
	return s
}

// nameID is a name of the person.
type nameID struct{ format, value string }

// nameFor names the person in the format that was asked for. Nothing from a request
// becomes a name: the user identifier is told only where its face was matched in
// this session.
func nameFor(c *federation.Client, s state, answer *federation.Answer) (nameID, *status) {
	switch s.Format {
	case formatPersistent:
		return nameID{s.Format, answer.Sub}, nil
	case formatTransient:
		return nameID{s.Format, newID()}, nil
	case formatUnspecified, formatEmail:
		id := answer.Identifier
		if answer.Matched && id != "" && !strings.ContainsFunc(id, func(r rune) bool { return !xmlChar(r) }) && (s.Format != formatEmail || isEmail(id)) {
			return nameID{s.Format, id}, nil
		}
		if s.Policy {
			return nameID{}, invalidPolicy
		}
		return nameID{}, nameless
	}
	return nameID{}, invalidPolicy
}

// isEmail reports whether s is an addr-spec, as SAML core 8.3.2 wants it.
func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// assertion says who the person is (SAML profiles 4.1.4.2).
func (p *Provider) assertion(k seal, a federation.Ask, s state, answer *federation.Answer, name nameID) (string, error) {
	if name.value == "" || answer.Session == "" || answer.AuthTime.IsZero() {
		return "", errors.New("saml: the answer names nobody")
	}
	now, c, id := p.Now(), a.Client.SAML, newID()
	var head, d document
	head.open("saml:Assertion", "xmlns:saml", nsAssertion, "ID", id, "IssueInstant", stamp(now), "Version", "2.0")
	head.leaf("saml:Issuer", p.entityID(a.Tenant))

	d.open("saml:Subject")
	if name.format == formatPersistent {
		d.leaf("saml:NameID", name.value, "Format", name.format, "NameQualifier", p.entityID(a.Tenant), "SPNameQualifier", c.EntityID)
	} else {
		d.leaf("saml:NameID", name.value, "Format", name.format)
	}
	d.open("saml:SubjectConfirmation", "Method", methodBearer)
	d.leaf("saml:SubjectConfirmationData", "", "InResponseTo", s.ID, "NotOnOrAfter", stamp(now.Add(life)), "Recipient", s.ACS)
	d.close("saml:SubjectConfirmation")
	d.close("saml:Subject")

	d.open("saml:Conditions", "NotBefore", stamp(now.Add(-early)), "NotOnOrAfter", stamp(now.Add(life)))
	d.open("saml:AudienceRestriction")
	d.leaf("saml:Audience", c.EntityID)
	d.close("saml:AudienceRestriction")
	d.close("saml:Conditions")

	class := answer.ACR
	switch {
	case class == "":
		class = classUnspecified
	case !s.Paths:
		class = classOf(class)
	}
	d.open("saml:AuthnStatement", "AuthnInstant", stamp(answer.AuthTime), "SessionIndex", answer.Session, "SessionNotOnOrAfter", stamp(sessionEnd(answer, now)))
	d.open("saml:AuthnContext")
	d.leaf("saml:AuthnContextClassRef", class)
	d.close("saml:AuthnContext")
	d.close("saml:AuthnStatement")

	if err := d.attributes(federation.Flat(answer), c.Attributes); err != nil {
		return "", err
	}
	d.close("saml:Assertion")
	return k.sign(id, head.String(), d.String())
}

// sessionEnd is when the service provider has to ask again: the assurance ran out, or
// half a day went by.
func sessionEnd(answer *federation.Answer, now time.Time) time.Time {
	end := now.Add(sessionLife)
	if t := answer.IALExpiresAt; t.After(now) && t.Before(end) {
		return t
	}
	return end
}

// attributes writes flat claims, under their own names or under those of names
// (attribute -> claim). What is not known is left out.
func (d *document) attributes(claims map[string]any, names map[string]string) error {
	if len(names) == 0 {
		names = make(map[string]string, len(claims))
		for claim := range claims {
			names[claim] = claim
		}
	}
	var inner document
	for _, name := range slices.Sorted(maps.Keys(names)) {
		values, err := texts(claims[names[name]])
		if err != nil {
			return fmt.Errorf("saml: claim %s: %w", names[name], err)
		}
		if len(values) == 0 {
			continue
		}
		format := attrBasic
		if strings.Contains(name, ":") {
			format = attrURI
		}
		inner.open("saml:Attribute", "Name", name, "NameFormat", format)
		for _, v := range values {
			inner.leaf("saml:AttributeValue", v)
		}
		inner.close("saml:Attribute")
	}
	if inner.Len() > 0 { // an empty statement is not allowed
		d.open("saml:AttributeStatement")
		d.WriteString(inner.String())
		d.close("saml:AttributeStatement")
	}
	return nil
}

// texts are the values of a flat claim; none for one that is not known.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case time.Time:
		return []string{stamp(v)}, nil
	case []string:
		return v, nil
	case []any:
		var out []string
		for _, e := range v {
			t, err := texts(e)
			if err != nil {
				return nil, err
			}
			out = append(out, t...)
		}
		return out, nil
	}
	// Numbers, and text and lists of other types. An object is told as JSON.
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		return nil, err
	}
	switch plain.(type) {
	case string, []any, bool, nil:
		return texts(plain)
	}
	return []string{string(b)}, nil
}
