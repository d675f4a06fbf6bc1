package connectors

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

var absolute = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// endpointURL is base plus the endpoint of a step: a path, perhaps with a query.
// Values from a flow may be in it, so it must stay on the base's origin and below
// its path, whoever reads it and however often they decode it. An empty endpoint is
// the base itself.
func endpointURL(base *url.URL, endpoint string) (*url.URL, error) {
	for i := range len(endpoint) {
		if c := endpoint[i]; c <= 0x20 || c >= 0x7f || c == '\\' || c == '#' {
			return nil, errors.New("the endpoint has a character that must be percent-encoded")
		}
	}
	path, query, hasQuery := strings.Cut(endpoint, "?")
	if absolute.MatchString(path) || strings.HasPrefix(path, "//") {
		return nil, errors.New("the endpoint is not a path")
	}
	path = strings.TrimPrefix(path, "/")
	for segment := range strings.SplitSeq(path, "/") {
		for {
			if segment == "." || segment == ".." || strings.ContainsAny(segment, `/\`) {
				return nil, errors.New("the endpoint leaves the base URL")
			}
			plain, err := url.PathUnescape(segment)
			if err != nil {
				return nil, errors.New("the endpoint is not percent-encoded properly")
			}
			if plain == segment {
				break
			}
			segment = plain
		}
	}
	text := strings.TrimSuffix(base.String(), "/")
	if path != "" || len(base.Path) <= 1 || strings.HasPrefix(endpoint, "/") {
		text += "/" + path
	}
	if hasQuery {
		text += "?" + query
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the endpoint is not a path")
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, errors.New("the query of the endpoint is malformed")
	}
	return u, nil
}
