// Package in is what door C lets in: Descope's Audit Webhook, the two hooks that a flow
// calls and waits for, and 1Kosmos' callbacks. It knows shapes and words; what comes of an
// event is the business of package hooks, and of a person that of the journey.
//
//	POST /descope/v1/events                   size ▶ caller ▶ split ▶ each element ▶ stored ▶ 200
//	                                                                     └ bad: stored too, parked
//	POST /descope/v1/hooks/pre-login          size ▶ caller ▶ fields ▶ limits ▶ risk ▶ challenge ▶ action
//	POST /descope/v1/hooks/post-registration  size ▶ caller ▶ fields ▶ rule ▶ verification ▶ action
//	POST /kosmos/v1/callbacks/TENANT/SECRET   secret ▶ 202 ▶ ids in it ▶ what is open ▶ read the truth now
//
// Events are accepted when they are stored, never decide a login, and may come twice. The
// hooks answer within 2 s; whatever is in their way asks for more, never for less.
//
// Before a login nobody is authenticated. So the hook before it is weighed as a stranger's,
// whose history is not looked at, and an answer is the same, but for ids, whether or not
// there is such an account and whether or not its face is enrolled.
package in
