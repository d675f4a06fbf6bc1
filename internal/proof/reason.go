package proof

import "slices"

// Reason is a stable code that says why something was refused, failed or is
// still pending. docs/reasons.md lists every one with what to do about it; a
// test holds the two together.
type Reason string

// What the engine or 1Kosmos said about the person's evidence.
const (
	ReasonImageUnreadable     Reason = "image_unreadable"
	ReasonImageTooLarge       Reason = "image_too_large"
	ReasonImageTooSmall       Reason = "image_too_small"
	ReasonImageBlurred        Reason = "image_blurred"
	ReasonMRZNotFound         Reason = "mrz_not_found"
	ReasonMRZUnreadable       Reason = "mrz_unreadable"
	ReasonMRZCheckDigit       Reason = "mrz_check_digit"
	ReasonDocumentExpired     Reason = "document_expired"
	ReasonDocumentType        Reason = "document_type"
	ReasonDocumentUnsupported Reason = "document_unsupported"
	ReasonDocumentInvalid     Reason = "document_invalid"
	ReasonDocumentNotVerified Reason = "document_not_verified"
	ReasonDocumentNotFound    Reason = "document_not_found"
	ReasonDocumentCutOff      Reason = "document_cut_off"
	ReasonDocumentGlare       Reason = "document_glare"
	ReasonDocumentManyFound   Reason = "document_many_found"
	ReasonDocumentScreen      Reason = "document_screen"
	ReasonDocumentImplausible Reason = "document_implausible"
	ReasonDocumentAgain       Reason = "document_again"
	ReasonBarcodeNotFound     Reason = "barcode_not_found"
	ReasonBarcodeUnreadable   Reason = "barcode_unreadable"
	ReasonBarcodeMismatch     Reason = "barcode_mismatch"
	ReasonPortraitNotFound    Reason = "portrait_not_found"
	ReasonSelfieMissing       Reason = "selfie_missing"
	ReasonSelfieNoFace        Reason = "selfie_no_face"
	ReasonSelfieManyFaces     Reason = "selfie_many_faces"
	ReasonFaceMismatch        Reason = "face_mismatch"
	ReasonFaceUncertain       Reason = "face_uncertain"
	ReasonLivenessUnavailable Reason = "liveness_unavailable"
	ReasonLivenessFailed      Reason = "liveness_failed"
	ReasonLivenessIncomplete  Reason = "liveness_incomplete"
	ReasonLivenessReplayed    Reason = "liveness_replayed"
	ReasonLivenessWeak        Reason = "liveness_weak"
	ReasonCaptureFailed       Reason = "capture_failed"
	ReasonRetriesExhausted    Reason = "retries_exhausted"
	ReasonExpectedMismatch    Reason = "expected_mismatch"
	ReasonProviderRejected    Reason = "provider_rejected"
	ReasonEnrolmentConflict   Reason = "enrolment_conflict"
	ReasonTemplateForeign     Reason = "template_foreign"
)

// What stands against a step-up, or makes its answer worth nothing.
const (
	ReasonUserUnknown      Reason = "user_unknown"       // 1Kosmos has no such user
	ReasonUserNotEnrolled  Reason = "user_not_enrolled"  // known, without a face to compare with
	ReasonUserDisabled     Reason = "user_disabled"      // switched off at 1Kosmos
	ReasonTooManyAttempts  Reason = "too_many_attempts"  // a limit of ours or of 1Kosmos
	ReasonSubjectMismatch  Reason = "subject_mismatch"   // somebody else's LiveID answered
	ReasonAnswerKey        Reason = "answer_key_invalid" // the key of the answer is no key on the tenant's curve
	ReasonAnswerUntrusted  Reason = "answer_untrusted"   // the key of the answer is not the one of the user
	ReasonAnswerReplayed   Reason = "answer_replayed"    // the answer was given before, or to another session
	ReasonUploadReplayed   Reason = "upload_replayed"    // the one-time code of a photo was used before, or is another session's
	ReasonSessionEnded     Reason = "session_ended"      // the page that takes the photo has ended: answered, or too late
	ReasonUnknownChallenge Reason = "unknown_challenge"
	ReasonChallengeUsed    Reason = "challenge_used" // the match was for a login that is over
	ReasonUnknownDecision  Reason = "unknown_decision"
)

// What went wrong on the way to a verdict.
const (
	ReasonModelsMissing       Reason = "engine_models_missing"
	ReasonEngineBusy          Reason = "engine_busy"
	ReasonEngineTimeout       Reason = "engine_timeout"
	ReasonEngineError         Reason = "engine_error"
	ReasonEngineUnavailable   Reason = "engine_unavailable"
	ReasonUpstreamUnavailable Reason = "upstream_unavailable"
	ReasonUpstreamTimeout     Reason = "upstream_timeout"
	ReasonUpstreamAuth        Reason = "upstream_unauthorized"
	ReasonUpstreamRejected    Reason = "upstream_rejected"
	ReasonUpstreamRateLimited Reason = "upstream_rate_limited"
	ReasonUpstreamMalformed   Reason = "upstream_malformed"
	ReasonUpstreamCiphertext  Reason = "upstream_ciphertext"
	ReasonUpstreamUnknown     Reason = "upstream_unknown_state"
)

// What was in the way back into the Descope flow.
const (
	ReasonDescopeUnavailable Reason = "descope_unavailable" // no answer, or none that says what came of it
	ReasonDescopeRefused     Reason = "descope_refused"     // it said no

	// Door B could not say what was asked for.
	ReasonAssuranceUnmet Reason = "assurance_unmet" // an essential authentication context does not hold
	ReasonNobodyKnown    Reason = "nobody_known"    // nothing may be shown, and no session of this browser will do
)

// What the person or time did.
const (
	ReasonDeclined   Reason = "declined"        // the person said no on our page
	ReasonAbandoned  Reason = "abandoned"       // the person left at 1Kosmos
	ReasonTimeLimit  Reason = "time_limit"      // our deadline passed
	ReasonLinkUsed   Reason = "link_used"       // opened in another browser before
	ReasonLinkEnded  Reason = "link_ended"      // too old, or wrong
	ReasonLinkPart   Reason = "link_incomplete" // opened without what Descope adds when it sends the browser
	ReasonErased     Reason = "erased"          // the subject was erased
	ReasonDataPurged Reason = "data_purged"     // claims are gone after the retention time
)

// What became of an event, and of what a rule does (internal/hooks).
const (
	ReasonEventUnreadable     Reason = "event_unreadable"      // it cannot be evaluated
	ReasonOutcomeUnknown      Reason = "outcome_unknown"       // begun, and nobody knows whether it was done
	ReasonNobodyMeant         Reason = "nobody_meant"          // the event names no person, or one that is unknown here
	ReasonNothingToDo         Reason = "nothing_to_do"         // what would be written cannot be told
	ReasonSuperseded          Reason = "superseded"            // something newer of the same person was written
	ReasonActionNotConfigured Reason = "action_not_configured" // no Descope project, messages or caller for it
	ReasonNoAddress           Reason = "no_address"            // no verified e-mail address to send the link to
	ReasonDropped             Reason = "dropped"               // a person decided that it is not to be done
)

// What became of telling another tool (internal/deliveries).
const (
	ReasonEndpointUnreachable Reason = "endpoint_unreachable" // no answer
	ReasonEndpointRefused     Reason = "endpoint_refused"     // an answer that is not 2xx
	ReasonEndpointAddress     Reason = "endpoint_address"     // its address is not allowed
	ReasonEndpointGone        Reason = "endpoint_gone"        // it answered 410, or was deleted here
	ReasonEndpointOff         Reason = "endpoint_off"         // it is switched off here
)

// What the caller did.
const (
	ReasonInvalidRequest      Reason = "invalid_request"
	ReasonUnauthenticated     Reason = "unauthenticated"
	ReasonSignature           Reason = "signature_invalid"
	ReasonReplay              Reason = "signature_replayed"
	ReasonNotAllowed          Reason = "not_allowed"
	ReasonUnknownSession      Reason = "unknown_session"
	ReasonIdempotencyConflict Reason = "idempotency_conflict"
	ReasonRateLimited         Reason = "rate_limited"
	ReasonTooLarge            Reason = "request_too_large"
	ReasonUnavailable         Reason = "unavailable"
	ReasonInternal            Reason = "internal_error"
)

// ofOperators are the reasons that only operators meet.
var ofOperators = []Reason{
	ReasonEventUnreadable, ReasonOutcomeUnknown, ReasonNobodyMeant, ReasonNothingToDo, ReasonSuperseded,
	ReasonActionNotConfigured, ReasonNoAddress, ReasonDropped,
	ReasonEndpointUnreachable, ReasonEndpointRefused, ReasonEndpointAddress, ReasonEndpointGone, ReasonEndpointOff,
}

// OfOperators reports whether only operators meet r: no page that people see shows it.
func (r Reason) OfOperators() bool { return slices.Contains(ofOperators, r) }

// Reasons lists every reason there is.
func Reasons() []Reason {
	return append(ofPeople(), ofOperators...)
}

func ofPeople() []Reason {
	return []Reason{
		ReasonImageUnreadable, ReasonImageTooLarge, ReasonImageTooSmall, ReasonImageBlurred, ReasonMRZNotFound, ReasonMRZUnreadable,
		ReasonMRZCheckDigit, ReasonDocumentExpired, ReasonDocumentType, ReasonDocumentUnsupported, ReasonDocumentInvalid,
		ReasonDocumentNotVerified, ReasonDocumentNotFound, ReasonDocumentCutOff, ReasonDocumentGlare, ReasonDocumentManyFound,
		ReasonDocumentScreen, ReasonDocumentImplausible, ReasonDocumentAgain, ReasonBarcodeNotFound, ReasonBarcodeUnreadable,
		ReasonBarcodeMismatch, ReasonPortraitNotFound, ReasonSelfieMissing, ReasonSelfieNoFace, ReasonSelfieManyFaces,
		ReasonFaceMismatch, ReasonFaceUncertain, ReasonLivenessUnavailable, ReasonLivenessFailed, ReasonLivenessIncomplete,
		ReasonLivenessReplayed, ReasonLivenessWeak, ReasonCaptureFailed, ReasonRetriesExhausted,
		ReasonExpectedMismatch, ReasonProviderRejected, ReasonEnrolmentConflict, ReasonTemplateForeign,
		ReasonUserUnknown, ReasonUserNotEnrolled, ReasonUserDisabled, ReasonTooManyAttempts, ReasonSubjectMismatch, ReasonAnswerKey,
		ReasonAnswerUntrusted, ReasonAnswerReplayed, ReasonUploadReplayed, ReasonSessionEnded, ReasonUnknownChallenge, ReasonChallengeUsed, ReasonUnknownDecision,
		ReasonModelsMissing, ReasonEngineBusy, ReasonEngineTimeout, ReasonEngineError, ReasonEngineUnavailable,
		ReasonUpstreamUnavailable, ReasonUpstreamTimeout, ReasonUpstreamAuth, ReasonUpstreamRejected,
		ReasonUpstreamRateLimited, ReasonUpstreamMalformed, ReasonUpstreamCiphertext, ReasonUpstreamUnknown,
		ReasonDescopeUnavailable, ReasonDescopeRefused,
		ReasonAssuranceUnmet, ReasonNobodyKnown,
		ReasonDeclined, ReasonAbandoned, ReasonTimeLimit, ReasonLinkUsed, ReasonLinkEnded, ReasonLinkPart, ReasonErased, ReasonDataPurged,
		ReasonInvalidRequest, ReasonUnauthenticated, ReasonSignature, ReasonReplay, ReasonNotAllowed, ReasonUnknownSession,
		ReasonIdempotencyConflict, ReasonRateLimited, ReasonTooLarge, ReasonUnavailable, ReasonInternal,
	}
}

// Known reports whether r is one of Reasons.
func (r Reason) Known() bool {
	return slices.Contains(Reasons(), r)
}
