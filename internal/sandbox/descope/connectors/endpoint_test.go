package connectors

import (
	"net/url"
	"strings"
	"testing"
)

func TestEndpointURL(t *testing.T) {
	for _, tt := range []struct{ base, endpoint, want string }{ // want "": refused
		{"https://b.example", "", "https://b.example/"},
		{"https://b.example/", "", "https://b.example"},
		{"https://b.example", "/v1/idv", "https://b.example/v1/idv"},
		{"https://b.example/p", "v1/idv?x=1&y=%2F..", "https://b.example/p/v1/idv?x=1&y=%2F.."},
		{"https://b.example/p/", "/v1/", "https://b.example/p/v1/"},
		{"https://b.example/p", "", "https://b.example/p"},
		{"https://b.example/p", "?x=1", "https://b.example/p?x=1"},
		{"https://b.example/p", "/a:b/c%20d", "https://b.example/p/a:b/c%20d"},
		{"https://b.example/p", "/...", "https://b.example/p/..."},
		{"https://b.example/p", "https://evil.example/", ""},
		{"https://b.example/p", "HTTPS:evil", ""},
		{"https://b.example/p", "//evil.example/x", ""},
		{"https://b.example/p", `\\evil.example/x`, ""},
		{"https://b.example/p", "/../admin", ""},
		{"https://b.example/p", "/a/./b", ""},
		{"https://b.example/p", "/a/%2e%2E/b", ""},
		{"https://b.example/p", "/a/%252e%252e/b", ""},
		{"https://b.example/p", "/a%2fb", ""},
		{"https://b.example/p", "/a%5cb", ""},
		{"https://b.example/p", "/a b", ""},
		{"https://b.example/p", "/a\r\nb", ""},
		{"https://b.example/p", "/é", ""},
		{"https://b.example/p", "/a#b", ""},
		{"https://b.example/p", "/%zz", ""},
		{"https://b.example/p", "/a?b=%zz", ""},
	} {
		base, err := url.Parse(tt.base)
		if err != nil {
			t.Fatal(err)
		}
		u, err := endpointURL(base, tt.endpoint)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%q: accepted as %s", tt.endpoint, u)
			} else if strings.Contains(err.Error(), "evil") {
				t.Errorf("%q: the endpoint is in the error: %v", tt.endpoint, err)
			}
			continue
		}
		want, _ := url.Parse(tt.want)
		if want.Path == "" {
			want.Path = "/"
		}
		if err != nil || u.String() != want.String() {
			t.Errorf("%q: got %v, %v, want %s", tt.endpoint, u, err, want)
		}
	}
}

func FuzzEndpointURL(f *testing.F) {
	for _, s := range []string{"/v1/x?y=z", "//evil", "https://evil", "/%2e%2e/x", "@evil/", ":1234/x", "?x", "/a/../b", "/%25252e."} {
		f.Add(s)
	}
	base, _ := url.Parse("https://bridge.example:8443/descope")
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := endpointURL(base, endpoint)
		if err != nil {
			return
		}
		if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q left the origin: %s", endpoint, u)
		}
		if p := u.EscapedPath(); p != "/descope" && !strings.HasPrefix(p, "/descope/") {
			t.Fatalf("%q left the path: %s", endpoint, p)
		}
		// However often it is decoded and cleaned, it stays below the base.
		for p := u.EscapedPath(); ; {
			clean := base.ResolveReference(&url.URL{Path: p}).Path
			if clean != "/descope" && !strings.HasPrefix(clean, "/descope/") {
				t.Fatalf("%q leaves the path when decoded: %s", endpoint, clean)
			}
			next, err := url.PathUnescape(p)
			if err != nil || next == p {
				break
			}
			p = next
		}
		// What a server reads is what was meant.
		again, err := url.Parse(u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q became %s, then %v %v", endpoint, u, again, err)
		}
	})
}
