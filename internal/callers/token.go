package callers

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// tokenTTL is how long an access token lives.
const tokenTTL = 10 * time.Minute

const tokenPrefix = "ksat1."

// tokenClaims is the signed part of an access token.
type tokenClaims struct {
	Tenant  string `json:"t"`
	Caller  string `json:"c"`
	Expires int64  `json:"e"` // Unix seconds
	Nonce   string `json:"n"`
}

// tokenKey derives the key that signs a client's access tokens from the client's
// secret. So every replica and every restart accepts them, no other client can
// make them, and changing the secret revokes them.
func tokenKey(o *OAuth) []byte {
	key, err := hkdf.Key(sha256.New, []byte(o.ClientSecret), []byte(o.ClientID), "kosmoscope access token v1", 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return key
}

func (r *Registry) newToken(e *entry) string {
	payload, err := json.Marshal(tokenClaims{e.config.Tenant, e.config.ID, r.now().Add(tokenTTL).Unix(), rand.Text()})
	if err != nil {
		panic(err) // strings and a number
	}
	body := base64.RawURLEncoding.EncodeToString(payload)
	return tokenPrefix + body + "." + base64.RawURLEncoding.EncodeToString(tokenMAC(e, body))
}

func tokenMAC(e *entry, body string) []byte {
	mac := hmac.New(sha256.New, e.tokenKey)
	mac.Write([]byte(tokenPrefix + body))
	return mac.Sum(nil)
}

// accessToken returns whose token it is, or nil.
func (r *Registry) accessToken(token string) *entry {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil
	}
	var c tokenClaims
	if json.Unmarshal(payload, &c) != nil {
		return nil
	}
	e := r.byID[[2]string{c.Tenant, c.Caller}]
	got, err := base64.RawURLEncoding.DecodeString(sig)
	if e == nil || e.tokenKey == nil || err != nil || !hmac.Equal(got, tokenMAC(e, body)) || r.now().Unix() >= c.Expires {
		return nil
	}
	return e
}

// TokenPath is where ServeToken belongs.
const TokenPath = "/oauth2/token"

// ServeToken is the token endpoint of RFC 6749 for the client credentials grant,
// with client_secret_basic and client_secret_post. There are no scopes; a scope
// that is sent is ignored.
func (r *Registry) ServeToken(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		tokenError(w, http.StatusMethodNotAllowed, "invalid_request", "use POST")
		return
	}
	form, problem := tokenForm(w, req)
	if problem != "" {
		tokenError(w, http.StatusBadRequest, "invalid_request", problem)
		return
	}
	e, problem := r.client(req, form)
	if problem != "" {
		tokenError(w, http.StatusBadRequest, "invalid_request", problem)
		return
	}
	if e == nil {
		r.log.WarnContext(req.Context(), "a token request was refused", "reason", proof.ReasonUnauthenticated)
		if err := r.refuse(req); err != nil {
			w.Header().Set("Retry-After", "10")
			tokenError(w, http.StatusTooManyRequests, "invalid_client", "too many refused calls from this network; check the credentials and wait a moment")
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="kosmoscope"`)
		tokenError(w, http.StatusUnauthorized, "invalid_client", "the client credentials are missing or wrong")
		return
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		tokenError(w, http.StatusBadRequest, "invalid_request", "grant_type is required")
		return
	default:
		tokenError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be client_credentials")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": r.newToken(e), "token_type": "Bearer", "expires_in": int(tokenTTL.Seconds()),
	})
}

// tokenForm reads the body; a parameter that is sent twice is an error (RFC 6749
// section 3.2).
func tokenForm(w http.ResponseWriter, req *http.Request) (url.Values, string) {
	if ct, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || ct != "application/x-www-form-urlencoded" {
		return nil, "Content-Type must be application/x-www-form-urlencoded"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 8<<10))
	if err != nil {
		return nil, "the body cannot be read or is larger than 8 KiB"
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, "the body is malformed"
	}
	for _, v := range form {
		if len(v) > 1 {
			return nil, "a parameter is sent twice"
		}
	}
	return form, ""
}

// client authenticates an OAuth client. In the Basic form id and secret are
// form-encoded (RFC 6749 section 2.3.1); clients that do not encode are met too.
func (r *Registry) client(req *http.Request, form url.Values) (*entry, string) {
	id, secret, basic := req.BasicAuth()
	if !basic {
		if req.Header.Get("Authorization") != "" {
			return nil, ""
		}
		return r.credentials[r.digest("oauth", form.Get("client_id"), form.Get("client_secret"))], ""
	}
	if form.Has("client_secret") {
		return nil, "send the client credentials either in the Authorization header or in the body, not both"
	}
	if e := r.credentials[r.digest("oauth", id, secret)]; e != nil {
		return e, ""
	}
	plainID, err1 := url.QueryUnescape(id)
	plainSecret, err2 := url.QueryUnescape(secret)
	if err1 != nil || err2 != nil {
		return nil, ""
	}
	return r.credentials[r.digest("oauth", plainID, plainSecret)], ""
}

func tokenError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
