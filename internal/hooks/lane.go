package hooks

import (
	"context"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// LaneOf is who outside is called by a job, for jobs.Lane: a tenant's Descope project, or
// its 1Kosmos; "" if nobody is. So where one of them does not answer, what needs the other,
// or nobody, goes on.
func (s *Service) LaneOf(ctx context.Context, j proof.Job) string {
	const project, messages = "descope ", "1kosmos "
	if j.Kind != JobWork {
		return ""
	}
	var w *Work
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		w, err = tx.Work(j.Tenant, j.Key)
		return err
	}); err != nil {
		return "" // Carry will say what is wrong
	}
	switch w.Kind {
	case Notify, Erase:
		return ""
	case StartVerification, StartChallenge:
		n, err := s.notes(w)
		switch {
		case err != nil, n.Action.Deliver == DeliverNone:
			return ""
		case n.Action.Deliver == DeliverMessage:
			return messages + j.Tenant
		}
	}
	return project + j.Tenant
}
