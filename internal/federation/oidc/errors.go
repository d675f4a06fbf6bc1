package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// oauthError is an error as OAuth 2.0 spells it: in a redirect error and
// error_description, in an answer to a client JSON with Status.
type oauthError struct {
	Code        string
	Description string // one plain sentence, may be empty
	Status      int    // HTTP, where it is no redirect; zero: 400
}

func (e oauthError) Error() string { return e.Code + ": " + e.Description }

// refused is an error of the request itself: status 400, or 401 for invalid_client.
func refused(code, description string) error {
	status := http.StatusBadRequest
	if code == invalidClient {
		status = http.StatusUnauthorized
	}
	return oauthError{code, description, status}
}

// Codes of RFC 6749, OpenID Connect Core 1.0 (3.1.2.6), RFC 9101 and OpenID Connect
// Core Error Code unmet_authentication_requirements 1.0.
const (
	invalidRequest          = "invalid_request"
	invalidScope            = "invalid_scope"
	unsupportedResponseType = "unsupported_response_type"
	unauthorizedClient      = "unauthorized_client"
	accessDenied            = "access_denied"
	loginRequired           = "login_required"
	interactionRequired     = "interaction_required"
	unmetRequirements       = "unmet_authentication_requirements"
	temporarilyUnavailable  = "temporarily_unavailable"
	serverError             = "server_error"
	requestNotSupported     = "request_not_supported"
	requestURINotSupported  = "request_uri_not_supported"
	invalidClient           = "invalid_client"
)

// errorOf is the one table from proof.Code to OAuth. An oauthError stays what it is;
// anything that is neither is a server_error without a word of it.
func errorOf(err error) oauthError {
	if o, ok := errors.AsType[oauthError](err); ok {
		if o.Status == 0 {
			o.Status = http.StatusBadRequest
		}
		return o
	}
	e, ok := errors.AsType[*proof.Error](err)
	if !ok {
		return oauthError{serverError, "something went wrong on our side", http.StatusInternalServerError}
	}
	o := oauthError{serverError, e.Message, http.StatusInternalServerError}
	switch e.Code {
	case proof.CodeInvalid, proof.CodeNotFound:
		o.Code, o.Status = invalidRequest, http.StatusBadRequest
	case proof.CodeTooLarge:
		o.Code, o.Status = invalidRequest, http.StatusRequestEntityTooLarge
	case proof.CodeUnauthenticated:
		o.Code, o.Status = invalidClient, http.StatusUnauthorized
	case proof.CodeForbidden:
		o.Code, o.Status = unauthorizedClient, http.StatusBadRequest
	case proof.CodeRateLimited:
		o.Code, o.Status = temporarilyUnavailable, http.StatusTooManyRequests
	case proof.CodeUnavailable:
		o.Code, o.Status = temporarilyUnavailable, http.StatusServiceUnavailable
	case proof.CodeUpstream:
		o.Status = http.StatusBadGateway
		if e.Temporary {
			o.Code, o.Status = temporarilyUnavailable, http.StatusServiceUnavailable
		}
	case proof.CodeConflict:
		o.Code, o.Status = invalidRequest, http.StatusBadRequest
		if e.Temporary {
			o.Code, o.Status = temporarilyUnavailable, http.StatusServiceUnavailable
		}
	case proof.CodeLoginRequired, proof.CodeInteraction, proof.CodeUnmet, proof.CodeDenied:
		o.Code, o.Status = string(e.Code), http.StatusBadRequest // they are OAuth's own words
	default:
		o.Description = "something went wrong on our side" // what an internal error says is not for outside
	}
	return o
}

// ours reports whether the trouble is on our side, for the log. Whoever comes too
// often is not our trouble.
func (e oauthError) ours() bool { return e.Status >= http.StatusInternalServerError }

// describe makes s fit for error_description, which takes printable ASCII without
// " and \ (RFC 6749 section 4.1.2.1).
func describe(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '“' || r == '”' || r == '’':
			return '\''
		case r == '\\':
			return '/'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

// writeError answers a client, not a browser (RFC 6749 section 5.2).
func writeError(w http.ResponseWriter, e oauthError) {
	if e.Status == 0 {
		e.Status = http.StatusBadRequest
	}
	if e.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="federation"`)
	}
	writeJSON(w, e.Status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, describe(e.Description)})
}

// writeJSON answers with something that must not be kept.
func writeJSON(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b)
}
