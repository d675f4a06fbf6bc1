package in

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// CallbackHeader carries HMAC-SHA256 of the body, in hex or base64, with or without
// "sha256=" before. It is of our own choosing: how 1Kosmos signs is unknown
// (reference/1kosmos.md, webhooks).
const CallbackHeader = "X-Kosmos-Signature"

const (
	minCallbackSecret = 22 // characters: 128 bits in base64url
	minCallbackKey    = 16
	maxNames          = 32               // UUIDs of one callback that are looked up, and as many other words
	maxHints          = 16               // verifications and challenges that one callback has read again
	hintsAMinute      = 6                // re-readings that callbacks may ask for of one verification or challenge
	callbacksASecond  = 200              // of one tenant that are looked into; others are answered and dropped
	hintTime          = 10 * time.Second // for looking into one
)

// callback takes a hint from 1Kosmos. What it says is not believed and not even read,
// besides ids, ours and those of sessions there; the answer is the same whatever there was
// in it, and is given before anybody looks whose ids they are.
func (d *door) callback(c *call) {
	t := d.knock(c.r.PathValue("tenant"), c.r.PathValue("secret"))
	if t == nil {
		c.refuse(nothingHere())
		return
	}
	c.Caller.Tenant = t.ID
	buf, err := c.read(maxHookBody)
	if err != nil {
		c.refuse(err)
		return
	}
	defer d.bodies.Put(buf)
	if !signedBy(t.CallbackHMAC, c.r.Header.Values(CallbackHeader), buf.Bytes()) {
		c.refuse(nothingHere())
		return
	}
	c.Status = http.StatusAccepted
	c.w.Header().Set("Content-Length", "0")
	c.w.WriteHeader(c.Status)
	_ = http.NewResponseController(c.w).Flush() // where that cannot be, it is answered at the end
	if !t.mayLook(d.Now()) {
		c.Reason = proof.ReasonRateLimited
		return
	}
	if err := d.hint(c, t, names(buf.Bytes())); err != nil { // the poll that is due anyway will find out
		d.Logger.WarnContext(c.r.Context(), "a callback was not followed", "tenant", t.ID, "request_id", c.ID, "error", err)
	}
}

// looks counts the callbacks of one second.
type looks struct {
	mu     sync.Mutex
	second int64
	n      int
}

// mayLook counts a callback, and reports whether there is time to look into it.
func (l *looks) mayLook(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.n = s, 0
	}
	l.n++
	return l.n <= callbacksASecond
}

// nobody stands in for a tenant that is not there, so that looking takes as long.
var nobody = &tenant{secrets: [][sha256.Size]byte{{}}}

// knock finds the tenant whose secret it is.
func (d *door) knock(id, secret string) *tenant {
	t := d.tenants[id]
	if t == nil || len(t.secrets) == 0 {
		t = nobody
	}
	got, fits := sha256.Sum256([]byte(secret)), 0
	for i := range t.secrets {
		fits |= subtle.ConstantTimeCompare(got[:], t.secrets[i][:])
	}
	if fits == 0 || t == nobody {
		return nil
	}
	return t
}

func signedBy(keys, headers []string, body []byte) bool {
	if len(keys) == 0 {
		return true
	}
	if len(headers) != 1 {
		return false
	}
	text := strings.TrimPrefix(strings.TrimSpace(headers[0]), "sha256=")
	got, err := hex.DecodeString(text)
	if err != nil {
		if got, err = base64.StdEncoding.DecodeString(text); err != nil {
			return false
		}
	}
	fits := false
	for _, key := range keys {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(body)
		fits = hmac.Equal(mac.Sum(nil), got) || fits
	}
	return fits
}

var uuids = regexp.MustCompile(`[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`)

// names are the words in any JSON that may be ids, the first few: UUIDs, alone or as part of
// a link, and what else has no blanks, since not all backends say how their ids look. A body
// that is no JSON has none.
func names(body []byte) []string {
	if !json.Valid(body) {
		return nil
	}
	var ids, others []string
	add := func(list *[]string, name string) {
		if name = strings.ToLower(name); len(*list) < maxNames && !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	for t, err := d.Token(); err == nil; t, err = d.Token() {
		word, _ := t.(string) // also the name of a member
		found := uuids.FindAllString(word, maxNames)
		for _, id := range found {
			add(&ids, id)
		}
		if len(found) == 0 && len(word) >= 8 && len(word) <= 128 && !strings.ContainsFunc(word, unicode.IsSpace) {
			add(&others, word)
		}
	}
	return append(ids, others...)
}

// hint has what is open be read again now.
func (d *door) hint(c *call, t *tenant, names []string) error {
	if len(names) == 0 {
		return nil
	}
	// Whoever called was answered, and may be gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), hintTime)
	defer cancel()
	due, err := d.Proofing.OpenUnder(ctx, t.ID, names)
	if err != nil || len(due) == 0 {
		return err
	}
	queued := false
	err = d.update(ctx, func(tx hooks.Tx) error {
		queued = false
		for _, job := range due[:min(len(due), maxHints)] {
			key, now := d.Hasher.MAC(t.ID, "hooks callback", job.Key), d.Now()
			n, err := tx.Hits(t.ID, limitHint, key, now)
			if err != nil {
				return err
			}
			if n >= hintsAMinute {
				continue
			}
			if err := tx.Hit(t.ID, limitHint, key, now); err != nil {
				return err
			}
			if err := tx.Enqueue(job); err != nil {
				return err
			}
			queued = true
		}
		return nil
	})
	if err == nil && queued {
		d.Wake()
	}
	return err
}
