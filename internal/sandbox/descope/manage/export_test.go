package manage

import (
	"maps"
	"slices"
)

// Managed are the patterns of the routes that need the management key.
func Managed() []string {
	s := &server{}
	var all []string
	for _, routes := range []map[string]call{s.users(), s.sessions(), s.flows(), s.audits()} {
		all = append(all, slices.Collect(maps.Keys(routes))...)
	}
	return all
}
