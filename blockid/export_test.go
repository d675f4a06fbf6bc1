package blockid

// The parsers behind the clients' answers, for fuzzing.
var (
	ParseCommunity   = parseCommunity
	ParseDirectory   = parseDirectory
	ParseCreate      = parseCreate
	ParseV1Create    = parseV1Create
	ParseV1Result    = parseV1Result
	AnswerError      = answerError
	ErrorInSuccess   = errorInSuccess
	ParseIALProof    = parseIALProof
	DecodeObject     = decodeObject
	SealedTextForm   = func(b []byte) error { var e envelope; return unmarshalLenient(b, &e) }
	MaxRetryAfterFor = maxRetryAfter
)
