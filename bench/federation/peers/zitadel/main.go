// Command zitadel is a peer that bench/federation measures: the example provider of
// zitadel/oidc as its authors ship it, with its state in memory. Changed are what it
// signs with, if asked, what it logs (nothing), and a way past the login form for a
// browser that says it is signed in, which the example cannot know.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"context"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	port := flag.String("port", "9998", "listen on this `port` of loopback")
	redirect := flag.String("redirect", "http://localhost/callback", "redirect `URI` of the client")
	alg := flag.String("alg", "RS256", "what to sign with: `RS256|ES256`")
	flag.Parse()
	issuer := fmt.Sprintf("http://localhost:%s/", *port)
	storage.RegisterClients(storage.WebClient("bench", "bench-secret", *redirect))
	store := storage.NewStorage(storage.NewUserStore(issuer))
	var all exampleop.Storage = store
	if *alg == "ES256" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			fail(err)
		}
		all = &elliptical{store, key}
	}
	server := exampleop.SetupServer(issuer, all, slog.New(slog.DiscardHandler), false)
	mux := http.NewServeMux()
	mux.Handle("/", server)
	// A cookie stands for a session: the form's own check is made, without the form.
	mux.HandleFunc("GET /login/username", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("signed-in"); err != nil {
			server.ServeHTTP(w, r)
			return
		}
		id := r.FormValue("authRequestID")
		if err := store.CheckUsernamePassword("test-user@localhost", "verysecure", id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/auth/callback?id="+id, http.StatusFound)
	})
	fail(http.ListenAndServe("127.0.0.1:"+*port, mux))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// elliptical signs with P-256 instead of the example's RSA.
type elliptical struct {
	*storage.Storage
	key *ecdsa.PrivateKey
}

const keyID = "bench-p256"

func (s *elliptical) SigningKey(context.Context) (op.SigningKey, error) { return private{s.key}, nil }

func (s *elliptical) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *elliptical) KeySet(context.Context) ([]op.Key, error) { return []op.Key{public{s.key}}, nil }

type private struct{ key *ecdsa.PrivateKey }

func (private) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (p private) Key() any                                  { return p.key }
func (private) ID() string                                  { return keyID }

type public struct{ key *ecdsa.PrivateKey }

func (public) ID() string                         { return keyID }
func (public) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (public) Use() string                        { return "sig" }
func (p public) Key() any                         { return &p.key.PublicKey }
