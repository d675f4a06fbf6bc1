package connector

import (
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Limits of request fields, in bytes. The answer repeats metadata and has to stay
// below 64 KiB even if every byte of it needs an escape.
const (
	maxIdentifier    = 256
	maxName          = 256
	maxKey           = 128
	maxMetadata      = 16
	maxMetadataValue = 256
	maxID            = 256
	maxWord          = 64
	maxDecision      = 128
	maxTransaction   = 512
)

func documentTypes() (words []string) {
	for _, t := range proof.DocumentTypes() {
		words = append(words, string(t))
	}
	return words
}

func livenessModes() []string {
	return []string{string(proof.LivenessPassive), string(proof.LivenessActive), string(proof.LivenessNone)}
}

// readStart reads the request of node "1Kosmos IDV". Absent document_types mean
// all that the caller may ask for, absent liveness_mode the configured default;
// the core fills both in.
func readStart(in *reader) (journey.StartRequest, error) {
	var out journey.StartRequest
	for _, w := range in.listOf("document_types", documentTypes()...) {
		out.DocumentTypes = append(out.DocumentTypes, proof.DocumentType(w))
	}
	out.Liveness = proof.LivenessMode(in.oneOf("liveness_mode", livenessModes()...))
	out.Request.UserIdentifier = in.text("user_identifier", maxIdentifier)
	expected := in.object("expected")
	out.Request.Expected = proof.Expected{
		GivenName:  expected.text("given_name", maxName),
		FamilyName: expected.text("family_name", maxName),
		BirthDate:  expected.date("birth_date"),
	}
	out.CallbackURL = in.url("callback_url")
	out.Request.Metadata = in.texts("metadata", maxMetadata, maxMetadataValue)
	out.IdempotencyKey = in.text("idempotency_key", maxKey)
	out.ExternalAuth = in.yes("external_auth")
	if err := in.finish(expected); err != nil {
		return journey.StartRequest{}, err
	}
	return out, nil
}

// readStepUp reads the request of node "1Kosmos LiveID Step-Up". An absent
// timeout_seconds means the configured default; which range is allowed is the
// core's business.
func readStepUp(in *reader) (journey.ChallengeStart, error) {
	out := journey.ChallengeStart{
		Request: proof.ChallengeRequest{
			UserIdentifier: in.text("user_identifier", maxIdentifier),
			ReasonCode:     in.token("reason_code", maxWord),
			Transaction:    in.lines("transaction", maxTransaction),
		},
		Timeout:        in.seconds("timeout_seconds"),
		DecisionID:     in.token("decision_id", maxDecision),
		CallbackURL:    in.url("callback_url"),
		IdempotencyKey: in.text("idempotency_key", maxKey),
		ExternalAuth:   in.yes("external_auth"),
	}
	if err := in.finish(); err != nil {
		return journey.ChallengeStart{}, err
	}
	if out.Request.UserIdentifier == "" {
		return journey.ChallengeStart{}, missing("user_identifier")
	}
	return out, nil
}

// readResult reads the request of a node that asks about an id.
func readResult(in *reader, idField string) (id, userIdentifier string, err error) {
	id = in.text(idField, maxID)
	userIdentifier = in.text("user_identifier", maxIdentifier)
	if err := in.finish(); err != nil {
		return "", "", err
	}
	if id == "" {
		return "", "", missing(idField)
	}
	return id, userIdentifier, nil
}

func missing(field string) error {
	return proof.Invalid(field, "%s is required; it is null, empty or missing", field)
}
