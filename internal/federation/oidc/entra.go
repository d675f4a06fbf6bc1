package oidc

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Microsoft Entra's external MFA, by Microsoft's "external method provider reference":
// an implicit request by POST whose id_token_hint, signed by Entra, says who has to
// show a second factor, and whose claims says of what kind. The answer is an ID token
// with the sub of the hint, one acr of those that were asked for, and one amr.
//
// Two things of it look wrong and are meant: the hint is issued as expired, so that it
// is good for nothing else (in Microsoft's example exp lies a second before iat), and
// the sub is Entra's and none of ours. It is safe to repeat: it came under Entra's
// signature, and is told only once the face was matched that belongs to the user whom
// the hint names.
//
// What is inferred, and nowhere written:
//
//   - entraHintAge: how old a hint may be. Microsoft says that Entra gives up on the
//     whole attempt after about 10 minutes.
//   - that the hint is signed with RS256, as all of Entra's tokens are.
//   - that the user claim of the hint is spelled as our user identifiers are. Microsoft
//     calls preferred_username, the default, a name for display, and recommends oid: an
//     operator whose identifiers are object ids says so in user_claim.

const (
	entraHintAge = 10 * time.Minute
	entraSkew    = 2 * time.Minute
)

// entraContexts are the acr values that something which somebody is satisfies; ours is
// the face. knowledge, possession and knowledgeorpossession are not among them.
var entraContexts = []string{
	"inherence", "possessionorinherence", "knowledgeorinherence", "knowledgeorpossessionorinherence",
}

// entraMethod is our method, in amr (RFC 8176).
const entraMethod = "face"

// entraUser is whom a hint names. It travels in request.Hint as keep writes it, behind
// a mark with a control character: a login_hint, which a browser brings, cannot have
// one, so that none is ever taken for a hint that was verified.
type entraUser struct {
	User string `json:"u"` // as 1Kosmos knows them
	Sub  string `json:"s"` // as Entra does
}

func (u entraUser) keep() string {
	b, err := json.Marshal(u)
	if err != nil {
		return "" // not for two strings; and entraClaims takes no ""
	}
	return entraMark + string(b)
}

const entraMark = "entra\x00"

// entraKept reads what keep wrote.
func entraKept(s string) (u entraUser, ok bool) {
	text, ok := strings.CutPrefix(s, entraMark)
	if !ok || json.Unmarshal([]byte(text), &u) != nil {
		return entraUser{}, false
	}
	return u, u.Sub != "" && u.User != ""
}

// entraHinted verifies an id_token_hint, signature, issuer, audience and age, and says
// whom it names. Everything that is wrong with it is one and the same *proof.Error with
// CodeInvalid; keys that cannot be had are CodeUnavailable.
func (p *Provider) entraHinted(ctx context.Context, client *federation.Client, hint string) (entraUser, error) {
	var e *federation.Entra
	if client.OIDC != nil {
		e = client.OIDC.Entra
	}
	if e == nil || e.Issuer == "" || e.JWKSURI == "" || e.AppID == "" {
		return entraUser{}, &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Message: "this client is not set up for Microsoft Entra"}
	}
	if hint == "" || len(hint) > maxToken {
		return entraUser{}, entraInvalid()
	}
	j, err := jose.ParseSignedCompact(hint, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return entraUser{}, entraInvalid()
	}
	keys, err := p.keysFor(ctx, e.JWKSURI, j.Signatures[0].Protected)
	if err != nil {
		return entraUser{}, err
	}
	payload, ok := verifiedBy(keys, j)
	if !ok {
		return entraUser{}, entraInvalid()
	}
	return entraRead(payload, e, p.Now())
}

func entraInvalid() error {
	return &proof.Error{
		Code: proof.CodeInvalid, Reason: proof.ReasonInvalidRequest, Field: "id_token_hint",
		Message: "id_token_hint is not one that Microsoft Entra has just issued for this client",
	}
}

// entraRead reads the payload of a hint whose signature holds.
func entraRead(payload []byte, e *federation.Entra, now time.Time) (entraUser, error) {
	var t struct {
		Issuer    string   `json:"iss"`
		Subject   string   `json:"sub"`
		Audience  audience `json:"aud"`
		IssuedAt  float64  `json:"iat"`
		NotBefore float64  `json:"nbf"`
		Expiry    float64  `json:"exp"`
	}
	var all map[string]any
	if json.Unmarshal(payload, &t) != nil || json.Unmarshal(payload, &all) != nil {
		return entraUser{}, entraInvalid()
	}
	claim := e.UserClaim
	if claim == "" {
		claim = "preferred_username"
	}
	user, _ := all[claim].(string)
	instant := float64(now.Unix())
	oldest, latest := instant-(entraHintAge+entraSkew).Seconds(), instant+entraSkew.Seconds()
	switch {
	case t.Issuer != e.Issuer, !slices.Equal([]string(t.Audience), []string{e.AppID}),
		t.IssuedAt < oldest || t.IssuedAt > latest, t.NotBefore > latest, t.Expiry < oldest,
		t.Subject == "" || !word(t.Subject, 255), strings.TrimSpace(user) == "" || !word(user, maxHint):
		return entraUser{}, entraInvalid()
	}
	return entraUser{User: user, Sub: t.Subject}, nil
}

// entraMeets says which acr of the asked we can answer with, and whether the face is a
// method that is wanted. Entra always asks for both; a request that does not is
// answered with what is true.
func entraMeets(asked claimsRequest) (acr string, ok bool) {
	acr = entraContexts[0]
	if values, _ := asked.acr(); len(values) > 0 {
		i := slices.IndexFunc(values, func(v string) bool { return slices.Contains(entraContexts, v) })
		if i < 0 {
			return "", false
		}
		acr = values[i]
	}
	methods := asked.amr()
	return acr, len(methods) == 0 || slices.Contains(methods, entraMethod)
}

// entraClaims makes out the ID token of a match. No face of the very user whom the hint
// named, no token.
func entraClaims(out map[string]any, in tokenInput, asked claimsRequest) error {
	u, ok := entraKept(in.Request.Hint)
	if !ok {
		return &proof.Error{Code: proof.CodeUnmet, Message: "there is no id_token_hint to answer"}
	}
	acr, ok := entraMeets(asked)
	if !ok || !in.Answer.Matched || in.Answer.Identifier == "" || in.Answer.Identifier != u.User {
		return &proof.Error{Code: proof.CodeUnmet, Message: "the second factor that was asked for was not shown"}
	}
	out["sub"], out["acr"], out["amr"] = u.Sub, acr, []string{entraMethod}
	return nil
}
