package deliveries_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addresses       string
		public, private bool // allowed without, and with allow_private
	}{
		{"8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1", true, true},
		{"10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 127.0.0.1 127.9.9.9 100.64.0.1 ::1 fd12::1", false, true},
		{"::ffff:127.0.0.1 ::ffff:10.0.0.1", false, true},
		{"0.0.0.0 0.1.2.3 255.255.255.255 240.0.0.1 224.0.0.1 239.1.1.1 ff02::1 ff0e::1 ::", false, false},
		{"169.254.169.254 169.254.0.1 fe80::1 ::ffff:169.254.169.254", false, false},
		{"64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1::1 2002:a00:1::1 2002:a9fe:a9fe::1", false, false},
		{"192.0.2.1 198.51.100.7 203.0.113.9 198.18.0.1 192.0.0.8 2001:db8::1 3fff::1 2001::1", false, false},
		{"::127.0.0.1 ::8.8.8.8 fec0::1 100::1 4000::1", false, false},
		{"100.100.100.200 168.63.129.16 fd00:ec2::254 ::ffff:168.63.129.16 64:ff9b::a83f:8110 2002:a83f:8110::1", false, false},
	} {
		for a := range strings.FieldsSeq(c.addresses) {
			addr := netip.MustParseAddr(a)
			if got := deliveries.Allowed(addr, false); got != c.public {
				t.Errorf("%s: allowed %v", a, got)
			}
			if got := deliveries.Allowed(addr, true); got != c.private {
				t.Errorf("%s with private ones: allowed %v", a, got)
			}
		}
	}
	if deliveries.Allowed(netip.Addr{}, true) || deliveries.Allowed(netip.MustParseAddr("fd12::1%eth0"), true) {
		t.Error("no address, or one with a zone, is allowed")
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://example.com", "https://example.com:8088/services/collector?a=b", "https://8.8.8.8/x", "https://[2606:4700::1111]/", "https://xn--bcher-kva.example/"} {
		if p := deliveries.CheckURL(good, false); p != "" {
			t.Errorf("%s: %s", good, p)
		}
	}
	for _, private := range []string{"http://example.com/", "https://10.0.0.1/", "http://localhost:8080/x", "https://[::1]/", "https://a.localhost/", "https://[::ffff:10.0.0.1]/"} {
		if deliveries.CheckURL(private, false) == "" {
			t.Errorf("%s is allowed", private)
		}
		if p := deliveries.CheckURL(private, true); p != "" {
			t.Errorf("%s with private ones: %s", private, p)
		}
	}
	for _, bad := range []string{
		"", "example.com", "//example.com", "https://", "https:///x", "https:example.com", "ftp://example.com", "file:///etc/passwd", "gopher://example.com",
		"https://user@example.com", "https://user:pw@example.com", "https://example.com/#x", "https://example.com#", "https://example.com:0/", "https://example.com:/",
		"https://example.com:99999999/", "https://169.254.169.254/latest/meta-data", "https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/", "https://1.2.3/",
		"https://[fe80::1%25eth0]/", "https://bücher.example/", "https://exa mple.com/", "https://example.com\n/", "https://./", "https://224.0.0.1/",
		"https://example.com/" + strings.Repeat("x", 2048),
	} {
		for _, private := range []bool{false, true} {
			if deliveries.CheckURL(bad, private) == "" {
				t.Errorf("%q is allowed (private: %v)", bad, private)
			}
		}
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/x", "http://10.0.0.1", "https://[::1]:8/", "https://a@b", "https://1.2.3.4:443/?q#f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if deliveries.CheckURL(raw, false) != "" {
			return
		}
		if p := deliveries.CheckURL(raw, true); p != "" {
			t.Errorf("%q: allowed, but not with private ones: %s", raw, p)
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q is allowed", raw)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && !deliveries.Allowed(a, false) {
			t.Errorf("%q is allowed", raw)
		}
		if _, err := http.NewRequest(http.MethodPost, raw, nil); err != nil {
			t.Errorf("%q is allowed, but no request: %v", raw, err)
		}
	})
}

// TestRebinding: a name is public when somebody looks, and private when it is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:443", ok)
		w.names["rebind.example"] = []netip.Addr{netip.MustParseAddr("93.184.216.34")}
		w.endpoint("https://rebind.example/", func(in *deliveries.Input) { in.AllowPrivate = false })
		for _, now := range [][]netip.Addr{
			{netip.MustParseAddr("10.0.0.1")},
			{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr("10.0.0.1")}, // one of them is enough
			{netip.MustParseAddr("::ffff:10.0.0.1")},
			{netip.MustParseAddr("64:ff9b::a00:1")},
			{netip.MustParseAddr("169.254.169.254")},
		} {
			w.mu.Lock()
			w.names["rebind.example"] = now
			w.mu.Unlock()
			w.tell("a.b", nil)
			w.drain(0)
			log := w.log()
			d := log[len(log)-1]
			if d.State != deliveries.Waiting || d.Reason != proof.ReasonEndpointAddress {
				t.Errorf("%v: %+v", now, d)
			}
		}
		if len(w.dials) != 0 {
			t.Errorf("dialled %v", w.dials)
		}
		w.mu.Lock()
		w.names["rebind.example"] = []netip.Addr{netip.MustParseAddr("93.184.216.34")}
		w.mu.Unlock()
		w.tell("a.b", nil)
		w.drain(0)
		if len(w.dials) != 1 || w.dials[0] != "93.184.216.34:443" {
			t.Errorf("dialled %v", w.dials)
		}
	})
}

// TestPools: a connection that was made for an endpoint that may be at a private address
// is not lent to one that may not.
func TestPools(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(ok))
	defer server.Close()
	w := plainWorld(t, func(o *deliveries.Options) {
		o.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		o.Resolver = fixedResolver{netip.MustParseAddr("127.0.0.1")}
	})
	u, _ := url.Parse(server.URL)
	name := "https://example.com:" + u.Port() + "/" // the certificate's name
	inside, _ := w.endpoint(name)
	outside, _ := w.endpoint(name, func(in *deliveries.Input) { in.AllowPrivate = false })
	if _, a, err := w.s.Test(t.Context(), "acme", inside.ID, "operator"); err != nil || a.Status != 204 {
		t.Fatal(err, a.Error)
	}
	if d, a, err := w.s.Test(t.Context(), "acme", outside.ID, "operator"); err != nil || a.Status != 0 || d.Reason != proof.ReasonEndpointAddress {
		t.Error(err, a, d)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	server.Config.ErrorLog = discard
	server.StartTLS()
	defer server.Close()
	plain := httptest.NewServer(http.HandlerFunc(ok))
	defer plain.Close()
	pool := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	u, _ := url.Parse(server.URL)
	for _, c := range []struct {
		url, problem string
		trusted      bool
	}{
		{server.URL, "", true},
		{server.URL, "the certificate is by somebody who is not trusted", false},
		{"https://other.test:" + u.Port(), "the certificate is for another name", true},
		{strings.Replace(plain.URL, "http:", "https:", 1), "the endpoint does not speak TLS", true},
		{"https://nobody.test/", "the name cannot be resolved", true},
	} {
		w := plainWorld(t, func(o *deliveries.Options) {
			o.Resolver = fixedResolver{netip.MustParseAddr("127.0.0.1")}
			if c.trusted {
				o.RootCAs = pool
			}
		})
		e, _ := w.endpoint(c.url)
		_, a, err := w.s.Test(t.Context(), "acme", e.ID, "operator")
		if err != nil || a.Error != c.problem {
			t.Errorf("%s (trusted: %v): %v %q, want %q", c.url, c.trusted, err, a.Error, c.problem)
		}
	}
}

// TestProxy runs alone, as it changes the environment.
func TestProxy(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://10.9.9.9:3128")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", ok)
		w.receiver("10.9.9.9:3128", ok)
		w.names["inside.example"] = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
		w.endpoint("http://inside.example/")
		w.tell("a.b", nil)
		w.drain(time.Minute)
		if len(w.received("10.0.0.1:80")) != 1 || len(w.received("10.9.9.9:3128")) != 0 {
			t.Errorf("dialled %v", w.dials)
		}
	})
}
