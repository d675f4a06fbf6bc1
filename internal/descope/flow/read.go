package flow

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ReadDir reads every *.json of a folder, in the order of their names. A document
// without a flow id gets its file's name. Errors name the file.
func ReadDir(files fs.FS) ([]*Document, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []*Document
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		d := new(Document)
		if err := json.Unmarshal(b, d); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if d.FlowID == "" {
			d.FlowID = strings.TrimSuffix(path.Base(name), ".json")
		}
		out = append(out, d)
	}
	return out, nil
}
