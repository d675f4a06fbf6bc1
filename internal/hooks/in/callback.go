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
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// CallbackHeader carries HMAC-SHA256 of the body, in hex or base64, with or without
// "sha256=" before. It is of our own choosing: how 1Kosmos signs is unknown
// (reference/1kosmos.md, webhooks).
const CallbackHeader = "X-Kosmos-Signature"

const (
	minCallbackSecret = 22 // characters: 128 bits in base64url
	minCallbackKey    = 16
	maxHints          = 16          // ids of one callback that are looked up
	hintsAMinute      = 6           // re-readings that callbacks may ask for of one verification or challenge
	hintTime          = time.Second // after which a callback is answered anyhow
)

// callback takes a hint from 1Kosmos. What it says is not believed and not even read,
// besides our own ids, which we sent along when the session was opened; the answer is the
// same whatever there was in it, and whatever came of it.
func (d *door) callback(c *call) {
	t := d.knock(c.r.PathValue("tenant"), c.r.PathValue("secret"))
	if t == nil {
		c.refuse(nothingHere())
		return
	}
	c.caller.Tenant = t.ID
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
	if err := d.hint(c, t, ourIDs(buf.Bytes())); err != nil { // the poll that is due anyway will find out
		d.Logger.WarnContext(c.r.Context(), "a callback was not followed", "tenant", t.ID, "request_id", c.id, "error", err)
	}
	c.status = http.StatusAccepted
	c.w.WriteHeader(http.StatusAccepted)
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

// uuids finds what looks like an id of ours: UUIDv7, alone or within a link.
var uuids = regexp.MustCompile(`[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}`)

// ourIDs are the ids in any JSON, the first few. A body that is no JSON has none.
func ourIDs(body []byte) (ids []string) {
	if !json.Valid(body) {
		return nil
	}
	for _, m := range uuids.FindAll(bytes.ReplaceAll(body, []byte(`\/`), []byte(`/`)), 8*maxHints) {
		if id := strings.ToLower(string(m)); !slices.Contains(ids, id) && len(ids) < maxHints {
			ids = append(ids, id)
		}
	}
	return ids
}

// hint has what is open be read again now.
func (d *door) hint(c *call, t *tenant, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), hintTime)
	defer cancel()
	queued := false
	err := d.update(ctx, func(tx hooks.Tx) error {
		queued = false
		for _, id := range ids {
			kind, err := openJob(tx, t.ID, id)
			if err != nil || kind == "" {
				if err != nil {
					return err
				}
				continue
			}
			key, now := d.Hasher.MAC(t.ID, "hooks callback", id), d.Now()
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
			job, err := uuid.NewV7()
			if err != nil {
				return err
			}
			if err := tx.Enqueue(&proof.Job{ID: job.String(), Tenant: t.ID, Kind: kind, Key: id, RunAt: now}); err != nil {
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

// openJob is the kind of job that reads the truth about what has this id; "" if nothing
// open has.
func openJob(tx hooks.Tx, tenant, id string) (string, error) {
	v, err := tx.Verification(tenant, id)
	if err == nil && v.Status == proof.InProgress {
		return journey.JobPoll, nil
	}
	if err == nil || !errors.Is(err, proof.ErrNotFound) {
		return "", err
	}
	ch, err := tx.Challenge(tenant, id)
	if err == nil && ch.Status == proof.ChallengePending {
		return journey.JobChallengePoll, nil
	}
	if errors.Is(err, proof.ErrNotFound) {
		err = nil
	}
	return "", err
}
