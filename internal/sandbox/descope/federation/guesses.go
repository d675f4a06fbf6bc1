package federation

import (
	"time"

	"golang.org/x/oauth2"
)

// What nobody outside Descope has written down stands here.

// authStyle is how Descope shows its client secret to a token endpoint.
const authStyle = oauth2.AuthStyleInHeader

// tripTTL is how long somebody may stay at a provider.
const tripTTL = 30 * time.Minute

// samlHint is the parameter beside a SAML request that says who it may be. Descope has
// a login hint for SAML; how it tells it is unknown, and SAML itself has no such thing.
const samlHint = "login_hint"

// metadataTTL is how long an identity provider's metadata are believed.
const metadataTTL = time.Minute

// standardClaims is what is mapped where a provider has no claim_mapping.
var standardClaims = map[string]string{
	keyLoginID: "sub", "name": "name", "givenName": "given_name", "middleName": "middle_name", "familyName": "family_name",
	"email": "email", "verifiedEmail": "email_verified", "phoneNumber": "phone_number", "verifiedPhone": "phone_number_verified", "picture": "picture",
}

// trusted says whether an e-mail address counts as verified where the mapping names no
// claim that says so. Descope's backend calls merge_user_accounts "trustProvidedEmails",
// which suggests that it does: the worse for accounts, and so what is tested against.
func trusted(p *Provider) bool { return p.merge() }

// Failures, as the page that runs the flow gets them in err. A provider's own error
// goes there as it is.
const (
	failedProvider = "provider_error"    // said something that is no error of OAuth
	failedExchange = "exchange_failed"   // the code was not taken, or nobody answered
	failedToken    = "invalid_id_token"  // #nosec G101 -- the name of an error
	failedUserInfo = "invalid_user_info" // not there, or of somebody else
	failedMapping  = "no_login_id"       // the mapped claim is not there
	failedSAML     = "invalid_saml_response"
)
