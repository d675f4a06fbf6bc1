package descope

import (
	"context"
	"errors"
	"strings"
)

const maxToken = 16 << 10 // bytes

// UpdateJWT makes a session token with more custom claims out of one that is valid (POST
// /v1/mgmt/jwt/update). The one it is made of stays valid. Claims of the protocol, as sub,
// are refused by Descope.
func (c *Client) UpdateJWT(ctx context.Context, jwt string, claims map[string]any) (string, error) {
	if !token(jwt) {
		return "", invalid("this is no JWT")
	}
	if len(claims) == 0 || len(claims) > maxMany {
		return "", invalid("1 to 100 claims can be added")
	}
	var out struct {
		JWT string `json:"jwt"`
	}
	if err := c.do(ctx, CallUpdateJWT, nil, struct {
		JWT    string         `json:"jwt"`
		Claims map[string]any `json:"customClaims"`
	}{jwt, claims}, &out); err != nil {
		return "", err
	}
	if !token(out.JWT) {
		return "", unavailable(errors.New("descope: the answer has no JWT"), 0)
	}
	return out.JWT, nil
}

// token reports whether s looks like a signed JWT in compact form.
func token(s string) bool {
	return len(s) <= maxToken && strings.Count(s, ".") == 2 && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && plain(s)
}
