package blockid

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Community is what a tenant tells about itself before any key is known.
type Community struct {
	TenantID   string
	TenantTag  string
	TenantName string
	OtherDNS   []string // every host the tenant answers to
	ID         string
	Name       string
	PublicKey  string // the admin console's key; standard base64 of 64 bytes

	hosts   map[string]bool // OtherDNS, normalised
	expires time.Time
}

func (c *Community) expiry() time.Time { return c.expires }

// Community returns the tenant and community, from the cache if fresh.
func (c *Client) Community(ctx context.Context) (Community, error) {
	com, err := c.community(ctx)
	if err != nil {
		return Community{}, asError(err, "community", "")
	}
	out := *com
	out.OtherDNS = append([]string(nil), com.OtherDNS...)
	return out, nil
}

// Directory returns the service directory: base URLs by service name, as the
// tenant sent them. Before a service is used its URL is checked; here nothing
// is, since a directory may hold internal URLs of services that nobody calls.
func (c *Client) Directory(ctx context.Context) (map[string]string, error) {
	d, err := c.directory(ctx)
	if err != nil {
		return nil, asError(err, "directory", "")
	}
	return maps.Clone(d.urls), nil
}

// ServiceKey returns the public key of a service. Its curve is the curve that
// a key pair for this tenant must have.
func (c *Client) ServiceKey(ctx context.Context, service string) (*PublicKey, error) {
	r, err := c.route(ctx, service)
	if err != nil {
		return nil, asError(err, "publickeys", service)
	}
	return r.key, nil
}

type communityRequest struct {
	DNS           string `json:"dns,omitempty"`
	CommunityName string `json:"communityName,omitempty"`
	TenantID      string `json:"tenantId,omitempty"`
	CommunityID   string `json:"communityId,omitempty"`
}

func (c *Client) community(ctx context.Context) (*Community, error) {
	return c.communities.get(ctx, "", c.wire.now, c.wire.timeout, func(ctx context.Context) (*Community, error) {
		q := communityRequest{TenantID: c.cfg.TenantID, CommunityID: c.cfg.CommunityID}
		if q.TenantID == "" || q.CommunityID == "" {
			q = communityRequest{DNS: c.cfg.DNS, CommunityName: c.cfg.Community}
		}
		body, err := json.Marshal(q)
		if err != nil {
			return nil, asError(&Error{Kind: KindInvalid, detail: "request cannot be encoded", err: err}, "community", "")
		}
		u := &url.URL{Scheme: "https", Host: c.cfg.DNS, Path: "/api/r1/system/community_info/fetch"}
		b, err := c.wire.send(ctx, http.MethodPost, u, plainHeader(), body)
		if err != nil {
			return nil, asError(err, "community", ServiceAdminConsole)
		}
		com, err := parseCommunity(b)
		if err != nil {
			return nil, asError(err, "community", ServiceAdminConsole)
		}
		if differ(q.TenantID, com.TenantID) || differ(q.CommunityID, com.ID) || differ(q.CommunityName, com.Name) {
			return nil, asError(malformed("answer is about another community"), "community", ServiceAdminConsole)
		}
		com.expires = c.wire.now().Add(ttl)
		return com, nil
	})
}

func differ(asked, got string) bool { return asked != "" && !strings.EqualFold(asked, got) }

func plainHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Charset": {"utf-8"}, "Accept": {"application/json"}}
}

func parseCommunity(b []byte) (*Community, error) {
	var w struct {
		Tenant *struct {
			ID       string   `json:"id"`
			Tag      string   `json:"tenanttag"`
			Name     string   `json:"name"`
			OtherDNS []string `json:"otherDNS"`
		} `json:"tenant"`
		Community *struct {
			ID        string `json:"id"`
			Name      string `json:"name"`
			PublicKey string `json:"publicKey"`
		} `json:"community"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "community answer is broken JSON", err: err}
	}
	if w.Tenant == nil || w.Community == nil {
		if e := errorInSuccess(b); e != nil {
			return nil, e
		}
		return nil, malformed("tenant or community missing")
	}
	if w.Tenant.Tag == "" || w.Community.Name == "" || w.Community.PublicKey == "" {
		return nil, malformed("tenant tag, community name or key missing")
	}
	com := &Community{
		TenantID: w.Tenant.ID, TenantTag: w.Tenant.Tag, TenantName: w.Tenant.Name, OtherDNS: w.Tenant.OtherDNS,
		ID: w.Community.ID, Name: w.Community.Name, PublicKey: w.Community.PublicKey,
		hosts: make(map[string]bool, len(w.Tenant.OtherDNS)),
	}
	if !headerSafe(com.TenantTag) {
		return nil, malformed("tenant tag is not a header value")
	}
	for _, h := range com.OtherDNS {
		if u, err := url.Parse("https://" + h); err == nil && h != "" && u.Host == h && u.Hostname() != "" {
			com.hosts[hostPort(u)] = true
		}
	}
	return com, nil
}

// segment reports whether s, once escaped, is one segment of a path. Escaping
// leaves dots alone, and these two would change the path.
func segment(s string) bool { return s != "" && s != "." && s != ".." }

// headerSafe reports whether s is visible ASCII.
func headerSafe(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

type directory struct {
	urls    map[string]string
	expires time.Time
}

func (d *directory) expiry() time.Time { return d.expires }

func (c *Client) directory(ctx context.Context) (*directory, error) {
	return c.directories.get(ctx, "", c.wire.now, c.wire.timeout, func(ctx context.Context) (*directory, error) {
		u := &url.URL{Scheme: "https", Host: c.cfg.DNS, Path: "/caas/sd"}
		b, err := c.wire.send(ctx, http.MethodGet, u, http.Header{"Accept": {"application/json"}}, nil)
		if err != nil {
			return nil, asError(err, "directory", "caas")
		}
		urls, err := parseDirectory(b)
		if err != nil {
			return nil, asError(err, "directory", "caas")
		}
		return &directory{urls: urls, expires: c.wire.now().Add(ttl)}, nil
	})
}

// parseDirectory reads a flat object; values that are not text are left out.
func parseDirectory(b []byte) (map[string]string, error) {
	var w map[string]scalar
	if err := unmarshalLenient(b, &w); err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "service directory is broken JSON", err: err}
	}
	urls := make(map[string]string, len(w))
	for name, u := range w {
		if u != "" {
			urls[name] = string(u)
		}
	}
	// The vendor's own helper tells a directory from an error body by this key.
	if urls["licenses"] == "" {
		if e := errorInSuccess(b); e != nil {
			return nil, e
		}
		return nil, malformed("not a service directory")
	}
	return urls, nil
}

// base returns the checked base URL of a service, without a trailing slash.
func (c *Client) base(service string, com *Community, dir *directory) (*url.URL, error) {
	raw, ok := dir.urls[service]
	if service == ServiceWorkflow {
		raw, ok = cmp.Or(c.cfg.WorkflowBase, "https://"+c.cfg.DNS+"/workflowapi"), true
	}
	if !ok {
		return nil, malformed("service directory does not list this service")
	}
	u, err := c.wire.trusted(raw, com.hosts)
	if err != nil {
		return nil, asError(err, "directory", service)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, malformed("service URL has a query or fragment")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func (c *Client) fetchKey(ctx context.Context, base *url.URL) (string, error) {
	u := *base
	u.Path, u.RawPath = u.Path+"/publickeys", ""
	b, err := c.wire.send(ctx, http.MethodGet, &u, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return "", err
	}
	var w struct {
		PublicKey scalar `json:"publicKey"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return "", &Error{Kind: KindMalformed, detail: "key answer is broken JSON", err: err}
	}
	if w.PublicKey == "" {
		return "", malformed("key answer has no key")
	}
	return string(w.PublicKey), nil
}
