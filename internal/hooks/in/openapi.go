package in

import (
	_ "embed"
	"slices"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI is an OpenAPI 3.1 fragment with the paths and schemas of this door, to be merged
// into the document of door A: its paths, components.schemas and tags. Errors refer to
// #/components/schemas/Problem, which is door A's.
func OpenAPI() []byte { return slices.Clone(openAPI) }
