package oidc

import (
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// acrOf says which assurance is asked for. claims.id_token.acr comes before
// acr_values, which is voluntary (OpenID Connect Core 1.0, 5.5.1.1), and that before a
// scope of 1Kosmos' names, which is voluntary, too. What we do not know or the client
// may not ask for is left out; when nothing is left of an essential one, it cannot be
// met.
//
// A client whose default is essential is held to it: what a browser brings along was
// the person's to edit, so that it only chooses among the defaults and stays essential.
func acrOf(a *federation.Ask, c *federation.Client, scopes []string, values string, claims claimsRequest, trusted bool) error {
	if c.Profile == federation.ProfileEntra {
		// Entra's own names of contexts are for the answer; what it wants is a factor that
		// its user has or is, and ours is the face.
		if _, ok := entraMeets(claims); !ok {
			return refused(unmetRequirements, "a face is not among the factors that Entra asks for")
		}
		a.ACR, a.Essential = []string{federation.ACRFace}, true
		return nil
	}
	asked, essential := claims.acr()
	if len(asked) == 0 {
		asked = strings.Fields(values)
		for _, s := range scopes {
			if levelOf(s) != "" {
				asked = append(asked, s)
			}
		}
	}
	held := c.Essential && len(c.DefaultACR) > 0 && !trusted
	for _, v := range asked {
		switch {
		case !federation.Known(v) || !c.MayAsk(v) || contains(a.ACR, v) || len(a.ACR) == maxACR:
		case held && !contains(c.DefaultACR, v):
		default:
			a.ACR = append(a.ACR, v)
		}
	}
	if essential && len(asked) > 0 && len(a.ACR) == 0 {
		return refused(unmetRequirements, "this client cannot have the acr that it asks for")
	}
	a.Essential = len(a.ACR) > 0 && (essential || held)
	return nil
}

// contains compares names of assurance without their trailing slash.
func contains(list []string, acr string) bool {
	acr = strings.TrimRight(acr, "/")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimRight(s, "/") == acr })
}
