// Package accounts is the memory of the local Descope: the users of its project,
// the codes mailed to them, their sessions, devices and logins, and what that says
// about the risk of the next one.
//
// A session goes like this; its refresh token is good in the state live only:
//
//	         Issue                    Refresh
//	code, ----------> +------+ ------------------> a session token; with the claim su
//	external          | live |                     until the step-up is over
//	                  +------+
//	                     |  logout, logout of the user, user disabled or deleted,
//	                     |  a refresh token that was rotated away comes again,
//	                     v  its time is over
//	                   gone
//
// Everything is read from memory. Every change is one transaction of an SQLite
// database before it is one here; its values are sealed with a key beside it.
//
// What is not public about Descope stands in guesses.go.
package accounts
