package federation

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	saml2 "github.com/russellhaering/gosaml2"
	"github.com/russellhaering/gosaml2/types"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// tenant is a Descope tenant with SAML. It is never changed, only replaced.
type tenant struct {
	SSO
	fixed *entity // of settings without metadata

	got *entity // of metadata; under Federation.mu
	at  time.Time
}

// entity is an identity provider as it is asked and believed.
type entity struct {
	id, sso string
	certs   []*x509.Certificate
}

// SetSSO sets a tenant's SAML, in place of what it had.
func (f *Federation) SetSSO(s SSO) error {
	if err := s.check(); err != nil {
		return err
	}
	t := &tenant{SSO: s}
	if s.Settings.MetadataURL == "" {
		certs, err := s.Settings.certificates()
		if err != nil {
			return err
		}
		t.fixed = &entity{s.Settings.EntityID, s.Settings.IDPURL, certs}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sso) >= maxTenants && f.sso[s.TenantID] == nil {
		return errors.New("there are as many tenants with SAML as can be")
	}
	f.sso[s.TenantID] = t
	return nil
}

const maxTenants = 100

// SSO is a tenant's SAML.
func (f *Federation) SSO(id string) (SSO, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.sso[id]
	if t == nil {
		return SSO{}, false
	}
	return t.SSO, true
}

// DropSSO forgets a tenant's SAML.
func (f *Federation) DropSSO(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sso, id)
}

// SPEntityID is what the project calls itself towards a tenant's identity provider, and
// ACSURL where that one sends its answer (reference 7.3).
func (f *Federation) SPEntityID(tenant string) string { return f.opt.ProjectID + "-" + tenant }

func (f *Federation) ACSURL(tenant string) string {
	return f.opt.BaseURL + ACS + "?projectId=" + url.QueryEscape(f.opt.ProjectID) + "&tenantId=" + url.QueryEscape(tenant)
}

// entityOf is a tenant's identity provider as it is now.
func (f *Federation) entityOf(ctx context.Context, t *tenant) (*entity, error) {
	if t.fixed != nil {
		return t.fixed, nil
	}
	now := f.opt.Now()
	f.mu.Lock()
	got, at := t.got, t.at
	f.mu.Unlock()
	if got != nil && now.Before(at.Add(metadataTTL)) {
		return got, nil
	}
	got, err := f.metadata(ctx, t.Settings.MetadataURL)
	if err != nil {
		return nil, fmt.Errorf("federation: metadata of tenant %s: %w", t.TenantID, err)
	}
	f.mu.Lock()
	t.got, t.at = got, now
	f.mu.Unlock()
	return got, nil
}

func (f *Federation) metadata(ctx context.Context, address string) (*entity, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var d types.EntityDescriptor
	if err := xml.Unmarshal(b, &d); err != nil {
		return nil, errors.New("they are no EntityDescriptor")
	}
	if d.EntityID == "" || d.IDPSSODescriptor == nil || !d.ValidUntil.IsZero() && !d.ValidUntil.After(f.opt.Now()) {
		return nil, errors.New("they are over, or of no identity provider")
	}
	e := &entity{id: d.EntityID}
	for _, s := range d.IDPSSODescriptor.SingleSignOnServices {
		if s.Binding == saml2.BindingHttpRedirect && whole(s.Location) {
			e.sso = s.Location
		}
	}
	for _, k := range d.IDPSSODescriptor.KeyDescriptors {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, c := range k.KeyInfo.X509Data.X509Certificates {
			cert, err := certificate(c.Data)
			if err != nil {
				return nil, err
			}
			e.certs = append(e.certs, cert)
		}
	}
	if e.sso == "" || len(e.certs) == 0 {
		return nil, errors.New("they have no sign-on by redirect, or no certificate")
	}
	return e, nil
}

// serviceProvider is what the library needs to know for one tenant, now.
func (f *Federation) serviceProvider(t *tenant, e *entity) *saml2.SAMLServiceProvider {
	return &saml2.SAMLServiceProvider{
		IdentityProviderSSOURL: e.sso, IdentityProviderSSOBinding: saml2.BindingHttpRedirect, IdentityProviderIssuer: e.id,
		AssertionConsumerServiceURL: f.ACSURL(t.TenantID), ServiceProviderIssuer: f.SPEntityID(t.TenantID), AudienceURI: f.SPEntityID(t.TenantID),
		IDPCertificateStore: &dsig.MemoryX509CertificateStore{Roots: e.certs}, NameIdFormat: t.Settings.SubjectNameIDFormat,
		AllowMissingAttributes: true, Clock: dsig.NewFakeClockAt(f.opt.Now()),
	}
}

// beginSAML makes an unsigned request for the redirect binding (which of the bindings
// Descope uses is unknown). Its RelayState says nothing to anybody else.
func (f *Federation) beginSAML(ctx context.Context, ask project.FederationAsk, t trip) (string, error) {
	f.mu.Lock()
	to := f.sso[ask.Provider]
	f.mu.Unlock()
	if to == nil {
		return "", errors.New("federation: the tenant has no SAML")
	}
	e, err := f.entityOf(ctx, to)
	if err != nil {
		return "", err
	}
	sp := f.serviceProvider(to, e)
	sp.ForceAuthn = ask.Fresh
	doc, err := sp.BuildAuthRequestDocumentNoSig()
	if err != nil {
		return "", err
	}
	t.samlID, t.saml = doc.Root().SelectAttrValue("ID", ""), e
	relay, err := f.leave(t)
	if err != nil {
		return "", err
	}
	address, err := sp.BuildAuthURLRedirect(relay, doc)
	if err != nil || ask.LoginHint == "" {
		return address, err
	}
	return address + "&" + samlHint + "=" + url.QueryEscape(ask.LoginHint), nil
}

const maxResponse = 512 << 10

func (f *Federation) acs(w http.ResponseWriter, r *http.Request, flows Flows) {
	r.Body = http.MaxBytesReader(w, r.Body, maxResponse)
	if err := r.ParseForm(); err != nil {
		lost(w)
		return
	}
	query := r.URL.Query()
	name := query.Get("tenantId")
	f.mu.Lock()
	to := f.sso[name]
	f.mu.Unlock()
	// Without a request of ours there is no trip: sign-on begun at the provider is refused.
	t, ok := f.arrive(r.PostForm.Get("RelayState"), project.FederationSAML)
	if !ok || to == nil || t.name != name || query.Get("projectId") != f.opt.ProjectID {
		lost(w)
		return
	}
	i, err := f.assertion(to, t, r.PostForm.Get("SAMLResponse"))
	if err != nil {
		err = &failed{failedSAML, err}
	}
	f.home(w, r, flows, t, i, err)
}

// assertion believes an answer that is signed, for us, now, and to this very request.
func (f *Federation) assertion(to *tenant, t trip, encoded string) (*project.Identity, error) {
	if err := withoutDTD(encoded); err != nil {
		return nil, err
	}
	sp := f.serviceProvider(to, t.saml)
	resp, err := sp.ValidateEncodedResponse(encoded)
	if err != nil {
		return nil, err
	}
	if len(resp.Assertions) != 1 || len(resp.EncryptedAssertions) != 0 {
		return nil, errors.New("there is not exactly one assertion")
	}
	a := &resp.Assertions[0]
	// The library has seen to signature, issuer, destination, recipient and the
	// confirmation's time. What it leaves to its caller follows.
	if resp.InResponseTo != t.samlID || a.Subject.SubjectConfirmation.SubjectConfirmationData.InResponseTo != t.samlID {
		return nil, errors.New("it answers another request")
	}
	conditions, err := sp.VerifyAssertionConditions(a)
	if err != nil {
		return nil, err
	}
	if conditions.InvalidTime || conditions.NotInAudience || len(a.Conditions.AudienceRestrictions) == 0 {
		return nil, errors.New("it is too old, not yet good, or for somebody else")
	}
	if a.Subject.NameID == nil || a.Subject.NameID.Value == "" || a.AuthnStatement == nil {
		return nil, errors.New("it names nobody, or does not say that they were authenticated")
	}
	return f.mapAttributes(to, a), nil
}

// withoutDTD refuses a document type declaration, which a message of SAML has none of
// (SAML Core 1.1) and the library does not mind.
func withoutDTD(encoded string) error {
	d := xml.NewDecoder(base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded)))
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("it is no XML")
		}
		if _, ok := token.(xml.Directive); ok {
			return errors.New("it has a document type declaration")
		}
	}
}

// mapAttributes turns an assertion into an identity. The login id is its NameID (that
// it is at Descope is inferred).
func (f *Federation) mapAttributes(to *tenant, a *types.Assertion) *project.Identity {
	claims := map[string]any{}
	if a.AttributeStatement != nil {
		for _, attr := range a.AttributeStatement.Attributes {
			var values []any
			for _, v := range attr.Values {
				values = append(values, v.Value)
			}
			if len(values) == 1 {
				claims[attr.Name] = values[0]
			} else if len(values) > 1 {
				claims[attr.Name] = values
			}
		}
	}
	i := &project.Identity{
		Kind: project.FederationSAML, Provider: to.TenantID, LoginID: a.Subject.NameID.Value, Properties: map[string]any{}, Attributes: map[string]any{},
		Merge: f.opt.MergeSSO, Update: true, Claims: claims,
	}
	m := &to.Settings.AttributeMapping
	for name, from := range map[string]string{
		"name": m.Name, "givenName": m.GivenName, "middleName": m.MiddleName, "familyName": m.FamilyName, "picture": m.Picture, "email": m.Email, "phone": m.PhoneNumber,
	} {
		if s, ok := claims[from].(string); ok && from != "" && s != "" {
			i.Properties[name] = s
		}
	}
	if i.Properties["email"] != nil {
		i.Properties["verifiedEmail"] = !f.opt.UnverifiedSSO
	}
	for name, from := range m.CustomAttributes {
		if v, ok := claims[from]; ok {
			i.Attributes[name] = v
		}
	}
	return i
}
