package kosmos

import "time"

// What the reference leaves open about the OpenID provider (reference 4.3 and
// 6.1), decided in one place. Documented are: the authorize and token paths,
// client_secret_basic, the code grant, RS256, and the claims parameter with
// id_token.username and id_token.acr.values. Standard where the reference is
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
