package upstream

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// OIDCConfig says how the tenant's OpenID provider is reached and what is
// believed of it. DiscoveryURL, ClientID and ClientSecret are required.
type OIDCConfig struct {
	// DiscoveryURL is the whole address of the metadata: where 1Kosmos has it is
	// not documented, AdminX shows it as Metadata URL (reference 6.1).
	DiscoveryURL string
	// Issuer that the metadata must name. Empty: the one for which OpenID Connect
	// Discovery 1.0 puts the metadata at DiscoveryURL.
	Issuer       string
	ClientID     string
	ClientSecret string
	Scopes       []string // default openid, email, profile, as in the documented request (reference 4.3)
	NoPKCE       bool     // for a tenant that refuses it: support is not documented

	ACRValues []string // methods asked for; default "liveID push" alone
	// AcceptedACR and AcceptedAMR are what the ID token may say was done. A token
	// that says neither is not believed, unless AllowUnnamed: what 1Kosmos puts
	// there is not documented (reference 4.3), so that an operator whose tenant says
	// nothing must decide to believe that it did what was asked.
	AcceptedACR  []string // default ACRValues
	AcceptedAMR  []string // default "face" (RFC 8176) and ACRValues; one of those in the token must be among them
	AllowUnnamed bool

	UsernameClaim string // of the ID token, with the user who was recognised; default "username"
	// SessionTTL is how long one authorization request is worth following. Default:
	// as long as the challenge. Nothing exists at the provider before the person goes
	// there, and one who is there when the request is replaced comes back with an
	// answer that no longer counts.
	SessionTTL time.Duration

	HTTPClient   *http.Client // default one of its own; redirects are never followed
	AllowedHosts []string     // NAME or NAME:PORT that metadata may lead to, besides the host of DiscoveryURL

	// Eligibility tells, as StepUp.Open does, that the user cannot be challenged.
	// Nil if the tenant gives no access for asking; then the provider says so at the
	// end, or only that nobody was recognised.
	Eligibility func(ctx context.Context, userIdentifier string) error
	Now         func() time.Time // default time.Now
}

// OIDC is journey.StepUp by an OpenID provider (reference 4.3): the person goes
// there with a request that names them, and comes back with a code for an ID
// token that does. Only Returned, which the browser brings back, makes Poll ask
// the provider.
type OIDC struct {
	*relying
	cfg OIDCConfig
}

var _ journey.StepUp = (*OIDC)(nil)

// NewOIDC checks the configuration. It asks the provider nothing.
func NewOIDC(cfg OIDCConfig) (*OIDC, error) {
	if len(cfg.ACRValues) == 0 {
		cfg.ACRValues = []string{"liveID push"}
	}
	if len(cfg.AcceptedACR) == 0 {
		cfg.AcceptedACR = cfg.ACRValues
	}
	if len(cfg.AcceptedAMR) == 0 {
		cfg.AcceptedAMR = append([]string{"face"}, cfg.ACRValues...)
	}
	cfg.UsernameClaim = cmp.Or(cfg.UsernameClaim, "username")
	r, err := newRelying(relyingConfig{
		DiscoveryURL: cfg.DiscoveryURL, Issuer: cfg.Issuer, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Scopes: cfg.Scopes,
		NoPKCE: cfg.NoPKCE, HTTPClient: cfg.HTTPClient, AllowedHosts: cfg.AllowedHosts, Now: cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	return &OIDC{r, cfg}, nil
}

func (o *OIDC) Backend() string { return "oidc" }

// oidcSession is the Secret of a session.
type oidcSession struct {
	oidcExchange
	Ends int64 `json:"ends"` // unix seconds
}

// Open makes the address of an authorization request; nothing exists at the
// provider before the person goes there. r.ReturnURL must be registered with it.
func (o *OIDC) Open(ctx context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	var none journey.OpenedStepUp
	if r.Request.UserIdentifier == "" {
		return none, proof.Invalid("user_identifier", "is required")
	}
	if r.ReturnURL == "" {
		return none, oidcFault(proof.ReasonUpstreamRejected, "there is no address to come back to", nil)
	}
	if o.cfg.Eligibility != nil {
		if err := o.cfg.Eligibility(ctx, r.Request.UserIdentifier); err != nil {
			return none, err
		}
	}
	p, err := o.discover(ctx)
	if err != nil {
		return none, err
	}
	ends := r.Deadline
	if o.cfg.SessionTTL > 0 {
		ends = earlier(o.rp.Now().Add(o.cfg.SessionTTL), ends)
	}
	claims, err := json.Marshal(map[string]any{"id_token": map[string]any{
		"username": r.Request.UserIdentifier,
		"acr":      map[string]any{"essential": true, "values": o.cfg.ACRValues},
	}})
	if err != nil {
		return none, oidcFault(proof.ReasonInternal, "the request cannot be written", err)
	}
	address, x := o.request(p, r.Challenge+"."+oidcRandom(), r.ReturnURL, o.rp.Scopes, url.Values{"claims": {string(claims)}})
	s := oidcSession{x, ends.Unix()}
	secret, err := json.Marshal(s)
	if err != nil {
		return none, oidcFault(proof.ReasonInternal, "the session cannot be written", err)
	}
	return journey.OpenedStepUp{
		StepUpSession: proof.StepUpSession{ID: s.State, URL: address, Returns: true, State: s.State, Secret: secret},
		Ends:          ends,
	}, nil
}

// ChallengeOfState finds for which challenge a browser comes back. It proves
// nothing: that the state is the right one, Poll checks.
func ChallengeOfState(state string) (id string, ok bool) {
	id, random, ok := strings.Cut(state, ".")
	if !ok || len(id) != 36 || len(random) != oidcRandomLen || uuid.Validate(id) != nil {
		return "", false
	}
	if _, err := base64.RawURLEncoding.DecodeString(random); err != nil {
		return "", false
	}
	return id, true
}

// Poll redeems what the browser brought back. A code is good once: when the
// answer to it is lost, here or on the way, the next Poll ends in
// answer_replayed and the person has to show their face again.
func (o *OIDC) Poll(ctx context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	var none journey.StepUpProgress
	var s oidcSession
	if err := json.Unmarshal(p.Secret, &s); err != nil || s.State == "" || s.Nonce == "" {
		return none, oidcFault(proof.ReasonInternal, "the session cannot be read", nil)
	}
	if p.UserIdentifier == "" {
		return none, proof.Invalid("user_identifier", "is required")
	}
	back := p.Returned
	if len(back) == 0 {
		if o.rp.Now().Unix() >= s.Ends {
			return sessionOver, nil
		}
		return stillPending, nil
	}
	provider, err := o.answered(ctx, s.oidcExchange, back)
	if err != nil {
		return none, err
	}
	if e := back["error"]; e != "" {
		return oidcRefusal(e, back["error_description"]), nil
	}
	claims, _, err := o.exchange(ctx, provider, s.oidcExchange, back)
	if err != nil {
		return none, err
	}
	return o.judge(claims, s, p.UserIdentifier)
}

// oidcRefusal reads an error of the authorization endpoint. That the description
// of access_denied is one of our reasons is so at the local 1Kosmos only; it came
// through a browser, and the worst that it can say is no.
func oidcRefusal(code, description string) journey.StepUpProgress {
	reason := proof.Reason(description)
	switch {
	case code != "access_denied":
		return journey.StepUpProgress{Status: proof.ChallengeFailed, Reason: proof.ReasonUpstreamRejected}
	case reason == proof.ReasonTimeLimit:
		return sessionOver
	}
	return refusal(reason)
}

// judge reads a token that is about this request: what was done, and whom it is about.
func (o *OIDC) judge(c oidcClaims, s oidcSession, user string) (journey.StepUpProgress, error) {
	untrusted := func(text string) (journey.StepUpProgress, error) {
		return journey.StepUpProgress{}, oidcFault(proof.ReasonAnswerUntrusted, text, nil)
	}
	// A face shown before it was asked for, in an earlier login, is no answer.
	if s.older(c) {
		return untrusted("the ID token rests on an earlier login")
	}
	if !o.done(c) {
		return untrusted("the ID token does not say that the face was shown")
	}
	recognised := text(c, o.cfg.UsernameClaim)
	if recognised == "" {
		return untrusted("the ID token does not say who was recognised")
	}
	if !blockid.SameUser(recognised, user) {
		return someoneElse, nil
	}
	return matched(readExtension(c))
}

// done reports whether the token says that one of the accepted methods was used.
func (o *OIDC) done(c oidcClaims) bool {
	_, acrThere := c["acr"]
	_, amrThere := c["amr"]
	if acrThere && !slices.Contains(o.cfg.AcceptedACR, text(c, "acr")) {
		return false
	}
	if amrThere && !slices.ContainsFunc(c.texts("amr"), func(m string) bool { return slices.Contains(o.cfg.AcceptedAMR, m) }) {
		return false
	}
	return acrThere || amrThere || o.cfg.AllowUnnamed
}
