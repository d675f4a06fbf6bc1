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
	ParseUWLCreate   = parseUWLCreate
	ParseUsers       = parseUsers
	ParseUserInfo    = parseUserInfo
	ParseV1Challenge = parseV1Challenge
	ParseV1StepUp    = parseV1StepUpResult
	ParseWFCreate    = parseWorkflowCreate
	ParseWFNode      = parseWorkflowNode
	OpenUWLAnswer    = openUWLAnswer
	ParseIALProof    = parseIALProof
	DecodeObject     = decodeObject
	SealedTextForm   = func(b []byte) error { var e envelope; return unmarshalLenient(b, &e) }
	MaxRetryAfterFor = maxRetryAfter
)
