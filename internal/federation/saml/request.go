package saml

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	skew    = 5 * time.Minute // of IssueInstant, either way
	maxName = 1024            // of an entity id, SAML core 8.3.6
	maxACRs = 10
)

// ncName is the part of xs:ID that is ASCII, and no longer than anybody needs.
var ncName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,255}$`)

// request is an AuthnRequest that was checked: an Ask, or what is wrong with it that
// its service provider may be told.
type request struct {
	ask   federation.Ask
	state state
	wrong *status
}

// issuer reads who says that it asks, so that its certificates can be found.
func issuer(root *etree.Element) (string, error) {
	if !is(root, nsProtocol, "AuthnRequest") {
		return "", bad("it is not an AuthnRequest")
	}
	el, err := child(root, nsAssertion, "Issuer")
	if err != nil || el == nil {
		return "", bad("there is not one Issuer")
	}
	if f, ok := attr(el, "Format"); ok && f != formatEntity {
		return "", bad("the Issuer is of a format that is not accepted")
	}
	s, err := text(el)
	if err != nil || s == "" || len(s) > maxName {
		return "", bad("the Issuer is malformed")
	}
	return s, nil
}

// check reads an AuthnRequest of a client (SAML core 3.4.1). root is what was signed,
// if signed says that something was.
func (p *Provider) check(tenant string, c *federation.Client, m *message, root *etree.Element, signed bool) (*request, error) {
	// What was signed may not be what was read first.
	if who, err := issuer(root); err != nil || who != c.SAML.EntityID {
		return nil, bad("the Issuer is not who signed")
	}
	if v, _ := attr(root, "Version"); v != "2.0" {
		return nil, bad("it is not version 2.0")
	}
	r := &request{ask: federation.Ask{Client: c, Tenant: tenant, ClientID: c.ID, Protocol: federation.SAML, Hint: m.hint}}
	id, _ := attr(root, "ID")
	if !ncName.MatchString(id) {
		return nil, bad("its ID is malformed")
	}
	r.state.ID, r.state.Relay = id, m.relay
	if d, ok := attr(root, "Destination"); ok && d != p.ssoURL(tenant) {
		return nil, bad("its Destination is not ours")
	}
	issued, err := instant(root)
	if err != nil {
		return nil, err
	}
	if now := p.Now(); issued.Before(now.Add(-skew)) || issued.After(now.Add(skew)) {
		return nil, &refused{http.StatusBadRequest, "This request is too old, or a clock is wrong. Go back to the application and try again.", "its IssueInstant is not near"}
	}
	if r.state.ACS, err = consumer(c, root); err != nil {
		return nil, err
	}
	if r.ask.Fresh, err = flag(root, "ForceAuthn"); err != nil {
		return nil, err
	}
	if r.ask.Silent, err = flag(root, "IsPassive"); err != nil {
		return nil, err
	}
	for _, read := range []func(*etree.Element) error{
		func(el *etree.Element) error { return r.subject(p.Core, el) },
		r.policy,
		func(el *etree.Element) error { return r.context(el, signed) },
	} {
		if err := read(root); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func instant(root *etree.Element) (time.Time, error) {
	s, _ := attr(root, "IssueInstant")
	// UTC without saying so is what core 1.3.3 could be read as.
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && len(s) <= 40 {
			return t, nil
		}
	}
	return time.Time{}, bad("its IssueInstant is malformed")
}

// flag reads an xs:boolean.
func flag(root *etree.Element, name string) (bool, error) {
	switch s, _ := attr(root, name); s {
	case "true", "1":
		return true, nil
	case "", "false", "0":
		return false, nil
	}
	return false, bad("a flag is no boolean")
}

// consumer is the registered address that the response goes to.
func consumer(c *federation.Client, root *etree.Element) (string, error) {
	if b, ok := attr(root, "ProtocolBinding"); ok && b != bindingPOST {
		return "", bad("it wants its response by another binding than HTTP-POST")
	}
	wanted, byURL := attr(root, "AssertionConsumerServiceURL")
	index, byIndex := attr(root, "AssertionConsumerServiceIndex")
	at := 0
	switch {
	case byURL && byIndex:
		return "", bad("it names its address twice")
	case byURL:
		at = slices.Index(c.SAML.ACS, wanted)
	case byIndex:
		n, err := strconv.ParseUint(index, 10, 16)
		if err != nil {
			return "", bad("its index is malformed")
		}
		at = int(n)
	}
	if at < 0 || at >= len(c.SAML.ACS) {
		return "", &refused{http.StatusBadRequest, "The application that sent you here wants the answer at an address that is not registered for it. Tell its operator.", "its address is not registered"}
	}
	if !web(c.SAML.ACS[at]) {
		return "", setWrongly("the client's ACS is no https address")
	}
	return c.SAML.ACS[at], nil
}

// web reports whether a form may go to an address: https, and http on loopback for
// development.
func web(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

func setWrongly(why string) error {
	return &refused{http.StatusInternalServerError, "This application is set up wrongly here. Tell its operator.", why}
}

// subject reads whom the service provider believes it is. A persistent name is one
// that we gave; any other is taken for the user identifier.
func (r *request) subject(core Core, root *etree.Element) error {
	el, err := child(root, nsAssertion, "Subject")
	if err != nil || el == nil {
		return err
	}
	id, err := child(el, nsAssertion, "NameID")
	if err != nil || id == nil {
		return err
	}
	name, err := text(id)
	if err != nil {
		return err
	}
	switch format, _ := attr(id, "Format"); format {
	case formatTransient:
	case formatPersistent:
		if s, ok := core.SubjectOf(r.ask.Client, name); ok && len(name) <= maxHint {
			r.ask.HintSubject = s
		}
	default:
		if h := asHint(name); h != "" {
			r.ask.Hint = h
		}
	}
	return nil
}

// policy reads NameIDPolicy. AllowCreate says nothing here: our names are derived, and
// none is ever created.
func (r *request) policy(root *etree.Element) error {
	c := r.ask.Client
	el, err := child(root, nsProtocol, "NameIDPolicy")
	if err != nil {
		return err
	}
	var ok bool
	if r.state.Format, ok = formatOf(c.SAML.NameID); !ok {
		return setWrongly("the client's NameID is unknown")
	}
	if el == nil {
		return nil
	}
	if format, _ := attr(el, "Format"); format != "" && format != formatUnspecified {
		r.state.Policy = true
		if r.state.Format, ok = formatOf(format); !ok || !strings.HasPrefix(format, "urn:") {
			r.wrong = invalidPolicy
		}
	}
	if q, _ := attr(el, "SPNameQualifier"); q != "" && q != c.SAML.EntityID {
		r.wrong = invalidPolicy
	}
	return nil
}

// context reads RequestedAuthnContext. Each of our classes means "at least", so that
// minimum is the same as exact; what is above or below a class we cannot say.
//
// A client whose default is essential is held to it, as in OpenID Connect: what nobody
// signed is the browser's to write, so that it only chooses among the defaults.
func (r *request) context(root *etree.Element, signed bool) error {
	el, err := child(root, nsProtocol, "RequestedAuthnContext")
	if err != nil || el == nil {
		return err
	}
	refs := children(el, nsAssertion, "AuthnContextClassRef")
	if len(refs) > maxACRs {
		return bad("it asks for too many contexts")
	}
	c := r.ask.Client
	held := c.Essential && len(c.DefaultACR) > 0 && !signed
	r.ask.Essential = true
	for _, ref := range refs {
		class, err := text(ref)
		if err != nil {
			return err
		}
		switch {
		case class == classUnspecified:
			r.ask.Essential = false // any will do
		case held && !slices.ContainsFunc(c.DefaultACR, func(s string) bool { return sameClass(s, acrOf(class)) }):
		case federation.Known(acrOf(class)) && c.MayAsk(acrOf(class)):
			r.ask.ACR = append(r.ask.ACR, acrOf(class))
			r.state.Paths = r.state.Paths || strings.HasPrefix(class, levelPath)
		}
	}
	r.ask.Essential = r.ask.Essential || held && len(r.ask.ACR) > 0
	comparison, _ := attr(el, "Comparison")
	exact := comparison == "" || comparison == "exact" || comparison == "minimum"
	if r.ask.Essential && (len(r.ask.ACR) == 0 || !exact) && r.wrong == nil {
		r.wrong = statusOf(&proof.Error{Code: proof.CodeUnmet, Message: "none of the requested authentication contexts is available"})
	}
	return nil
}

func sameClass(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }
