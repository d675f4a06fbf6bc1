package upstream

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"html/template"
	"net/url"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// messageHTML is the mail. It has no picture, script or tracker, so that a mail program
// shows all of it, and the link once more in the open, for people who do not follow
// buttons. No {{ of ours is left in what goes out: which placeholders 1Kosmos fills in a
// template is not documented.
//
//go:embed message.html
var messageHTML string

var messageTemplate = template.Must(template.New("").Parse(messageHTML))

// MessagesConfig says how mails look. All of it may be left out.
type MessagesConfig struct {
	Application string // whose account it is about, as people know it
	Subject     string // of the mail
	CreatedBy   string // who asks 1Kosmos for it; default kosmoscope
}

// Messages mails links to people through 1Kosmos' access codes: the one call of 1Kosmos
// that mails a text of ours (reference 5). The code that comes with it is not used, and
// ends soon.
type Messages struct {
	connector *Connector
	config    MessagesConfig
}

var _ hooks.Messages = (*Messages)(nil)

// NewMessages makes Messages of the tenant that the connector speaks to.
func NewMessages(c *Connector, config MessagesConfig) *Messages {
	config.CreatedBy = cmp.Or(config.CreatedBy, "kosmoscope")
	if config.Subject == "" {
		config.Subject = "Please confirm who you are"
		if config.Application != "" {
			config.Subject += " for " + config.Application
		}
	}
	return &Messages{c, config}
}

// Effect is hooks.Unknown: a second call makes a second code and mails again; 1Kosmos
// takes no key by which it would know that it is the same, and no documented call finds a
// code or a mail by whom it went to, so that nobody can look, either.
func (m *Messages) Effect() hooks.Effect { return hooks.Unknown }

const (
	unusedCode  = 10 * time.Minute // life of the access code that nobody uses
	beforeAgain = time.Minute      // after something that did not send anything
)

// SendLink mails the link. key goes along as a part of who asked, for people who look
// into 1Kosmos' records. An error that is not Temporary says that nothing was mailed, and
// so does one that says when to come again (RetryAfter); any other, that nobody knows.
func (m *Messages) SendLink(ctx context.Context, to, link, key string) error {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return &proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonInvalidRequest, Message: "what is to be mailed is no link"}
	}
	var html bytes.Buffer
	if err := messageTemplate.Execute(&html, map[string]string{"Link": link, "Application": m.config.Application, "Subject": m.config.Subject}); err != nil {
		return &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "the mail could not be written", Err: err}
	}
	client, err := m.connector.client(ctx)
	if err == nil {
		// Whatever goes wrong in finding 1Kosmos has mailed nothing.
		_, err = client.ServiceKey(ctx, blockid.ServiceAdminConsole)
	}
	if err != nil {
		return unsent(err)
	}
	code, err := client.CreateAccessCode(ctx, blockid.AccessCodeRequest{
		CreatedBy: m.config.CreatedBy + "/" + key, EmailTo: to, TTL: unusedCode, Subject: m.config.Subject, HTML: html.String(),
	})
	if blockid.KindOf(err) == blockid.KindRateLimited {
		return unsent(err)
	}
	if err != nil {
		wire, said := errors.AsType[*blockid.Error](err)
		err = translate(err)
		if e, ok := errors.AsType[*proof.Error](err); ok && said && wire.HTTPStatus < 300 && (wire.Kind == blockid.KindMalformed || wire.Kind == blockid.KindDecrypt) {
			e.Temporary = true // 1Kosmos said yes in words that cannot be read: it may have mailed
		}
		return err
	}
	if mail := code.Email; mail.Failed {
		e := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamRejected, Message: "1Kosmos could not mail the link"}
		if mail.StatusCode == 429 || mail.StatusCode >= 500 && mail.StatusCode <= 504 {
			e.Code, e.Reason, e.Temporary, e.RetryAfter = proof.CodeUnavailable, proof.ReasonUpstreamUnavailable, true, beforeAgain
		}
		return e
	}
	return nil
}

// unsent is an error of something that did not come as far as mailing: where it is worth
// another try it says when.
func unsent(err error) error {
	if _, known := errors.AsType[*proof.Error](err); !known { // the connector has translated its own
		err = translate(err)
	}
	if e, ok := errors.AsType[*proof.Error](err); ok && e.Temporary {
		e.RetryAfter = cmp.Or(e.RetryAfter, beforeAgain)
	}
	return err
}
