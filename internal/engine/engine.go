package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

// Name and Framework are what a report says about this engine. The framework
// is our own: no level of NIST SP 800-63A is claimed (reference idv-engine,
// section 8).
const (
	Name      = "kosmoscope-engine"
	Framework = "kosmoscope-embedded"
)

// Errors of ZoneReader: a picture without a machine-readable zone, and one with
// a zone that is neither a passport's nor a card's, such as a visa's.
var (
	ErrNoZone      = errors.New("engine: no machine-readable zone")
	ErrUnknownZone = errors.New("engine: machine-readable zone of another kind")
)

// Errors of Faces.
var (
	ErrNoFace       = errors.New("engine: no face")
	ErrManyFaces    = errors.New("engine: more than one face")
	ErrManyPeople   = errors.New("engine: faces of more than one person on the document")
	ErrFaceTooSmall = errors.New("engine: face too small")
	ErrFaceBlurred  = errors.New("engine: face not sharp")
	ErrFaceUnusable = errors.New("engine: face turned away, too dark or too bright")
	ErrForeign      = errors.New("engine: template of other models, or none")
	ErrEyesHidden   = fmt.Errorf("%w: something covers the eyes", ErrFaceUnusable)
	ErrMouthHidden  = fmt.Errorf("%w: something covers the mouth", ErrFaceUnusable)
)

// Zone is a machine-readable zone as it is printed, never corrected.
type Zone struct {
	Document    api.Document
	DigitsOK    bool           // every check digit of the format holds
	WrongDigits []string       // names of those that do not
	Unsure      bool           // a field that no check digit covers was read with too little certainty
	Corners     [4]image.Point // in the picture, clockwise from the upper left as one reads it
}

// ZoneReader finds and reads the machine-readable zone. now decides the century
// of dates. Errors are ErrNoZone and ErrUnknownZone.
type ZoneReader interface {
	ReadZone(img *image.RGBA, now time.Time) (*Zone, error)
}

// Face is a face that was found and described.
type Face struct {
	Box      image.Rectangle // about from the brows to the chin
	Roll     float64         // degrees that the face is tilted clockwise
	Template any             // what Compare of the same Faces understands
}

// Seen is a face that was found and not yet described.
type Seen struct {
	Face  liveness.Face
	Found any // what Describe of the same Faces understands
}

// Likeness is how alike two faces are (reference idv-engine, section 2).
type Likeness struct {
	Fused     float64 // (Cosine-0.35)/0.16 + ((1-Distance)-0.38)/0.11
	Cosine    float64 // -1 to 1, higher is more alike; only with HasCosine
	Distance  float64 // 0 and up, lower is more alike
	HasCosine bool    // false in the set "unencumbered"
}

// Faces finds and compares faces.
type Faces interface {
	// Portrait gives the portrait on a photo of a document. page is where the
	// page lies, its corners in the order of reading: nothing outside it
	// counts. Errors are those of Selfie, with ErrManyPeople for ErrManyFaces.
	Portrait(img *image.RGBA, page [4]image.Point) (Face, error)
	// Selfie gives the one face of a selfie. Errors are ErrNoFace,
	// ErrManyFaces, ErrFaceTooSmall, ErrFaceBlurred and ErrFaceUnusable.
	Selfie(img *image.RGBA) (Face, error)
	// Observe gives the one face of a frame as it is, turned or not: errors are
	// ErrNoFace and ErrManyFaces.
	Observe(img *image.RGBA) (Seen, error)
	// Describe makes a face that Observe gave for img comparable.
	Describe(img *image.RGBA, s Seen) (Face, error)
	// Compare says how alike two faces are. The error is ErrForeign.
	Compare(a, b Face) (Likeness, error)
	// Save gives a face's template in a form to keep.
	Save(Face) ([]byte, error)
	// Load gives back the face of a template, without Box and Roll. The error
	// is ErrForeign for one of other models, and for bytes that are none.
	Load(template []byte) (Face, error)
	Models() []api.Model
}

// Thresholds decide what passes. Between the two points of the face match the
// answer is face_uncertain.
type Thresholds struct {
	PassCosine, PassDistance float64 // pass: cosine at least, distance at most; both
	FailCosine, FailDistance float64 // fail: cosine below, or distance above

	// The same for a frame of a sequence that is turned away against one that is not.
	TurnedPassCosine, TurnedPassDistance float64
	TurnedFailCosine, TurnedFailDistance float64

	DocumentSharpness float64 // variance of the Laplacian, luma 0 to 255
	DocumentLong      int     // least longer and shorter side of a document photo, pixels
	DocumentShort     int
	SelfieShort       int // least side of a selfie, pixels
}

// DefaultThresholds are those of the profile Standard with the full set of models:
// the starting operating point of reference idv-engine, section 2, chosen by eye
// on 140 photos, measured at a false match rate of 0.1 %, not assessed by anyone else.
func DefaultThresholds() Thresholds {
	return Thresholds{
		PassCosine: 0.50, PassDistance: 0.55,
		FailCosine: 0.40, FailDistance: 0.60,
		// Rendered heads of 11 test faces, turned by 18 to 34 degrees, against
		// themselves: cosine 0.63 and distance 0.63 at worst (62 pairs); against each
		// other (609 pairs, mostly young women) cosine 0.24 and distance 0.72 in the
		// middle, 0.45 and 0.57 for the likest twentieth. Real turned heads will be less
		// like themselves than renderings of one photo: the pass point leaves room.
		TurnedPassCosine: 0.40, TurnedPassDistance: 0.65,
		TurnedFailCosine: 0.25, TurnedFailDistance: 0.75,
		DocumentSharpness: 12, DocumentLong: 640, DocumentShort: 400, SelfieShort: 200,
	}
}

// Fused is the fused score at the pass point: below it nothing passes.
func (t Thresholds) Fused(hasCosine bool) float64 {
	return fused(t.PassCosine, t.PassDistance, hasCosine)
}

// turnedFused is the same for turned faces.
func (t Thresholds) turnedFused(hasCosine bool) float64 {
	return fused(t.TurnedPassCosine, t.TurnedPassDistance, hasCosine)
}

func fused(cosine, distance float64, hasCosine bool) float64 {
	f := ((1 - distance) - 0.38) / 0.11
	if hasCosine {
		f += (cosine - 0.35) / 0.16
	}
	return f
}

// Longest sides to which pictures are shrunk before they are read, in pixels.
const (
	documentSide = 2600
	selfieSide   = 1600
)

// MaxSelfies bounds one request. Every selfie must match, so more of them make
// a match harder, never easier.
const MaxSelfies = 5

// Bounds of one request to match: MaxTemplates probes and as many references, of
// MaxTemplate bytes each. The templates of this version have 1301 at most.
const (
	MaxTemplates = 5
	MaxTemplate  = 4 << 10
)

// Config is what a Verifier needs.
type Config struct {
	Version    string          // of the program, for the report
	Profile    string          // Permissive, Standard or Strict; empty means Standard
	Set        string          // of models; empty means models.SetFull, and Open says which
	Thresholds Thresholds      // zero means those of Profile and Set
	Limits     liveness.Limits // of active liveness; zero means liveness.DefaultLimits
	Barcodes   BarcodeReader   // nil: driving licences cannot be read
	Printed    PrintedReader   // nil: the front of a licence is not compared with its barcode
	Now        func() time.Time
	Log        *slog.Logger

	// AllowVirtualCameras takes frames of programs that pose as cameras: for
	// tests with a browser that plays a file. Never where it matters who comes.
	AllowVirtualCameras bool
	// PassiveCounts lets passive liveness pass where no cue speaks against it. It
	// is weak evidence; without this it never carries a pass.
	PassiveCounts bool
}

// Verifier judges evidence. It is safe for concurrent use; each call works on
// its caller's goroutine.
type Verifier struct {
	zones    ZoneReader
	faces    Faces // nil: models are missing
	cfg      Config
	pictures decoder
}

// New makes a Verifier. faces is nil where the models are missing; then every
// check is cannot_tell.
func New(zones ZoneReader, faces Faces, cfg Config) *Verifier {
	cfg.Profile, cfg.Set = cmp.Or(cfg.Profile, Standard), cmp.Or(cfg.Set, models.SetFull)
	if cfg.Thresholds != (Thresholds{}) {
		cfg.Profile = Custom
	} else if t, ok := ProfileThresholds(cfg.Profile, cfg.Set); ok {
		cfg.Thresholds = t
	} else { // Open has refused it; here it is the strictest that there is
		cfg.Profile = Strict
		cfg.Thresholds, _ = ProfileThresholds(Strict, models.SetFull)
	}
	if cfg.Limits == (liveness.Limits{}) {
		cfg.Limits = liveness.DefaultLimits()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{zones: zones, faces: faces, cfg: cfg, pictures: newDecoder()}
}

// Models says whether the models are there and which they are.
func (v *Verifier) Models() ([]api.Model, bool) {
	if v.faces == nil {
		return []api.Model{}, false
	}
	list := v.faces.Models()
	if v.cfg.Barcodes != nil {
		list = append(slices.Clone(list), v.cfg.Barcodes.Model())
	}
	if v.cfg.Printed != nil {
		list = append(slices.Clone(list), v.cfg.Printed.Models()...)
	}
	return list, true
}

// Info says what judges, and by which points.
func (v *Verifier) Info() api.Info {
	models, _ := v.Models()
	return api.Info{Name: Name, Version: v.cfg.Version, Framework: Framework, Models: models,
		Profile: v.cfg.Profile, Set: v.cfg.Set, OperatingPoint: v.cfg.Thresholds.point(v.cfg.Set), ScoreBasis: scoreBasis}
}

var (
	documentChecks = []string{api.CheckDocumentImage, api.CheckDocumentType, api.CheckMRZ, api.CheckMRZDigits, api.CheckDocumentExpiry, api.CheckDocumentRules, api.CheckDocumentPortrait}
	selfieChecks   = []string{api.CheckSelfie}
	matchChecks    = []string{api.CheckFaceMatch}
	allChecks      = slices.Concat(documentChecks, selfieChecks, matchChecks)
)

// Verify judges a document against selfies. The error is the context's; all
// else is in the report.
func (v *Verifier) Verify(ctx context.Context, req *api.VerifyRequest) (*api.Report, error) {
	r := v.run(slices.Concat(allChecks, livenessChecks[req.LivenessMode]))
	if !knownLiveness(req.LivenessMode) {
		return r.withoutLiveness(), nil
	}
	if v.faces == nil {
		return r.withoutModels(), nil
	}
	portrait, err := r.document(ctx, req.DocumentTypes, req.DocumentFront, req.DocumentBack, req.DocumentMore)
	if err != nil {
		return nil, err
	}
	pictures, frames, err := r.alive(ctx, req.LivenessMode, req.Selfies, req.Liveness)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(pictures, func(s []byte) bool {
		same := func(d []byte) bool { return bytes.Equal(s, d) }
		return len(s) > 0 && (same(req.DocumentFront) || same(req.DocumentBack) || slices.ContainsFunc(req.DocumentMore, same))
	}) {
		portrait, r.portrait = nil, nil
		r.check(api.CheckDocumentPortrait, func() finding {
			return finding{outcome: api.Fail, reason: api.ReasonPortraitNotFound, detail: "The same file was sent as the document and as a selfie; two photos are needed."}
		})
	}
	selfies, err := r.selfies(ctx, pictures, frames)
	if err != nil {
		return nil, err
	}
	if portrait != nil && len(selfies) > 0 {
		r.check(api.CheckFaceMatch, func() finding {
			outcome, worst, best, err := r.compare(*portrait, selfies)
			if err == nil && frames {
				r.selfie = pictures[best]
			}
			if err == nil && req.Templates && outcome == api.Pass {
				err = r.save(selfies[best], *portrait)
			}
			if err != nil {
				return r.internal(api.CheckFaceMatch, err)
			}
			return r.likeness(outcome, worst, portraitWords)
		})
	}
	return r.report(""), nil
}

// Document says what a document photo shows.
func (v *Verifier) Document(ctx context.Context, req *api.DocumentRequest) (*api.Report, error) {
	r := v.run(documentChecks)
	if v.faces == nil {
		return r.withoutModels(), nil
	}
	if _, err := r.document(ctx, req.DocumentTypes, req.DocumentFront, req.DocumentBack, req.DocumentMore); err != nil {
		return nil, err
	}
	return r.report(""), nil
}

// Selfie says whether a selfie is usable.
func (v *Verifier) Selfie(ctx context.Context, req *api.SelfieRequest) (*api.Report, error) {
	r := v.run(selfieChecks)
	if v.faces == nil {
		return r.withoutModels(), nil
	}
	var list [][]byte
	if len(req.Selfie) > 0 {
		list = [][]byte{req.Selfie}
	}
	if _, err := r.selfies(ctx, list, false); err != nil {
		return nil, err
	}
	return r.report(""), nil
}

// compare holds every face against another; the least alike, worst, decides.
// best is the place of the most alike. The error is of Faces.
func (r *run) compare(with Face, faces []Face) (outcome api.Outcome, worst Likeness, best int, err error) {
	t := r.v.cfg.Thresholds
	outcome = api.Pass // of none: the caller has at least one
	var most float64
	for i, f := range faces {
		l, err := r.v.faces.Compare(with, f)
		if err != nil {
			return api.CannotTell, Likeness{}, 0, err
		}
		if i == 0 || !(l.Fused >= worst.Fused) {
			worst = l
		}
		if i == 0 || l.Fused > most {
			best, most = i, l.Fused
		}
		outcome = lesser(outcome, t.judge(l))
	}
	return outcome, worst, best, nil
}

// sentences are what a face match says for each outcome.
type sentences struct{ pass, fail, uncertain string }

var portraitWords = sentences{
	"The portrait on the document and the selfie show the same person.",
	"The selfie shows somebody else than the portrait on the document.",
	"The portrait and the selfie are neither alike nor unlike enough; take both photos again in better light.",
}

// likeness is the finding of a face match.
func (r *run) likeness(outcome api.Outcome, worst Likeness, say sentences) finding {
	t := r.v.cfg.Thresholds
	f := finding{outcome: outcome, score: ptr(round(Confidence(worst.Fused, worst.HasCosine))), threshold: ptr(round(Confidence(t.Fused(worst.HasCosine), worst.HasCosine)))}
	switch outcome {
	case api.Pass:
		f.detail = say.pass
	case api.Fail:
		f.reason, f.detail = api.ReasonFaceMismatch, say.fail
	default:
		f.reason, f.detail = api.ReasonFaceUncertain, say.uncertain
	}
	return f
}

// save keeps the templates that a pass rests on for the report.
func (r *run) save(selfie, portrait Face) error {
	s, err := r.v.faces.Save(selfie)
	if err != nil {
		return err
	}
	p, err := r.v.faces.Save(portrait)
	if err != nil {
		return err
	}
	r.templates = &api.Templates{Selfie: s, Portrait: p}
	return nil
}

// judge applies both networks' thresholds; both must agree to pass. A number
// that is not one never passes.
func (t Thresholds) judge(l Likeness) api.Outcome {
	if math.IsNaN(l.Fused) || math.IsNaN(l.Distance) || math.IsNaN(l.Cosine) {
		return api.CannotTell
	}
	if l.Distance <= t.PassDistance && (!l.HasCosine || l.Cosine >= t.PassCosine) {
		return api.Pass
	}
	if l.Distance > t.FailDistance || l.HasCosine && l.Cosine < t.FailCosine {
		return api.Fail
	}
	return api.CannotTell
}

// judgeTurned is judge for a face that is turned away against one that is not.
func (t Thresholds) judgeTurned(l Likeness) api.Outcome {
	t.PassCosine, t.PassDistance = t.TurnedPassCosine, t.TurnedPassDistance
	t.FailCosine, t.FailDistance = t.TurnedFailCosine, t.TurnedFailDistance
	return t.judge(l)
}

// lesser gives the worse outcome of two: fail, then cannot_tell, then pass.
func lesser(a, b api.Outcome) api.Outcome {
	rank := map[api.Outcome]int{api.Fail: 0, api.CannotTell: 1, api.Pass: 2}
	if rank[b] < rank[a] {
		return b
	}
	return a
}

func ptr(f float64) *float64 { return &f }

// round keeps four decimals; a score that is not a number becomes 0.
func round(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return math.Round(f*1e4) / 1e4
}
