package federation

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

func (f *Federation) client(p *provider) *oauth2.Config {
	scopes := p.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID}
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: f.opt.BaseURL + Callback, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: p.Authorization, TokenURL: p.Token, AuthStyle: authStyle},
	}
}

// beginOAuth makes an authorization request: with a nonce, without PKCE, and with
// nothing of acr_values, max_age or claims, since Descope can be told none of them
// (reference 7.1).
func (f *Federation) beginOAuth(ask project.FederationAsk, t trip) (string, error) {
	p := f.providers[ask.Provider]
	if p == nil {
		return "", errors.New("federation: no such OAuth provider")
	}
	for _, s := range ask.Prompt {
		if !slices.Contains(prompts, s) {
			return "", fmt.Errorf("federation: no prompt %.20q", s)
		}
	}
	t.nonce = rand.Text()
	name, err := f.leave(t)
	if err != nil {
		return "", err
	}
	sealed, err := f.seal(state{name, p.Name})
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(t.nonce)}
	if prompt := ask.Prompt; len(prompt) > 0 || len(p.Prompts) > 0 {
		if len(prompt) == 0 {
			prompt = p.Prompts
		}
		options = append(options, oauth2.SetAuthURLParam("prompt", strings.Join(prompt, " ")))
	}
	if ask.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", ask.LoginHint))
	}
	return f.client(p).AuthCodeURL(sealed, options...), nil
}

var errorName = regexp.MustCompile(`^[a-z_]{1,64}$`)

func (f *Federation) callback(w http.ResponseWriter, r *http.Request, flows Flows) {
	query := r.URL.Query()
	s, ok := f.open(query.Get("state"))
	if !ok {
		lost(w)
		return
	}
	t, ok := f.arrive(s.Trip, project.FederationOAuth)
	p := f.providers[s.Provider]
	if !ok || p == nil || t.name != p.Name {
		lost(w)
		return
	}
	i, err := func() (*project.Identity, error) {
		if iss, given := query["iss"]; given && !slices.Equal(iss, []string{p.Issuer}) { // RFC 9207
			return nil, failing(failedProvider, "the answer is from another issuer")
		}
		if e := query.Get("error"); e != "" {
			if !errorName.MatchString(e) {
				e = failedProvider
			}
			return nil, failing(e, "said so at its authorization endpoint")
		}
		return f.redeem(r.Context(), p, query.Get("code"), t.nonce)
	}()
	f.home(w, r, flows, t, i, err)
}

// redeem gets what a code is for, and believes it if it is signed for us and of this
// very trip.
func (f *Federation) redeem(ctx context.Context, p *provider, code, nonce string) (*project.Identity, error) {
	if code == "" {
		return nil, failing(failedExchange, "there is no code")
	}
	ctx = oidc.ClientContext(ctx, f.http)
	token, err := f.client(p).Exchange(ctx, code)
	if err != nil {
		if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok { // whose text has the answer's body
			return nil, failing(failedExchange, "token endpoint: status %d, %.64q", e.Response.StatusCode, e.ErrorCode)
		}
		return nil, failing(failedExchange, "token endpoint: %w", err)
	}
	claims := map[string]any{}
	subject := ""
	if p.verifier != nil {
		raw, _ := token.Extra("id_token").(string)
		id, err := p.verifier.Verify(ctx, raw)
		if err != nil {
			return nil, failing(failedToken, "%w", err)
		}
		if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
			return nil, failing(failedToken, "its nonce is of another request")
		}
		if err := id.Claims(&claims); err != nil {
			return nil, failing(failedToken, "%w", err)
		}
		if id.AccessTokenHash != "" {
			if err := id.VerifyAccessToken(token.AccessToken); err != nil {
				return nil, failing(failedToken, "%w", err)
			}
		}
		if subject = id.Subject; subject == "" {
			return nil, failing(failedToken, "it names nobody")
		}
	}
	info, err := f.userInfo(ctx, p, token)
	if err != nil {
		return nil, failing(failedUserInfo, "%w", err)
	}
	if sub, _ := info["sub"].(string); sub == "" || subject != "" && sub != subject { // OpenID Connect Core 5.3.2
		return nil, failing(failedUserInfo, "it is about somebody else")
	}
	maps.Copy(claims, info)
	return mapClaims(p, claims)
}

func (f *Federation) userInfo(ctx context.Context, p *provider, token *oauth2.Token) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.UserInfo, nil)
	if err != nil {
		return nil, err
	}
	token.SetAuthHeader(r)
	r.Header.Set("Accept", "application/json")
	resp, err := f.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var info map[string]any
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, errors.New("it is no JSON object")
	}
	return info, nil
}

// properties are those of a user by the system keys of a mapping that are not their
// names already.
var properties = map[string]string{"phoneNumber": "phone"}

// mapClaims turns claims into an identity by the provider's mapping.
func mapClaims(p *provider, claims map[string]any) (*project.Identity, error) {
	mapping := p.ClaimMapping
	if len(mapping) == 0 {
		mapping = standardClaims
	}
	i := &project.Identity{
		Kind: project.FederationOAuth, Provider: p.Name, Properties: map[string]any{}, Attributes: map[string]any{},
		Merge: p.merge(), Update: !p.DisableJITUpdates, Claims: claims,
	}
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		v, ok := claims[mapping[key]]
		if !ok || v == nil {
			continue
		}
		switch {
		case key == keyLoginID:
			i.LoginID, _ = v.(string)
		case key == "username": // what it is for is not known
		case slices.Contains(systemKeys, key):
			name := properties[key]
			if name == "" {
				name = key
			}
			if v, ok = typed(key, v); ok {
				i.Properties[name] = v
			}
		default:
			i.Attributes[key] = v
		}
	}
	if strings.TrimSpace(i.LoginID) == "" {
		return nil, failing(failedMapping, "claim %q is not there, or no text", mapping[keyLoginID])
	}
	if _, said := mapping["verifiedEmail"]; !said && i.Properties["email"] != nil {
		i.Properties["verifiedEmail"] = trusted(&p.Provider)
	}
	return i, nil
}

// typed is a value of the type that a property has: "true" is what some providers say.
func typed(key string, v any) (any, bool) {
	if key == "verifiedEmail" || key == "verifiedPhone" {
		if s, ok := v.(string); ok {
			return s == "true", true
		}
		b, ok := v.(bool)
		return b, ok
	}
	s, ok := v.(string)
	return s, ok
}
