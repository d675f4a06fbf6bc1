package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// ErrInvalid is a token that is none, not of this project, no session, or over.
var ErrInvalid = errors.New("not a session of this project")

const leeway = 5 * time.Second // between our clock and Descope's, as in its SDKs

// Session is what a session token says.
type Session struct {
	UserID    string         // sub
	SteppedUp bool           // su
	Methods   []string       // amr
	Expires   time.Time      // exp
	Claims    map[string]any // all of them
}

// Verifier checks the session tokens of one project. It fetches the project's keys
// when it first needs them, and again when a token names an unknown one.
type Verifier struct {
	project string
	keys    *oidc.RemoteKeySet
	now     func() time.Time
}

// New makes a Verifier of a project at a Descope, such as https://api.descope.com.
// client and now may be nil.
func New(baseURL, project string, client *http.Client, now func() time.Time) *Verifier {
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	if now == nil {
		now = time.Now
	}
	ctx := oidc.ClientContext(context.Background(), client)
	return &Verifier{project, oidc.NewRemoteKeySet(ctx, strings.TrimSuffix(baseURL, "/")+"/v2/keys/"+project), now}
}

// Verify checks a token. Its error is ErrInvalid, or that the keys could not be
// fetched.
func (v *Verifier) Verify(ctx context.Context, token string) (*Session, error) {
	// Descope's keys are RSA or elliptic; which, the key says and not the token.
	if _, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384}); err != nil {
		return nil, ErrInvalid
	}
	payload, err := v.keys.VerifySignature(ctx, token)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") {
			return nil, fmt.Errorf("keys of the project: %w", err)
		}
		return nil, ErrInvalid
	}
	var claims struct {
		Issuer  string   `json:"iss"`
		Subject string   `json:"sub"`
		User    string   `json:"dsub"` // where a template gives another sub
		Kind    string   `json:"drn"`
		Expires float64  `json:"exp"`
		NotYet  float64  `json:"nbf"`
		StepUp  bool     `json:"su"`
		Methods []string `json:"amr"`
	}
	s := new(Session)
	if json.Unmarshal(payload, &claims) != nil || json.Unmarshal(payload, &s.Claims) != nil {
		return nil, ErrInvalid
	}
	s.UserID, s.SteppedUp, s.Methods, s.Expires = claims.Subject, claims.StepUp, claims.Methods, time.Unix(int64(claims.Expires), 0)
	if claims.User != "" {
		s.UserID = claims.User
	}
	now := v.now()
	switch {
	case path.Base(claims.Issuer) != v.project, claims.Kind != "DS", s.UserID == "",
		!now.Before(s.Expires.Add(leeway)), now.Add(leeway).Before(time.Unix(int64(claims.NotYet), 0)):
		return nil, ErrInvalid
	}
	return s, nil
}

// Challenge answers a request whose session does not do (RFC 6750, RFC 9470). With
// a session at hand it is a step-up that is missing, else a session.
func Challenge(w http.ResponseWriter, s *Session) {
	value := `Bearer error="invalid_token", error_description="sign in"`
	if s != nil {
		value = `Bearer error="insufficient_user_authentication", error_description="a step-up is needed", acr_values="urn:kosmoscope:step-up"`
	}
	w.Header().Set("WWW-Authenticate", value)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusUnauthorized)
}
