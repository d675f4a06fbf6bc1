// Package manage serves Descope's Management API, as far as the bridge and its
// installers use it, and the calls about sessions that Descope's SDKs make from pages
// and backends: keys, refresh, me, logout.
//
// It keeps nothing itself: it turns paths and bodies into calls of the accounts and
// the flow runner, and their answers into Descope's. What is not public about Descope
// stands in guesses.go.
package manage
