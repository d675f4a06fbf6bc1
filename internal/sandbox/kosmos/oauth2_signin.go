package kosmos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What an application may want of a sign-in (reference 6.1), and what it is told.
//
// A request that names nobody is the hosted login: the authenticator asks for a user
// name as it does in a UWL session, and whoever's face is matched is signed in. A
// login_hint, or the account that this browser used last, stands in the field for the
// person to change; the name counts as typed, whoever pushed the request, so that
// nobody learns from it which users there are.
//
// The level is the one of the tenant's records when the person goes back. Nobody is proofed
// here for the sake of a request: who has not reached what is essential goes back with
// oauthUnmet.

// oauthWanted is the part of an authorization request that is about how.
type oauthWanted struct {
	ACR       []string `json:"acr,omitempty"` // in order of preference, as the request spells them; only those that can be met
	Essential bool     `json:"essential,omitempty"`
	Scope     []string `json:"scope,omitempty"` // that were granted
}

// oauthNames is a list of strings, of which one alone may stand without the list: the
// vendor's pages write both value and values, and both ways.
type oauthNames []string

func (n *oauthNames) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		if *n = nil; one != "" {
			*n = oauthNames{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(n))
}

// oauthClaims is the claims parameter, as far as it is served.
type oauthClaims struct {
	IDToken struct {
		Username *string `json:"username"` // of a step-up
		ACR      *struct {
			Essential bool       `json:"essential"`
			Value     oauthNames `json:"value"`
			Values    oauthNames `json:"values"`
		} `json:"acr"`
	} `json:"id_token"`
}

// want reads whom and what the request is for.
func (rq *oauthRequest) want(q url.Values) *oauthError {
	invalid := func(text string) *oauthError { return &oauthError{"invalid_request", text} }
	var claims oauthClaims
	if raw := q.Get("claims"); raw != "" && json.Unmarshal([]byte(raw), &claims) != nil {
		return invalid("claims must be a JSON object whose id_token.username is a string")
	}
	if name := claims.IDToken.Username; name != nil {
		// An application that names a user of no name means somebody, whom it lost.
		if rq.Username = *name; rq.Username == "" || len(rq.Username) > maxUsername {
			return invalid("claims must name a user in id_token.username, or have no such member")
		}
	}
	if rq.Hint = q.Get("login_hint"); len(rq.Hint) > maxUsername {
		return invalid("login_hint is too long")
	}
	rq.Choose = slices.Contains(strings.Fields(q.Get("prompt")), "select_account")

	for _, s := range strings.Fields(q.Get("scope")) {
		if s = strings.TrimSuffix(s, "/"); slices.Contains(oauthScopes, s) && !slices.Contains(rq.Wanted.Scope, s) {
			rq.Wanted.Scope = append(rq.Wanted.Scope, s)
		}
	}
	wanted := oauthNames(strings.Fields(q.Get("acr_values")))
	if acr := claims.IDToken.ACR; acr != nil {
		wanted = append(acr.Value, acr.Values...)
		rq.Wanted.Essential = acr.Essential && len(wanted) > 0
	}
	if len(wanted) > 32 {
		return invalid("too many acr values")
	}
	for _, w := range wanted {
		if w == oauthACR || levelAsked(w) != "" {
			rq.Wanted.ACR = append(rq.Wanted.ACR, w)
		}
	}
	if rq.Wanted.Essential && len(rq.Wanted.ACR) == 0 {
		return &oauthError{oauthUnmet, "only " + oauthACR + " and " + oauthLevelBase + "N are served"}
	}
	return nil
}

var levelWord = regexp.MustCompile(`^` + regexp.QuoteMeta(oauthLevelBase) + `([1-3])/?$`)

// levelAsked is the level that an acr value means, such as IAL2; empty if it means none.
func levelAsked(acr string) string {
	if m := levelWord.FindStringSubmatch(acr); m != nil {
		return "IAL" + m[1]
	}
	return ""
}

// met is the first acr of the request that a matched face of a user with that level
// meets, as the request spells it; ok is false if one is essential and none is met.
func (w oauthWanted) met(level string) (acr string, ok bool) {
	for _, a := range w.ACR {
		if asked := levelAsked(a); asked == "" || level >= asked {
			return a, true
		}
	}
	return oauthACR, !w.Essential
}

// methods is the amr claim: how the person signed in, and the level if it was asked for.
func (w oauthWanted) methods(level string) []string {
	amr := []string{oauthAMR}
	asked := slices.Contains(w.Scope, oauthLevelScope) || slices.ContainsFunc(w.ACR, func(a string) bool { return levelAsked(a) != "" })
	if n, ok := strings.CutPrefix(level, "IAL"); ok && asked {
		amr = append(amr, oauthLevelBase+n)
	}
	return amr
}

// userLevel is the level of a user by now, such as IAL2; empty for none.
func (s *Server) userLevel(ctx context.Context, username string) (string, error) {
	u, err := s.knownUser(ctx, username)
	if err != nil {
		return "", fmt.Errorf("level: %w", err)
	}
	return levelOf(u), nil
}

// about is what user info tells of a user, by the scopes that were granted. Names
// are those of the tenant's records: those of documents are not kept.
func (g *codeGrant) about(person *wallet) map[string]any {
	about := map[string]any{"sub": person.UID, oauthUserClaim: person.Username}
	if slices.Contains(g.Scope, "profile") {
		about["preferred_username"] = person.Username
		if u, ok := seeded(person.Username); ok {
			about["name"], about["given_name"], about["family_name"] = u.first+" "+u.last, u.first, u.last
		}
	}
	if slices.Contains(g.Scope, "email") {
		// There is no address in the records: a user name that is one may be used for it,
		// and nobody has verified that.
		if a, err := mail.ParseAddress(person.Username); err == nil && a.Address == person.Username {
			about["email"], about["email_verified"] = person.Username, false
		}
	}
	return about
}

// errElsewhere is for a browser that holds the link to a sign-in of another one.
var errElsewhere = &refusal{http.StatusForbidden, "other_browser",
	"This sign-in was started in another browser. If somebody sent you this link, they want to sign in as you. Go to the website yourself and start again there.", 0}

// elsewhere reports whether a sign-in is another browser's.
func (v *stepUp) elsewhere(r *http.Request) bool {
	var rq oauthRequest
	return v.Kind == kindOAuth2 && (json.Unmarshal(v.Detail, &rq) != nil || !rq.by(r, v.ID))
}

// suggested is the account that the field of an unnamed request starts with.
func (s *Server) suggested(v *stepUp, r *http.Request) string {
	if v.Kind != kindOAuth2 {
		return s.rememberedAccount(r)
	}
	var rq oauthRequest
	switch err := json.Unmarshal(v.Detail, &rq); {
	case err != nil:
		return ""
	case rq.Hint != "" || rq.Choose:
		return rq.Hint
	}
	return s.rememberedAccount(r)
}
