// Package federation is the local Descope as a relying party: the custom OAuth
// providers of its project, and SAML of its tenants. It sends browsers there, takes them
// back at the addresses that Descope has, checks the answer with libraries that nothing
// else of ours uses, and maps it to an identity. Who that is among the users is for
// package accounts to say.
//
//	flow            Federation                  provider
//	  | Begin ------> trip, state sealed -- browser --> |
//	  |                                                 |
//	  |             /v1/oauth/callback    <-- code, state
//	  |             /v1/auth/saml/acs     <-- SAMLResponse, RelayState
//	  |                  | a trip ends here, well or not: a second answer finds none
//	  |                  | token, keys, userinfo; or signature, audience, InResponseTo
//	  | <- Returned -----+
//
// What is not public about Descope as a relying party stands in guesses.go.
package federation
