package blockid

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"
)

// Level is an identity assurance level. The zero value asserts nothing.
type Level int

const (
	LevelNone Level = iota
	IAL1            // self-asserted
	IAL2            // documents verified with those who issued them
	IAL3            // in person, or with a trained referee
)

// String returns "none", "IAL1", "IAL2" or "IAL3".
func (l Level) String() string {
	switch l {
	case IAL1:
		return "IAL1"
	case IAL2:
		return "IAL2"
	case IAL3:
		return "IAL3"
	}
	return "none"
}

// parseLevel reads a level; what it does not know is LevelNone.
func parseLevel(s string) Level {
	for _, l := range []Level{IAL1, IAL2, IAL3} {
		if strings.EqualFold(s, l.String()) {
			return l
		}
	}
	return LevelNone
}

// IAL is the assurance 1Kosmos asserts about a user. Printing or logging it
// shows the level only.
type IAL struct {
	Username     string
	UID          string
	AuthModuleID string

	// Stated is the highest level that the service states for any wallet. It
	// brings levels up to date only when documents change, so what counts now
	// is for At to say.
	Stated Level

	// Wallets are all of the user's wallets, the best first. A user without
	// one has an empty list and LevelNone.
	Wallets []Wallet

	// Extra holds top-level fields that this package does not know.
	Extra map[string]json.RawMessage
	// Raw is the whole decrypted answer.
	Raw json.RawMessage
}

// Wallet is one of a user's wallets.
type Wallet struct {
	DID       string
	Level     Level
	ExpiresAt time.Time
	// Proofs are those that could be read and are about this user; Unreadable
	// counts the others.
	Proofs     []IALProof
	Unreadable int
}

// At returns the highest level that holds at t, and when it ends: with the first
// of the proofs that it rests on, zero when none says. A wallet whose level
// rests on an expired proof, or on one that cannot be read or is about somebody
// else, counts as IAL1.
func (i *IAL) At(t time.Time) (best Level, until time.Time) {
	for _, w := range i.Wallets {
		l, end := w.Level, w.ExpiresAt
		if expired := !end.IsZero() && !t.Before(end); l > IAL1 && (expired || w.Unreadable > 0) {
			l = IAL1
		}
		if l <= IAL1 {
			end = time.Time{} // self-asserted, so it rests on no proof
		}
		if l > best {
			best, until = l, end
		}
	}
	return best, until
}

// String hides who it is about.
func (i IAL) String() string { return "ial " + i.Stated.String() }

// GoString hides who it is about.
func (i IAL) GoString() string { return i.String() }

// LogValue hides who it is about.
func (i IAL) LogValue() slog.Value { return slog.StringValue(i.String()) }

// IAL asks for the assurance level of an enrolled user. An unknown user is
// KindNotFound. An answer about any other user is refused.
func (c *Client) IAL(ctx context.Context, username string) (*IAL, error) {
	const op = "ial"
	if !segment(username) {
		return nil, invalid(op, "username is required")
	}
	com, err := c.communityName(ctx)
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceAdminConsole, method: http.MethodGet,
		path: "/api/r1/community/" + url.PathEscape(com) + "/userid/" + url.PathEscape(username) + "/ial",
	})
	if err != nil {
		return nil, err
	}
	i, err := ParseIAL(a.plain)
	if err == nil && !SameUser(i.Username, username) {
		err = malformed("answer is about another user")
	}
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	return i, nil
}

// ParseIAL reads a decrypted answer.
func ParseIAL(plain []byte) (*IAL, error) {
	var user *struct {
		AuthModuleID string `json:"authModuleId"`
		UID          string `json:"uid"`
		Username     string `json:"username"`
	}
	var dids map[string]struct {
		Value  string `json:"value"`
		Proofs []struct {
			Type  string `json:"type"`
			Proof string `json:"proof"`
		} `json:"proofs"`
	}
	i := &IAL{Raw: plain}
	var err error
	if i.Extra, err = decodeObject(plain, map[string]any{"user": &user, "did": &dids}); err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "assurance answer is broken JSON", err: err}
	}
	if user == nil || user.Username == "" {
		// How the service says "unknown user" is not documented. An answer
		// without a user and without wallets can hardly mean anything else.
		if len(dids) == 0 && len(i.Extra) == 0 {
			return nil, &Error{Kind: KindNotFound, detail: "answer names no user"}
		}
		return nil, malformed("assurance answer names no user")
	}
	i.Username, i.UID, i.AuthModuleID = user.Username, user.UID, user.AuthModuleID
	for did, d := range dids {
		w := Wallet{DID: did, Level: parseLevel(d.Value)}
		for _, p := range d.Proofs {
			proof, err := parseIALProof(p.Type, p.Proof)
			if err != nil || proof.Recipient != "" && !SameUser(proof.Recipient, i.Username) {
				w.Unreadable++
				continue
			}
			w.Proofs = append(w.Proofs, proof)
			if e := proof.ExpiresAt; !e.IsZero() && (w.ExpiresAt.IsZero() || e.Before(w.ExpiresAt)) {
				w.ExpiresAt = e
			}
		}
		i.Wallets = append(i.Wallets, w)
	}
	// Highest level first; among equals the one that lasts longest, and one
	// that names its end before one that does not. DIDs settle the rest.
	sort.Slice(i.Wallets, func(a, b int) bool {
		x, y := i.Wallets[a], i.Wallets[b]
		if x.Level != y.Level {
			return x.Level > y.Level
		}
		if !x.ExpiresAt.Equal(y.ExpiresAt) {
			return x.ExpiresAt.After(y.ExpiresAt)
		}
		return x.DID < y.DID
	})
	if len(i.Wallets) > 0 {
		i.Stated = i.Wallets[0].Level
	}
	return i, nil
}
