package saml

import "strings"

// Namespaces and names of SAML 2.0 (saml-core-2.0-os, saml-bindings-2.0-os).
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	encodingDeflate = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"

	formatEntity      = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	formatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	formatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	formatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

	classUnspecified = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
	methodBearer     = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	attrBasic        = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
	attrURI          = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
)

// formats are the NameID formats that we have, by the name that a client's NameID
// uses. The order is that of the metadata.
var formats = []struct{ name, urn string }{
	{"persistent", formatPersistent},
	{"transient", formatTransient},
	{"emailAddress", formatEmail},
	{"unspecified", formatUnspecified},
}

// formatOf is the URN of a client's NameID; "" means persistent.
func formatOf(name string) (urn string, ok bool) {
	if name == "" {
		return formatPersistent, true
	}
	for _, f := range formats {
		if name == f.name || name == f.urn {
			return f.urn, true
		}
	}
	return "", false
}

// classPrefix is before what a level of assurance is called here. SAML core 1.3.2 wants
// absolute URIs, and Microsoft's libraries refuse others, which /assurance/ial/2 is.
const classPrefix = "urn:kosmoscope:acr:ial:"

// acrOf is the authentication context that a class means, in the words of federation.
func acrOf(class string) string {
	if level, ok := strings.CutPrefix(class, classPrefix); ok {
		return levelPath + level
	}
	return class
}

// classOf is how an authentication context is called in an assertion.
func classOf(acr string) string {
	if level, ok := strings.CutPrefix(acr, levelPath); ok {
		return classPrefix + strings.TrimRight(level, "/")
	}
	return acr
}

const levelPath = "/assurance/ial/"
