package accounts

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

const (
	codeTTL    = 10 * time.Minute
	codeTries  = 5
	maxSends   = 30 // to one address
	sendWindow = 10 * time.Minute
)

// Mail is a code that was mailed. It goes nowhere but to the test panel's mailbox.
type Mail struct {
	At      time.Time
	To      string
	Subject string
	Code    string
	Expires time.Time
}

// codes are those that were sent and not used, and the mails. Of a code only a hash
// with a key of this process is kept; the mails are as a mailbox has them.
type codes struct {
	mu      sync.Mutex
	key     []byte
	pending map[string]*pending // by login id
	mails   []Mail              // newest first
}

type pending struct {
	hash       []byte // nil: none, only sends are counted
	expires    time.Time
	tries      int
	signUp     bool
	mailed     string // the address
	properties map[string]any
	sends      []time.Time
}

func newCodes() codes {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return codes{key: key, pending: map[string]*pending{}}
}

func (c *codes) hash(id, code string) []byte {
	h := hmac.New(sha256.New, c.key)
	_, _ = h.Write([]byte(id + "\n" + code))
	return h.Sum(nil)
}

// newCode is six digits, each code as likely as the others.
func newCode() string {
	const most = 1<<32 - 1<<32%1_000_000
	for {
		var b [4]byte
		_, _ = rand.Read(b[:])
		if n := binary.BigEndian.Uint32(b[:]); uint64(n) < most {
			return fmt.Sprintf("%06d", n%1_000_000)
		}
	}
}

// send makes a code for whoever has the login id, in place of an earlier one.
func (c *codes) send(id, to string, signUp bool, properties map[string]any, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &pending{expires: now.Add(codeTTL), signUp: signUp, mailed: to, properties: properties}
	if old := c.pending[id]; old != nil {
		p.sends = slices.DeleteFunc(slices.Clone(old.sends), func(t time.Time) bool { return !t.Add(sendWindow).After(now) })
	}
	if len(p.sends) >= maxSends {
		return errTooMany
	}
	p.sends = append(p.sends, now)
	c.room(now)
	code := newCode()
	p.hash = c.hash(id, code)
	c.pending[id] = p
	c.mails = slices.Insert(c.mails, 0, Mail{At: now, To: to, Subject: "Your code is " + code, Code: code, Expires: p.expires})
	c.mails = c.mails[:min(len(c.mails), maxMails)]
	return nil
}

// room forgets codes that are over, and the oldest if there are too many.
func (c *codes) room(now time.Time) {
	if len(c.pending) < maxPending {
		return
	}
	oldest := ""
	for id, p := range c.pending {
		if !p.expires.After(now) {
			delete(c.pending, id)
		} else if oldest == "" || p.expires.Before(c.pending[oldest].expires) {
			oldest = id
		}
	}
	if len(c.pending) >= maxPending {
		delete(c.pending, oldest)
	}
}

// take uses a code up. tooMany says that this was the last try.
func (c *codes) take(id, code string, now time.Time) (p *pending, tooMany bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p = c.pending[id]
	if p == nil || p.hash == nil || !p.expires.After(now) {
		return nil, false
	}
	p.tries++
	ok := hmac.Equal(p.hash, c.hash(id, strings.TrimSpace(code)))
	tooMany = !ok && p.tries >= codeTries
	if ok || tooMany {
		used := *p
		p.hash, p.properties = nil, nil // the sends still count
		p = &used
	}
	if !ok {
		return nil, tooMany
	}
	return p, false
}

func (c *codes) forget(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.pending, id)
	}
	c.mails = slices.DeleteFunc(c.mails, func(m Mail) bool { return slices.Contains(ids, m.To) })
}

// Mail is the mailbox of everybody, newest first, as far as it goes back.
func (a *Accounts) Mail() []Mail {
	a.codes.mu.Lock()
	defer a.codes.mu.Unlock()
	return slices.Clone(a.codes.mails)
}

// SendCode implements runner.Accounts. The code goes to the address that the user
// has, which need not be the login id.
func (a *Accounts) SendCode(ctx context.Context, email string, signUp bool, values map[string]any) (masked string, err error) {
	id, ok := address(email)
	if !ok {
		return "", bad("This is no e-mail address.")
	}
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	r, to := a.find(id), id
	fail := func(u *project.User, why string, err error) (string, error) {
		e := a.event(actionStartFailed, levelWarn, u)
		e.Method, e.Data = methods["email"], map[string]any{"error_message": why}
		if kept := a.commit(ctx, nil, e); kept != nil {
			return "", kept
		}
		return "", err
	}
	switch {
	case r == nil && !signUp:
		return fail(nil, "no such user", project.ErrNoUser)
	case r == nil:
		if err := write(new(project.User), values); err != nil {
			return "", err
		}
	case r.User.Status == statusDisabled:
		return fail(&r.User, "user is disabled", project.ErrDisabled)
	default:
		to = target(r, id)
	}
	var u *project.User
	if r != nil {
		u = &r.User
	}
	if err := a.codes.send(id, to, signUp, values, a.now()); err != nil {
		return fail(u, "too many codes", err)
	}
	e := a.event(actionStarted, levelInfo, u)
	e.Method = methods["email"]
	return mask(to), a.commit(ctx, nil, e)
}

// target is where codes of a login id go.
func target(r *record, id string) string { return cmp.Or(r.User.Email, id) }

// mask leaves of an address what its owner knows it by.
func mask(to string) string {
	name, domain, _ := strings.Cut(to, "@")
	host, tld := domain, ""
	if dot := strings.LastIndexByte(domain, '.'); dot > 0 {
		host, tld = domain[:dot], domain[dot:]
	}
	return first(name) + "***@" + first(host) + "***" + tld
}

func first(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

// VerifyCode implements runner.Accounts.
func (a *Accounts) VerifyCode(ctx context.Context, email, code string) (u *project.User, firstSeen bool, err error) {
	id, _ := address(email)
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	r := a.find(id)
	p, tooMany := a.codes.take(id, code, a.now())
	if p == nil || r == nil && !p.signUp || r != nil && p.mailed != target(r, id) {
		var known *project.User
		if r != nil {
			known = &r.User
		}
		e := a.event(actionLoginFailed, levelWarn, known)
		e.Method, e.Data = methods["email"], map[string]any{"error_message": "wrong or old code"}
		if tooMany {
			e.Action = actionTooManyTries
		}
		if err := a.commit(ctx, nil, e); err != nil {
			return nil, false, err
		}
		return nil, false, project.ErrCode
	}
	if r == nil {
		fresh := project.User{LoginIDs: []string{id}, Status: statusEnabled}
		if err := write(&fresh, p.properties); err != nil {
			return nil, false, err
		}
		fresh.Email, fresh.VerifiedEmail = p.mailed, true
		if r, err = a.create(ctx, fresh); err != nil {
			return nil, false, err
		}
		return clone(&r.User), true, nil
	}
	if r.User.Status == statusDisabled {
		return nil, false, project.ErrDisabled
	}
	firstSeen = r.User.Status == statusInvited
	verified := r.User.VerifiedEmail && r.User.Email == p.mailed
	if firstSeen || !verified && (r.User.Email == "" || r.User.Email == p.mailed) {
		r, err = a.edit(ctx, r.User.UserID, func(u *project.User) error {
			u.Status = statusEnabled
			if u.Email == "" || u.Email == p.mailed {
				u.Email, u.VerifiedEmail = p.mailed, true
			}
			return nil
		})
		if err != nil {
			return nil, false, err
		}
	}
	return clone(&r.User), firstSeen, nil
}
