package eval

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Engine is what is measured; *engine.Verifier is one.
type Engine interface {
	Examine(context.Context, *api.DocumentRequest) (*api.Report, *engine.Face, error)
	Look(context.Context, *api.SelfieRequest) (*api.Report, *engine.Face, error)
	Match(context.Context, *api.MatchRequest) (*api.Report, error)
	Compare(a, b engine.Face) (engine.Likeness, error)
}

// Profile is one row of thresholds.
type Profile struct {
	Name       string
	Thresholds engine.Thresholds
}

// Options of a run. The zero value of each is a sensible one, but for Profiles.
type Options struct {
	Profiles []Profile // at which faces are judged
	Workers  int       // items at a time; as many as there are processors
	Limit    int       // pictures of an identity, documents of a level, cases of a species; 0 is all
	Now      func() time.Time
	// Progress is told after every item, from one goroutine at a time. odd is what
	// did not come out as the label wants, else empty; it names the item.
	Progress func(done, total int, odd string)
}

// look is what came of one picture, document or sequence.
type look struct {
	done     bool
	wall     time.Duration
	report   *api.Report
	face     *engine.Face // of a picture or a document's portrait
	read     bool         // of a document: as the truth has it
	decided  bool         // and by checks that passed
	surprise bool         // not the verdict that the truth expects
}

// Run measures the engine on a folder. When ctx ends, the report is partial and
// the error nil; an error is of reading the folder, or one inside the engine.
func Run(ctx context.Context, d *Dataset, e Engine, o Options) (*Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Workers <= 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	r := &runner{Dataset: d, engine: e,
		pictures:  limited(d.pictures, o.Limit, func(p picture) string { return p.identity }),
		documents: limited(d.documents, o.Limit, func(x document) string { return x.level }),
		sequences: limited(d.sequences, o.Limit, func(s sequence) string { return s.species }),
	}
	r.ofPicture, r.ofDocument, r.ofSequence = make([]look, len(r.pictures)), make([]look, len(r.documents)), make([]look, len(r.sequences))
	start := o.Now()
	begun := time.Now()
	if err := r.all(ctx, o); err != nil {
		return nil, err
	}
	rep, err := r.report(o)
	if err != nil {
		return nil, err
	}
	rep.Date, rep.Seconds = start.UTC().Format(time.DateOnly), time.Since(begun).Seconds()
	rep.Partial = slices.ContainsFunc(slices.Concat(r.ofPicture, r.ofDocument, r.ofSequence), func(l look) bool { return !l.done })
	return rep, nil
}

type runner struct {
	*Dataset
	engine     Engine
	pictures   []picture
	documents  []document
	sequences  []sequence
	ofPicture  []look
	ofDocument []look
	ofSequence []look
}

// all looks at everything, workers at a time, until the first error or ctx ends.
func (r *runner) all(ctx context.Context, o Options) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	np, nd := len(r.pictures), len(r.documents)
	total := np + nd + len(r.sequences)
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(o.Workers, total) {
		wg.Go(func() {
			for i := range next {
				var odd string
				var err error
				switch {
				case i < np:
					odd, err = r.picture(ctx, r.pictures[i], &r.ofPicture[i])
				case i < np+nd:
					odd, err = r.document(ctx, r.documents[i-np], &r.ofDocument[i-np])
				default:
					odd, err = r.sequence(ctx, r.sequences[i-np-nd], &r.ofSequence[i-np-nd])
				}
				if err != nil {
					if ctx.Err() == nil {
						stop(failed{err})
					}
					continue
				}
				mu.Lock()
				done++
				o.Progress(done, total, odd)
				mu.Unlock()
			}
		})
	}
feed:
	for i := range total {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if f, ok := context.Cause(ctx).(failed); ok {
		return f.error
	}
	return nil
}

// failed is an error of a worker, as the cause that ends the others.
type failed struct{ error }

func (r *runner) picture(ctx context.Context, p picture, l *look) (string, error) {
	b, err := r.bytes(path.Join("faces", p.path))
	if err != nil {
		return "", err
	}
	begun := time.Now()
	l.report, l.face, err = r.engine.Look(ctx, &api.SelfieRequest{Selfie: b})
	if l.wall = time.Since(begun); err != nil {
		return "", err
	}
	l.done = true
	if l.face == nil {
		return fmt.Sprintf("faces/%s: no face that can be used: %s", p.path, l.report.Reason), broken(l.report)
	}
	return "", broken(l.report)
}

func (r *runner) document(ctx context.Context, doc document, l *look) (string, error) {
	var req api.DocumentRequest
	var err error
	if req.DocumentFront, err = r.bytes(doc.front); err != nil {
		return "", err
	}
	if doc.back != "" {
		if req.DocumentBack, err = r.bytes(doc.back); err != nil {
			return "", err
		}
	}
	for _, name := range doc.more {
		b, err := r.bytes(name)
		if err != nil {
			return "", err
		}
		req.DocumentMore = append(req.DocumentMore, b)
	}
	t := doc.truth
	if req.DocumentTypes = t.Types; len(t.Types) == 0 && t.Document != nil && t.Document.Type != "" {
		req.DocumentTypes = []string{t.Document.Type}
	}
	begun := time.Now()
	l.report, l.face, err = r.engine.Examine(ctx, &req)
	if l.wall = time.Since(begun); err != nil {
		return "", err
	}
	l.done = true
	l.read = t.agrees(l.report.Document)
	outcome := map[string]api.Outcome{}
	for _, c := range l.report.Checks {
		outcome[c.Name] = c.Outcome
	}
	l.decided = outcome[api.CheckMRZ] == api.Pass && outcome[api.CheckMRZDigits] == api.Pass ||
		outcome[api.CheckBarcode] == api.Pass && outcome[api.CheckBarcodeFields] == api.Pass
	l.surprise = t.Verdict != "" && (l.report.Verdict != t.Verdict || t.Reason != "" && l.report.Reason != t.Reason)
	odd := ""
	switch {
	case l.surprise:
		odd = fmt.Sprintf("%s: %s %s, expected %s %s", doc.front, l.report.Verdict, l.report.Reason, t.Verdict, t.Reason)
	case l.decided && t.Document != nil && !l.read:
		odd = doc.front + ": FALSELY VALID: every check passes on what was misread"
	case t.Document != nil && !l.read:
		odd = fmt.Sprintf("%s: not read as the truth has it: %s %s", doc.front, l.report.Verdict, l.report.Reason)
	}
	return odd, broken(l.report)
}

func (r *runner) sequence(ctx context.Context, s sequence, l *look) (string, error) {
	live := api.Liveness{Challenge: s.challenge, Camera: s.shots.Camera}
	for _, f := range s.shots.Frames {
		b, err := r.bytes(path.Join(s.folder, f.File))
		if err != nil {
			return "", err
		}
		live.Frames = append(live.Frames, api.Frame{Image: b, Action: f.Action, ReceivedMS: f.ReceivedMS, CapturedMS: f.CapturedMS})
	}
	begun := time.Now()
	var err error
	// Without a reference nobody is matched; the checks of liveness are all that counts.
	l.report, err = r.engine.Match(ctx, &api.MatchRequest{LivenessMode: api.LivenessActive, Liveness: &live})
	if l.wall = time.Since(begun); err != nil {
		return "", err
	}
	l.done = true
	odd := ""
	switch c := check(l.report, api.CheckLiveness); {
	case s.species != "" && c.Outcome == api.Pass:
		odd = s.folder + ": PASSED as a living person"
	case s.species == "" && c.Outcome != api.Pass:
		odd = fmt.Sprintf("%s: did not pass: %s", s.folder, c.Detail)
	}
	return odd, broken(l.report)
}

// check is one check of a report; one that is not there could not be told.
func check(rep *api.Report, name string) api.Check {
	for _, c := range rep.Checks {
		if c.Name == name {
			return c
		}
	}
	return api.Check{Name: name, Outcome: api.CannotTell}
}

// ErrModels: the engine has no models, so that there is nothing to measure.
var ErrModels = errors.New("the engine has no models")

// broken is ErrModels where that is what a report says. A fault inside the engine
// is counted instead.
func broken(rep *api.Report) error {
	if rep.Reason == api.ReasonModelsMissing {
		return ErrModels
	}
	return nil
}
