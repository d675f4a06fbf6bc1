package shipped

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// Files are the contents of all files, by path: the documents in folder flows, as
// FLOW.json, and the pictures in folder pictures, as flow-FLOW.svg. An empty folder
// leaves its files out.
func Files(n *flow.Names, flows, pictures string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, f := range Flows(n) {
		if flows != "" {
			b, err := f.JSON()
			if err != nil {
				return nil, err
			}
			files[filepath.Join(flows, f.FlowID+".json")] = b
		}
		if pictures != "" {
			files[filepath.Join(pictures, "flow-"+f.FlowID+".svg")] = f.Picture()
		}
	}
	return files, nil
}

// Write writes files, and makes their folders.
func Write(files map[string][]byte) error {
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[path], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Differ names what is not as it should be, in order: files that differ or are
// missing, and others beside them that look like ours.
func Differ(files map[string][]byte) ([]string, error) {
	var differ []string
	folders := map[string]bool{}
	for path, want := range files {
		folders[filepath.Dir(path)] = true
		got, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			differ = append(differ, path+" is missing")
		case err != nil:
			return nil, err
		case !bytes.Equal(got, want):
			differ = append(differ, path+" differs")
		}
	}
	for folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			path, name := filepath.Join(folder, e.Name()), e.Name()
			ours := strings.HasSuffix(name, ".json") || strings.HasPrefix(name, "flow-") && strings.HasSuffix(name, ".svg")
			if ours && files[path] == nil {
				differ = append(differ, path+" is not made by this program")
			}
		}
	}
	slices.Sort(differ)
	return differ, nil
}
