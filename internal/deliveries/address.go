package deliveries

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const maxURL = 2048

// errAddress is the error of a connection to an address that is not allowed.
var errAddress = errors.New("deliveries: the address is not allowed")

// never are addresses at which clouds hand out credentials to whoever asks from inside.
// Nobody's endpoint is there, whatever it may reach. (Those in 169.254.0.0/16 are
// link-local, and refused as such.)
var never = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
}

// Allowed reports whether requests may go to an address: public ones, and with private
// those of one's own networks and machine, too; but then neither link-local nor multicast
// nor unspecified ones. An address of IPv4 in one of IPv6 is what counts.
func Allowed(a netip.Addr, private bool) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if slices.Contains(never, a) {
		return false
	}
	if risk.KindOf(a, true) == risk.AddressPublic {
		return !slices.ContainsFunc(never, func(n netip.Addr) bool { return carries(a, n) })
	}
	return private && (a.IsPrivate() || a.IsLoopback() || shared.Contains(a))
}

var (
	shared = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598; private networks of providers use it, too
	nat64  = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052
	router = netip.MustParsePrefix("2002::/16")     // RFC 3056
)

// carries reports whether six is four, translated (RFC 6052) or by 6to4 (RFC 3056).
func carries(six, four netip.Addr) bool {
	if !six.Is6() || !four.Is4() {
		return false
	}
	b, f := six.As16(), four.As4()
	return nat64.Contains(six) && [4]byte(b[12:]) == f || router.Contains(six) && [4]byte(b[2:6]) == f
}

// CheckURL says in a sentence what is wrong with the URL of an endpoint; "" if nothing
// is. Names are not resolved here: what they lead to is looked at whenever a connection
// is made. Any port will do, since HEC, among others, has its own: what is spoken is TLS
// with a certificate for the very name, which nothing but an endpoint answers. (With
// private, http is allowed, and the operator answers for what is there.)
func CheckURL(raw string, private bool) (problem string) {
	switch u, err := url.Parse(raw); {
	case raw == "":
		return "a URL is needed"
	case len(raw) > maxURL:
		return "the URL is longer than 2048 characters"
	case err != nil || u.Opaque != "" || u.Host == "" || u.Hostname() == "":
		return "this is not a URL; it starts with https://"
	case u.User != nil:
		return "the URL must not hold a name or password; give them as a header or token"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return "the URL must not have a #fragment: it is not sent"
	case u.Scheme != "https" && !(private && u.Scheme == "http"):
		return "the URL must be https"
	case !usable(u):
		return "the URL has no usable port"
	default:
		return checkHost(u.Hostname(), private)
	}
}

// usable reports whether the port of a URL is one, if there is one.
func usable(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port != 0
}

func checkHost(host string, private bool) string {
	for _, r := range host {
		if r <= ' ' || r > '~' {
			return "the host has characters that are not ASCII; write it with xn--"
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !Allowed(a, private) {
			return "this address is not allowed; private ones are where allow_private is set"
		}
		return ""
	}
	if strings.Contains(host, ":") || strings.Contains(host, "%") {
		return "the host is not a name or an address"
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case last == "" || len(name) > 253:
		return "the host is not a name or an address"
	case last[0] >= '0' && last[0] <= '9':
		// Some resolvers take 2130706433 and 0x7f.1 for addresses (inet_aton).
		return "the host looks like an address, but is none; write it as four numbers"
	case last == "localhost" && !private:
		return "this address is not allowed; private ones are where allow_private is set"
	}
	return ""
}

// dialer connects to what a name resolves to at that moment, and to no address that was
// not looked at.
type dialer struct {
	resolver Resolver
	private  bool
	connect  func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(r Resolver, private bool, connect func(context.Context, string, string) (net.Conn, error)) *dialer {
	if connect == nil {
		connect = (&net.Dialer{
			Timeout: 5 * time.Second, // several addresses may be tried in the time of one request
			// The last look, at what the kernel is told.
			Control: func(_, address string, _ syscall.RawConn) error {
				a, err := netip.ParseAddrPort(address)
				if err != nil || !Allowed(a.Addr(), private) {
					return errAddress
				}
				return nil
			},
		}).DialContext
	}
	return &dialer{resolver: r, private: private, connect: connect}
}

// DialContext is for http.Transport. A name with even one address that is not allowed
// leads nowhere: which of them another resolver would have picked is chance.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		found = append(found, a)
	} else if found, err = d.resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, err
	}
	for _, a := range found {
		if !Allowed(a, d.private) {
			return nil, errAddress
		}
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	for _, a := range found[:min(len(found), 4)] {
		var c net.Conn
		if c, err = d.connect(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}
