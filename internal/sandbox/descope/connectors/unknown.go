package connectors

import (
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
)

// What is not known of Descope's cloud (reference/descope.md 1.3 to 1.7, tags [U]
// and [I]). One look at a live project corrects it here.
const (
	// DefaultTimeout is a step's timeout when it has none, MaxTimeout the longest
	// that it may have.
	DefaultTimeout = 10 * time.Second
	MaxTimeout     = 60 * time.Second

	// MaxAnswer is how many bytes an answer may have.
	MaxAnswer = 64 << 10

	userAgent = "kosmoscope-sandbox-descope"

	// signatureLabel and signatureTTL are those of RFC 9421; the TTL's default is
	// documented, the label is not.
	signatureLabel = "sig1"
	signatureTTL   = 300 * time.Second

	// rsaAlgorithm is what an RSA key signs with: PSS or PKCS #1 v1.5.
	rsaAlgorithm = httpsig.RSAPSSSHA512

	// A token without expires_in is kept this long; one with it, this much less.
	tokenLifetime = 5 * time.Minute
	tokenMargin   = 10 * time.Second

	maxAsync = 32 // asynchronous calls under way
)

// signatureComponents are covered when the connector lists none (documented).
// Content-Digest is sent only if it is listed, with SHA-256 (unknown). A redirect
// is not followed, and counts as an answer that is no 2xx (unknown). An empty
// answer is no JSON (unknown). The HMAC of a request without a body is that of zero
// bytes (unknown).
var signatureComponents = []string{"@method", "@target-uri", "@authority"}
