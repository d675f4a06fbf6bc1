package kosmos

import "time"

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
