package blockid

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// VerificationLink is the type of access code that first-party code asks for. No other
// is documented.
const VerificationLink = "verification_link"

// AccessCodeRequest asks the admin console for an access code, and to mail it.
type AccessCodeRequest struct {
	// CreatedBy says who asked; 1Kosmos keeps it with the code. Required.
	CreatedBy string
	// Type is VerificationLink if empty.
	Type string
	// EmailTo is where the mail goes. Required.
	EmailTo string
	// TTL is how long the code is good; 0 leaves it to 1Kosmos. Whole seconds.
	TTL time.Duration
	// Subject and HTML of the mail; empty ones leave it to 1Kosmos. Which placeholders an
	// HTML may have is not documented.
	Subject, HTML string
}

// AccessCode is an access code and what became of its mail. Link and Code open
// something; printing or logging it hides them.
type AccessCode struct {
	Link  string
	Code  string
	Email EmailResult

	// Extra holds top-level fields that this package does not know.
	Extra map[string]json.RawMessage
}

// String hides code and link.
func (a AccessCode) String() string { return "access code (redacted)" }

// GoString hides code and link.
func (a AccessCode) GoString() string { return a.String() }

// LogValue hides code and link.
func (a AccessCode) LogValue() slog.Value { return slog.StringValue(a.String()) }

// EmailResult is what the mail gateway of the tenant said. Only the fields' names are
// documented, so that Sent is judged by what can hardly mean anything else.
type EmailResult struct {
	Status     string // a word or a number
	StatusCode int    // 0: none
	MessageID  string
	Failed     bool // the gateway says that it did not take the mail
}

// CreateAccessCode makes an access code and has it mailed. Calling it again makes
// another and mails again: no key of ours tells 1Kosmos that it is the same, and no call
// finds a code by whom it was mailed to. Only a call that was refused, for keys that were
// rotated, is repeated. A mail that the gateway refused is no error: see Email.
func (c *Client) CreateAccessCode(ctx context.Context, r AccessCodeRequest) (*AccessCode, error) {
	const op = "acr.create"
	switch {
	case r.CreatedBy == "":
		return nil, invalid(op, "CreatedBy is required")
	case !mailable(r.EmailTo):
		return nil, invalid(op, "EmailTo is no address")
	case strings.ContainsAny(r.Subject, "\r\n"):
		return nil, invalid(op, "Subject must be one line")
	case r.TTL < 0 || r.TTL%time.Second != 0:
		return nil, invalid(op, "TTL must be whole seconds")
	}
	body := struct {
		CreatedBy string `json:"createdBy"`
		Version   string `json:"version"`
		Type      string `json:"type"`
		EmailTo   string `json:"emailTo"`
		TTL       int64  `json:"ttl_seconds,omitempty"`
		Template  string `json:"emailTemplateB64,omitempty"`
		Subject   string `json:"emailSubject,omitempty"`
	}{r.CreatedBy, "v0", r.Type, r.EmailTo, int64(r.TTL / time.Second), "", r.Subject}
	if body.Type == "" {
		body.Type = VerificationLink
	}
	if r.HTML != "" {
		body.Template = base64.StdEncoding.EncodeToString([]byte(r.HTML))
	}
	com, err := c.communityName(ctx)
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceAdminConsole, method: http.MethodPut,
		path: "/api/r2/acr/community/" + url.PathEscape(com) + "/code", body: body, clear: true,
	})
	if err != nil {
		return nil, err
	}
	out, err := ParseAccessCode(a.plain)
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	return out, nil
}

// mailable reports whether s can be an address; whether it is one is for the gateway.
func mailable(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= 254 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == ';' })
}

// ParseAccessCode reads an answer, opened.
func ParseAccessCode(plain []byte) (*AccessCode, error) {
	var link, code scalar
	var mail *struct {
		Status     json.RawMessage `json:"status"`
		StatusCode scalar          `json:"statusCode"`
		Error      json.RawMessage `json:"error"`
		MessageID  scalar          `json:"messageId"`
	}
	out := &AccessCode{}
	var err error
	if out.Extra, err = decodeObject(plain, map[string]any{"emailResult": &mail, "link": &link, "code": &code}); err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "access code answer is broken JSON", err: err}
	}
	out.Link, out.Code = string(link), string(code)
	if out.Link == "" && mail == nil { // an error has a code as well
		if e := errorInSuccess(plain); e != nil {
			return nil, e
		}
	}
	if out.Code == "" && out.Link == "" {
		return nil, malformed("answer has neither code nor link")
	}
	if mail == nil {
		return out, nil
	}
	var status scalar
	_ = status.UnmarshalJSON(mail.Status) // a scalar takes whatever it is
	out.Email = EmailResult{Status: string(status), StatusCode: number(mail.StatusCode), MessageID: string(mail.MessageID)}
	problem := strings.TrimSpace(string(mail.Error))
	out.Email.Failed = out.Email.StatusCode >= 400 || string(mail.Status) == "false" ||
		problem != "" && problem != "null" && problem != "false" && problem != `""` && problem != "{}"
	return out, nil
}

// AccessCodeInfo is what an access code is for.
type AccessCodeInfo struct {
	Type string
	// Extra holds top-level fields that this package does not know. They may be personal.
	Extra map[string]json.RawMessage
}

// AccessCode looks an access code up without using it. One that is not there, or is used
// up, is an error of KindNotFound or another that the service chooses.
func (c *Client) AccessCode(ctx context.Context, code string) (*AccessCodeInfo, error) {
	const op = "acr.fetch"
	path, err := c.accessCodePath(ctx, op, code)
	if err != nil {
		return nil, err
	}
	a, err := c.do(ctx, call{op: op, service: ServiceAdminConsole, method: http.MethodGet, path: path})
	if err != nil {
		return nil, err
	}
	var kind scalar
	out := &AccessCodeInfo{}
	if out.Extra, err = decodeObject(a.plain, map[string]any{"type": &kind}); err == nil && kind == "" {
		err = malformed("answer has no type")
	}
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	out.Type = string(kind)
	return out, nil
}

// RedeemAccessCode uses a code up.
func (c *Client) RedeemAccessCode(ctx context.Context, code string) error {
	const op = "acr.redeem"
	path, err := c.accessCodePath(ctx, op, code)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, call{
		op: op, service: ServiceAdminConsole, method: http.MethodPost, path: path + "/redeem", body: struct{}{}, status: http.StatusOK, clear: true,
	})
	return err
}

func (c *Client) accessCodePath(ctx context.Context, op, code string) (string, error) {
	if !segment(code) {
		return "", invalid(op, "code is required")
	}
	com, err := c.communityName(ctx)
	if err != nil {
		return "", asError(err, op, ServiceAdminConsole)
	}
	return "/api/r1/acr/community/" + url.PathEscape(com) + "/" + url.PathEscape(code), nil
}

// SMS is a text message that 1Kosmos sends.
type SMS struct {
	To      string // digits, without the country's
	ISDCode string // of the country, as "+49" or "49"
	Text    string
}

// ScheduleSMS has a text message sent; the id that the service gave it, if it gave one.
// Calling it again sends again. What the answer looks like is not documented.
func (c *Client) ScheduleSMS(ctx context.Context, m SMS) (messageID string, err error) {
	const op = "messaging.schedule"
	if m.To == "" || m.ISDCode == "" || m.Text == "" {
		return "", invalid(op, "To, ISDCode and Text are required")
	}
	com, err := c.community(ctx)
	if err != nil {
		return "", asError(err, op, ServiceAdminConsole)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceAdminConsole, method: http.MethodPost, path: "/api/r2/messaging/schedule", clear: true,
		body: struct {
			TenantID    string `json:"tenantId"`
			CommunityID string `json:"communityId"`
			To          string `json:"smsTo"`
			ISDCode     string `json:"smsISDCode"`
			Template    string `json:"smsTemplateB64"`
		}{com.TenantID, com.ID, m.To, m.ISDCode, base64.StdEncoding.EncodeToString([]byte(m.Text))},
	})
	if err != nil {
		return "", err
	}
	var id scalar
	if _, err := decodeObject(a.plain, map[string]any{"messageId": &id}); err != nil {
		return "", asError(&Error{Kind: KindMalformed, detail: "messaging answer is broken JSON", err: err}, op, ServiceAdminConsole)
	}
	return string(id), nil
}

// number reads a number that may be in a string; 0 if it is none.
func number(s scalar) int {
	var n json.Number
	if json.Unmarshal([]byte(s), &n) != nil {
		return 0
	}
	i, err := n.Int64()
	if err != nil {
		return 0
	}
	return int(i)
}
