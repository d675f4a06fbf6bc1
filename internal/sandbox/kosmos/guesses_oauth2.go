package kosmos

import "time"

// What the reference leaves open about the OpenID provider (reference 4.3 and
// 6.1), decided in one place. Documented are: the authorize and token paths,
// client_secret_basic, the code grant, RS256, and the claims parameter with
// id_token.username and id_token.acr.values; the scope /assurance/ial/2 and the same
// as an acr value, with a trailing slash or without, and that the level that results
// is in amr. Standard where the reference is
// silent: OpenID Connect Core 1.0, RFC 6749, 7636, 9126 and 9207.
const (
	// Paths under {oauth2}/community/{name}: unknown but for authorize and token.
	oauthDiscoveryPath = "/.well-known/openid-configuration"
	oauthKeysPath      = "/v1/jwks"
	oauthUserInfoPath  = "/v1/userinfo"
	oauthPushPath      = "/v1/par"

	// The one method served here, spelled as the documented request spells it. That
	// the ID token says it in the same words is a guess.
	oauthACR = "liveID push"
	// Value of the amr claim: unknown; this is RFC 8176's word for a face.
	oauthAMR = "face"
	// Claim of the ID token with the user that was asked for: unknown; this is the
	// name that the request gives it.
	oauthUserClaim = "username"

	// What an acr value and, in amr, the level that was reached begin with. The scope and
	// the acr are documented for level 2; the string in amr is not, and neither are the
	// other levels.
	oauthLevelBase  = "/assurance/ial/"
	oauthLevelScope = "/assurance/ial/2"
	// Error for a person who has not reached an essential acr. 1Kosmos itself takes such
	// a person through a proofing, and how that ends without one is unknown; here nobody
	// is proofed in a sign-in. This is OpenID's word for it; access_denied is the other guess.
	oauthUnmet = "unmet_authentication_requirements"

	oauthStepUpTTL   = 5 * time.Minute  // of one face check: unknown
	oauthCodeTTL     = 60 * time.Second // unknown
	oauthPushTTL     = 60 * time.Second // as the vendor's contract with Okta has it (reference 6.2)
	oauthTokenTTL    = 5 * time.Minute  // of the ID token and the access token: unknown
	oauthRememberFor = time.Hour        // a used code, so that its second use is noticed

	// error_description of access_denied is a reason code of ours: no text is
	// published. This is the one of a face check whose time ran out.
	oauthTimeLimit = "time_limit"

	// Purpose that the authenticator shows: the request has no field for it.
	oauthPurpose = "authentication"
)

// oauthScopes are documented; that the two standard ones have user info tell what OpenID
// Connect Core, 5.4 says, as far as there is such a thing here, is a guess, and so is
// that a hosted login asks for the user name first, takes login_hint as a suggestion,
// heeds prompt=select_account and remembers no login.
var oauthScopes = []string{"openid", "profile", "email", oauthLevelScope}
