package upstream

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// FederatedConfig says how the tenant's OpenID provider is reached and what is
// believed of it when it signs a person in. DiscoveryURL, ClientID and ClientSecret
// are required. What 1Kosmos puts into acr, amr and the claims is not documented
// (reference 6.1), so that every word of it can be told here.
type FederatedConfig struct {
	DiscoveryURL string // the whole address, as AdminX shows it as Metadata URL
	Issuer       string // that the metadata must name; empty: the one whose metadata is at DiscoveryURL
	ClientID     string
	ClientSecret string
	Scopes       []string // always asked for; default openid, email, profile
	NoPKCE       bool     // for a tenant that refuses it: support is not documented
	NoPrompt     bool     // do not send prompt=login; then only a token with an auth_time says that a face was shown now

	IAL2ACR   string // how IAL2 is asked for in claims.id_token.acr; default /assurance/ial/2
	IAL2Scope string // scope that has the level told; default /assurance/ial/2, "-" for none
	FaceACR   string // how a face check is asked for; default "liveID push"
	// AcceptedACR and AcceptedAMR are what in a token says that a face was matched.
	// Nothing else does: not the request, and not that the provider is known for it.
	AcceptedACR []string // default FaceACR
	AcceptedAMR []string // default "face" (RFC 8176) and FaceACR
	// ScopeTellsLevel takes a level out of a scope claim in the token, too, where amr and
	// acr have none. A scope may as well repeat what was asked, so an operator must
	// know that this tenant's does not.
	ScopeTellsLevel bool

	UsernameClaim string // of the ID token, with the user identifier; default "username"

	HTTPClient   *http.Client // default one of its own; redirects are never followed
	AllowedHosts []string     // NAME or NAME:PORT that metadata may lead to, besides the host of DiscoveryURL
	Now          func() time.Time
}

// Federated is federation.Upstream by the tenant's own OpenID provider: the person
// goes there without being named, and comes back with a code for a signed token.
// Who it was, how they signed in and at what level is read from that token and
// nothing else; a hint goes there, and never comes back.
type Federated struct {
	*relying
	cfg FederatedConfig
}

var _ federation.Upstream = (*Federated)(nil)

const (
	federatedIAL2  = "/assurance/ial/2"
	federatedFace  = "liveID push"
	federatedKeep  = time.Hour // from the request to the answer: a proofing may lie between
	federatedName  = 256       // bytes of a user identifier, and of one claim
	federatedSub   = 255       // OpenID Connect Core, 2
	federatedWords = 32        // entries of amr or scope
	federatedState = 22        // characters that 128 random bits need
)

// NewFederated checks the configuration. It asks the provider nothing.
func NewFederated(cfg FederatedConfig) (*Federated, error) {
	cfg.IAL2ACR, cfg.IAL2Scope = cmp.Or(cfg.IAL2ACR, federatedIAL2), cmp.Or(cfg.IAL2Scope, federatedIAL2)
	cfg.FaceACR = cmp.Or(cfg.FaceACR, federatedFace)
	if len(strings.Fields(cfg.IAL2Scope)) != 1 {
		return nil, errors.New("upstream: oidc: IAL2Scope must be one scope, or - for none")
	}
	if len(cfg.AcceptedACR) == 0 {
		cfg.AcceptedACR = []string{cfg.FaceACR}
	}
	if len(cfg.AcceptedAMR) == 0 {
		cfg.AcceptedAMR = []string{"face", cfg.FaceACR}
	}
	if slices.Contains(cfg.AcceptedACR, "") || slices.Contains(cfg.AcceptedAMR, "") {
		return nil, errors.New("upstream: oidc: an accepted acr or amr is empty")
	}
	cfg.UsernameClaim = cmp.Or(cfg.UsernameClaim, "username")
	r, err := newRelying(relyingConfig{
		DiscoveryURL: cfg.DiscoveryURL, Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Scopes: cfg.Scopes,
		NoPKCE: cfg.NoPKCE, HTTPClient: cfg.HTTPClient, AllowedHosts: cfg.AllowedHosts, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	return &Federated{r, cfg}, nil
}

// federatedExchange is what Begin gives away as keep.
type federatedExchange struct {
	oidcExchange
	IAL2      bool `json:"ial2,omitempty"`
	Face      bool `json:"face,omitempty"`
	Essential bool `json:"essential,omitempty"` // without what was asked for it has failed
}

// Begin makes the address of an authorization request. Finish fails without what is
// asked for as essential. The acr of a request
// has alternatives and no sum, so that with both IAL2 is asked for and the face left to
// the provider's own sign-in; the token must say both all the same.
func (f *Federated) Begin(ctx context.Context, a federation.UpstreamAsk) (address string, keep []byte, err error) {
	switch {
	case len(a.State) < federatedState:
		return "", nil, oidcFault(proof.ReasonInternal, "the state is too short to be a secret", nil)
	case a.ReturnURL == "":
		return "", nil, oidcFault(proof.ReasonInternal, "there is no address to come back to", nil)
	case len(a.Hint) > federatedName:
		return "", nil, proof.Invalid("login_hint", "is longer than %d bytes", federatedName)
	}
	p, err := f.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	extra, scopes := url.Values{}, slices.Clone(f.rp.Scopes)
	acr := ""
	switch {
	case a.IAL2:
		acr = f.cfg.IAL2ACR
		if s := f.cfg.IAL2Scope; s != "-" && !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	case a.Face:
		acr = f.cfg.FaceACR
	}
	if acr != "" {
		claims, err := json.Marshal(map[string]any{"id_token": map[string]any{
			"acr": map[string]any{"essential": a.Essential, "values": []string{acr}},
		}})
		if err != nil {
			return "", nil, oidcFault(proof.ReasonInternal, "the request cannot be written", err)
		}
		extra.Set("claims", string(claims))
	}
	if a.Hint != "" {
		extra.Set("login_hint", a.Hint)
	}
	if !f.cfg.NoPrompt {
		extra.Set("prompt", "login") // whoever was here before is not asked about
	}
	address, x := f.request(p, a.State, a.ReturnURL, scopes, extra)
	keep, err = json.Marshal(federatedExchange{x, a.IAL2, a.Face, a.Essential})
	if err != nil {
		return "", nil, oidcFault(proof.ReasonInternal, "the request cannot be kept", err)
	}
	return address, keep, nil
}

// Finish redeems the code, once. Every error is a *proof.Error: access_denied,
// unmet_authentication_requirements, login_required or interaction_required where the
// provider or its token says so, upstream or unavailable for an answer that cannot
// be believed or had.
func (f *Federated) Finish(ctx context.Context, keep []byte, returned map[string]string) (federation.UpstreamAnswer, error) {
	var none federation.UpstreamAnswer
	var x federatedExchange
	if json.Unmarshal(keep, &x) != nil || len(x.State) < federatedState || x.Nonce == "" {
		return none, oidcFault(proof.ReasonInternal, "what was kept of the request cannot be read", nil)
	}
	if !f.rp.Now().Before(time.Unix(x.Opened, 0).Add(federatedKeep)) {
		return none, &proof.Error{Code: proof.CodeDenied, Reason: proof.ReasonTimeLimit, Message: "the sign-in took too long"}
	}
	p, err := f.answered(ctx, x.oidcExchange, returned)
	if err != nil {
		return none, err
	}
	if e := returned["error"]; e != "" {
		return none, federatedRefusal(e, returned["error_description"])
	}
	c, tokens, err := f.exchange(ctx, p, x.oidcExchange, returned)
	if err != nil {
		return none, err
	}
	answer, err := f.read(p, c, x)
	if err != nil {
		return none, err
	}
	if err := f.addUserInfo(ctx, p, c, tokens.Access, &answer); err != nil {
		return none, err
	}
	return answer, nil
}

// federatedRefusals are the errors of an authorization endpoint (RFC 6749, 4.1.2.1;
// OpenID Connect Core, 3.1.2.6; OpenID Connect Core Error Code
// unmet_authentication_requirements) that say something about the person.
var federatedRefusals = map[string]proof.Error{
	"access_denied":                     {Code: proof.CodeDenied, Message: "1Kosmos did not sign the person in"},
	"unmet_authentication_requirements": {Code: proof.CodeUnmet, Message: "1Kosmos says that the assurance that was asked for was not reached"},
	"login_required":                    {Code: proof.CodeLoginRequired, Message: "1Kosmos has nobody signed in"},
	"interaction_required":              {Code: proof.CodeInteraction, Message: "the person would have to act at 1Kosmos"},
	"consent_required":                  {Code: proof.CodeInteraction, Message: "the person would have to act at 1Kosmos"},
	"account_selection_required":        {Code: proof.CodeInteraction, Message: "the person would have to act at 1Kosmos"},
	"temporarily_unavailable":           {Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true, Message: "the OpenID provider cannot answer right now"},
	"server_error":                      {Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true, Message: "the OpenID provider cannot answer right now"},
}

// federatedRefusal reads an error that came through the browser; the worst that it
// can say is no. That a description is one of our reasons is so at the local
// 1Kosmos only; any other is dropped, for anybody may have written it.
func federatedRefusal(code, description string) error {
	e, ok := federatedRefusals[code]
	if !ok {
		return oidcFault(proof.ReasonUpstreamRejected, "the OpenID provider refused the request", nil)
	}
	if e.Reason == "" {
		e.Reason = proof.ReasonProviderRejected
		if r := proof.Reason(description); r.Known() {
			e.Reason = r
		}
	}
	return &e
}

// read makes an answer of a token that exchange believed, and of nothing else.
func (f *Federated) read(p *oidcProvider, c oidcClaims, x federatedExchange) (federation.UpstreamAnswer, error) {
	var none federation.UpstreamAnswer
	malformed := func(text string) (federation.UpstreamAnswer, error) {
		return none, oidcFault(proof.ReasonUpstreamMalformed, text, nil)
	}
	unmet := func(text string) (federation.UpstreamAnswer, error) {
		return none, &proof.Error{Code: proof.CodeUnmet, Reason: proof.ReasonProviderRejected, Message: text}
	}
	sub := text(c, "sub")
	if sub == "" || len(sub) > federatedSub {
		return malformed("the ID token does not say who signed in")
	}
	a := federation.UpstreamAnswer{Subject: sub, Notes: federation.SessionNotes{Issuer: p.Issuer, ACR: text(c, "acr"), AMR: c.texts("amr")}}
	if a.Identifier = text(c, f.cfg.UsernameClaim); a.Identifier != "" && (!plain(a.Identifier) || strings.TrimSpace(a.Identifier) != a.Identifier) {
		return malformed("the ID token names no user identifier that can be one")
	}
	if len(a.Notes.ACR) > federatedName || len(a.Notes.AMR) > federatedWords ||
		slices.ContainsFunc(a.Notes.AMR, func(m string) bool { return len(m) > federatedName }) {
		return malformed("acr or amr of the ID token are too long")
	}
	at, told := c.moment("auth_time")
	switch {
	case told:
		a.AuthTime = at
	case !f.cfg.NoPrompt: // whoever signed in did so after they were sent there
		a.AuthTime = time.Unix(x.Opened, 0)
	}
	a.Notes.Face = slices.Contains(f.cfg.AcceptedACR, a.Notes.ACR) ||
		slices.ContainsFunc(a.Notes.AMR, func(m string) bool { return slices.Contains(f.cfg.AcceptedAMR, m) })
	// A face shown before it was asked for, in an earlier login, is no answer; nor is
	// one of which nothing says when it was shown.
	if a.Notes.Face && (x.older(c) || !told && f.cfg.NoPrompt) {
		a.Notes.Face = false
	}
	if a.Notes.Face { // the local 1Kosmos' own block can only take it back
		said, err := matched(readExtension(c))
		if err != nil {
			return none, err
		}
		a.Notes.Face = said.Status == proof.ChallengeMatch
	}
	a.Notes.IALLevel = f.level(c, a.Notes)
	a.Notes.Claims = federatedClaims(c)
	switch {
	case !x.Essential:
	case x.Face && !a.Notes.Face:
		return unmet("the ID token does not say that the face was shown now")
	case x.IAL2 && a.Notes.IALLevel < "IAL2": // "" is less than any
		return unmet("the ID token does not say that IAL2 was reached")
	}
	return a, nil
}

// level is the identity assurance level that the token tells: in amr, where 1Kosmos
// says that it puts the one that resulted, else in acr. Of several in one place the
// lowest counts. Empty if there is none.
func (f *Federated) level(c oidcClaims, n federation.SessionNotes) string {
	places := [][]string{n.AMR, {n.ACR}}
	if f.cfg.ScopeTellsLevel {
		var scopes []string
		for _, s := range c.texts("scope") { // one text, or a list
			scopes = append(scopes, strings.Fields(s)...)
		}
		places = append(places, scopes)
	}
	for _, words := range places {
		lowest := ""
		for _, w := range words {
			if l := levelOf(w); l != "" && (lowest == "" || l < lowest) {
				lowest = l
			}
		}
		if lowest != "" {
			return lowest
		}
	}
	return ""
}

// levelWord is how a level is spelled: at the end of a path or name, with a trailing
// slash or without, as the vendor's own pages differ (reference 6.1); or IAL2 alone.
var levelWord = regexp.MustCompile(`(?i)^(?:(?:.*[^a-z0-9])?ial/|ial)([1-3])/?$`)

// levelOf reads a level out of one word of acr, amr or scope; empty if it is none.
func levelOf(word string) string {
	if m := levelWord.FindStringSubmatch(word); m != nil {
		return "IAL" + m[1]
	}
	return ""
}

// addUserInfo adds those claims about the person that the token leaves out. The
// token is believed alone for who it is and how they signed in; this answer is not
// signed. One that is about somebody else spoils the whole sign-in (OpenID Connect Core,
// 5.3.2); one that cannot be had does not, for the code is spent.
func (f *Federated) addUserInfo(ctx context.Context, p *oidcProvider, c oidcClaims, access string, a *federation.UpstreamAnswer) error {
	if p.userinfo == nil || access == "" {
		return nil
	}
	if _, there := c["at_hash"]; there && !accessMatches(text(c, "at_hash"), access) {
		return oidcFault(proof.ReasonAnswerUntrusted, "the access token is not the one of the ID token", nil)
	}
	ctx, cancel := context.WithTimeout(ctx, oidcTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo.String(), nil)
	if err != nil {
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+access)
	status, header, body, err := f.send(req)
	if err != nil || status != http.StatusOK || !isJSON(header) {
		return nil
	}
	var more oidcClaims
	if json.Unmarshal(body, &more) != nil {
		return nil
	}
	if text(more, "sub") != a.Subject {
		return oidcFault(proof.ReasonAnswerUntrusted, "user info is about somebody else", nil)
	}
	have, add := &a.Notes.Claims, federatedClaims(more)
	have.GivenName = cmp.Or(have.GivenName, add.GivenName)
	have.FamilyName = cmp.Or(have.FamilyName, add.FamilyName)
	have.BirthDate = cmp.Or(have.BirthDate, add.BirthDate)
	have.Gender = cmp.Or(have.Gender, add.Gender)
	have.Nationality = cmp.Or(have.Nationality, add.Nationality)
	return nil
}

// accessMatches checks at_hash (OpenID Connect Core, 3.1.3.6): all algorithms that
// are believed here hash with SHA-256.
func accessMatches(hash, access string) bool {
	sum := sha256.Sum256([]byte(access))
	return hmac.Equal([]byte(hash), []byte(base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])))
}

// federatedClaims are the claims about a person (OpenID Connect Core, 5.1; OpenID
// Identity Assurance, 4) that have a place in proof.Claims. One that cannot be what
// it is called is left out. Whether they were proved or only stated, nothing here says.
func federatedClaims(c oidcClaims) proof.Claims {
	of := func(name string) string {
		if s := text(c, name); plain(s) {
			return s
		}
		return ""
	}
	claims := proof.Claims{GivenName: of("given_name"), FamilyName: of("family_name"), Nationality: of("nationality")}
	if all := c.texts("nationalities"); claims.Nationality == "" && len(all) == 1 && plain(all[0]) {
		claims.Nationality = all[0]
	}
	if d := of("birthdate"); d != "" {
		if _, err := time.Parse(time.DateOnly, d); err == nil {
			claims.BirthDate = d
		}
	}
	if g := of("gender"); g == "female" || g == "male" {
		claims.Gender = g
	}
	return claims
}

// plain reports whether s is text of a sane length without control characters.
func plain(s string) bool {
	return s != "" && len(s) <= federatedName && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
