package saml

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	metadataValid = 7 * 24 * time.Hour // longer than any service provider is away
	metadataCache = "PT1H"             // after which it looks again, xs:duration
	metadataFresh = time.Minute        // that we keep a signed copy
)

// described is the metadata of a tenant as it was made at a time.
type described struct {
	at  time.Time
	xml string
}

// describe serves the metadata of a tenant's identity provider (SAML metadata 2.4.3).
func (p *Provider) describe(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	if !p.Core.Tenant(tenant) {
		http.NotFound(w, r)
		return
	}
	xml, err := p.metadataOf(r.Context(), tenant)
	if err != nil {
		p.Logger.ErrorContext(r.Context(), "saml: metadata", "tenant", tenant, "error", err)
		http.Error(w, "the metadata is not available right now", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/samlmetadata+xml; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	if r.Method != http.MethodHead {
		w.Write([]byte(xml))
	}
}

// metadataOf signs anew at most every metadataFresh: anybody may ask, and signing is
// dear.
func (p *Provider) metadataOf(ctx context.Context, tenant string) (string, error) {
	now := p.Now()
	p.mu.Lock()
	have, ok := p.metadata[tenant]
	p.mu.Unlock()
	if ok && now.Before(have.at.Add(metadataFresh)) && !now.Before(have.at) {
		return have.xml, nil
	}
	xml, err := p.makeMetadata(ctx, tenant, now)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	p.metadata[tenant] = described{now, xml}
	p.mu.Unlock()
	return xml, nil
}

func (p *Provider) makeMetadata(ctx context.Context, tenant string, now time.Time) (string, error) {
	signer, cert, published, err := p.Keys.SAML(ctx, tenant)
	if err != nil {
		return "", err
	}
	if signer == nil || len(cert) == 0 || len(published) == 0 {
		return "", errors.New("saml: there is no key")
	}
	id := newID()
	var head, d document
	head.open("md:EntityDescriptor", "xmlns:md", nsMetadata, "ID", id, "cacheDuration", metadataCache, "entityID", p.entityID(tenant), "validUntil", stamp(now.Add(metadataValid)))
	d.open("md:IDPSSODescriptor", "WantAuthnRequestsSigned", "false", "protocolSupportEnumeration", nsProtocol)
	for _, der := range published {
		d.open("md:KeyDescriptor", "use", "signing")
		d.open("ds:KeyInfo", "xmlns:ds", nsSignature)
		d.certificate(der)
		d.close("ds:KeyInfo")
		d.close("md:KeyDescriptor")
	}
	for _, f := range formats {
		d.leaf("md:NameIDFormat", f.urn)
	}
	for _, binding := range []string{bindingRedirect, bindingPOST} {
		d.leaf("md:SingleSignOnService", "", "Binding", binding, "Location", p.ssoURL(tenant))
	}
	d.close("md:IDPSSODescriptor")
	d.close("md:EntityDescriptor")
	return seal{signer, cert}.sign(id, head.String(), d.String())
}
