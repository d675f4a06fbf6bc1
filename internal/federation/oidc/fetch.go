package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

const (
	keysMaxBody  = 256 << 10        // of one set of keys
	keysTimeout  = 10 * time.Second // of one fetch
	keysCacheFor = 10 * time.Minute
	keysAgain    = time.Minute // between two fetches of one address, whatever came of the first
	keysMaxURIs  = 1024        // addresses remembered; they are configuration, so that more are a mistake
	keysMaxTried = 8           // keys that are tried on one signature
)

// back is what the back channel remembers.
type back struct{ *foreignKeys }

// foreignKeys are other people's public keys.
type foreignKeys struct {
	fetcher  *http.Client
	loopback bool // we are an evaluation on one machine: so may be the addresses of keys

	keysMu  sync.Mutex
	keySets map[string]*fetchedKeys
	fetches singleflight.Group // by address
}

// fetchedKeys is what came of the last fetch of one address.
type fetchedKeys struct {
	set     *jose.JSONWebKeySet // nil: never got any
	got     time.Time           // when set was fetched
	tried   time.Time           // when a fetch was tried last
	problem error               // of that one
}

// newBack prepares the client that fetches keys. An address is what somebody wrote
// into a client's configuration, in the console too, and must not become a way into our
// network: so names are resolved by our own dialer, which refuses every address that
// is not a public one, and no proxy stands between (it would resolve the name, and we
// would not see to what). Two exceptions: we run on a loopback address ourselves, or
// Options.HTTPClient has a transport of another type, which then answers for this.
func newBack(o Options) back {
	k := &foreignKeys{keySets: map[string]*fetchedKeys{}, loopback: loopbackURL(o.PublicURL)}
	own := http.Client{Timeout: keysTimeout}
	if o.HTTPClient != nil {
		own = *o.HTTPClient
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Jar = nil
	if own.Transport == nil {
		own.Transport = http.DefaultTransport
	}
	if t, ok := own.Transport.(*http.Transport); ok && !k.loopback {
		t = t.Clone()
		t.Proxy = nil
		t.DialTLSContext = nil
		t.DialContext = (&net.Dialer{Timeout: keysTimeout, Control: publicOnly}).DialContext
		own.Transport = t
	}
	k.fetcher = &own
	return back{k}
}

// publicOnly is a net.Dialer's Control: it sees the address after the name was
// resolved, so that a name cannot be one thing when checked and another when dialled.
func publicOnly(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || risk.KindOf(a.Addr(), true) != risk.AddressPublic {
		return errors.New("oidc: not a public address")
	}
	return nil
}

func loopbackURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// keysAt is the set of public keys at uri: https, or http on a loopback address if
// ours is one. At most 256 KB, no redirects. A set is believed for 10 minutes; after
// that one that cannot be renewed is not believed any longer. It never asks one
// address more than once a minute.
func (p *Provider) keysAt(ctx context.Context, uri string) (*jose.JSONWebKeySet, error) {
	return p.keysSince(ctx, uri, keysCacheFor)
}

// keysFor is the keys at uri that may have made a signature with this header. When
// none has the name kid the owner may have rotated, so that it looks again, at most
// once a minute: an invented kid costs the owner no more.
func (p *Provider) keysFor(ctx context.Context, uri string, h jose.Header) ([]jose.JSONWebKey, error) {
	set, err := p.keysAt(ctx, uri)
	if err != nil {
		return nil, err
	}
	if found := candidates(set, h); len(found) > 0 {
		return found, nil
	}
	if set, err = p.keysSince(ctx, uri, keysAgain); err != nil {
		return nil, err
	}
	return candidates(set, h), nil
}

// keysSince is the keys at uri, not older than age if they can be had.
func (p *Provider) keysSince(ctx context.Context, uri string, age time.Duration) (*jose.JSONWebKeySet, error) {
	now := p.Now()
	p.keysMu.Lock()
	have := p.keySets[uri]
	p.keysMu.Unlock()
	if have != nil && have.set != nil && now.Sub(have.got) < age {
		return have.set, nil
	}
	if have == nil || now.Sub(have.tried) >= keysAgain {
		// The first one to ask must not take the others down with its own request.
		wait := p.fetches.DoChan(uri, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keysTimeout)
			defer cancel()
			return p.renewKeys(ctx, uri), nil
		})
		select {
		case r := <-wait:
			have = r.Val.(*fetchedKeys)
		case <-ctx.Done():
			return nil, keysTrouble(ctx.Err())
		}
	}
	if have.set != nil && now.Sub(have.got) < keysCacheFor {
		return have.set, nil
	}
	return nil, keysTrouble(have.problem)
}

// renewKeys fetches, and keeps what was there before when that goes wrong.
func (p *Provider) renewKeys(ctx context.Context, uri string) *fetchedKeys {
	p.keysMu.Lock()
	have := p.keySets[uri]
	p.keysMu.Unlock()
	if have != nil && p.Now().Sub(have.tried) < keysAgain {
		return have // by a flight that landed while this one was boarding
	}
	set, err := p.fetchKeys(ctx, uri)
	now := p.Now()
	p.keysMu.Lock()
	defer p.keysMu.Unlock()
	f := &fetchedKeys{tried: now, problem: err}
	if err == nil {
		f.set, f.got = set, now
	} else if before := p.keySets[uri]; before != nil {
		f.set, f.got = before.set, before.got
	}
	if _, known := p.keySets[uri]; !known && len(p.keySets) >= keysMaxURIs {
		clear(p.keySets)
	}
	p.keySets[uri] = f
	return f
}

func (p *Provider) fetchKeys(ctx context.Context, uri string) (*jose.JSONWebKeySet, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the address of the keys is none")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && p.loopback && loopbackURL(uri)) {
		return nil, errors.New("the address of the keys is not https")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := p.fetcher.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the address of the keys answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, keysMaxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > keysMaxBody {
		return nil, errors.New("the set of keys is too large")
	}
	return parseKeys(body)
}

func keysTrouble(err error) error {
	return &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true,
		Message: "the keys cannot be fetched from where the configuration says", Err: err,
	}
}

// parseKeys reads a set of keys and leaves out, as RFC 7517 section 5 wants, those
// that it does not understand. A set in which a private or a symmetric key is left
// lying about gives its public ones only.
func parseKeys(body []byte) (*jose.JSONWebKeySet, error) {
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, errors.New("the set of keys cannot be read")
	}
	set := new(jose.JSONWebKeySet)
	for _, raw := range list.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.Valid() && k.IsPublic() {
			set.Keys = append(set.Keys, k)
		}
	}
	return set, nil
}

// candidates are the keys of the set that may have made a signature with this header.
// Without a kid all that fit are tried, though not without limit.
func candidates(set *jose.JSONWebKeySet, h jose.Header) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, k := range set.Keys {
		if h.KeyID != "" && k.KeyID != h.KeyID || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != h.Algorithm {
			continue
		}
		if fits(k.Key, h.Algorithm) && len(out) < keysMaxTried {
			out = append(out, k)
		}
	}
	return out
}

// fits holds an algorithm to its kind of key (RFC 7518, 3.3 and 3.4: 2048 bits at
// least, and P-256 for ES256).
func fits(key any, alg string) bool {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		return (alg == string(jose.RS256) || alg == string(jose.PS256)) && k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	}
	return false
}

// verifiedBy checks a signature against each of the keys.
func verifiedBy(keys []jose.JSONWebKey, j *jose.JSONWebSignature) (payload []byte, ok bool) {
	for _, k := range keys {
		if payload, err := j.Verify(k.Key); err == nil {
			return payload, true
		}
	}
	return nil, false
}
