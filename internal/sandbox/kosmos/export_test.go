package kosmos

import (
	"context"
	"database/sql"
	"time"
)

// What black-box tests need to see inside.
var (
	Orientation = orientation
	WireImage   = wireImage
	Alpha2      = alpha2
	SameName    = sameName
	NameModule  = nameModule
	Spoken      = spoken
)

// Reasons lists every reason that has words.
func Reasons() []string {
	var all []string
	for r := range reasonTable {
		all = append(all, r)
	}
	return all
}

// Words are the wire code, the wire message and the sentence for the person.
func Words(reason string) (code, message, ended string) {
	r := reasonTable[reason]
	return r.code, r.message, r.ended
}

// MaxUploads is how many uploads are received at the same time.
const MaxUploads = maxUploads

// EngineRetries are the waits between the questions for a verdict.
func (s *Server) EngineRetries() []time.Duration { return s.opt.EngineRetries }

// SetPatience replaces how long the server waits for uploads. Call it before the first request.
func (s *Server) SetPatience(place, upload, drain time.Duration) {
	s.patience = patience{place, upload, drain}
}

// WaitJudged waits until no verdict is outstanding.
func (s *Server) WaitJudged() { s.judges.Wait() }

// Wallet opens the wallet by which a user may answer: its DID, private key and templates.
func (s *Server) Wallet(ctx context.Context, username string) (did, key string, references [][]byte, err error) {
	w, err := s.wallet(ctx, username)
	if err != nil {
		return "", "", nil, err
	}
	return w.DID, w.Key.Encode(), w.References, nil
}

// ErrDisabled is why there is no wallet that may answer.
var ErrDisabled = errDisabled

// EnrolConsentVersion is the version of the words beside the box.
const EnrolConsentVersion = enrolConsentVersion

// FoldName is the one form of usernames that differ in case alone.
var FoldName = foldName

// Anchors are the templates of the first enrolment.
func (s *Server) Anchors(ctx context.Context, username string) ([][]byte, error) {
	w, err := s.wallet(ctx, username)
	if err != nil {
		return nil, err
	}
	return w.Anchors, nil
}

// PutFaces writes the templates of a user who is enrolled, as many as they may be.
func (s *Server) PutFaces(ctx context.Context, username string, faces [][]byte) error {
	return s.store.update(ctx, func(tx *sql.Tx) error {
		a, err := s.users.account(ctx, tx, username)
		if err != nil {
			return err
		}
		return s.users.putWallet(ctx, tx, a, s.opt.Curve, faces, a.document, a.consent)
	})
}
