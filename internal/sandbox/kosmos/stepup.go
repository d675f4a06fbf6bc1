package kosmos

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// A step-up is one face check. Whoever asked for it (a UWL session, /v1, a
// workflow, an OpenID client), the authenticator carries it out, and what came
// of it is kept here:
//
//	          newStepUp
//	             |
//	            open <--------------------------+
//	             |                              | did not pass, attempts left
//	             | begin: code used up,         |
//	             |        attempt counted       |
//	             v                              |
//	      [engine compares] --- settle ---------+
//	             |                 |
//	   passed, in time,      last attempt, declined,      time, in every
//	   user as before        user's limit, user gone      state of open
//	             |                 |                           |
//	           match            refused                     expired
//
// In a sequence (live.go) begin comes before the first action that was drawn, and
// settle at its end. An attempt is counted before the engine is asked and taken back when there was
// nothing to compare, so that no crash gives an attempt away. The answer is
// written in the transaction that makes the state match, so that a crash between
// comparing and writing leaves no answer. The three states at the bottom never change.

// stepUpSchema is sealed as the rest of the database; guesses knows its users by
// a keyed hash only.
const stepUpSchema = `
CREATE TABLE IF NOT EXISTS stepups (
	id       TEXT PRIMARY KEY,     -- UUIDv4, the bearer part of the authenticator's address
	kind     TEXT NOT NULL,
	state    TEXT NOT NULL,
	reason   TEXT NOT NULL,
	created  INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	ended    INTEGER NOT NULL,     -- 0 while it is open
	round    INTEGER NOT NULL,     -- uploads so far; a one-time code is good for one of them
	compared INTEGER NOT NULL,     -- comparisons that did not pass, with the one that is running
	poor     INTEGER NOT NULL,     -- uploads that could not be compared
	request  BLOB,                 -- sealed JSON; NULL once purged
	answer   BLOB,                 -- sealed JSON; NULL without a match and once purged
	wire     BLOB,                 -- sealed JSON, what answered a UWL session; likewise
	cipher   BLOB UNIQUE           -- SHA-256 of the ciphertext in wire, kept after the purge
) STRICT;
CREATE INDEX IF NOT EXISTS stepups_by_state ON stepups (state, expires);
CREATE INDEX IF NOT EXISTS stepups_by_end ON stepups (ended);
CREATE TABLE IF NOT EXISTS guesses (
	stepup TEXT NOT NULL,
	round  INTEGER NOT NULL,
	who    BLOB NOT NULL,          -- bucket: keyed hash of what is counted and of the name
	at     INTEGER NOT NULL,
	PRIMARY KEY (stepup, round)
) STRICT;
CREATE INDEX IF NOT EXISTS guesses_by_who ON guesses (who, at);
`

const (
	stepUpLifetime = 5 * time.Minute // of a step-up whose maker says nothing else
	maxPoor        = 10              // uploads of one step-up that could not be compared

	guessWindow = 15 * time.Minute // in which
	maxGuesses  = 10               // comparisons with one user may fail, over all step-ups; and as many under one typed name
	maxOpens    = 20               // step-ups may be opened under one typed name; more than a user gets at the bridge

	eventLoginSucceeded = "E_LOGIN_SUCCEEDED" // reference 7.1, as both
	eventLoginFailed    = "E_LOGIN_FAILED"
	eventAnswered       = "KOSMOSCOPE_STEPUP_ANSWERED" // by somebody else than our authenticator: it cannot be told with what
)

// Reasons of a step-up, of a refusal to make one, and of a refused answer.
const (
	ReasonUserUnknown     = "user_unknown"
	ReasonUserNotEnrolled = "user_not_enrolled"
	ReasonUserDisabled    = "user_disabled"
	ReasonTooManyAttempts = "too_many_attempts"
	ReasonDeclined        = "declined"
	ReasonAbandoned       = "abandoned" // the person cannot do what is asked, and said so

	refuseReplayed  = "upload_replayed"     // the one-time code was used, is another session's, or is not there
	refuseOver      = "session_ended"       // answered, refused or too late
	refuseAnswered  = "answer_replayed"     // a second answer, or one that was given before
	refuseAnswerKey = "answer_key_invalid"  // no key on the tenant's curve, or not the sender's
	refuseCipher    = "upstream_ciphertext" // not a ciphertext at all
)

var (
	errReplayed = errors.New("kosmos: used before")
	errLimited  = errors.New("kosmos: too many failed comparisons")
)

// stepUpDesk is the part of the server that step-ups need.
type stepUpDesk struct {
	// stepUpEnds tells, for the kinds that bring the browser back, where it goes
	// once the step-up has ended. It is asked each time the browser wants to go
	// there, which may be more than once; an empty address means nowhere.
	stepUpEnds map[stepUpKind]func(ctx context.Context, v *stepUp) (url string, err error)

	stepUpKey []byte // of one-time codes and of the hashes in guesses
}

func (s *Server) openStepUp(ctx context.Context) error {
	s.stepUpEnds = map[stepUpKind]func(context.Context, *stepUp) (string, error){kindWorkflow: workflowEnd}
	var err error
	s.stepUpKey, err = s.store.secret(ctx, "stepup", false, randomKey)
	return err
}

func (s *Server) stepUpRoutes(mux *http.ServeMux) {
	s.sessionRoutes(mux)
	s.authenticatorRoutes(mux)
	s.stepUpV1Routes(mux)
	s.workflowRoutes(mux)
}

func authenticatorPath(id string) string { return "/authenticator/" + url.PathEscape(id) }

// authenticatorURL is the bearer link to the page that carries out a step-up.
func (s *Server) authenticatorURL(r *http.Request, id string) string {
	return s.origin(r) + authenticatorPath(id)
}

// origin is the name by which the client came, if it is one of ours.
func (s *Server) origin(r *http.Request) string {
	if s.ownHost(r.Host) {
		return "https://" + r.Host
	}
	return "https://" + s.opt.DNS
}

// stepUpRequest is the personal part of a stepUp at rest.
type stepUpRequest struct {
	Username string          `json:"username,omitempty"`
	Show     stepUpShow      `json:"show"`
	Detail   json.RawMessage `json:"detail,omitempty"`
}

// newStepUp makes a step-up of v's Kind, Username, Show, Detail and Expires (zero:
// stepUpLifetime from now) and fills in the rest.
func (s *Server) newStepUp(ctx context.Context, v *stepUp) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("step-up: %w", err)
	}
	now := s.now()
	v.ID, v.State, v.Created = id.String(), stepUpOpen, now
	if v.Expires.IsZero() {
		v.Expires = now.Add(stepUpLifetime)
	}
	sealed, err := s.store.sealJSON("stepups/request/"+v.ID, stepUpRequest{v.Username, v.Show, v.Detail})
	if err != nil {
		return err
	}
	_, err = s.store.db.ExecContext(ctx, `INSERT INTO stepups (id, kind, state, reason, created, expires, ended, round, compared, poor, request)
		VALUES (?, ?, ?, '', ?, ?, 0, 0, 0, 0, ?)`, v.ID, v.Kind, v.State, now.UnixMilli(), v.Expires.UnixMilli(), sealed)
	if err != nil {
		return fmt.Errorf("step-up: %w", err)
	}
	return nil
}

// stepUp reads a step-up as of now: one whose time has passed is expired first.
// An unknown id is errNoSession.
func (s *Server) stepUp(ctx context.Context, id string) (*stepUp, error) {
	v, _, err := s.stepUpCounts(ctx, id)
	return v, err
}

// counts are of one step-up's uploads.
type counts struct{ round, compared, poor int }

func (s *Server) stepUpCounts(ctx context.Context, id string) (*stepUp, counts, error) {
	v, n, err := s.readStepUp(ctx, id)
	if err != nil || v.State != stepUpOpen || s.now().Before(v.Expires) {
		return v, n, err
	}
	if err := s.expireStepUp(ctx, id, s.now()); err != nil {
		return nil, n, err
	}
	return s.readStepUp(ctx, id)
}

func (s *Server) readStepUp(ctx context.Context, id string) (*stepUp, counts, error) {
	v := &stepUp{ID: id}
	var n counts
	var created, expires int64
	var request, answer []byte
	err := s.store.db.QueryRowContext(ctx, `SELECT kind, state, reason, created, expires, round, compared, poor, request, answer
		FROM stepups WHERE id = ?`, id).
		Scan(&v.Kind, &v.State, &v.Reason, &created, &expires, &n.round, &n.compared, &n.poor, &request, &answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, n, errNoSession
	}
	if err != nil {
		return nil, n, fmt.Errorf("step-up: %w", err)
	}
	v.Created, v.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	if request != nil {
		var rq stepUpRequest
		if err := s.store.openJSON("stepups/request/"+id, request, &rq); err != nil {
			return nil, n, err
		}
		v.Username, v.Show, v.Detail = rq.Username, rq.Show, rq.Detail
	}
	if answer != nil {
		v.Answer = new(stepUpAnswer)
		if err := s.store.openJSON("stepups/answer/"+id, answer, v.Answer); err != nil {
			return nil, n, err
		}
	}
	return v, n, nil
}

// expireStepUp reads nothing that is sealed, so that one that cannot be opened ends as well.
func (s *Server) expireStepUp(ctx context.Context, id string, now time.Time) error {
	_, err := s.store.db.ExecContext(ctx, `UPDATE stepups SET state = ?, reason = '', ended = ? WHERE id = ? AND state = ? AND expires <= ?`,
		stepUpExpired, now.UnixMilli(), id, stepUpOpen, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("step-up: %w", err)
	}
	return nil
}

// sweepStepUps expires what is due, drops what is personal after PIITTL and the
// rest after rowTTL.
//
// No client can ask for an OpenID step-up by its id, and anybody can open one, so
// that nothing is kept of it for longer than of the person.
func (s *Server) sweepStepUps(ctx context.Context, now time.Time) error {
	const forgotten = `ended > 0 AND (ended <= ? OR kind = ? AND ended <= ?)`
	return s.store.update(ctx, func(tx *sql.Tx) error {
		personal, rows := now.Add(-s.opt.PIITTL).UnixMilli(), now.Add(-rowTTL).UnixMilli()
		for _, q := range []struct {
			query string
			args  []any
		}{
			{`UPDATE stepups SET state = ?, reason = '', ended = ? WHERE state = ? AND expires <= ?`,
				[]any{stepUpExpired, now.UnixMilli(), stepUpOpen, now.UnixMilli()}},
			{`UPDATE stepups SET request = NULL, answer = NULL, wire = NULL WHERE ended > 0 AND ended <= ? AND request IS NOT NULL`, []any{personal}},
			{`DELETE FROM events WHERE session IN (SELECT id FROM stepups WHERE ` + forgotten + `)`, []any{rows, kindOAuth2, personal}},
			{`DELETE FROM stepups WHERE ` + forgotten, []any{rows, kindOAuth2, personal}},
			{`DELETE FROM guesses WHERE at <= ?`, []any{now.Add(-guessWindow).UnixMilli()}},
		} {
			if _, err := tx.ExecContext(ctx, q.query, q.args...); err != nil {
				return fmt.Errorf("sweep step-ups: %w", err)
			}
		}
		return nil
	})
}

// code is the one-time code for one upload of a step-up: 32 bytes in hex. It is
// a keyed hash of the step-up and of how many uploads it had, so nothing of it is
// stored, every page that shows the same attempt shows the same code, and the
// first upload that uses it makes it void.
func (s *Server) code(id string, round int) string {
	return hex.EncodeToString(s.stepUpHash("code", id, fmt.Sprint(round)))
}

// bucket is where something is counted against a name.
//
// What fails in step-ups that an authenticated client made for a user, and in
// browsers that were recognised as the user before, is counted in that user's own
// bucket. What fails under a name that somebody merely typed, into the page or
// into an address, is counted in another one, which refuses nothing but typed
// names: anybody can type a name, and shall not keep the user out by it.
type bucket string

const (
	bucketOwn   bucket = "who"    // failed comparisons with the user
	bucketTyped bucket = "typed"  // failed comparisons under the typed name
	bucketOpens bucket = "opened" // step-ups opened under the typed name
)

func (s *Server) who(b bucket, username string) []byte {
	return s.stepUpHash(string(b), foldName(username))
}

func (s *Server) stepUpHash(parts ...string) []byte {
	mac := hmac.New(sha256.New, s.stepUpKey)
	for _, p := range parts {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return mac.Sum(nil)
}

// challengeable tells why a named user cannot be asked for their face now; the
// reason is empty if they can.
func (s *Server) challengeable(ctx context.Context, username string) (reason string, err error) {
	switch _, err := s.wallet(ctx, username); {
	case errors.Is(err, errNoUser):
		return ReasonUserUnknown, nil
	case errors.Is(err, errNotEnrolled):
		return ReasonUserNotEnrolled, nil
	case errors.Is(err, errDisabled):
		return ReasonUserDisabled, nil
	case err != nil:
		return "", err
	}
	n, err := guessesOf(ctx, s.store.db, s.who(bucketOwn, username), s.now())
	if err == nil && n >= maxGuesses {
		reason = ReasonTooManyAttempts
	}
	return reason, err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func guessesOf(ctx context.Context, q queryer, who []byte, now time.Time) (n int, err error) {
	err = q.QueryRowContext(ctx, `SELECT count(*) FROM guesses WHERE who = ? AND at > ?`, who, now.Add(-guessWindow).UnixMilli()).Scan(&n)
	if err != nil {
		err = fmt.Errorf("guesses: %w", err)
	}
	return n, err
}

// openTyped counts a step-up that is to be opened under a typed name. It asks
// nobody who that is: all names are answered alike.
func (s *Server) openTyped(ctx context.Context, username string) (reason string, err error) {
	now, who := s.now(), s.who(bucketOpens, username)
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		n, err := guessesOf(ctx, tx, who, now)
		if err != nil {
			return err
		}
		if n >= maxOpens {
			reason = ReasonTooManyAttempts
			return nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO guesses (stepup, round, who, at) VALUES (?, 0, ?, ?)`, randomText(), who, now.UnixMilli()); err != nil {
			return fmt.Errorf("guesses: %w", err)
		}
		return nil
	})
	return reason, err
}

// begin uses up the code of an upload and counts it, in the bucket who, as a
// comparison that did not pass, which settle corrects. When it returns an error
// nothing is counted: errState for a step-up that has ended, errReplayed for a
// code that is not the next one, errLimited when it ended the step-up just now,
// because there is no attempt left in it or in the bucket.
func (s *Server) begin(ctx context.Context, id, code string, who []byte) (round int, err error) {
	now := s.now()
	limited := false
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		var state stepUpState
		var reason string
		var expires int64
		var compared int
		err := tx.QueryRowContext(ctx, `SELECT state, reason, expires, round, compared FROM stepups WHERE id = ?`, id).
			Scan(&state, &reason, &expires, &round, &compared)
		if errors.Is(err, sql.ErrNoRows) {
			return errNoSession
		}
		if err != nil {
			return fmt.Errorf("step-up: %w", err)
		}
		if state != stepUpOpen || now.UnixMilli() >= expires {
			return errState
		}
		if !sameSecret(code, s.code(id, round)) {
			return errReplayed
		}
		n, err := guessesOf(ctx, tx, who, now)
		if err != nil {
			return err
		}
		if n >= maxGuesses {
			limited = true
			return refuseStepUp(ctx, tx, id, ReasonTooManyAttempts, now)
		}
		if compared >= s.opt.StepUpAttempts { // the process died while it compared the last one
			limited = true
			return refuseStepUp(ctx, tx, id, ReasonRetriesExhausted, now)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE stepups SET round = round + 1, compared = compared + 1 WHERE id = ?`, id); err != nil {
			return fmt.Errorf("step-up: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO guesses (stepup, round, who, at) VALUES (?, ?, ?, ?)`, id, round, who, now.UnixMilli()); err != nil {
			return fmt.Errorf("guesses: %w", err)
		}
		return nil
	})
	if err == nil && limited {
		err = errLimited
	}
	return round, err
}

// finding is what an upload that begin let in came to.
type finding int

const (
	undecided finding = iota // nobody's fault: the engine could not say
	poor                     // there was nothing to compare
	different                // compared, and not passed
	same                     // compared, and passed
)

// settle writes what an upload came to, and returns it. For same it writes the
// answer and the state match, in one transaction; wire is what a UWL session is
// answered with, else nil. If the user is not any more who was compared with, it
// is not same after all. errState means that the step-up has ended meanwhile:
// there is no answer.
func (s *Server) settle(ctx context.Context, id string, round int, f finding, reason string, answer *stepUpAnswer, wire *wireAnswer) (finding, error) {
	var sealedAnswer, sealedWire, cipher []byte
	var err error
	if f == same {
		if sealedAnswer, sealedWire, cipher, err = s.sealAnswer(id, answer, wire); err != nil {
			return undecided, err
		}
	}
	now := s.now()
	ended := false
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		gone := false
		if f == same {
			var err error
			if f, reason, err = s.stillSame(ctx, tx, answer); err != nil {
				return err
			}
			gone = f == different
		}
		if f != different {
			if _, err := tx.ExecContext(ctx, `DELETE FROM guesses WHERE stepup = ? AND round = ?`, id, round); err != nil {
				return fmt.Errorf("guesses: %w", err)
			}
		}
		var compared, poorSoFar int
		err := tx.QueryRowContext(ctx, `UPDATE stepups SET reason = ?, compared = compared - ?, poor = poor + ?
			WHERE id = ? AND state = ? AND expires > ? RETURNING compared, poor`,
			reason, b2i(f != different), b2i(f == poor), id, stepUpOpen, now.UnixMilli()).Scan(&compared, &poorSoFar)
		if errors.Is(err, sql.ErrNoRows) {
			ended = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("step-up: %w", err)
		}
		switch {
		case f == same:
			return writeAnswer(ctx, tx, id, sealedAnswer, sealedWire, cipher, eventLoginSucceeded, now)
		case gone, f == different && compared >= s.opt.StepUpAttempts, poorSoFar >= maxPoor:
			return refuseStepUp(ctx, tx, id, reason, now)
		}
		return nil
	})
	if err == nil && ended {
		err = errState
	}
	if err != nil {
		return undecided, err
	}
	return f, nil
}

// stillSame tells what a comparison that passed is worth by now: same if its user
// is as before, different if that wallet may not answer any more, and undecided
// if it has got other faces meanwhile.
func (s *Server) stillSame(ctx context.Context, tx *sql.Tx, answer *stepUpAnswer) (finding, string, error) {
	a, err := s.users.account(ctx, tx, answer.Username)
	switch {
	case errors.Is(err, errNoUser):
		return different, ReasonUserNotEnrolled, nil
	case err != nil:
		return undecided, "", err
	case a.Disabled:
		return different, ReasonUserDisabled, nil
	case !a.Enrolled || a.DID != answer.DID:
		return different, ReasonUserNotEnrolled, nil
	case a.version != answer.version:
		return undecided, api.ReasonEngineError, nil
	}
	return same, "", nil
}

// recall turns a match that was read into a refusal if the wallet that answered
// is not there any more, or may not answer: nobody shall be let in by it. It
// writes nothing.
func (s *Server) recall(ctx context.Context, v *stepUp) error {
	if v.State != stepUpMatch {
		return nil
	}
	if v.Answer == nil { // purged: nothing says any more whose it was
		v.State = stepUpExpired
		return nil
	}
	wal, err := s.wallet(ctx, v.Answer.Username)
	switch {
	case errors.Is(err, errDisabled):
		v.Reason = ReasonUserDisabled
	case errors.Is(err, errNoUser), errors.Is(err, errNotEnrolled), err == nil && wal.DID != v.Answer.DID:
		v.Reason = ReasonUserNotEnrolled
	default:
		return err
	}
	v.State, v.Answer = stepUpRefused, nil
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func refuseStepUp(ctx context.Context, tx *sql.Tx, id, reason string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE stepups SET state = ?, reason = ?, ended = ? WHERE id = ?`, stepUpRefused, reason, now.UnixMilli(), id)
	if err != nil {
		return fmt.Errorf("step-up: %w", err)
	}
	if err := dropSequence(ctx, tx, id); err != nil {
		return err
	}
	return record(ctx, tx, id, now, eventLoginFailed)
}

// declineStepUp ends an open step-up because the person said no, for one of the
// reasons ReasonDeclined and ReasonAbandoned.
func (s *Server) declineStepUp(ctx context.Context, id, reason string) error {
	now := s.now()
	return s.store.update(ctx, func(tx *sql.Tx) error {
		if err := openInTime(ctx, tx, id, now); err != nil {
			return err
		}
		return refuseStepUp(ctx, tx, id, reason, now)
	})
}

// openInTime fails with errNoSession, errReplayed for one that was answered, or
// errState for one that ended otherwise or whose time has passed.
func openInTime(ctx context.Context, tx *sql.Tx, id string, now time.Time) error {
	var state stepUpState
	var expires int64
	err := tx.QueryRowContext(ctx, `SELECT state, expires FROM stepups WHERE id = ?`, id).Scan(&state, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errNoSession
	case err != nil:
		return fmt.Errorf("step-up: %w", err)
	case state == stepUpMatch:
		return errReplayed
	case state != stepUpOpen || now.UnixMilli() >= expires:
		return errState
	}
	return nil
}

// answerStepUp takes an answer that did not come from our authenticator. The
// first one counts: errReplayed for a second one and for one whose ciphertext
// answered a step-up before.
func (s *Server) answerStepUp(ctx context.Context, id string, answer *stepUpAnswer, wire *wireAnswer) error {
	sealedAnswer, sealedWire, cipher, err := s.sealAnswer(id, answer, wire)
	if err != nil {
		return err
	}
	now := s.now()
	return s.store.update(ctx, func(tx *sql.Tx) error {
		if err := openInTime(ctx, tx, id, now); err != nil {
			return err
		}
		var used bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM stepups WHERE cipher = ?)`, cipher).Scan(&used); err != nil {
			return fmt.Errorf("step-up: %w", err)
		}
		if used {
			return errReplayed
		}
		return writeAnswer(ctx, tx, id, sealedAnswer, sealedWire, cipher, eventAnswered, now)
	})
}

func (s *Server) sealAnswer(id string, answer *stepUpAnswer, wire *wireAnswer) (sealedAnswer, sealedWire, cipher []byte, err error) {
	if sealedAnswer, err = s.store.sealJSON("stepups/answer/"+id, answer); err != nil || wire == nil {
		return sealedAnswer, nil, nil, err
	}
	if sealedWire, err = s.store.sealJSON("stepups/wire/"+id, wire); err != nil {
		return nil, nil, nil, err
	}
	cipher, err = wire.fingerprint()
	return sealedAnswer, sealedWire, cipher, err
}

func writeAnswer(ctx context.Context, tx *sql.Tx, id string, answer, wire, cipher []byte, event string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE stepups SET state = ?, reason = '', ended = ?, answer = ?, wire = ?, cipher = ? WHERE id = ?`,
		stepUpMatch, now.UnixMilli(), answer, wire, cipher, id)
	if err != nil {
		return fmt.Errorf("step-up: %w", err)
	}
	if err := dropSequence(ctx, tx, id); err != nil {
		return err
	}
	return record(ctx, tx, id, now, event)
}

// wireAnswerOf reads what a UWL session was answered with; nil once purged.
func (s *Server) wireAnswerOf(ctx context.Context, id string) (*wireAnswer, error) {
	var sealed []byte
	if err := s.store.db.QueryRowContext(ctx, `SELECT wire FROM stepups WHERE id = ?`, id).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("step-up: %w", err)
	}
	if sealed == nil {
		return nil, nil
	}
	w := new(wireAnswer)
	return w, s.store.openJSON("stepups/wire/"+id, sealed, w)
}

// stepUpBlock is the block "kosmoscope" of a positive answer: what the engine
// really found. It is this server's alone.
type stepUpBlock struct {
	Score       *float64    `json:"score"`    // 0 to 1, of the comparison
	Liveness    string      `json:"liveness"` // what was asked of the engine: none, passive or active
	Framework   string      `json:"framework"`
	Assessed    bool        `json:"assessed"` // always false: no laboratory has tested this engine
	MatchResult string      `json:"match_result,omitempty"`
	Session     string      `json:"session,omitempty"` // the UWL session that this answers
	Engine      api.Info    `json:"engine"`
	Checks      []api.Check `json:"checks"`
}

// block is nil for an answer that did not come from our authenticator.
func (a *stepUpAnswer) block() *stepUpBlock {
	if a == nil || a.Liveness == "" {
		return nil
	}
	return &stepUpBlock{
		Score: a.Score, Liveness: a.Liveness, Framework: a.Own.Framework, Engine: a.Own.Engine, Checks: a.Own.Checks,
	}
}

// refusalBlock is the block "kosmoscope" of everything that is not a match.
type refusalBlock struct {
	MatchResult string `json:"match_result,omitempty"` // no_match, or empty where nothing was compared
	Reason      string `json:"reason"`
}
