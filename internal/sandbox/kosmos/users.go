package kosmos

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

// userSchema holds the users and their wallets. What is personal of a user is
// sealed under a data key of that user, which the row itself holds, sealed with
// the key in the file beside the database. When the row goes, or gets a new data
// key, what the old one sealed does not open from this database any more. A copy
// made before still opens for whoever has a copy of that file too.
const userSchema = `
CREATE TABLE IF NOT EXISTS users (
	name     BLOB PRIMARY KEY,     -- keyed hash of the username
	uid      TEXT NOT NULL UNIQUE, -- UUID
	data_key BLOB NOT NULL,        -- sealed
	username BLOB NOT NULL,        -- sealed under the data key
	did      TEXT NOT NULL,        -- of the tenant's records; empty for all but seeded users
	disabled INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	version  INTEGER NOT NULL      -- counts every change of this row and of its wallet
) STRICT;
CREATE TABLE IF NOT EXISTS wallets (
	uid       TEXT PRIMARY KEY,    -- of the user
	did       TEXT NOT NULL UNIQUE,
	key       BLOB NOT NULL,       -- sealed under the data key: private key
	faces     BLOB NOT NULL,       -- sealed under the data key: templates of the last selfie and portrait, then of the first ones if they are others
	document  BLOB NOT NULL,       -- keyed hash of number, names and birth date; empty if one of them is missing
	consent   TEXT NOT NULL,       -- version of the words that the person agreed to
	consented INTEGER NOT NULL,
	updated   INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS consents (
	session TEXT PRIMARY KEY,      -- in which the person agreed to be enrolled
	version TEXT NOT NULL,
	at      INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS audit (
	id     INTEGER PRIMARY KEY,
	at     INTEGER NOT NULL,
	actor  TEXT NOT NULL,
	action TEXT NOT NULL,
	who    BLOB NOT NULL,          -- keyed hash of the username
	reason BLOB NOT NULL           -- sealed: an operator may write anything
) STRICT;
CREATE INDEX IF NOT EXISTS audit_by_who ON audit (who, id);
`

// Directory is the users of a tenant, as the people who run it see them. The
// server has one; OpenDirectory opens that of a server which may be running in
// another process.
type Directory struct {
	store *store
	key   []byte // of keyed hashes
	now   func() time.Time
}

// What the functions of a Directory say about a user whom they cannot serve.
var (
	ErrNoUser      = errNoUser
	ErrNotEnrolled = errNotEnrolled
	ErrSeeded      = errors.New("kosmos: this user is in the tenant's records and would be back with the next start; disable the user, or clear the enrolment")
)

// UserInfo is one user. It is personal data.
type UserInfo struct {
	Username string    `json:"username"`
	UID      string    `json:"uid"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled"`

	Enrolled  bool      `json:"enrolled"`           // has a wallet; what follows is zero otherwise
	DID       string    `json:"did,omitempty"`      // of the wallet; a seeded user may have one without being enrolled
	Consent   string    `json:"consent,omitempty"`  // version of the words that the person agreed to
	Consented time.Time `json:"consented,omitzero"` // when they did
	Updated   time.Time `json:"updated,omitzero"`   // when the face was enrolled or replaced
	Conflicts int       `json:"conflicts"`          // proofings since then that ended in enrolment_conflict
}

// Who acted, and what was done, in the audit.
const (
	ActorOperator = "operator"
	ActorSession  = "session" // a proofing that ended

	ActionDisabled = "user_disabled"
	ActionEnabled  = "user_enabled"
	ActionRemoved  = "user_removed"
	ActionCleared  = "enrolment_cleared"
	ActionEnrolled = "enrolment_created"
	ActionReplaced = "enrolment_replaced"
	ActionConflict = "enrolment_conflict"
)

// AuditRecord is one change of a user. It does not name the user.
type AuditRecord struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	Reason string    `json:"reason,omitempty"` // as the operator gave it; empty for sessions
}

// OpenDirectory opens the users of the local 1Kosmos whose data directory this
// is, also while it runs. now may be nil.
func OpenDirectory(ctx context.Context, dataDir string, now func() time.Time) (*Directory, error) {
	for _, name := range []string{databaseName, sealKeyName} {
		if _, err := os.Stat(filepath.Join(dataDir, name)); errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("kosmos: this directory holds no local 1Kosmos; give the one that the server was started with")
		}
	}
	st, err := openStore(ctx, dataDir)
	if err != nil {
		return nil, fmt.Errorf("kosmos: %w", err)
	}
	if now == nil {
		now = time.Now
	}
	d, err := newDirectory(ctx, st, now)
	if err != nil {
		_ = st.db.Close()
		return nil, fmt.Errorf("kosmos: %w", err)
	}
	return d, nil
}

func newDirectory(ctx context.Context, st *store, now func() time.Time) (*Directory, error) {
	key, err := st.secret(ctx, "user", false, randomKey)
	return &Directory{st, key, now}, err
}

// Close closes the database of a Directory from OpenDirectory. Do not call it
// on the one of a Server.
func (d *Directory) Close() error { return d.store.db.Close() }

// Directory is the server's users.
func (s *Server) Directory() *Directory { return s.users }

// Users lists every user, in no particular order.
func (d *Directory) Users(ctx context.Context) ([]UserInfo, error) {
	var all []UserInfo
	err := d.store.update(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, accountQuery)
		if err != nil {
			return fmt.Errorf("users: %w", err)
		}
		defer func() { _ = rows.Close() }()
		var accounts []*account
		for rows.Next() {
			a, err := d.scan(rows)
			if err != nil {
				return err
			}
			accounts = append(accounts, a)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("users: %w", err)
		}
		for _, a := range accounts {
			u := UserInfo{Username: a.Username, UID: a.UID, Created: a.Created, Disabled: a.Disabled, DID: a.DID, Enrolled: a.Enrolled}
			if a.Enrolled {
				u.Consent, u.Consented, u.Updated = a.consent.Version, a.consent.At, a.updated
				err := tx.QueryRowContext(ctx, `SELECT count(*) FROM audit WHERE who = ?1 AND action = ?2
					AND id > coalesce((SELECT max(id) FROM audit WHERE who = ?1 AND action IN (?3, ?4)), 0)`,
					a.name, ActionConflict, ActionEnrolled, ActionReplaced).Scan(&u.Conflicts)
				if err != nil {
					return fmt.Errorf("audit: %w", err)
				}
			}
			all = append(all, u)
		}
		return nil
	})
	return all, err
}

// SetDisabled switches a user off or on again. A disabled user's wallet answers
// nothing, and nobody is proofed for that user. reason is for the audit and is required.
// ErrNoUser if there is none.
func (d *Directory) SetDisabled(ctx context.Context, username string, disabled bool, reason string) error {
	action := ActionEnabled
	if disabled {
		action = ActionDisabled
	}
	return d.operate(ctx, username, action, reason, func(tx *sql.Tx, a *account) error {
		_, err := tx.ExecContext(ctx, `UPDATE users SET disabled = ?, version = version + 1 WHERE uid = ?`, disabled, a.UID)
		return err
	})
}

// ClearEnrolment removes a user's wallet: key, templates and the DID go for good,
// and the next proofing with consent enrols anew. It is the only end of an
// enrolment_conflict. reason is for the audit and is required. ErrNoUser, or
// ErrNotEnrolled.
func (d *Directory) ClearEnrolment(ctx context.Context, username, reason string) error {
	err := d.operate(ctx, username, ActionCleared, reason, func(tx *sql.Tx, a *account) error {
		if !a.Enrolled {
			return errNotEnrolled
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM wallets WHERE uid = ?`, a.UID); err != nil {
			return err
		}
		// With a new data key, what the files of the database still hold of the wallet does not open with what is in it.
		key, sealed, err := d.newDataKey(a.UID)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE users SET data_key = ?, username = ?, version = version + 1 WHERE uid = ?`,
			sealed, key.seal("users/username/"+a.UID, []byte(a.Username)), a.UID)
		return err
	})
	if err == nil {
		d.checkpoint(ctx)
	}
	return err
}

// Remove removes a user, enrolled or only known: the name, the wallet and the
// data key go for good, and the next proofing of that name is of somebody new.
// What stays is the audit, which does not name the user. reason is for the audit
// and is required. ErrNoUser, or ErrSeeded.
func (d *Directory) Remove(ctx context.Context, username, reason string) error {
	err := d.operate(ctx, username, ActionRemoved, reason, func(tx *sql.Tx, a *account) error {
		if _, ok := seeded(a.Username); ok {
			return ErrSeeded
		}
		for _, q := range []string{`DELETE FROM wallets WHERE uid = ?`, `DELETE FROM users WHERE uid = ?`} {
			if _, err := tx.ExecContext(ctx, q, a.UID); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		d.checkpoint(ctx)
	}
	return err
}

// checkpoint empties the log of the database, which still holds the pages as they
// were. While another process reads, they stay, and the next checkpoint takes them.
func (d *Directory) checkpoint(ctx context.Context) {
	_, _ = d.store.db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
}

// Audit lists what was done to a user, or to one of that name who was removed,
// oldest first. ErrNoUser if there is and was none.
func (d *Directory) Audit(ctx context.Context, username string) ([]AuditRecord, error) {
	_, missing := d.account(ctx, d.store.db, username)
	if missing != nil && !errors.Is(missing, errNoUser) {
		return nil, missing
	}
	rows, err := d.store.db.QueryContext(ctx, `SELECT at, actor, action, who, reason FROM audit WHERE who = ? ORDER BY id`, d.nameKey(username))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []AuditRecord
	for rows.Next() {
		var r AuditRecord
		var at int64
		var who, sealed []byte
		if err := rows.Scan(&at, &r.Actor, &r.Action, &who, &sealed); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		reason, err := d.store.seal.open("audit/reason/"+hex.EncodeToString(who), sealed)
		if err != nil {
			return nil, err
		}
		r.At, r.Reason = time.UnixMilli(at), string(reason)
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if len(all) == 0 {
		return nil, missing
	}
	return all, nil
}

// operate carries out what an operator asked for, in one transaction with its audit record.
func (d *Directory) operate(ctx context.Context, username, action, reason string, do func(tx *sql.Tx, a *account) error) error {
	if reason = strings.TrimSpace(reason); reason == "" || len(reason) > maxReason || !utf8.ValidString(reason) {
		return fmt.Errorf("kosmos: give a reason of at most %d bytes, for the audit", maxReason)
	}
	return d.store.update(ctx, func(tx *sql.Tx) error {
		a, err := d.account(ctx, tx, username)
		if err != nil {
			return err
		}
		if err := do(tx, a); err != nil {
			return fmt.Errorf("user: %w", err)
		}
		return d.audit(ctx, tx, a.name, ActorOperator, action, reason)
	})
}

func (d *Directory) audit(ctx context.Context, tx *sql.Tx, who []byte, actor, action, reason string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO audit (at, actor, action, who, reason) VALUES (?, ?, ?, ?, ?)`,
		d.now().UnixMilli(), actor, action, who, d.store.seal.seal("audit/reason/"+hex.EncodeToString(who), []byte(reason)))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

const (
	maxUsername = 256 // bytes, also of one that is typed
	maxReason   = 500 // bytes
)

const usernameRule = "text of at most 256 bytes without space around it" // maxUsername

// validUsername says whether a new user may have this name. One with space around
// it could not be typed: what the authenticator is told is trimmed.
func validUsername(name string) bool {
	return len(name) <= maxUsername && name != "" && strings.TrimSpace(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) })
}

// foldName is the one form of all usernames that differ only in the case of
// ASCII letters. They are one user: clients compare names without regard to case
// (reference 4.2), so two users whose names do so would each be taken for the
// other. Other letters count as they are, as in package blockid: by Unicode's
// rules a long s is an s and the Kelvin sign a k, so whoever enrols under a
// look-alike would answer for somebody whom the caller keeps apart.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, name)
}

// hash is keyed, so that nobody without the key can try names or numbers.
func (d *Directory) hash(kind string, parts ...string) []byte {
	mac := hmac.New(sha256.New, d.key)
	for _, p := range append([]string{kind}, parts...) {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return mac.Sum(nil)
}

func (d *Directory) nameKey(username string) []byte { return d.hash("name", foldName(username)) }

// userRow is a known user, enrolled or not.
type userRow struct {
	UID      string
	Username string // as it was first spelled
	DID      string // of the wallet, or of the tenant's records; empty for none
	Enrolled bool   // has a wallet here
	Disabled bool
	Created  time.Time
}

// account is all that is kept of a user. What is sealed is opened only as far
// as userRow goes.
type account struct {
	userRow
	name    []byte // keyed hash
	version int64
	data    sealer

	key, faces []byte // sealed
	document   []byte
	consent    consent
	updated    time.Time
}

// consent is the person's separate agreement to be enrolled.
type consent struct {
	Version string
	At      time.Time
}

const accountQuery = `SELECT u.name, u.uid, u.data_key, u.username, u.did, u.disabled, u.created, u.version,
	w.did, w.key, w.faces, w.document, w.consent, w.consented, w.updated FROM users u LEFT JOIN wallets w ON w.uid = u.uid `

// querier is *sql.DB or *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// account finds a user by name.
func (d *Directory) account(ctx context.Context, q querier, username string) (*account, error) {
	if !utf8.ValidString(username) {
		return nil, errNoUser
	}
	return d.scan(q.QueryRowContext(ctx, accountQuery+`WHERE u.name = ?`, d.nameKey(username)))
}

func (d *Directory) scan(row interface{ Scan(...any) error }) (*account, error) {
	a := &account{}
	var dataKey, username []byte
	var did, version sql.NullString
	var created int64
	var consented, updated sql.NullInt64
	err := row.Scan(&a.name, &a.UID, &dataKey, &username, &a.DID, &a.Disabled, &created, &a.version,
		&did, &a.key, &a.faces, &a.document, &version, &consented, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoUser
	}
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	a.Created = time.UnixMilli(created)
	if a.Enrolled = did.Valid; a.Enrolled {
		a.DID = did.String
		a.consent = consent{version.String, time.UnixMilli(consented.Int64)}
		a.updated = time.UnixMilli(updated.Int64)
	}
	key, err := d.store.seal.open("users/data_key/"+a.UID, dataKey)
	if err != nil {
		return nil, err
	}
	if a.data, err = newSealer(key); err != nil {
		return nil, err
	}
	name, err := a.data.open("users/username/"+a.UID, username)
	a.Username = string(name)
	return a, err
}

// sealedKey is a wallet's private key at rest. The curve is kept with it: a
// scalar alone belongs to either.
type sealedKey struct {
	Curve blockid.Curve `json:"curve"`
	Key   string        `json:"key"`
}

// open opens the wallet of an account that is enrolled.
func (a *account) open() (*wallet, error) {
	w := &wallet{Username: a.Username, UID: a.UID, DID: a.DID, version: a.version}
	var faces [][]byte
	if err := openJSON(a.data, "wallets/faces/"+a.UID, a.faces, &faces); err != nil {
		return nil, err
	}
	switch len(faces) {
	case 2: // enrolled once, or replaced before the first ones were kept: they are what later ones have to be like
		w.References, w.Anchors = faces, faces
	case 4:
		w.References, w.Anchors = faces[:2:2], faces[2:]
	default:
		return nil, fmt.Errorf("wallets.faces: %w", seal.Err)
	}
	var k sealedKey
	if err := openJSON(a.data, "wallets/key/"+a.UID, a.key, &k); err != nil {
		return nil, err
	}
	var err error
	if w.Key, err = blockid.ParsePrivateKey(k.Curve, k.Key); err != nil {
		return nil, fmt.Errorf("wallets.key: %w", seal.Err)
	}
	return w, nil
}

func (d *Directory) newDataKey(uid string) (sealer, []byte, error) {
	key, err := randomKey()
	if err != nil {
		return sealer{}, nil, err
	}
	data, err := newSealer(key)
	return data, d.store.seal.seal("users/data_key/"+uid, key), err
}

// add makes a user of that name, who is not there yet.
func (d *Directory) add(ctx context.Context, tx *sql.Tx, username, uid, did string) error {
	data, sealed, err := d.newDataKey(uid)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO users (name, uid, data_key, username, did, disabled, created, version) VALUES (?, ?, ?, ?, ?, 0, ?, 1)`,
		d.nameKey(username), uid, sealed, data.seal("users/username/"+uid, []byte(username)), did, d.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}

// seed makes the users of the tenant's records, those that are not there yet.
func (s *Server) seed(ctx context.Context) error {
	return s.store.update(ctx, func(tx *sql.Tx) error {
		for _, u := range users {
			_, err := s.users.account(ctx, tx, u.name)
			if errors.Is(err, errNoUser) {
				did := ""
				if u.wallet {
					did = hexID(20, "did", s.communityID, u.name)
				}
				err = s.users.add(ctx, tx, u.name, uuidOf(s.communityID, u.name), did)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// knownUser finds a user by name, as foldName reads it: errNoUser if there is none.
func (s *Server) knownUser(ctx context.Context, username string) (userRow, error) {
	a, err := s.users.account(ctx, s.store.db, username)
	if err != nil {
		return userRow{}, err
	}
	return a.userRow, nil
}

// wallet opens the wallet of a user: errNoUser, errNotEnrolled or errDisabled if
// there is none that may answer.
func (s *Server) wallet(ctx context.Context, username string) (*wallet, error) {
	a, err := s.users.account(ctx, s.store.db, username)
	return answering(a, err)
}

// walletByDID does the same for a DID, in any case; errNoUser if it is no wallet's.
func (s *Server) walletByDID(ctx context.Context, did string) (*wallet, error) {
	a, err := s.users.scan(s.store.db.QueryRowContext(ctx, accountQuery+`WHERE w.did = ?`, strings.ToLower(did)))
	return answering(a, err)
}

func answering(a *account, err error) (*wallet, error) {
	switch {
	case err != nil:
		return nil, err
	case !a.Enrolled:
		return nil, errNotEnrolled
	case a.Disabled:
		return nil, errDisabled
	}
	return a.open()
}

// putWallet gives a user a wallet, or new faces (as wallets.faces) to the one
// that is there: its DID and key stay.
func (d *Directory) putWallet(ctx context.Context, tx *sql.Tx, a *account, curve blockid.Curve, faces [][]byte, document []byte, c consent) error {
	sealedFaces, err := sealJSON(a.data, "wallets/faces/"+a.UID, faces)
	if err != nil {
		return err
	}
	if document == nil {
		document = []byte{}
	}
	if a.Enrolled {
		_, err = tx.ExecContext(ctx, `UPDATE wallets SET faces = ?, document = ?, consent = ?, consented = ?, updated = ? WHERE uid = ?`,
			sealedFaces, document, c.Version, c.At.UnixMilli(), d.now().UnixMilli(), a.UID)
	} else {
		var key *blockid.PrivateKey
		if key, err = blockid.GenerateKey(curve); err != nil {
			return err
		}
		var sealed []byte
		if sealed, err = sealJSON(a.data, "wallets/key/"+a.UID, sealedKey{key.Curve(), key.Encode()}); err != nil {
			return err
		}
		did := a.DID // of the tenant's records
		if did == "" {
			b := make([]byte, 20)
			_, _ = rand.Read(b) // never fails
			did = hex.EncodeToString(b)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO wallets (uid, did, key, faces, document, consent, consented, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			a.UID, did, sealed, sealedFaces, document, c.Version, c.At.UnixMilli(), d.now().UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `UPDATE users SET version = version + 1 WHERE uid = ?`, a.UID); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}

// newUser adds a user who was proofed here, and reads what was added.
func (d *Directory) newUser(ctx context.Context, tx *sql.Tx, username string) (*account, error) {
	uid, err := uuid.NewRandom()
	if err != nil {
		return nil, err
	}
	if err := d.add(ctx, tx, username, uid.String(), ""); err != nil {
		return nil, err
	}
	return d.account(ctx, tx, username)
}
