package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// How long things are good.
const (
	LinkTTL     = 15 * time.Minute // of a link, unless whoever makes it says otherwise
	MaxLinkTTL  = 24 * time.Hour
	SessionTTL  = 12 * time.Hour // of a session, in all
	SessionIdle = time.Hour      // without use

	touchEvery  = time.Minute // how exactly the last use is known
	maxName     = 80          // characters
	secretBytes = 32
	maxTries    = 8 // when another transaction came between
)

// Signin makes links, turns them into sessions, and knows who is signed in. All is in
// the store, so the command line that makes a link needs no server to talk to.
type Signin struct {
	store   Store
	tenants []string
	now     func() time.Time
}

// NewSignin makes a Signin. Whoever signs in sees all of tenants, so each of them has
// it in its audit trail. now may be nil.
func NewSignin(s Store, tenants []string, now func() time.Time) *Signin {
	if now == nil {
		now = time.Now
	}
	return &Signin{store: s, tenants: tenants, now: now}
}

// NewLink makes a link that signs in one browser, once, as name. secretPath is to be
// put behind our origin, and is a secret. A ttl of 0 is LinkTTL.
func (s *Signin) NewLink(ctx context.Context, role, name string, ttl time.Duration) (secretPath string, expires time.Time, err error) {
	name = strings.TrimSpace(name)
	switch {
	case !Role(role).Valid():
		return "", time.Time{}, proof.Invalid("role", "role must be viewer or operator")
	case name == "" || utf8.RuneCountInString(name) > maxName || !printable(name):
		return "", time.Time{}, proof.Invalid("name", "name must be 1 to %d printable characters", maxName)
	case ttl < 0 || ttl > MaxLinkTTL:
		return "", time.Time{}, proof.Invalid("ttl", "a link is good for at most %s", MaxLinkTTL)
	}
	if ttl == 0 {
		ttl = LinkTTL
	}
	secret, now := newSecret(), s.now()
	l := &Link{ID: proof.NewID(), Hash: hash("link", secret), Role: Role(role), Name: name, CreatedAt: now, ExpiresAt: now.Add(ttl)}
	err = s.update(ctx, func(tx Tx) error {
		if err := tx.PurgeConsole(now); err != nil {
			return err
		}
		if err := tx.InsertLink(l); err != nil {
			return err
		}
		return s.audit(tx, "console.link_made", l.ID, l.Role, l.Name, "")
	})
	if err != nil {
		return "", time.Time{}, err
	}
	return "/console/in#" + secret, l.ExpiresAt, nil
}

// errLink is for every link that is not good: used, too old, wrong and unknown look the same.
var errLink = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded, Message: "this link has been used, is too old, or is not complete"}

// In takes a link and begins a session. cookie is its secret; before is the cookie that
// the browser had until now, whose session ends.
func (s *Signin) In(ctx context.Context, secret, before string) (cookie string, session *Session, err error) {
	if !isSecret(secret) {
		return "", nil, errLink
	}
	now := s.now()
	cookie = newSecret()
	id := proof.NewID()
	err = s.update(ctx, func(tx Tx) error {
		l, err := tx.TakeLink(hash("link", secret), now)
		if err != nil {
			return err
		}
		session = &Session{
			ID: id, Hash: hash("session", cookie), Role: l.Role, Name: l.Name,
			CreatedAt: now, ExpiresAt: now.Add(SessionTTL), SeenAt: now,
		}
		if isSecret(before) {
			if err := tx.DropSession(hash("session", before)); err != nil {
				return err
			}
		}
		if err := tx.PurgeConsole(now); err != nil {
			return err
		}
		if err := tx.InsertSession(session); err != nil {
			return err
		}
		return s.audit(tx, "console.signed_in", session.ID, l.Role, l.Name, l.ID)
	})
	if errors.Is(err, proof.ErrNotFound) {
		return "", nil, errLink
	}
	if err != nil {
		return "", nil, err
	}
	return cookie, session, nil
}

// errSession is for every cookie that lets nobody in.
var errSession = &proof.Error{Code: proof.CodeUnauthenticated, Reason: proof.ReasonUnauthenticated, Message: "you are not signed in, or were for too long"}

// Who is the session of a cookie, if it is still good, and notes that it was used.
func (s *Signin) Who(ctx context.Context, cookie string) (*Session, error) {
	if !isSecret(cookie) {
		return nil, errSession
	}
	var session *Session
	err := s.store.ViewConsole(ctx, func(tx Tx) (err error) {
		session, err = tx.Session(hash("session", cookie))
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return nil, errSession
	}
	if err != nil {
		return nil, err
	}
	now := s.now()
	if !now.Before(session.ExpiresAt) || now.Sub(session.SeenAt) >= SessionIdle || !session.Role.Valid() {
		return nil, errSession
	}
	if now.Sub(session.SeenAt) >= touchEvery {
		if err := s.update(ctx, func(tx Tx) error { return tx.TouchSession(session.Hash, now) }); err != nil {
			return nil, err
		}
		session.SeenAt = now
	}
	return session, nil
}

// Out ends a session.
func (s *Signin) Out(ctx context.Context, session *Session) error {
	return s.update(ctx, func(tx Tx) error {
		if err := tx.DropSession(session.Hash); err != nil {
			return err
		}
		return s.audit(tx, "console.signed_out", session.ID, session.Role, session.Name, "")
	})
}

// update runs fn in a transaction, again when another one came between.
func (s *Signin) update(ctx context.Context, fn func(tx Tx) error) error {
	var err error
	for range maxTries {
		if err = s.store.UpdateConsole(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

func (s *Signin) audit(tx Tx, action, id string, role Role, name, link string) error {
	detail := map[string]string{"role": string(role), "name": name}
	if link != "" {
		detail["link"] = link
	}
	for _, tenant := range s.tenants {
		if err := tx.InsertAudit(&proof.AuditRecord{
			ID: proof.NewID(), Tenant: tenant, At: s.now(), Actor: "operator", Action: action, Object: "console:" + id, Detail: detail,
		}); err != nil {
			return err
		}
	}
	return nil
}

// newSecret is 256 bits, as 43 characters.
func newSecret() string {
	b := make([]byte, secretBytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// isSecret reports whether v could be one of ours, so that nothing else gets as far as
// the store.
func isSecret(v string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(v)
	return err == nil && len(b) == secretBytes && !strings.ContainsAny(v, "\r\n")
}

// hash is what the store knows a secret by. A link's is never also a session's.
func hash(kind, secret string) []byte {
	sum := sha256.Sum256([]byte("kosmoscope console " + kind + " 1\x00" + secret))
	return sum[:]
}

// csrfToken is what requests of the page carry that change something. Its key is the
// cookie, which no script and no other site can read.
func csrfToken(cookie string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	mac.Write([]byte("kosmoscope console csrf 1"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
