// Package integrations holds what a customer installs, so that the program uses the
// very same files.
package integrations

import (
	"embed"
	"io/fs"
)

//go:embed flows/*.json
var files embed.FS

// Flows are the flow documents of integrations/flows.
func Flows() fs.FS {
	sub, err := fs.Sub(files, "flows")
	if err != nil {
		panic("integrations: " + err.Error()) // the folder is embedded above
	}
	return sub
}
