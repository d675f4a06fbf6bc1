package federation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/test/program"
	"github.com/kosmoscope/kosmoscope/test/world"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they mostly wait for each other's photos
	os.Exit(program.Main(m, shared.close))
}

// shared is the one world of all tests.
var shared sharedWorld

type sharedWorld struct {
	once  sync.Once
	w     *world.World
	err   error
	homes chan string // redirect URIs on loopback, for one client at a time each
	key   string      // PKCS #8 PEM of the client that signs its assertions
	jwk   fields
}

// Clients of the world. All have the same redirect URIs, and take photos from files.
const (
	basic    = "basic"    // a secret, PKCE not required, refresh tokens
	strict   = "strict"   // a secret, PKCE required
	signing  = "signing"  // private_key_jwt, PAR required
	rsa      = "rsa"      // RS256
	public   = "public"   // no secret
	descope  = "descope"  // Descope's profile: no PKCE, no acr, its own default
	levelled = "levelled" // must have IAL2
	back     = "back"     // CIBA
	foreign  = "foreign"  // somebody else's application
	sp       = "sp"       // SAML
	spEmail  = "sp-email" // SAML, with the user identifier as NameID
)

const (
	faceACR     = "urn:kosmoscope:acr:liveid"
	proofingACR = "urn:kosmoscope:acr:proofing"
	ial2        = "/assurance/ial/2"

	elsewhere = "https://rp.example/callback" // of every client: nobody is there, the person stops before it
)

func secretOf(client string) string { return "secret-of-" + client + "-0c2e4a6b8d9f7153" }

func entityOf(client string) string { return "https://" + client + ".example/saml" }

func (s *sharedWorld) open(t *testing.T) *world.World {
	t.Helper()
	s.once.Do(func() {
		s.homes = make(chan string, 8)
		var homes, acs []string
		for range cap(s.homes) {
			home := fmt.Sprintf("http://localhost:%d/callback", program.FreePort(t))
			s.homes <- home
			homes, acs = append(homes, home), append(acs, home)
		}
		homes = append(homes, elsewhere)
		if s.err = s.makeKey(); s.err != nil {
			return
		}
		s.w, s.err = world.Start(t, world.Plan{Tenant: func(*world.World) string { return clientsYAML(homes, acs, s.jwk) }})
	})
	if errors.Is(s.err, world.ErrLacking) {
		lacking(t, s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.w
}

// makeKey makes what client signing signs with.
func (s *sharedWorld) makeKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	point, err := key.PublicKey.ECDH()
	if err != nil {
		return err
	}
	xy := point.Bytes() // 4, x, y
	part := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	s.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	s.jwk = fields{"kty": "EC", "crv": "P-256", "x": part(xy[1:33]), "y": part(xy[33:]), "kid": "rp-key", "use": "sig", "alg": "ES256"}
	return nil
}

// clientsYAML is the tenant's door B. YAML takes JSON as it is.
func clientsYAML(homes, acs []string, jwk fields) string {
	common := func(id string, more fields) fields {
		c := fields{"client_id": id, "name": "Shop " + id, "liveness_mode": "none", "session": "30m"}
		for name, v := range more {
			c[name] = v
		}
		return c
	}
	oidc := func(id string, more, of fields) fields {
		o := fields{"redirect_uris": homes, "token_endpoint_auth_method": "client_secret_basic", "post_logout_redirect_uris": []string{"https://rp.example/bye"}}
		for name, v := range of {
			o[name] = v
		}
		c := common(id, more)
		c["protocol"], c["oidc"] = "oidc", o
		if m := o["token_endpoint_auth_method"]; m == "client_secret_basic" || m == "client_secret_post" {
			c["client_secret"] = secretOf(id)
		}
		return c
	}
	saml := func(id string, of fields) fields {
		o := fields{"entity_id": entityOf(id), "acs": acs}
		for name, v := range of {
			o[name] = v
		}
		c := common(id, nil)
		c["protocol"], c["saml"] = "saml", o
		return c
	}
	all := []fields{
		oidc(basic, nil, fields{"without_pkce": true, "grants": []string{"refresh_token"}}),
		oidc(strict, nil, nil),
		oidc(signing, nil, fields{"token_endpoint_auth_method": "private_key_jwt", "jwks": fields{"keys": []fields{jwk}}, "require_par": true}),
		oidc(rsa, nil, fields{"token_endpoint_auth_method": "client_secret_post", "id_token_signed_response_alg": "RS256"}),
		oidc(public, nil, fields{"token_endpoint_auth_method": "none"}),
		oidc(descope, fields{"profile": "descope", "default_acr": []string{faceACR}}, fields{"without_pkce": true}),
		oidc(levelled, fields{"default_acr": []string{ial2}, "essential": true}, nil),
		oidc(back, nil, fields{"grants": []string{"urn:openid:params:grant-type:ciba"}}),
		oidc(foreign, nil, nil),
		saml(sp, nil),
		saml(spEmail, fields{"name_id": "emailAddress"}),
	}
	b, err := json.MarshalIndent(all, "    ", "  ")
	if err != nil {
		panic(err) // of texts and lists, so it cannot fail
	}
	return "federation:\n  clients:\n    " + strings.TrimSpace(string(b)) + "\n"
}

func (s *sharedWorld) close() error {
	if s.w == nil {
		return nil
	}
	return s.w.Close()
}

// home is a redirect URI that nobody else uses until the test ends.
func (s *sharedWorld) home(t *testing.T) string {
	t.Helper()
	home := <-s.homes
	t.Cleanup(func() { s.homes <- home })
	return home
}

// issuer of the world's tenant.
func issuer(w *world.World) string { return w.Bridge + "/federation/" + world.Tenant }

// person has a new browser, with the holder's passport and face.
func person(t *testing.T, w *world.World) *world.Person {
	t.Helper()
	p, err := w.Person()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Leave)
	return p
}

// stranger is somebody else, with a valid passport of their own.
func stranger(t *testing.T, w *world.World) *world.Person {
	t.Helper()
	p, err := w.Stranger()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Leave)
	return p
}

// enrolled gives the name of an account whose face the holder's is.
func enrolled(t *testing.T, w *world.World, name string) string {
	t.Helper()
	user := name + "@example.com"
	if err := w.Enrol(soon(t), user); err != nil {
		t.Fatal(err)
	}
	return user
}
