package kosmos

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// What 1Kosmos sends for its customers (reference 5): access codes by mail, and text
// messages. Nothing leaves this machine: inbox.go shows what would have.

// messagingSchema keeps what was sent and the codes in it. Whom it went to and what it
// says is sealed.
const messagingSchema = `
CREATE TABLE IF NOT EXISTS access_codes (
	hash     BLOB PRIMARY KEY,     -- keyed hash of the code
	expires  INTEGER NOT NULL,
	redeemed INTEGER NOT NULL,     -- 0 while it was not
	detail   BLOB NOT NULL         -- sealed JSON
) STRICT;
CREATE TABLE IF NOT EXISTS messages (
	id     TEXT PRIMARY KEY,       -- as the sender was told it
	at     INTEGER NOT NULL,
	sealed BLOB NOT NULL           -- sealed JSON
) STRICT;
CREATE INDEX IF NOT EXISTS messages_by_time ON messages (at);
`

// Bounds of what callers send, and of what is kept.
const (
	maxTemplate   = 128 << 10 // bytes of a mail, decoded
	maxSMS        = 1600      // bytes
	maxCodeTTL    = 30 * 24 * time.Hour
	maxMessages   = 500
	messagesTTL   = 7 * 24 * time.Hour
	channelMail   = "email"
	channelSMS    = "sms"
	infoScheduled = "Message request accepted"
)

// Message is one mail or text message. It is personal data, and its links open something.
type Message struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Channel string    `json:"channel"` // email, sms
	To      string    `json:"to"`
	Subject string    `json:"subject,omitempty"` // of a mail
	HTML    string    `json:"html,omitempty"`    // of a mail, as it was sent
	Text    string    `json:"text"`              // what a person reads of it
	Links   []string  `json:"links"`             // in it, in their order
	Code    string    `json:"code,omitempty"`    // the access code of a mail, whether or not it is in it
}

// accessCode is the sealed part of a code.
type accessCode struct {
	CreatedBy string `json:"createdBy"`
	Version   string `json:"version"`
	Type      string `json:"type"`
	EmailTo   string `json:"emailTo"`
}

func (s *Server) messagingRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT /api/r2/acr/community/{community}/code", s.codeCreate)
	mux.HandleFunc("GET /api/r1/acr/community/{community}/{code}", s.codeFetch)
	mux.HandleFunc("POST /api/r1/acr/community/{community}/{code}/redeem", s.codeRedeem)
	mux.HandleFunc("POST /api/r2/messaging/schedule", s.smsSchedule)
	mux.HandleFunc("GET /acr/{code}", s.codePage)
	s.inboxRoutes(mux)
}

// openConsole reads a body of the admin console: sealed, as the SDK sends it, or in
// clear with noecdsa, as the published collection does. When it returns false it has answered.
func (a *admitted) openConsole(w http.ResponseWriter, r *http.Request, v any) bool {
	var body json.RawMessage
	if !readJSON(w, r, &body) {
		return false
	}
	var outer struct {
		Data *string `json:"data"`
	}
	plain := []byte(body)
	if json.Unmarshal(body, &outer) == nil && outer.Data != nil {
		var err error
		if plain, err = a.shared.Open(*outer.Data); err != nil {
			guessData.write(w)
			return false
		}
	} else if clear := r.Header.Get("noecdsa"); clear == "" || clear == "false" {
		problem{http.StatusBadRequest, styleMessage, "data is required", ""}.write(w)
		return false
	}
	if json.Unmarshal(plain, v) != nil {
		problem{http.StatusBadRequest, styleMessage, "request body must be a JSON object", ""}.write(w)
		return false
	}
	return true
}

func badMessage(text string) problem { return problem{http.StatusBadRequest, styleMessage, text, ""} }

func (s *Server) codeCreate(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	var ask struct {
		accessCode
		TTL      int64  `json:"ttl_seconds"`
		Template string `json:"emailTemplateB64"`
		Subject  string `json:"emailSubject"`
	}
	if !a.openConsole(w, r, &ask) {
		return
	}
	html, err := base64.StdEncoding.DecodeString(ask.Template)
	ttl := time.Duration(ask.TTL) * time.Second
	switch {
	case ask.CreatedBy == "" || len(ask.CreatedBy) > 256:
		badMessage("createdBy is required").write(w)
	case ask.Type != guessCodeType:
		badMessage("type must be " + guessCodeType).write(w)
	case !mailAddress(ask.EmailTo):
		badMessage("emailTo is required").write(w)
	case ask.TTL < 0 || ask.TTL > int64(maxCodeTTL/time.Second):
		badMessage("ttl_seconds must be from 1 to 2592000").write(w)
	case err != nil || len(html) > maxTemplate || !utf8.Valid(html):
		badMessage("emailTemplateB64 must be base64 of at most 128 KiB of UTF-8").write(w)
	case len(ask.Subject) > 256 || strings.ContainsAny(ask.Subject, "\r\n"):
		badMessage("emailSubject must be one line of at most 256 bytes").write(w)
	default:
		if ttl == 0 {
			ttl = guessCodeTTL
		}
		code, link, m, err := s.mailCode(r.Context(), s.origin(r), ask.accessCode, ttl, ask.Subject, string(html))
		if err != nil {
			s.internal(w, "make an access code", err)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"emailResult": guessMailed(m), "link": link, "code": code})
	}
}

// mailCode makes a code and the mail with it.
func (s *Server) mailCode(ctx context.Context, origin string, c accessCode, ttl time.Duration, subject, html string) (code, link string, m *Message, err error) {
	code, now := rand.Text(), s.now()
	link = origin + "/acr/" + code
	if html == "" {
		subject, html = guessMail(subject, link)
	}
	m = &Message{ID: randomText(), At: now, Channel: channelMail, To: c.EmailTo, Subject: subject, HTML: html, Code: code}
	hash := s.messageHash(code)
	sealed, err := s.store.sealJSON("access_codes/detail/"+hex.EncodeToString(hash), c)
	if err != nil {
		return "", "", nil, err
	}
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO access_codes (hash, expires, redeemed, detail) VALUES (?, ?, 0, ?)`,
			hash, now.Add(ttl).UnixMilli(), sealed); err != nil {
			return fmt.Errorf("access code: %w", err)
		}
		return s.putMessage(ctx, tx, m)
	})
	return code, link, m, err
}

func (s *Server) putMessage(ctx context.Context, tx *sql.Tx, m *Message) error {
	sealed, err := s.store.sealJSON("messages/sealed/"+m.ID, m)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO messages (id, at, sealed) VALUES (?, ?, ?)`, m.ID, m.At.UnixMilli(), sealed); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM messages WHERE rowid IN (SELECT rowid FROM messages ORDER BY rowid DESC LIMIT -1 OFFSET ?)`, maxMessages)
	return err
}

// messageHash is the keyed hash of a code.
func (s *Server) messageHash(code string) []byte { return s.stepUpHash("access code", code) }

// mailAddress reports whether s can be an address.
func mailAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= 254 && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == ';' })
}

// codeState reads a code as of now; the problem is why it is no good.
func (s *Server) codeState(ctx context.Context, q queryer, code string) (c accessCode, hash []byte, p *problem, err error) {
	hash = s.messageHash(code)
	var expires, redeemed int64
	var sealed []byte
	err = q.QueryRowContext(ctx, `SELECT expires, redeemed, detail FROM access_codes WHERE hash = ?`, hash).Scan(&expires, &redeemed, &sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return c, hash, &guessCodeUnknown, nil
	case err != nil:
		return c, hash, nil, fmt.Errorf("access code: %w", err)
	case redeemed != 0:
		return c, hash, &guessCodeUsed, nil
	case s.now().UnixMilli() >= expires:
		return c, hash, &guessCodeExpired, nil
	}
	return c, hash, nil, s.store.openJSON("access_codes/detail/"+hex.EncodeToString(hash), sealed, &c)
}

func (s *Server) codeFetch(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	c, _, p, err := s.codeState(r.Context(), s.store.db, r.PathValue("code"))
	switch {
	case err != nil:
		s.internal(w, "read an access code", err)
	case p != nil:
		p.write(w)
	default:
		s.reply(w, a, c, false)
	}
}

func (s *Server) codeRedeem(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	var nothing struct{}
	if !a.openConsole(w, r, &nothing) {
		return
	}
	p, err := s.redeem(r.Context(), r.PathValue("code"))
	switch {
	case err != nil:
		s.internal(w, "redeem an access code", err)
	case p != nil:
		p.write(w)
	default:
		writeJSON(w, http.StatusOK, struct{}{})
	}
}

// redeem uses a code up; the problem is why it cannot be.
func (s *Server) redeem(ctx context.Context, code string) (p *problem, err error) {
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		var hash []byte
		var err error
		if _, hash, p, err = s.codeState(ctx, tx, code); err != nil || p != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE access_codes SET redeemed = ? WHERE hash = ?`, s.now().UnixMilli(), hash)
		return err
	})
	return p, err
}

func (s *Server) smsSchedule(w http.ResponseWriter, r *http.Request) {
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	var ask struct {
		TenantID    string `json:"tenantId"`
		CommunityID string `json:"communityId"`
		To          string `json:"smsTo"`
		ISDCode     string `json:"smsISDCode"`
		Template    string `json:"smsTemplateB64"`
	}
	if !a.openConsole(w, r, &ask) {
		return
	}
	text, err := base64.StdEncoding.DecodeString(ask.Template)
	isd, number := strings.TrimPrefix(ask.ISDCode, "+"), strings.TrimSpace(ask.To)
	switch {
	case ask.TenantID != s.tenantID || ask.CommunityID != s.communityID:
		guessUnknownTenant.write(w)
	case !digits(number, 4, 15) || !digits(isd, 1, 4):
		badMessage("smsTo and smsISDCode are required").write(w)
	case err != nil || len(text) == 0 || len(text) > maxSMS || !utf8.Valid(text):
		badMessage("smsTemplateB64 must be base64 of 1 to 1600 bytes of UTF-8").write(w)
	default:
		m := &Message{ID: randomText(), At: s.now(), Channel: channelSMS, To: "+" + isd + number, Text: string(text)}
		if err := s.store.update(r.Context(), func(tx *sql.Tx) error { return s.putMessage(r.Context(), tx, m) }); err != nil {
			s.internal(w, "keep a text message", err)
			return
		}
		writeJSON(w, http.StatusAccepted, map[string]string{"messageId": m.ID, "info": infoScheduled})
	}
}

func digits(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, "0123456789") == ""
}

// sweepMessages drops what is old, and codes that nobody can redeem any more.
func (s *Server) sweepMessages(ctx context.Context, now time.Time) error {
	return s.store.update(ctx, func(tx *sql.Tx) error {
		old := now.Add(-messagesTTL).UnixMilli()
		if _, err := tx.ExecContext(ctx, `DELETE FROM messages WHERE at <= ?`, old); err != nil {
			return fmt.Errorf("sweep messages: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM access_codes WHERE expires <= ?`, old); err != nil {
			return fmt.Errorf("sweep access codes: %w", err)
		}
		return nil
	})
}
