package connector

import (
	"log/slog"
	"net/http"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// The synchronous hooks of door C are called by the same HTTP steps as the nodes of this
// door. Here are their requests, read just as strictly, and the answer to a bad one.

// PreLogin is the request of the hook before a login: nobody is authenticated yet.
type PreLogin struct {
	Identifier     string // as it was typed
	Login          risk.Login
	CallbackURL    string
	IdempotencyKey string
	ExternalAuth   bool
}

// ReadPreLogin reads a body. Errors are *proof.Error that name the field.
func ReadPreLogin(body []byte) (PreLogin, error) {
	fields, err := parse(body)
	if err != nil {
		return PreLogin{}, err
	}
	in := &reader{fields: fields}
	out := PreLogin{
		Identifier: in.text("identifier", maxIdentifier), Login: readLogin(in), CallbackURL: in.url("callback_url"),
		IdempotencyKey: in.text("idempotency_key", maxKey), ExternalAuth: in.yes("external_auth"),
	}
	if err := in.finish(); err != nil {
		return PreLogin{}, err
	}
	if out.Identifier == "" {
		return PreLogin{}, missing("identifier")
	}
	return out, nil
}

// PostRegistration is the request of the hook after a registration.
type PostRegistration struct {
	UserIdentifier string
	Email          string
	EmailVerified  bool // false is also: not said
	DocumentTypes  []proof.DocumentType
	Liveness       proof.LivenessMode
	CallbackURL    string
	IdempotencyKey string
	ExternalAuth   bool
}

// ReadPostRegistration reads a body. Errors are *proof.Error that name the field.
func ReadPostRegistration(body []byte) (PostRegistration, error) {
	fields, err := parse(body)
	if err != nil {
		return PostRegistration{}, err
	}
	in := &reader{fields: fields}
	out := PostRegistration{UserIdentifier: in.text("user_identifier", maxIdentifier), Email: in.text("email", maxEmail), EmailVerified: in.yes("email_verified")}
	for _, w := range in.listOf("document_types", documentTypes()...) {
		out.DocumentTypes = append(out.DocumentTypes, proof.DocumentType(w))
	}
	out.Liveness = proof.LivenessMode(in.oneOf("liveness_mode", livenessModes()...))
	out.CallbackURL = in.url("callback_url")
	out.IdempotencyKey = in.text("idempotency_key", maxKey)
	out.ExternalAuth = in.yes("external_auth")
	if err := in.finish(); err != nil {
		return PostRegistration{}, err
	}
	if out.UserIdentifier == "" {
		return PostRegistration{}, missing("user_identifier")
	}
	return out, nil
}

const maxEmail = 320 // bytes; RFC 3696, erratum 1690, says 254

// Refuse answers a request of another door with an error just as this door does, and notes
// for the log how.
func Refuse(w http.ResponseWriter, r *http.Request, a *Access, log *slog.Logger, err error) {
	c := &call{door: &door{Options{Logger: log}}, Access: a, w: w, r: r}
	c.refuse(err)
}
