package kosmos

import (
	"html"
	"net/http"
	"time"
)

// What 1Kosmos leaves open about access codes and text messages (reference 5), of which
// paths and fields are known from its SDK and its published collection.

const (
	// The one type that first-party code sends.
	guessCodeType = "verification_link"
	// How long a code is good if nobody says so.
	guessCodeTTL = 24 * time.Hour
)

// Answers about a code that is no good: those of its one-time passwords.
var (
	guessCodeUnknown = problem{http.StatusNotFound, styleMessage, "Access code not found", ""}
	guessCodeUsed    = problem{http.StatusConflict, styleMessage, "Access code was redeemed", ""}
	guessCodeExpired = problem{http.StatusGone, styleMessage, "Access code expired", ""}
)

// emailResult is what the gateway says; the fields are documented, what they hold is not.
type emailResult struct {
	Status      string  `json:"status"`
	StatusCode  int     `json:"statusCode"`
	Message     string  `json:"message"`
	Error       *string `json:"error"`
	GatewayID   string  `json:"gatewayId"`
	GatewayName string  `json:"gatewayName"`
	ResultID    string  `json:"resultId"`
	MessageID   string  `json:"messageId"`
	TS          int64   `json:"ts"`
}

func guessMailed(m *Message) emailResult {
	return emailResult{
		Status: "success", StatusCode: http.StatusAccepted, Message: "Queued", GatewayID: "local", GatewayName: "Kosmoscope inbox",
		ResultID: m.ID, MessageID: m.ID, TS: m.At.UnixMilli(),
	}
}

// guessMail is the mail of a code whose maker has no template. A template of theirs goes
// out as it is: which placeholders 1Kosmos fills in one is not documented.
func guessMail(subject, link string) (string, string) {
	if subject == "" {
		subject = "Your verification link"
	}
	return subject, "<p>Follow this link to go on:</p>\n<p><a href=\"" + html.EscapeString(link) + "\">" + html.EscapeString(link) + "</a></p>\n"
}

// Also decided here, in code elsewhere: that a code is answered in clear when it is made
// and sealed when it is fetched, as the published samples have it; that redeeming one
// takes it out of use; that a text message is answered 202, as a one-time password is;
// that the link of a code leads to a page that says whether the code is good.
