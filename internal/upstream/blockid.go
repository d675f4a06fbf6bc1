package upstream

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Workflow says which dvcID verifies which documents with which liveness mode.
// The wire takes neither a liveness mode nor several documents (reference 2.1),
// so that choosing the dvcID is choosing both.
type Workflow struct {
	DVC           string
	DocumentTypes []proof.DocumentType
	Liveness      proof.LivenessMode
}

// BlockID is journey.Upstream over the encrypted platform API.
type BlockID struct {
	connector *Connector
	now       func() time.Time
	workflows []Workflow
	framework string
}

var _ journey.Upstream = (*BlockID)(nil)

// NewBlockID makes an upstream. framework labels claims for which the provider
// names no trust framework itself.
func NewBlockID(connector *Connector, workflows []Workflow, framework string, now func() time.Time) *BlockID {
	return &BlockID{connector: connector, workflows: workflows, framework: framework, now: now}
}

var wireTypes = map[proof.DocumentType]blockid.DocumentType{
	proof.Passport:       blockid.Passport,
	proof.IDCard:         blockid.IDCard,
	proof.DriversLicense: blockid.DriversLicense,
}

func (b *BlockID) Profile() string    { return "blockid" }
func (b *BlockID) ChoiceNeeded() bool { return true }

func (b *BlockID) Supports(t proof.DocumentType, m proof.LivenessMode) bool {
	return b.dvc(t, m) != ""
}

func (b *BlockID) dvc(t proof.DocumentType, m proof.LivenessMode) string {
	for _, w := range b.workflows {
		if w.Liveness == m && slices.Contains(w.DocumentTypes, t) {
			return w.DVC
		}
	}
	return ""
}

// Start opens a session. The names that the caller expects go along, because
// 1Kosmos compares them with the document itself.
func (b *BlockID) Start(ctx context.Context, r journey.StartUpstream) (journey.UpstreamSession, error) {
	dvc := b.dvc(r.DocumentType, r.Liveness)
	if dvc == "" {
		return journey.UpstreamSession{}, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamRejected, Message: "no workflow is configured for this document and liveness mode"}
	}
	client, err := b.connector.client(ctx)
	if err != nil {
		return journey.UpstreamSession{}, err
	}
	s, err := client.CreateIDV(ctx, blockid.IDVRequest{
		DVCID: dvc, DocumentType: wireTypes[r.DocumentType],
		User: blockid.IDVUser{
			Username: r.Request.UserIdentifier, FirstName: r.Request.Expected.GivenName,
			LastName: r.Request.Expected.FamilyName, UID: r.Verification,
		},
	})
	if err != nil {
		return journey.UpstreamSession{}, translate(err)
	}
	return journey.UpstreamSession{SessionID: s.ID, DVC: dvc, URL: s.URL}, nil
}

// Poll reads the session's result.
func (b *BlockID) Poll(ctx context.Context, up proof.Upstream) (journey.Progress, error) {
	client, err := b.connector.client(ctx)
	if err != nil {
		return journey.Progress{}, err
	}
	r, err := client.IDVResult(ctx, up.DVC, up.SessionID)
	if err != nil {
		return journey.Progress{}, translate(err)
	}
	x, broken := readExtension(r.Extra)
	if broken != nil && r.Status == blockid.StatusSuccess {
		return journey.Progress{}, broken
	}
	outcome, err := b.outcome(r, x)
	if err != nil {
		return journey.Progress{}, err
	}
	if r.Status == blockid.StatusSuccess && r.Document == nil {
		return journey.Progress{}, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed, Message: "1Kosmos said success and sent no document"}
	}
	p := progress{Outcome: outcome}
	if err := p.settle(r.Status, x, reasonOf(r, x)); err != nil {
		return journey.Progress{}, err
	}
	return journey.Progress(p), nil
}

// progress is journey.Progress while it is being made out of an answer.
type progress journey.Progress

// settle says what the client's status means. x is the answer's block, if it has
// one; failed is why, if it means failure.
func (p *progress) settle(s blockid.Status, x *extension, failed proof.Reason) error {
	switch s {
	case blockid.StatusPending:
		p.Status = proof.InProgress
	case blockid.StatusSuccess:
		p.Status = proof.Verified
		p.believe(x)
	case blockid.StatusFailed:
		p.Status, p.Reason = proof.Failed, failed
	case blockid.StatusExpired:
		p.Status, p.Reason = proof.Expired, proof.ReasonTimeLimit
	case blockid.StatusAbandoned:
		p.Status, p.Reason = proof.Abandoned, proof.ReasonAbandoned
	default:
		return &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamUnknown, Message: "1Kosmos answered a state that we do not know"}
	}
	return nil
}

// believe takes back a success that contradicts itself: by a check that failed or
// could not tell, or by a reason against it in its own block.
func (p *progress) believe(x *extension) {
	if x != nil && x.Reason != "" || slices.ContainsFunc(p.Outcome.Checks, func(c proof.Check) bool { return c.Outcome != proof.CheckPass }) {
		p.Status, p.Reason, p.Asserted = proof.Failed, cmp.Or(x.reason(), proof.ReasonProviderRejected), journey.Assertion{}
	}
}

// reasonOf finds the most exact reason. The catalogue of IDV codes is known by
// name and by the texts that 1Kosmos' own app shows for them (reference 2.7).
func reasonOf(r *blockid.IDVResult, x *extension) proof.Reason {
	if reason := x.reason(); reason != "" {
		return reason
	}
	if r.Failure == nil {
		return proof.ReasonProviderRejected
	}
	switch r.Failure.Code {
	case blockid.ReasonCapture:
		return proof.ReasonCaptureFailed
	case blockid.ReasonInvalid:
		return proof.ReasonDocumentInvalid
	case blockid.ReasonUnsupported, blockid.ReasonUnsupported2:
		return proof.ReasonDocumentUnsupported
	case blockid.ReasonExpired:
		return proof.ReasonDocumentExpired
	case blockid.ReasonRetries:
		return proof.ReasonRetriesExhausted
	case blockid.ReasonMismatch:
		// Seen for the comparison of names; the text names the module.
		if strings.Contains(r.Failure.Message, "name check") {
			return proof.ReasonExpectedMismatch
		}
		return proof.ReasonDocumentNotVerified
	case "IDV0002", "IDV0003", "IDV0004", "IDV0008", "IDV0009", "IDV0012":
		return proof.ReasonDocumentNotVerified
	default:
		return proof.ReasonProviderRejected
	}
}

func (b *BlockID) outcome(r *blockid.IDVResult, x *extension) (proof.Outcome, error) {
	o := proof.Outcome{Framework: b.framework}
	if d := r.Document; d != nil {
		o.Claims = claims(d, r.RequestedType)
		o.Evidence = []proof.Evidence{{Type: "document", DocumentType: o.Claims.DocumentType, Country: d.Country}}
		if d.ProofJWT != "" {
			var err error
			if o.Checks, err = proofChecks(d.ProofJWT); err != nil {
				return o, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed, Message: "1Kosmos sent a proof that cannot be read"}
			}
		}
	}
	if x != nil {
		o.Evidence = nil
		x.outcome(&o)
	}
	return o, nil
}

// proofChecks lists the yes-or-no checks of a proof JWT. We cannot verify its
// signature (HS256, and the key is 1Kosmos' own): it is believed because it came
// in a sealed answer.
func proofChecks(jwt string) ([]proof.Check, error) {
	p, err := blockid.ParseUnverifiedProof(jwt)
	if err != nil {
		return nil, err
	}
	var list []proof.Check
	for name, result := range p.Results {
		outcome := proof.CheckFail
		if result.Verified {
			outcome = proof.CheckPass
		}
		list = append(list, proof.Check{Name: name, Outcome: outcome})
	}
	slices.SortFunc(list, func(a, b proof.Check) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func claims(d *blockid.Document, requested blockid.DocumentType) proof.Claims {
	c := proof.Claims{
		GivenName: first(d.GivenName, d.FirstName), FamilyName: first(d.FamilyName, d.LastName),
		BirthDate: date(d.DateOfBirth), Gender: map[string]string{"1": "female", "2": "male"}[d.Gender],
		DocumentNumber: d.DocumentID, IssuingCountry: d.Country, IssueDate: date(d.IssueDate), ExpiryDate: date(d.ExpiryDate),
	}
	for ours, wire := range wireTypes {
		if wire == requested {
			c.DocumentType = ours
		}
	}
	return c
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// date turns the wire's YYYYMMDD into YYYY-MM-DD; anything else is dropped.
func date(s string) string {
	t, err := time.Parse("20060102", s)
	if err != nil {
		return ""
	}
	return t.Format(time.DateOnly)
}

// Assurance reads the user's level. A user that 1Kosmos does not know has none.
func (b *BlockID) Assurance(ctx context.Context, userIdentifier string) (journey.Assertion, error) {
	client, err := b.connector.client(ctx)
	if err != nil {
		return journey.Assertion{}, err
	}
	ial, err := client.IAL(ctx, userIdentifier)
	if blockid.KindOf(err) == blockid.KindNotFound {
		return journey.Assertion{}, nil
	}
	if err != nil {
		return journey.Assertion{}, translate(err)
	}
	// What the local 1Kosmos asserts of a person whom only its own engine verified
	// is no level of 1Kosmos'; and which it is, a broken block does not say.
	x, broken := readExtension(ial.Extra)
	if broken != nil {
		return journey.Assertion{}, broken
	}
	if x != nil && x.Assessed != nil && !*x.Assessed {
		return journey.Assertion{}, nil
	}
	return assertion(ial.At(b.now())), nil
}

// assertion passes on what 1Kosmos asserts; LevelNone asserts nothing.
func assertion(l blockid.Level, until time.Time) journey.Assertion {
	if l == blockid.LevelNone {
		return journey.Assertion{}
	}
	return journey.Assertion{Level: l.String(), ExpiresAt: until}
}
