package journey

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// sessionHash is by what the session at 1Kosmos is found again when a callback names it. How
// callbacks spell an id is not known, so its case does not count.
func (s *Service) sessionHash(tenant, id string) string {
	return hex.EncodeToString(s.Vault.MAC(tenant, "upstream session", strings.ToLower(id)))
}

// OpenUnder finds what is open under any of these names, which somebody told: ids of ours, or
// of sessions at 1Kosmos. It returns the jobs that read the truth about each, due now, for
// whoever asks to queue.
func (s *Service) OpenUnder(ctx context.Context, tenant string, names []string) (due []*proof.Job, err error) {
	var ids, hashes []string
	for _, name := range names {
		hashes = append(hashes, s.sessionHash(tenant, name))
		if id, err := uuid.Parse(name); err == nil {
			ids = append(ids, id.String())
		}
	}
	err = s.Store.View(ctx, func(tx Tx) error {
		verifications, challenges, err := tx.OpenUnder(tenant, ids, hashes)
		due = nil
		for _, id := range verifications {
			due = append(due, proof.NewJob(tenant, JobPoll, id, s.Now()))
		}
		for _, id := range challenges {
			due = append(due, proof.NewJob(tenant, JobChallengePoll, id, s.Now()))
		}
		return err
	})
	return due, err
}
