package kosmos

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	_ "image/png" // a photo may be PNG
	"net/http"
	"slices"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

// judgeSoon judges a session in the background, a bounded number at a time. It
// is not tied to any request: the person may close the page.
func (s *Server) judgeSoon(id string) {
	if _, running := s.active.LoadOrStore(id, nil); running {
		return
	}
	s.judges.Go(func() {
		defer s.active.Delete(id)
		select {
		case s.slots <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		defer func() { <-s.slots }()
		if err := s.judge(s.ctx, id); err != nil && s.ctx.Err() == nil {
			// It stays judging and is taken up again by the next sweep or start.
			s.log.Error("kosmos: judge", "session", s.logName(id), "error", err)
		}
	})
}

// judge takes a session from judging to success or failed.
func (s *Server) judge(ctx context.Context, id string) error {
	v, err := s.store.session(ctx, id, s.now())
	if err == nil && v.State != Judging {
		return nil
	}
	var photos map[string]photo
	if err == nil {
		photos, err = s.store.photos(ctx, id, true)
	}
	if err == nil && v.Request == nil {
		err = seal.Err
	}
	var live *api.Liveness
	if err == nil && sequenced(v) {
		live, _, err = s.store.evidence(ctx, id)
	}
	if errors.Is(err, seal.Err) || err != nil && v != nil && !s.now().Before(v.Expires) {
		return s.lost(ctx, id, v, err)
	}
	if err != nil {
		return err
	}
	report, reason := s.verdict(ctx, v, photos, live)
	module := ""
	if reason == "" {
		if module = nameModule(v.Request.Firstname, v.Request.Lastname, report.Document); module != "" {
			reason = ReasonNameMismatch
		}
	}
	for {
		err := s.conclude(ctx, v, photos, report, reason, module)
		if errors.Is(err, seal.Err) {
			return s.lost(ctx, id, v, err)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// conclude ends a session by the engine's report, for which reason is empty if
// it passed. errMoved if its user changed while it was looked at.
func (s *Server) conclude(ctx context.Context, v *session, photos map[string]photo, report *api.Report, reason, module string) error {
	var e *enrolment
	if reason == "" {
		var err error
		if e, reason, err = s.enrol(ctx, v, report); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // shutting down is no verdict
	}
	now := s.now()
	out := &outcome{Own: proofingBlock(report, reason)}
	*out.Own.Enrolled = reason == "" && e != nil && e.enrolled
	if report != nil {
		out.Info = extractedFrom(report.Document)
	}
	if reason == "" {
		s.fill(out, v, report, photos, now)
	}
	to := Success
	if reason != "" {
		to = Failed
		if !row(reason).read {
			out.Info = nil // the variant without extractedInfo
		}
		out.Error = errorFor(reason, module, v, now)
	}
	err := s.store.end(ctx, v.ID, to, reason, out, now, eventValidate, func(tx *sql.Tx) error {
		if e == nil {
			return nil
		}
		return s.apply(ctx, tx, v.ID, to, e)
	}, Judging)
	if err == nil {
		s.log.Info("kosmos: judged", "session", s.logName(v.ID), "state", string(to), "reason", reason)
	}
	return err
}

// lost fails a session that can no longer be judged because what it holds
// cannot be read. v may be nil.
func (s *Server) lost(ctx context.Context, id string, v *session, why error) error {
	s.log.Error("kosmos: a session cannot be judged any more", "session", s.logName(id), "error", why)
	now := s.now()
	out := &outcome{Own: proofingBlock(nil, api.ReasonEngineError)}
	if v != nil && v.Request != nil {
		out.Error = errorFor(api.ReasonEngineError, "", v, now)
	}
	return s.store.end(ctx, id, Failed, api.ReasonEngineError, out, now, eventValidate, nil, Judging)
}

// verdict asks the engine for it; live is the sequence where there is one, in
// place of selfies. An empty reason means that everything asked for passed.
func (s *Server) verdict(ctx context.Context, v *session, photos map[string]photo, live *api.Liveness) (*api.Report, string) {
	types := v.Request.DocumentTypes
	if v.Chosen != "" {
		types = []string{v.Chosen}
	}
	front, back := first(photos[sideFront].Images), first(photos[sideBack].Images)
	more := slices.Concat(rest(photos[sideFront].Images), rest(photos[sideBack].Images))
	ask := func(ctx context.Context) (*api.Report, error) {
		if v.Request.Selfie || v.Request.Liveness != api.LivenessNone {
			return s.opt.Engine.Verify(ctx, &api.VerifyRequest{
				DocumentTypes: types, DocumentFront: front, DocumentBack: back, DocumentMore: more,
				Selfies: photos[sideSelfie].Images, LivenessMode: v.Request.Liveness, Liveness: live, Templates: mayEnrol(v),
			})
		}
		return s.opt.Engine.Document(ctx, &api.DocumentRequest{DocumentTypes: types, DocumentFront: front, DocumentBack: back, DocumentMore: more})
	}
	return s.patiently(ctx, v, ask, func(r *api.Report, err error) (string, bool) { return s.weigh(v, r, err) })
}

// patiently asks the engine until it says something final, at most once more
// than there are EngineRetries; then its last answer counts. weigh returns the
// reason, empty for a pass, and whether asking again may help.
func (s *Server) patiently(ctx context.Context, v *session, ask func(context.Context) (*api.Report, error), weigh func(*api.Report, error) (string, bool)) (*api.Report, string) {
	for try := 0; ; try++ {
		report, err := func() (*api.Report, error) {
			ctx, cancel := context.WithTimeout(ctx, s.opt.EngineTimeout)
			defer cancel()
			return ask(ctx)
		}()
		reason, again := weigh(report, err)
		if !again {
			return report, reason
		}
		if try == len(s.opt.EngineRetries) {
			s.log.Warn("kosmos: no verdict", "session", s.logName(v.ID), "reason", reason, "error", err)
			return report, reason
		}
		select {
		case <-ctx.Done():
			return nil, ReasonEngineUnavailable
		case <-time.After(s.opt.EngineRetries[try]):
		}
	}
}

// formatAAMVA is the engine's format of a document that was read from a barcode.
const formatAAMVA = "AAMVA"

// weigh turns an engine's answer into a reason, empty for a pass, and says
// whether asking again may help.
func (s *Server) weigh(v *session, r *api.Report, err error) (reason string, again bool) {
	if err != nil {
		return failure(err)
	}
	if r == nil {
		return api.ReasonEngineError, true
	}
	if r.Verdict != api.Pass || r.Reason != "" {
		switch r.Reason {
		case "":
			return api.ReasonEngineError, true // neither pass nor a reason: not a report
		case api.ReasonEngineBusy, api.ReasonEngineTimeout, api.ReasonEngineError:
			return r.Reason, true
		}
		return r.Reason, false
	}
	// A pass must be one of everything that this session asked for.
	need := []string{api.CheckDocumentType, api.CheckDocumentExpiry, api.CheckDocumentPortrait}
	if r.Document != nil && r.Document.Format == formatAAMVA {
		need = append(need, api.CheckBarcode, api.CheckBarcodeFields)
	} else {
		need = append(need, api.CheckMRZ, api.CheckMRZDigits)
	}
	if v.Request.Selfie {
		need = append(need, api.CheckSelfie, api.CheckFaceMatch)
	}
	need = append(need, livenessChecks(v.Request.Liveness)...)
	for _, name := range need {
		if outcomeOf(r, name) != api.Pass {
			s.log.Error("kosmos: the engine passed without a check", "session", s.logName(v.ID), "check", name)
			return api.ReasonEngineError, false
		}
	}
	if r.Document == nil || len(r.Portrait) == 0 {
		return api.ReasonEngineError, false
	}
	return "", false
}

// failure is the reason for an engine's error, and whether asking again may help.
func failure(err error) (reason string, again bool) {
	var status *api.StatusError
	switch {
	case errors.Is(err, api.ErrUnreachable):
		return ReasonEngineUnavailable, true
	case errors.As(err, &status) && status.Status == http.StatusRequestEntityTooLarge:
		return api.ReasonImageTooLarge, false
	case errors.As(err, &status) && status.Status < 500:
		return api.ReasonEngineError, false // it does not take what we send
	}
	switch reason = api.Reason(err); reason {
	case api.ReasonEngineBusy, api.ReasonEngineTimeout, api.ReasonModelsMissing:
		return reason, true
	}
	return api.ReasonEngineError, true
}

// fill lays out a passed report as the vendor does.
func (s *Server) fill(out *outcome, v *session, r *api.Report, photos map[string]photo, now time.Time) {
	picture := func(side string, edge int) []byte {
		b := first(photos[side].Images)
		if side == sideSelfie && sequenced(v) {
			b = r.Selfie
		}
		if len(b) == 0 {
			return nil
		}
		s.wires.Lock()
		defer s.wires.Unlock()
		b, err := wireImage(b, edge)
		if err != nil {
			// The verdict stands without the picture.
			s.log.Warn("kosmos: no picture in the result", "session", s.logName(v.ID), "side", side, "error", err)
		}
		return b
	}
	out.Document = s.documentFrom(r.Document, picture(sideFront, 1600), picture(sideBack, 1600), r.Portrait, out.Own, now)
	if v.Request.Selfie {
		if face := picture(sideSelfie, 640); face != nil {
			out.LiveID = s.liveIDFrom(v.ID, face)
		}
	}
	if v.Request.Profile == profileV1 {
		out.IAL = assertedLevel(v.Request, r.Document)
	}
}

// proofingBlock is the block of a session that ended, with nobody enrolled.
func proofingBlock(r *api.Report, reason string) own {
	o := ownBlock(r, reason)
	o.Enrolled = new(bool)
	return o
}

func ownBlock(r *api.Report, reason string) own {
	o := own{Reason: reason, Checks: []api.Check{}, Evidence: []api.Evidence{}, Engine: api.Info{Models: []api.Model{}}}
	if r == nil {
		return o
	}
	if r.Checks != nil {
		o.Checks = r.Checks
	}
	if r.Evidence != nil {
		o.Evidence = r.Evidence
	}
	o.Engine, o.Framework = r.Engine, r.Engine.Framework
	if o.Engine.Models == nil {
		o.Engine.Models = []api.Model{}
	}
	return o
}

func first(images [][]byte) []byte {
	if len(images) == 0 {
		return nil
	}
	return images[0]
}

func rest(images [][]byte) [][]byte { return images[min(1, len(images)):] }

// Bounds of a picture that is decoded here. The engine, which has seen it
// before, takes as many pixels and somewhat more memory.
const (
	maxPixels  = 40_000_000
	maxDecoded = 192 << 20 // bytes
)

// wireImage makes the JPEG that a result carries: at most edge pixels wide or
// high, so that a result stays under 1 MB like the published ones, the way up
// that the camera noted, and without metadata, such as where it was taken.
func wireImage(b []byte, edge int) ([]byte, error) {
	cfg, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if cfg.Width < 1 || cfg.Height < 1 || cfg.Width > maxPixels/cfg.Height || int64(cfg.Width)*int64(cfg.Height)*memoryPerPixel(b, cfg.ColorModel) > maxDecoded {
		return nil, errors.New("the picture takes too much memory to decode")
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	from := img.Bounds().Size()
	size := from
	if long := max(size.X, size.Y); long > edge {
		size.X, size.Y = max(1, size.X*edge/long), max(1, size.Y*edge/long)
	}
	// The eight orientations: 5 to 8 swap the sides, four are mirrored in each direction.
	w, h := float64(size.X), float64(size.Y)
	m := f64.Aff3{w / float64(from.X), 0, 0, 0, h / float64(from.Y), 0}
	o := orientation(b)
	if o >= 5 {
		size.X, size.Y, w, h = size.Y, size.X, h, w
		m = f64.Aff3{0, m[4], 0, m[0], 0, 0}
	}
	if slices.Contains([]int{2, 3, 6, 7}, o) {
		m[0], m[1], m[2] = -m[0], -m[1], w
	}
	if slices.Contains([]int{3, 4, 7, 8}, o) {
		m[3], m[4], m[5] = -m[3], -m[4], h
	}
	small := image.NewRGBA(image.Rectangle{Max: size})
	draw.ApproxBiLinear.Transform(small, m, img, img.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, small, &jpeg.Options{Quality: 85}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// memoryPerPixel is how many bytes decoding takes for each pixel, rather too
// many than too few.
func memoryPerPixel(b []byte, model color.Model) int64 {
	if bytes.HasPrefix(b, []byte("\x89PNG")) {
		n := int64(4)
		if model == color.RGBA64Model || model == color.NRGBA64Model || model == color.Gray16Model {
			n = 8
		}
		if len(b) > 28 && b[28] != 0 { // interlaced: passes are held beside the whole
			n *= 2
		}
		return n
	}
	samples, n := int64(3), int64(3)
	switch model {
	case color.GrayModel:
		samples, n = 1, 1
	case color.RGBAModel:
		n = 7 // turned into another form beside the samples
	case color.CMYKModel:
		samples, n = 4, 8 // likewise
	}
	if bytes.Contains(b, []byte{0xff, 0xc2}) { // progressive: all coefficients are held, four bytes each
		n += 4 * samples
	}
	return n
}

// orientation reads the EXIF orientation (1 to 8) of a photo; 1 if it has none.
func orientation(b []byte) int {
	_, tiff, _ := bytes.Cut(b[:min(len(b), 64<<10)], []byte("Exif\x00\x00"))
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for n := order.Uint16(tiff[at:]); n > 0 && len(entries) >= 12; n-- {
		if order.Uint16(entries) == 0x0112 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[12:]
	}
	return 1
}
