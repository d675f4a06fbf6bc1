package oidc

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	codeLife    = time.Minute     // of an authorization code, from when it was made
	accessLife  = 5 * time.Minute // of an access token
	idTokenLife = 5 * time.Minute // of an ID token: it is read when it comes
	refreshLife = 30 * 24 * time.Hour

	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
	grantCIBA    = "urn:openid:params:grant-type:ciba"

	scopeOffline = "offline_access"

	invalidGrant         = "invalid_grant"
	unsupportedGrantType = "unsupported_grant_type"
)

// token is the token endpoint (RFC 6749 3.2, OpenID Connect Core 3.1.3).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	client, err := p.caller(r, tenant)
	if err != nil {
		p.failBack(w, r, err)
		return
	}
	var t tokens
	switch grant := r.PostForm.Get("grant_type"); {
	case grant == "":
		err = refused(invalidRequest, "grant_type is missing")
	case grant == grantCode:
		t, err = p.redeemCode(r.Context(), tenant, client, r)
	case grant != grantRefresh && grant != grantCIBA:
		err = refused(unsupportedGrantType, "this grant_type is not supported")
	case !slices.Contains(client.OIDC.Grants, grant):
		err = refused(unauthorizedClient, "this grant_type is not configured for the client")
	case grant == grantRefresh:
		t, err = p.redeemRefresh(r.Context(), tenant, client, r)
	default:
		t, err = p.poll(r.Context(), tenant, client, r)
	}
	if err != nil {
		p.failBack(w, r, err)
		return
	}
	w.Header().Set("Pragma", "no-cache") // RFC 6749, 5.1
	writeJSON(w, http.StatusOK, t)
}

// failBack answers a client that something is wrong.
func (p *Provider) failBack(w http.ResponseWriter, r *http.Request, err error) {
	e := errorOf(err)
	if e.ours() && r.Context().Err() == nil {
		p.Logger.ErrorContext(r.Context(), "federation: back channel", "tenant", r.PathValue("tenant"), "path", r.Pattern, "error", err)
	}
	w.Header().Set("Pragma", "no-cache")
	writeError(w, e)
}

// tokens is the answer of RFC 6749, 5.1.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
}

// backForm reads the form of a request to the back channel into r.PostForm, without
// the parameters that have no value; what is in the query does not count, because
// addresses are written down.
func backForm(r *http.Request) error {
	form, err := parameters(r)
	if errors.Is(err, errTwice) {
		return refused(invalidRequest, "a parameter was sent more than once")
	}
	if err != nil {
		return err
	}
	r.PostForm = form
	return nil
}

// caller reads the form of a call on the back channel and says which client made it.
func (p *Provider) caller(r *http.Request, tenant string) (*federation.Client, error) {
	if err := backForm(r); err != nil {
		return nil, err
	}
	return p.authenticate(r, tenant)
}

// redeemCode is the authorization_code grant. Modelled on what the conformance
// modules oidcc-codereuse and oidcc-codereuse-30seconds try: a code is good once, for
// a minute, and a second redemption ends what the first one gave, even when it comes
// late. All checks that show that this is not the client that began come before that:
// who merely saw a code ends nothing.
func (p *Provider) redeemCode(ctx context.Context, tenant string, client *federation.Client, r *http.Request) (tokens, error) {
	form := r.PostForm
	text := form.Get("code")
	if text == "" {
		return tokens{}, refused(invalidRequest, "code is missing")
	}
	c, err := p.openCode(tenant, kindCode, text)
	if err != nil || c.ID == "" || c.Refresh || c.Client != client.ID {
		return tokens{}, refused(invalidGrant, "the code is not one that was given to this client")
	}
	if form.Get("redirect_uri") != c.Request.RedirectURI {
		return tokens{}, refused(invalidGrant, "redirect_uri is not the one of the authorization request")
	}
	if err := checkVerifier(c.Request.Challenge, form.Get("code_verifier")); err != nil {
		return tokens{}, err
	}
	// Of the text there are more than one that open: of the name within there is one.
	of := spent(kindCode, c.ID)
	if age := p.Now().Sub(c.IssuedAt); age > codeLife || age < -clockSkew {
		return tokens{}, p.refuseSpent(ctx, tenant, client, of, "the code has expired")
	}
	return p.issueFor(ctx, issuance{
		tenant: tenant, client: client, grant: grantCode, code: c, scope: c.Request.Scope, of: of,
	})
}

// checkVerifier is PKCE (RFC 7636, 4.6). A verifier where there was no challenge is
// refused, too: somebody may have taken the challenge away (RFC 9700, 4.8.2).
func checkVerifier(challenge, verifier string) error {
	if challenge == "" {
		if verifier != "" {
			return refused(invalidGrant, "there is a code_verifier, but the authorization request had no code_challenge")
		}
		return nil
	}
	if len(verifier) < 43 || len(verifier) > 128 || strings.ContainsFunc(verifier, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~')
	}) {
		return refused(invalidGrant, "code_verifier must be 43 to 128 unreserved characters")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return refused(invalidGrant, "code_verifier does not belong to the code_challenge")
	}
	return nil
}

// refreshToken is what a refresh token holds, sealed.
type refreshToken struct {
	Code   code      `json:"k"`
	Parent []byte    `json:"p"` // OfHash of the grant that it came with: that one must not be revoked
	Until  time.Time `json:"u"` // 30 days after the chain began, however often it is renewed
}

// redeemRefresh is the refresh_token grant. Each refresh token is good once and is
// answered with the next (RFC 9700, 4.14.2); one that comes twice was taken by
// somebody, and ends all that came of the same code. (Modelled on oidcc-refresh-token.)
//
// It renews what is known, not the person: the tokens tell who the session's person is
// and what holds now, with the auth_time of then. So a refresh token lives no longer
// than the session: logged out, expired or erased, and it is worth nothing. A client
// that wants to refresh for long has to be configured with a long session, and one that
// wants to know that the person is still there has to send the browser again.
func (p *Provider) redeemRefresh(ctx context.Context, tenant string, client *federation.Client, r *http.Request) (tokens, error) {
	var t refreshToken
	text := r.PostForm.Get("refresh_token")
	if text == "" {
		return tokens{}, refused(invalidRequest, "refresh_token is missing")
	}
	c := &t.Code
	if p.openRefresh(tenant, text, &t) != nil || c.ID == "" || !c.Refresh || c.Family == "" || c.Client != client.ID {
		return tokens{}, refused(invalidGrant, "the refresh token is not one that was given to this client")
	}
	scope := c.Request.Scope
	if asked := strings.Fields(r.PostForm.Get("scope")); len(asked) > 0 {
		if slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(scope, s) }) || !slices.Contains(asked, "openid") {
			return tokens{}, refused(invalidScope, "scope must contain openid, and nothing that was not granted before")
		}
		scope = asked
	}
	of := spent(kindRefresh, c.ID)
	if !p.Now().Before(t.Until) {
		return tokens{}, p.refuseSpent(ctx, tenant, client, of, "the refresh token has expired")
	}
	return p.issueFor(ctx, issuance{
		tenant: tenant, client: client, grant: grantRefresh, code: *c, scope: scope, of: of, parent: t.Parent, until: t.Until,
	})
}

func (p *Provider) openRefresh(tenant, text string, into *refreshToken) error {
	if len(text) > 2*maxCode {
		return errNotOurs
	}
	b, err := p.Core.Open(tenant, kindRefresh, text)
	if err != nil {
		return err
	}
	return unpack(b, into)
}

// spent is what a grant remembers of what was redeemed for it.
func spent(kind, id string) []byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + id))
	return sum[:]
}

// issuance is tokens that are about to be issued.
type issuance struct {
	tenant string
	client *federation.Client
	grant  string // grant_type
	code   code   // what is redeemed
	scope  []string
	answer *federation.Answer

	of     []byte    // see Grant.OfHash
	parent []byte    // OfHash of a grant that must stand; nil: none
	until  time.Time // end of the chain of refreshes; zero: it would begin now
	// also is done in the same transaction; nil: nothing.
	also func(tx federation.Tx) error
}

// issueFor issues tokens for the session that a code or refresh token is from.
func (p *Provider) issueFor(ctx context.Context, n issuance) (tokens, error) {
	ask := federation.Ask{
		Client: n.client, Tenant: n.tenant, ClientID: n.client.ID, Protocol: federation.OIDC,
		ACR: n.code.Asked, Proofing: wantsProofing(n.code.Request),
	}
	answer, err := p.Core.Answer(ctx, ask, n.code.Session)
	if proof.CodeOf(err) == proof.CodeNotFound {
		return tokens{}, p.refuseSpent(ctx, n.tenant, n.client, n.of, "the session is over")
	}
	if err != nil {
		return tokens{}, err
	}
	// What made the browser come back with a code may have been revoked meanwhile.
	reached := slices.Contains(n.code.Asked, n.code.ACR) || len(n.code.Asked) == 0 && n.client.Essential
	if reached && !answer.Met {
		return tokens{}, p.refuseSpent(ctx, n.tenant, n.client, n.of, "the assurance that was asked for does not hold any more")
	}
	n.answer = answer
	return p.issue(ctx, n)
}

var (
	errSpent = errors.New("oidc: redeemed before")
	errEnded = errors.New("oidc: revoked, or the person was erased")
)

// issue signs, and then writes the grant and its audit record in one transaction:
// the only write of a whole sign-in. Whoever redeems the same thing at the same moment
// loses there, and takes the winner's tokens along.
func (p *Provider) issue(ctx context.Context, n issuance) (tokens, error) {
	now := p.Now()
	var err error
	g := federation.Grant{
		ID: proof.NewID(), Family: n.code.Family, Tenant: n.tenant, Client: n.client.ID, Subject: n.answer.Subject, Session: n.answer.Session,
		OfHash: n.of, IssuedAt: now, ExpiresAt: now.Add(accessLife), KeepUntil: now.Add(accessLife),
	}
	if g.Family == "" {
		g.Family = g.ID
	}
	out := tokens{AccessToken: newSecret(), TokenType: "Bearer", ExpiresIn: int(accessLife / time.Second)}
	g.TokenHash = tokenHash(out.AccessToken)

	if slices.Contains(n.code.Request.Scope, scopeOffline) && slices.Contains(n.client.OIDC.Grants, grantRefresh) && n.answer.Session != "" {
		if n.until.IsZero() {
			n.until = now.Add(refreshLife)
		}
		if out.RefreshToken, err = p.nextRefresh(n, g.Family, now); err != nil {
			return tokens{}, err
		}
		g.KeepUntil = n.until
		if g.KeepUntil.Before(g.ExpiresAt) {
			g.KeepUntil = g.ExpiresAt
		}
	} else {
		n.scope = slices.DeleteFunc(slices.Clone(n.scope), func(s string) bool { return s == scopeOffline })
	}
	g.Scope = strings.Join(n.scope, " ")
	out.Scope = g.Scope

	var told []byte
	if out.IDToken, told, err = p.contents(ctx, n, out.AccessToken, now); err != nil {
		return tokens{}, err
	}
	err = p.Store.UpdateFederation(ctx, func(tx federation.Tx) error { return p.write(tx, n, g, told) })
	switch {
	case errors.Is(err, errSpent):
		return tokens{}, p.refuseSpent(ctx, n.tenant, n.client, n.of, "it was redeemed before")
	case errors.Is(err, errEnded):
		return tokens{}, refused(invalidGrant, "it was revoked")
	case err != nil:
		return tokens{}, err
	}
	return out, nil
}

// write is the transaction of issue.
func (p *Provider) write(tx federation.Tx, n issuance, g federation.Grant, told []byte) error {
	if n.parent != nil {
		parent, err := tx.GrantByOf(n.tenant, n.parent)
		if proof.CodeOf(err) == proof.CodeNotFound || err == nil && (!parent.RevokedAt.IsZero() || parent.Family != g.Family) {
			return errEnded
		}
		if err != nil {
			return err
		}
	}
	subject, err := tx.Subject(n.tenant, g.Subject)
	if proof.CodeOf(err) == proof.CodeNotFound || err == nil && !subject.ErasedAt.IsZero() {
		return errEnded
	}
	if err != nil {
		return err
	}
	if g.Sealed, err = p.Core.SealFor(subject, "federation_grants", "sealed", g.ID, told); err != nil {
		return err
	}
	if err := tx.InsertGrant(&g); errors.Is(err, proof.ErrStale) {
		return errSpent
	} else if err != nil {
		return err
	}
	if n.also != nil {
		if err := n.also(tx); err != nil {
			return err
		}
	}
	detail := map[string]string{"grant": n.grant}
	if g.Session != "" {
		detail["session"] = g.Session
	}
	if n.answer.ACR != "" {
		detail["acr"] = n.answer.ACR
	}
	return p.audit(tx, n.tenant, n.client.ID, "federation.token_issued", "grant:"+g.ID, g.IssuedAt, detail)
}

// nextRefresh makes the refresh token that comes with a grant.
func (p *Provider) nextRefresh(n issuance, family string, now time.Time) (string, error) {
	t := refreshToken{Code: n.code, Parent: n.of, Until: n.until}
	t.Code.ID, t.Code.Refresh, t.Code.Family, t.Code.IssuedAt = newSecret(), true, family, now
	t.Code.Request.Nonce = "" // OpenID Connect Core, 12.2: a refreshed ID token should have none
	// What is needed no more, once the code was redeemed.
	t.Code.Request.RedirectURI, t.Code.Request.Challenge = "", ""
	plain, err := pack(t)
	if err != nil {
		return "", err
	}
	return p.Core.Seal(n.tenant, kindRefresh, plain)
}

// refuseSpent is invalid_grant for something that this client was given. If it was
// redeemed before, all that came of it ends (RFC 6749 4.1.2, RFC 9700 4.14.2).
func (p *Provider) refuseSpent(ctx context.Context, tenant string, client *federation.Client, of []byte, why string) error {
	now := p.Now()
	err := p.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		g, err := tx.GrantByOf(tenant, of)
		if proof.CodeOf(err) == proof.CodeNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := tx.RevokeGrants(tenant, g.Family, now)
		if err != nil || n == 0 { // nothing happened: whoever tries again fills no log
			return err
		}
		return p.audit(tx, tenant, client.ID, "federation.code_reused", "grant:"+g.Family, now, map[string]string{"revoked": strconv.Itoa(n)})
	})
	if err != nil {
		return err
	}
	return refused(invalidGrant, why)
}

// audit writes what a client did here.
func (p *Provider) audit(tx federation.Tx, tenant, client, action, object string, at time.Time, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: tenant, At: at, Actor: "caller:federation/" + client, Action: action, Object: object, Detail: detail,
	})
}

// contents makes the ID token, and what UserInfo will answer: the same person, told once.
func (p *Provider) contents(ctx context.Context, n issuance, access string, now time.Time) (idJWT string, told []byte, err error) {
	in := tokenInput{
		Client: n.client, Request: n.code.Request, Asked: n.code.Asked, Answer: n.answer,
		Issuer: p.issuer(n.tenant), Now: now, AccessToken: access, TTL: idTokenLife,
	}
	in.Request.Scope = n.scope
	claims, err := idToken(in)
	if err != nil {
		return "", nil, untellable(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", nil, err
	}
	person, err := userinfo(in)
	if err != nil {
		return "", nil, untellable(err)
	}
	if told, err = json.Marshal(person); err != nil {
		return "", nil, err
	}
	idJWT, err = p.Keys.Sign(ctx, n.tenant, cmp.Or(n.client.OIDC.Alg, "ES256"), "JWT", payload)
	return idJWT, told, err
}

// untellable turns what idToken refuses into the word of the token endpoint: that
// nobody is signed in is for browsers.
func untellable(err error) error {
	switch e := errorOf(err); proof.CodeOf(err) {
	case proof.CodeLoginRequired, proof.CodeInteraction, proof.CodeUnmet, proof.CodeDenied:
		return refused(invalidGrant, e.Description)
	}
	return err
}

// wantsProofing is what Ask.Proofing was when the request was new.
func wantsProofing(q request) bool {
	claims, err := claimsFrom(q.Claims)
	return slices.Contains(q.Scope, scopeProofing) || err == nil && claims.wantsProofing()
}

// newSecret is 256 random bits in base64url: an access token, an auth_req_id.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// tokenHash is what is stored of a secret that we gave out.
func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
