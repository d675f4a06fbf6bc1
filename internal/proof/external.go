package proof

import "time"

// The round trip through the External Authentication action of a Descope flow:
// Descope sends the browser to our link and adds the id of a request of its own;
// at the end we tell Descope, server to server, who came back and with what
// result, and send the browser to the address that it answers.
//
//	""     (a link that is opened as it is)
//
//	wanted ──link opened with a request id──▶ bound ──Return──▶ asked ──▶ completed
//	                                                            │  ▲ └──▶ refused
//	                                             outcome unknown└──┘ a person's click, not often
//
// Only the end of the verification or challenge, as it is stored, decides what
// Descope is told. What was decided first is what is told ever after.

// ExternalStatus of a round trip; empty when there is none.
type ExternalStatus string

const (
	ExternalWanted    ExternalStatus = "wanted"    // the link is to bring a request id
	ExternalBound     ExternalStatus = "bound"     // it did
	ExternalAsked     ExternalStatus = "asked"     // Descope was told, or is being told; nobody knows what came of it
	ExternalCompleted ExternalStatus = "completed" // Descope said where the browser goes
	ExternalRefused   ExternalStatus = "refused"   // Descope said no, for good
)

// External is the round trip of one verification or challenge.
type External struct {
	Status   ExternalStatus
	Attempts int       // calls of Descope that were begun
	AskedAt  time.Time // when the call began that is under way, or was when a process died; zero: none is
	Sealed   []byte    // ExternalReturn; nil before the link is opened, and after retention or erasure
}

// ExternalReturn is what is secret or personal about a round trip.
type ExternalReturn struct {
	RequestID   string            `json:"request_id"`             // external_auth_req_id
	LoginID     string            `json:"login_id,omitempty"`     // who Descope is told came back; fixed with the first call
	Claims      map[string]string `json:"claims,omitempty"`       // and what with
	RedirectURL string            `json:"redirect_url,omitempty"` // a bearer address
}

// ExternalAuth is what Descope is told to complete one of its requests. Descope
// signs in whoever LoginID is, or signs them up.
type ExternalAuth struct {
	RequestID string
	LoginID   string
	Claims    map[string]string // custom claims
}

// ValidExternalRequest reports whether id can be the id of a request of Descope's:
// 1 to 512 of the characters that a URL is made of (RFC 3986), and '|', which
// Descope's execution ids have. What it really looks like is not documented.
func ValidExternalRequest(id string) bool {
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' || c == '{' || c == '}', c <= ' ', c > '~':
			return false
		}
	}
	return id != "" && len(id) <= 512
}

// Node is one of the nodes that begin something, as configuration names it.
type Node string

const (
	NodeIDV    Node = "idv"
	NodeStepUp Node = "stepup"
)

// Valid reports whether n is a node.
func (n Node) Valid() bool { return n == NodeIDV || n == NodeStepUp }
