// Package program builds the program and runs it in processes of their own, for
// tests that treat it as strangers do: from a shell, over the network, with
// kill -9. It imports nothing of what it tests.
package program
