// Command federation measures how many sign-ins a second an OpenID provider takes:
// the authorization-code flow with PKCE, from the first request of the browser to the
// ID token, by sixteen clients that each begin anew as soon as they have ended. The
// same client asks this program's provider and two peers, on the same machine and in
// the same run. What each does in a flow is in what it prints.
package main
