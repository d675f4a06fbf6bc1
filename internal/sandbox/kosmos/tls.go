package kosmos

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 397 * 24 * time.Hour // the longest that browsers take
	leafSoon = 30 * 24 * time.Hour  // a leaf that ends sooner is replaced at start
)

// caFileName is the authority's certificate, for clients to trust.
const caFileName = "ca.pem"

// authority is the server's own certificate authority and leaf. Both are made
// at the first start. The authority is constrained by name to this server's
// hosts, so that trusting it endangers no other site; when the hosts change to
// ones that it may not sign, a new one is made.
func authority(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	hosts = slices.Compact(slices.Sorted(slices.Values(append([]string{"localhost", "127.0.0.1", "::1"}, hosts...))))
	// Key and certificate share a file, so that a crash cannot part them.
	caFile, leafFile := filepath.Join(dir, "ca-key.pem"), filepath.Join(dir, "server-key.pem")

	ca, err := loadPair(caFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tls.Certificate{}, err
	}
	if err != nil || !covers(ca.Leaf, hosts) || now.Add(leafLife).After(ca.Leaf.NotAfter) {
		if ca, err = issue(caFile, caTemplate(hosts, now), nil); err != nil {
			return tls.Certificate{}, err
		}
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf.Raw})
	if err := seal.WriteFile(filepath.Join(dir, caFileName), public); err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	valid := func(c *x509.Certificate) error {
		for _, h := range hosts {
			if _, err := c.Verify(x509.VerifyOptions{DNSName: h, Roots: pool, CurrentTime: now}); err != nil {
				return err
			}
		}
		return nil
	}
	leaf, err := loadPair(leafFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tls.Certificate{}, err
	}
	if err != nil || valid(leaf.Leaf) != nil || now.Add(leafSoon).After(leaf.Leaf.NotAfter) {
		if leaf, err = issue(leafFile, leafTemplate(hosts, now), &ca); err != nil {
			return tls.Certificate{}, err
		}
		if err := valid(leaf.Leaf); err != nil {
			return tls.Certificate{}, fmt.Errorf("server certificate: %w", err)
		}
	}
	return leaf, nil
}

func covers(ca *x509.Certificate, hosts []string) bool {
	for _, h := range hosts {
		if net.ParseIP(h) == nil && !slices.Contains(ca.PermittedDNSDomains, h) {
			return false
		}
	}
	return true
}

func caTemplate(hosts []string, now time.Time) *x509.Certificate {
	t := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "Kosmoscope local 1Kosmos CA"},
		NotBefore:                   now.Add(-time.Hour),
		NotAfter:                    now.Add(caLife),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	for _, h := range hosts {
		if net.ParseIP(h) == nil {
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, h)
		}
	}
	return t
}

func leafTemplate(hosts []string, now time.Time) *x509.Certificate {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "Kosmoscope local 1Kosmos"},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// issue signs t with parent, or with its own key, and keeps key and certificate in file.
func issue(file string, t *x509.Certificate, parent *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate key: %w", err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate serial: %w", err)
	}
	signer, over := any(key), t
	if parent != nil {
		signer, over = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, t, over, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate key: %w", err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := seal.WriteFile(file, both); err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return loadPair(file)
}

func loadPair(file string) (tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return c, fmt.Errorf("load certificate: %w", err)
	}
	if c.Leaf == nil {
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return c, fmt.Errorf("load certificate: %w", err)
		}
	}
	return c, nil
}
