package kosmos_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// person is somebody in front of the camera with a document. The texts stand for
// the faces: "anna" is like "anna/2", nothing is like "anna/unlike" but itself, and
// "anna/aged" is like portraits of anna, whose names begin with "anna/p".
type person struct {
	front, selfie   []byte
	face, portrait  string
	number, surname string
}

var shade uint8

// somebody makes a person with photos of their own.
func somebody(face, portrait, number, surname string) *person {
	shade += 3
	return &person{
		front: photo(160, 100, color.RGBA{shade, 200, 190, 255}), selfie: photo(80, 100, color.RGBA{shade, 120, 100, 255}),
		face: face, portrait: portrait, number: number, surname: surname,
	}
}

// crowd is an engine that knows people by their photos and compares for real
// what stands for their faces.
type crowd struct {
	engine
	people []*person
}

func newCrowd(people ...*person) *crowd {
	c := &crowd{people: people}
	c.verify = func(r *api.VerifyRequest) (*api.Report, error) {
		p := c.of(r.DocumentFront)
		if p == nil || !bytes.Equal(r.Selfies[0], p.selfie) {
			return refused(api.ReasonFaceMismatch, api.Fail), nil
		}
		rep := p.report()
		if r.Templates {
			rep.Templates = &api.Templates{Selfie: []byte("template of " + p.face), Portrait: []byte("template of " + p.portrait)}
		}
		return rep, nil
	}
	c.document = func(r *api.DocumentRequest) (*api.Report, error) { return c.of(r.DocumentFront).report(), nil }
	c.match = func(r *api.MatchRequest) (*api.Report, error) { return compareFaces(r), nil }
	return c
}

func (c *crowd) of(front []byte) *person {
	for _, p := range c.people {
		if bytes.Equal(p.front, front) {
			return p
		}
	}
	return nil
}

func (p *person) report() *api.Report {
	r := passed()
	r.Document.Number, r.Document.Surname = p.number, p.surname
	return r
}

func compareFaces(r *api.MatchRequest) *api.Report {
	if len(r.Selfies) > 0 || len(r.Probes) != 1 || len(r.References) != 1 || r.LivenessMode != api.LivenessNone {
		return matched(api.Fail, api.ReasonInvalidRequest)
	}
	a, b := string(r.Probes[0]), string(r.References[0])
	who := func(s string) string { name, _, _ := strings.Cut(s, "/"); return name }
	switch {
	case strings.Contains(a+b, "/aged") && !strings.Contains(a+b, "/p"):
		return matched(api.Fail, api.ReasonFaceMismatch)
	case strings.Contains(a+b, "/foreign"):
		return matched(api.CannotTell, api.ReasonTemplateForeign)
	case strings.Contains(a+b, "/blurred"):
		return matched(api.CannotTell, api.ReasonFaceUncertain)
	case a == b, who(a) == who(b) && !strings.Contains(a+b, "/unlike"):
		return matched(api.Pass, "")
	}
	return matched(api.Fail, api.ReasonFaceMismatch)
}

// proof runs a session for a user to its end and returns the block "kosmoscope".
type proofBlock struct {
	Reason   string
	Enrolled *bool
}

func (b proofBlock) enrolled() bool { return b.Enrolled != nil && *b.Enrolled }

// dvcV1 is the Bearer profile, which has none.
const dvcV1 = "/v1"

func (s *server) capture(dvc, username string, p *person, tick bool) string {
	s.t.Helper()
	var id string
	if dvc == dvcV1 {
		id = s.createV1(username)
	} else {
		id = s.create(dvc, "ppt_object", map[string]string{"username": username})
	}
	fields := ""
	if tick {
		fields = "enrol=yes"
	}
	if a := s.act(id, "start", strings.NewReader(fields), "application/x-www-form-urlencoded"); a.State != "started" {
		s.t.Fatalf("start: %+v", a)
	}
	a := s.upload(id, "front", p.front)
	if dvc != "document-only" {
		a = s.upload(id, "selfie", p.selfie)
	}
	if a.State != "captured" {
		s.t.Fatalf("captured: %+v", a)
	}
	return id
}

// createV1 makes a session of the Bearer profile; username may be empty.
func (s *server) createV1(username string) string {
	s.t.Helper()
	body, _ := json.Marshal(map[string]any{
		"document_types": []string{"passport"}, "liveness_mode": "none", "metadata": map[string]string{"username": username},
	})
	r := s.v1("POST", "/v1/verify/sessions", string(body))
	id, _ := r.json(s.t)["session_id"].(string)
	if r.status != 201 || id == "" {
		s.t.Fatalf("create: %d %s", r.status, r.body)
	}
	return id
}

func (s *server) proofFor(dvc, username string, p *person, tick bool) (state string, b proofBlock) {
	s.t.Helper()
	id := s.capture(dvc, username, p, tick)
	if a := s.act(id, "submit", nil, ""); a.status != 200 {
		s.t.Fatalf("submit: %+v", a)
	}
	s.WaitJudged()
	return s.verdict(dvc, id)
}

func (s *server) verdict(dvc, id string) (state string, b proofBlock) {
	s.t.Helper()
	var r struct {
		SessionResult string
		Status        string     // of /v1
		Own           proofBlock `json:"kosmoscope"`
	}
	body := []byte(nil)
	if dvc == dvcV1 {
		body = s.v1("GET", "/v1/verify/sessions/"+id+"/status", "").body
	} else {
		body = s.result("v3", dvc, id)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		s.t.Fatal(err)
	}
	if dvc == dvcV1 {
		r.SessionResult = map[string]string{"completed": "SUCCESS", "failed": "FAILED"}[r.Status]
	}
	return r.SessionResult, r.Own
}

// rows is what a table holds, byte for byte.
func (s *server) rows(query string) string {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.opt.DataDir, "kosmos.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	var all strings.Builder
	for rows.Next() {
		values, to := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			s.t.Fatal(err)
		}
		for i, v := range values {
			fmt.Fprintf(&all, "%s=%x ", columns[i], []byte(v))
		}
		all.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all.String()
}

const walletRows = `SELECT * FROM wallets ORDER BY uid`

func (s *server) events(id string) string {
	s.t.Helper()
	all, err := s.Events(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

func (s *server) audit(username string) string {
	s.t.Helper()
	all, err := s.Directory().Audit(s.t.Context(), username)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Actor+" "+r.Action+" "+r.Reason)
	}
	return strings.Join(names, "; ")
}

// sealedGet asks the admin console for something and opens the answer.
func (s *server) sealedGet(method, path, body string) (int, []byte) {
	s.t.Helper()
	k := s.shared("community")
	h := s.headers(k)
	h["X-TenantTag"] = "kosmoscope"
	r := s.send(method, path, strings.NewReader(body), h)
	var sealed map[string]string
	if r.status != 200 || json.Unmarshal(r.body, &sealed) != nil || len(sealed) != 1 {
		return r.status, r.body
	}
	plain, err := k.Open(sealed["data"])
	if err != nil {
		s.t.Fatal(err)
	}
	return 200, plain
}

func TestEnrolment(t *testing.T) {
	dora := somebody("dora", "dora/portrait", "D1", "DORN")
	dir := t.TempDir()
	s := start(t, newCrowd(dora), func(o *kosmos.Options) { o.DataDir = dir })

	if _, _, _, err := s.Wallet(t.Context(), "dora"); !errors.Is(err, kosmos.ErrNoUser) {
		t.Errorf("before: %v", err)
	}
	// Without the tick she is verified and known, and no more.
	if state, b := s.proofFor("default", "dora", dora, false); state != "SUCCESS" || b.Enrolled == nil || *b.Enrolled {
		t.Fatalf("without the tick: %s %+v", state, b)
	}
	if _, _, _, err := s.Wallet(t.Context(), "dora"); !errors.Is(err, kosmos.ErrNotEnrolled) {
		t.Errorf("without the tick: %v", err)
	}
	status, ial := s.sealedGet("GET", "/api/r1/community/default/userid/dora/ial", "")
	if status != 200 || !strings.Contains(string(ial), `"did":{}`) || strings.Contains(string(ial), "kosmoscope") {
		t.Errorf("without the tick: %d %s", status, ial)
	}

	id := s.capture("default", "dora", dora, true)
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	if state, b := s.verdict("default", id); state != "SUCCESS" || !b.enrolled() {
		t.Fatalf("with the tick: %s %+v", state, b)
	}
	if got := s.events(id); !strings.Contains(got, "E_IDV_DOCUMENTINSTRUCTION KOSMOSCOPE_ENROLMENT_CONSENT") || !strings.HasSuffix(got, "E_IDV_DOCUMENT_VALIDATE KOSMOSCOPE_ENROLMENT_CREATED") {
		t.Errorf("events: %s", got)
	}
	did, key, faces, err := s.Wallet(t.Context(), "dora")
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(did) || len(faces) != 2 || string(faces[0]) != "template of dora" || string(faces[1]) != "template of dora/portrait" {
		t.Fatalf("wallet: %s %q %v", did, faces, err)
	}
	users, err := s.Directory().Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(users, func(u kosmos.UserInfo) bool { return u.Username == "dora" })
	if u := users[i]; len(users) != 4 || !u.Enrolled || u.DID != did || u.Consent != kosmos.EnrolConsentVersion || !u.Consented.Equal(s.clock.now().Truncate(time.Millisecond)) || u.Updated.IsZero() {
		t.Errorf("%d users, %+v", len(users), u)
	}
	uid := users[i].UID
	replace := []string{did, "DID", uid, "UID", s.dns, "DNS"}
	_, ial = s.sealedGet("GET", "/api/r1/community/default/userid/DORA/ial", "") // case is nothing
	golden(t, "ial_enrolled", ial, replace...)

	// What the sweep does to the session leaves the wallet alone.
	s.clock.add(40 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.rows(`SELECT * FROM consents`) + s.rows(`SELECT * FROM sessions`); got != "" {
		t.Errorf("left of the sessions: %s", got)
	}
	s.stop()

	// A restart keeps everything.
	s = start(t, newCrowd(dora), func(o *kosmos.Options) { o.DataDir = dir })
	if did2, key2, faces2, err := s.Wallet(t.Context(), "Dora"); err != nil || did2 != did || key2 != key || len(faces2) != 2 {
		t.Fatalf("after the restart: %s %v", did2, err)
	}
	if _, b := s.proofFor("default", "dora", dora, false); !b.enrolled() {
		t.Error("without another tick she is not enrolled any more")
	}
}

// Who may go on, and who may replace, once anna is enrolled.
func TestEnrolmentConflict(t *testing.T) {
	anna := somebody("anna", "anna/portrait", "A1", "ANNASON")
	for name, test := range map[string]struct {
		who      *person
		as       string // username, default anna
		dvc      string
		untick   bool
		state    string
		reason   string
		enrolled bool   // as the result says
		face     string // enrolled afterwards, default anna's
	}{
		"the same again":                      {who: anna, state: "SUCCESS", enrolled: true},
		"another document":                    {who: somebody("anna/2", "anna/p2", "A2", "ANNASON"), state: "SUCCESS", enrolled: true, face: "anna/2"},
		"another name and document":           {who: somebody("anna/3", "anna/p3", "A3", "MARRIED"), state: "SUCCESS", enrolled: true, face: "anna/3"},
		"another document, no tick":           {who: somebody("anna/2", "anna/p2", "A2", "ANNASON"), untick: true, state: "SUCCESS", enrolled: true},
		"aged, same document and portrait":    {who: somebody("anna/aged", "anna/p4", "A1", "ANNASON"), state: "SUCCESS", enrolled: true, face: "anna/aged"},
		"aged, same document, no tick":        {who: somebody("anna/aged", "anna/p4", "A1", "ANNASON"), untick: true, state: "SUCCESS", enrolled: true},
		"aged, same portrait, other number":   {who: somebody("anna/aged", "anna/p4", "A9", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"aged, same portrait, other name":     {who: somebody("anna/aged", "anna/p4", "A1", "MARRIED"), state: "FAILED", reason: "enrolment_conflict"},
		"aged, same document, other portrait": {who: somebody("anna/aged", "eve/p4", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"unlike, same document and portrait":  {who: somebody("anna/unlike", "anna/p4", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"unclear, same document and portrait": {who: somebody("anna/blurred", "anna/p4", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"somebody else, own passport":         {who: somebody("eve", "eve/portrait", "E1", "EVESON"), state: "FAILED", reason: "enrolment_conflict"},
		"somebody else, no tick":              {who: somebody("eve", "eve/portrait", "E1", "EVESON"), untick: true, state: "FAILED", reason: "enrolment_conflict"},
		"somebody else, other spelling":       {who: somebody("eve", "eve/portrait", "E1", "EVESON"), as: "ANNA", state: "FAILED", reason: "enrolment_conflict"},
		"somebody else in her document":       {who: somebody("eve", "eve/portrait", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"same document, portrait unclear":     {who: somebody("eve", "eve/blurred", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"aged, number not read":               {who: somebody("anna/aged", "anna/p4", "", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"templates of other models":           {who: somebody("anna/foreign", "anna/foreign", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"nobody can tell":                     {who: somebody("anna/blurred", "anna/blurred", "A1", "ANNASON"), state: "FAILED", reason: "enrolment_conflict"},
		"document only, hers":                 {who: anna, dvc: "document-only", state: "SUCCESS", enrolled: true},
		"document only, another":              {who: somebody("anna/2", "anna/p2", "A2", "ANNASON"), dvc: "document-only", state: "FAILED", reason: "enrolment_conflict"},
	} {
		for _, dvc := range []string{cmp.Or(test.dvc, "default"), dvcV1} {
			if test.dvc != "" && dvc == dvcV1 {
				continue // that profile always takes a selfie
			}
			name := dvc + ": " + name
			t.Run(name, func(t *testing.T) {
				s := start(t, newCrowd(anna, test.who), nil)
				if state, b := s.proofFor("default", "anna", anna, true); state != "SUCCESS" || !b.enrolled() {
					t.Fatalf("anna: %s %+v", state, b)
				}
				did, key, _, _ := s.Wallet(t.Context(), "anna")
				before := s.rows(walletRows)
				state, b := s.proofFor(dvc, cmp.Or(test.as, "anna"), test.who, !test.untick)
				if state != test.state || b.Reason != test.reason || b.enrolled() != test.enrolled || b.Enrolled == nil {
					t.Errorf("%s %+v", state, b)
				}
				did2, key2, faces, err := s.Wallet(t.Context(), "anna") // can still answer
				if err != nil || did2 != did || key2 != key || string(faces[0]) != "template of "+cmp.Or(test.face, "anna") {
					t.Errorf("wallet afterwards: %q %v", faces, err)
				}
				replaced := test.state == "SUCCESS" && !test.untick && test.dvc == ""
				if same := s.rows(walletRows) == before; same == replaced {
					t.Errorf("the wallet is the same byte for byte: %v", same)
				}
				last := s.audit("anna")
				switch {
				case replaced && !strings.HasSuffix(last, "; session enrolment_replaced "),
					test.reason != "" && !strings.HasSuffix(last, "; session enrolment_conflict "),
					!replaced && test.reason == "" && last != "session enrolment_created ":
					t.Errorf("audit: %s", last)
				}
			})
		}
	}
}

// Two documents whose numbers were not read are not one document.
func TestEnrolmentWithoutNumber(t *testing.T) {
	anna, aged := somebody("anna", "anna/p", "", "ANNASON"), somebody("anna/aged", "anna/p", "", "ANNASON")
	s := start(t, newCrowd(anna, aged), nil)
	if _, b := s.proofFor("default", "anna", anna, true); !b.enrolled() {
		t.Fatalf("%+v", b)
	}
	if state, b := s.proofFor("default", "anna", aged, true); state != "FAILED" || b.Reason != "enrolment_conflict" {
		t.Errorf("%s %+v", state, b)
	}
}

// Records of the tenant have a person by the name: nobody else gets her level.
func TestEnrolSeeded(t *testing.T) {
	anna, eve := somebody("anna", "anna/p", "A1", "ERIKSSON"), somebody("eve", "eve/p", "E1", "EVESON")
	s := start(t, newCrowd(anna, eve), nil)
	_, before := s.sealedGet("GET", "/api/r1/community/default/userid/ada/ial", "")
	if _, _, _, err := s.Wallet(t.Context(), "ada"); !errors.Is(err, kosmos.ErrNotEnrolled) {
		t.Errorf("ada has a wallet here: %v", err)
	}
	if state, b := s.proofFor("default", "ada", eve, true); state != "FAILED" || b.Reason != "enrolment_conflict" || b.enrolled() {
		t.Errorf("somebody else: %s %+v", state, b)
	}
	if state, b := s.proofFor("default", "ada", anna, true); state != "SUCCESS" || !b.enrolled() {
		t.Errorf("herself: %s %+v", state, b)
	}
	did, _, _, err := s.Wallet(t.Context(), "ada")
	_, after := s.sealedGet("GET", "/api/r1/community/default/userid/ada/ial", "")
	if err != nil || !strings.Contains(string(before), `"`+did+`"`) || !strings.Contains(string(after), `"`+did+`":{"value":"IAL2"`) || strings.Contains(string(after), "kosmoscope") {
		t.Errorf("%s %v\n%s", did, err, after)
	}
}

// An engine that passes without what a comparison rests on is no pass; one that
// cannot be asked is asked again, and then the session fails. Nothing changes.
func TestEnrolmentNeedsTheEngine(t *testing.T) {
	anna := somebody("anna", "anna/p", "A1", "ANNASON")
	report := func(change func(*api.Report)) func(*api.MatchRequest) (*api.Report, error) {
		return func(r *api.MatchRequest) (*api.Report, error) { rep := compareFaces(r); change(rep); return rep, nil }
	}
	busy := 0
	for name, test := range map[string]struct {
		match     func(*api.MatchRequest) (*api.Report, error)
		verify    func(*api.Report)
		reason    string
		questions int
	}{
		"down":              {match: func(*api.MatchRequest) (*api.Report, error) { return nil, errDown }, reason: "engine_unavailable", questions: 3},
		"nothing":           {match: func(*api.MatchRequest) (*api.Report, error) { return nil, nil }, reason: "engine_error", questions: 3},
		"no check":          {match: report(func(r *api.Report) { r.Checks = nil }), reason: "engine_error", questions: 1},
		"failed check":      {match: report(func(r *api.Report) { r.Checks[0].Outcome = api.CannotTell }), reason: "engine_error", questions: 1},
		"pass with reason":  {match: report(func(r *api.Report) { r.Reason = "engine_timeout" }), reason: "engine_timeout", questions: 3},
		"no models":         {match: report(func(r *api.Report) { r.Verdict, r.Reason = api.CannotTell, "engine_models_missing" }), reason: "engine_models_missing", questions: 3},
		"unknown reason":    {match: report(func(r *api.Report) { r.Verdict, r.Reason = api.Fail, "made_up" }), reason: "engine_error", questions: 3},
		"refused":           {match: func(*api.MatchRequest) (*api.Report, error) { return nil, &api.StatusError{Status: 400} }, reason: "engine_error", questions: 1},
		"no templates":      {verify: func(r *api.Report) { r.Templates = nil }, reason: "engine_error"},
		"half the template": {verify: func(r *api.Report) { r.Templates.Portrait = nil }, reason: "engine_error"},
		"busy once": {match: func(r *api.MatchRequest) (*api.Report, error) {
			if busy++; busy == 1 {
				return nil, &api.StatusError{Status: 503, Problem: api.Problem{Reason: api.ReasonEngineBusy}}
			}
			return compareFaces(r), nil
		}, questions: 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(anna)
			s := start(t, c, nil)
			s.proofFor("default", "anna", anna, true)
			before := s.rows(walletRows)
			asked := 0
			if test.match != nil {
				c.match = func(r *api.MatchRequest) (*api.Report, error) { asked++; return test.match(r) }
			}
			if verify := c.verify; test.verify != nil {
				c.verify = func(r *api.VerifyRequest) (*api.Report, error) {
					rep, err := verify(r)
					test.verify(rep)
					return rep, err
				}
			}
			state, b := s.proofFor("default", "anna", anna, true)
			if (state == "SUCCESS") != (test.reason == "") || b.Reason != test.reason || asked != test.questions {
				t.Errorf("%s %+v after %d questions", state, b, asked)
			}
			if same := s.rows(walletRows) == before; same != (test.reason != "") {
				t.Errorf("the wallet is the same: %v", same)
			}
			if strings.Contains(s.audit("anna"), "conflict") {
				t.Error("what the engine could not do is a conflict")
			}
		})
	}
}

// A template that does not open again is no reason to enrol anew.
func TestEnrolmentUnreadable(t *testing.T) {
	anna := somebody("anna", "anna/p", "A1", "ANNASON")
	for _, spoiled := range []string{`UPDATE wallets SET faces = x'00'`, `UPDATE wallets SET key = x'00'`, `UPDATE users SET data_key = x'00'`} {
		s := start(t, newCrowd(anna), nil)
		s.proofFor("default", "anna", anna, true)
		spoil(t, s, spoiled)
		before := s.rows(walletRows)
		if state, b := s.proofFor("default", "anna", anna, true); state != "FAILED" || b.Reason != "engine_error" || b.enrolled() {
			t.Errorf("%s: %s %+v", spoiled, state, b)
		}
		if s.rows(walletRows) != before {
			t.Errorf("%s: the wallet changed", spoiled)
		}
	}
}

// Sessions of one user that end at the same time enrol one person.
func TestConcurrentEnrolment(t *testing.T) {
	var people []*person
	for i := range 4 {
		people = append(people, somebody(fmt.Sprint("face", i), fmt.Sprint("face", i, "/p"), fmt.Sprint("N", i), "NAME"))
	}
	c := newCrowd(people...)
	s := start(t, c, nil)
	for round := range 6 {
		name := fmt.Sprint("user", round)
		ids := map[string]*person{}
		for _, p := range people {
			ids[s.capture("default", name, p, true)] = p
		}
		var go_ sync.WaitGroup
		for id := range ids {
			go_.Go(func() { s.act(id, "submit", nil, "") })
		}
		go_.Wait()
		s.WaitJudged()
		_, _, faces, err := s.Wallet(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		won := 0
		for id, p := range ids {
			state, b := s.verdict("default", id)
			mine := string(faces[0]) == "template of "+p.face
			if mine {
				won++
			}
			if mine != (state == "SUCCESS") || mine != b.enrolled() || !mine && b.Reason != "enrolment_conflict" {
				t.Errorf("%s: enrolled %v, %s %+v", name, mine, state, b)
			}
		}
		if won != 1 {
			t.Errorf("%s: %d people enrolled", name, won)
		}
	}
}

// While a session compares with a wallet, that wallet goes and another person's
// comes: what the comparison said is worth nothing.
func TestEnrolmentMoves(t *testing.T) {
	anna, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	c := newCrowd(anna, eve)
	s := start(t, c, nil)
	s.proofFor("default", "anna", anna, true)

	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.match = func(r *api.MatchRequest) (*api.Report, error) {
		once.Do(func() { close(asked); <-answer })
		return compareFaces(r), nil
	}
	id := s.capture("default", "anna", anna, true)
	s.act(id, "submit", nil, "")
	<-asked
	if err := s.Directory().ClearEnrolment(t.Context(), "anna", "ticket 7"); err != nil {
		t.Fatal(err)
	}
	other := s.capture("default", "anna", eve, true)
	s.act(other, "submit", nil, "")
	for s.state("default", other) == "INPROGRESS" {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	close(answer)
	s.WaitJudged()
	if state, b := s.verdict("default", id); state != "FAILED" || b.Reason != "enrolment_conflict" {
		t.Errorf("%s %+v", state, b)
	}
	if _, _, faces, err := s.Wallet(t.Context(), "anna"); err != nil || string(faces[0]) != "template of eve" {
		t.Errorf("%q %v", faces, err)
	}
}

// The operator's functions work beside the running server.
func TestOperator(t *testing.T) {
	ctx := t.Context()
	anna, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	s := start(t, newCrowd(anna, eve), nil)
	s.proofFor("default", "anna", anna, true)
	s.proofFor("default", "anna", eve, true)
	s.proofFor("default", "anna", eve, true)
	did, key, _, _ := s.Wallet(ctx, "anna")

	if _, err := kosmos.OpenDirectory(ctx, t.TempDir(), nil); err == nil {
		t.Error("opened an empty directory")
	}
	d, err := kosmos.OpenDirectory(ctx, s.opt.DataDir, s.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	anna_ := func() kosmos.UserInfo {
		t.Helper()
		users, err := d.Users(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(users, func(u kosmos.UserInfo) bool { return u.Username == "anna" })
		return users[i]
	}
	if u := anna_(); u.Conflicts != 2 || !u.Enrolled || u.Disabled || u.DID != did {
		t.Errorf("%+v", u)
	}
	for name, err := range map[string]error{
		"no reason":    d.SetDisabled(ctx, "anna", true, "  "),
		"long reason":  d.SetDisabled(ctx, "anna", true, strings.Repeat("x", 501)),
		"unknown":      d.SetDisabled(ctx, "nobody", true, "x"),
		"bad name":     d.SetDisabled(ctx, "\xff", true, "x"),
		"not enrolled": d.ClearEnrolment(ctx, "cora", "x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := s.audit("anna"); got != "session enrolment_created ; session enrolment_conflict ; session enrolment_conflict " {
		t.Errorf("audit: %s", got)
	}

	if err := d.SetDisabled(ctx, "ANNA", true, "left the company"); err != nil {
		t.Fatal(err)
	}
	before := s.rows(walletRows)
	if _, _, _, err := s.Wallet(ctx, "anna"); !errors.Is(err, kosmos.ErrDisabled) {
		t.Errorf("disabled: %v", err)
	}
	if state, b := s.proofFor("default", "anna", anna, true); state != "FAILED" || b.Reason != "user_disabled" || b.enrolled() {
		t.Errorf("disabled: %s %+v", state, b)
	}
	if status, _ := s.sealedGet("GET", "/api/r1/community/default/userdid/"+did+"/userinfo", ""); status != 404 {
		t.Errorf("user info of a disabled user: %d", status)
	}
	if err := d.SetDisabled(ctx, "anna", false, "came back"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Wallet(ctx, "anna"); err != nil || s.rows(walletRows) != before {
		t.Errorf("enabled again: %v", err)
	}

	dataKey := s.rows(`SELECT data_key FROM users WHERE uid = '` + anna_().UID + `'`)
	if err := d.ClearEnrolment(ctx, "anna", "seen in person"); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.Wallet(ctx, "anna"); !errors.Is(err, kosmos.ErrNotEnrolled) || s.rows(walletRows) != "" {
		t.Errorf("cleared: %v", err)
	}
	if s.rows(`SELECT data_key FROM users WHERE uid = '`+anna_().UID+`'`) == dataKey {
		t.Error("the data key stays")
	}
	if status, body := s.sealedGet("GET", "/api/r1/community/default/userid/anna/ial", ""); !strings.Contains(string(body), `"did":{}`) {
		t.Errorf("cleared: %d %s", status, body)
	}
	if state, b := s.proofFor("default", "anna", eve, true); state != "SUCCESS" || !b.enrolled() {
		t.Errorf("after the conflict was ended: %s %+v", state, b)
	}
	if did2, key2, _, err := s.Wallet(ctx, "anna"); err != nil || did2 == did || key2 == key {
		t.Errorf("the new wallet has the old DID or key: %v", err)
	}
	if u := anna_(); u.Conflicts != 0 {
		t.Errorf("%+v", u)
	}
	want := "session enrolment_created ; session enrolment_conflict ; session enrolment_conflict ; operator user_disabled left the company; " +
		"operator user_enabled came back; operator enrolment_cleared seen in person; session enrolment_created "
	if got := s.audit("anna"); got != want {
		t.Errorf("audit: %s", got)
	}
	if err := s.Directory().SetDisabled(ctx, "bob", true, "seeded users too"); err != nil {
		t.Fatal(err)
	}
}

// The box is offered where it means something, never ticked, and nowhere else does it count.
func TestEnrolBox(t *testing.T) {
	anna := somebody("anna", "anna/p", "A1", "ERIKSSON")
	s := start(t, newCrowd(anna), nil)
	user := map[string]string{"username": "anna"}
	for name, test := range map[string]struct {
		id    string
		shown bool
	}{
		"user and selfie": {s.create("default", "ppt_object", user), true},
		"nobody":          {s.create("default", "ppt_object", map[string]string{"firstname": "Anna"}), false},
		"/v1, user":       {s.createV1("anna"), true},
		"/v1, nobody":     {s.createV1(""), false},
		"no selfie":       {s.create("document-only", "ppt_object", user), false},
	} {
		r := s.send("GET", "/idproofing/session/"+test.id, nil, nil)
		box := regexp.MustCompile(`<input[^>]*name="enrol"[^>]*>`).FindString(string(r.body))
		if (box != "") != test.shown || strings.Contains(box, "checked") || strings.Contains(box, "required") {
			t.Errorf("%s: %q", name, box)
		}
		a := s.act(test.id, "start", strings.NewReader("enrol=yes"), "application/x-www-form-urlencoded")
		if a.State != "started" || strings.Contains(s.events(test.id), "ENROLMENT_CONSENT") != test.shown {
			t.Errorf("%s: %+v, %s", name, a, s.events(test.id))
		}
	}
	for _, value := range []string{"", "enrol=", "enrol=no", "enrol=on", "enrol=YES"} {
		id := s.create("default", "ppt_object", user)
		s.act(id, "start", strings.NewReader(value), "application/x-www-form-urlencoded")
		if strings.Contains(s.events(id), "ENROLMENT_CONSENT") {
			t.Errorf("%q is a consent", value)
		}
	}
	// The words that a consent is to are those of its version.
	page := s.send("GET", "/idproofing/session/"+s.create("default", "ppt_object", user), nil, nil)
	words := regexp.MustCompile(`(?s)<section class="note" id="enrol">(.*?)</section>`).FindSubmatch(page.body)
	if words == nil {
		t.Fatal("no words")
	}
	text := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(string(words[1]), " ")), " ")
	golden(t, "enrol_words", fmt.Appendf(nil, "{%q: %q}", kosmos.EnrolConsentVersion, text))
}

func TestUsernames(t *testing.T) {
	s := start(t, &engine{}, nil)
	for _, name := range []any{strings.Repeat("x", 257), "   ", " anna", "anna\u2003", "a\x00b", "a\nb", "\ufffd", 7, []string{"x"}} {
		if r := s.call("/docuverify/document_share_session/create", s.createBody("default", "ppt_object", map[string]any{"username": name}), nil); r.status != 400 {
			t.Errorf("%q: %d %s", name, r.status, r.body)
		}
	}
	s.create("default", "ppt_object", map[string]any{"username": ""})
	for _, name := range []string{strings.Repeat("x", 257), " anna", "a\u0000b"} {
		body, _ := json.Marshal(map[string]any{"metadata": map[string]string{"username": name}})
		if r := s.v1("POST", "/v1/verify/sessions", string(body)); r.status != 400 {
			t.Errorf("/v1, %q: %d %s", name, r.status, r.body)
		}
	}
	if kosmos.FoldName("Anna@Example.test") != kosmos.FoldName("aNNA@example.TEST") {
		t.Error("case is something")
	}
	for _, pair := range [][2]string{{"K", "\u212a"}, {"k", "\u212a"}, {"Σ", "σ"}, {"ſ", "S"}, {"ſ", "s"}, {"É", "é"}, {"anna", "anná"}, {"@", "`"}, {"[", "{"}} {
		if kosmos.FoldName(pair[0]) == kosmos.FoldName(pair[1]) {
			t.Errorf("%q and %q are one", pair[0], pair[1])
		}
	}
}

func FuzzFoldName(f *testing.F) {
	f.Add("Anna", "aNNA")
	f.Add("K", "\u212a")
	f.Add("a", "b")
	ascii := func(r rune) rune {
		if r < 0x80 {
			return unicode.ToLower(r)
		}
		return r
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		want := strings.Map(ascii, a) == strings.Map(ascii, b)
		if got := kosmos.FoldName(a) == kosmos.FoldName(b); got != want {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	})
}

// Nothing of an enrolled person is in a file or a log line in the clear.
func TestEnrolmentIsSealed(t *testing.T) {
	var log lines
	anna, eve := somebody("anna-face", "anna-face/p", "NUMBER77", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	s := start(t, newCrowd(anna, eve), func(o *kosmos.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s.proofFor("default", "anna.username", anna, true)
	s.proofFor("default", "anna.username", eve, true)
	if err := s.Directory().SetDisabled(t.Context(), "anna.username", true, "because of Annason"); err != nil {
		t.Fatal(err)
	}
	_, key, _, _ := s.Wallet(t.Context(), "anna.username")
	s.sealedGet("GET", "/api/r1/community/default/userid/anna.username/ial", "")
	secrets := []string{"template of", "anna.username", "ANNA.USERNAME", "NUMBER77", "ANNASON", "Annason"}
	if key != "" {
		secrets = append(secrets, key)
	}
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	hashed := sha256.Sum256([]byte("anna.username"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range append(secrets, string(hashed[:])) {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s holds %q", filepath.Base(f), text)
			}
		}
	}
	s.stop()
	for _, text := range secrets {
		if strings.Contains(log.String(), text) {
			t.Errorf("the log holds %q:\n%s", text, log.String())
		}
	}
}

func TestUserInfo(t *testing.T) {
	dora := somebody("dora", "dora/p", "D1", "DORN")
	s := start(t, newCrowd(dora), nil)
	s.proofFor("default", "dora", dora, true)
	did, _, _, _ := s.Wallet(t.Context(), "dora")
	users, _ := s.Directory().Users(t.Context())
	uid := users[slices.IndexFunc(users, func(u kosmos.UserInfo) bool { return u.Username == "dora" })].UID
	at := "/api/r1/community/default/userdid/"
	status, plain := s.sealedGet("GET", at+strings.ToUpper(did)+"/userinfo", "")
	var info struct{ PublicKey, ID, PersonID string }
	if err := json.Unmarshal(plain, &info); err != nil || status != 200 {
		t.Fatalf("%d %s", status, plain)
	}
	_, plain = s.sealedGet("GET", at+did+"/userinfo?devicelist=true", "")
	ids := regexp.MustCompile(`"(id|personId)":"[0-9a-f]{24}"`)
	golden(t, "userinfo", ids.ReplaceAll(plain, []byte(`"$1":"ID"`)), did, "DID", uid, "UID", info.PublicKey, "KEY")
	k := s.shared("community")
	for _, body := range []string{`{"devicelist":true,"userslist":true}`, `{"data":"` + seal(t, k, `{"devicelist":true}`) + `"}`} {
		if status, again := s.sealedGet("POST", at+did+"/userinfo/fetch", body); status != 200 || !bytes.Equal(again, plain) {
			t.Errorf("fetch: %d %s", status, again)
		}
	}
	for name, ask := range map[string]struct{ method, path, body string }{
		"unknown DID":    {"GET", at + strings.Repeat("0", 40) + "/userinfo", ""},
		"seeded DID":     {"GET", at + users[0].DID + "x/userinfo", ""},
		"no DID":         {"GET", at + "%00/userinfo", ""},
		"broken body":    {"POST", at + did + "/userinfo/fetch", `[`},
		"broken data":    {"POST", at + did + "/userinfo/fetch", `{"data":"eA=="}`},
		"sealed garbage": {"POST", at + did + "/userinfo/fetch", `{"data":"` + seal(t, k, `[`) + `"}`},
	} {
		if status, body := s.sealedGet(ask.method, ask.path, ask.body); status != 404 && status != 400 || !json.Valid(body) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	h := s.headers(k)
	if r := s.send("GET", at+did+"/userinfo", nil, h); r.status != 404 {
		t.Errorf("without tenant tag: %d", r.status)
	}
	h["X-TenantTag"], h["licensekey"] = "kosmoscope", seal(t, k, "x")
	if r := s.send("GET", at+did+"/userinfo", nil, h); r.status != 401 {
		t.Errorf("wrong licence: %d", r.status)
	}

	// User management.
	tenant, community := s.ids()
	_, ial := s.sealedGet("GET", "/api/r1/community/default/userid/dora/ial", "")
	var of struct{ User struct{ AuthModuleID string } }
	if err := json.Unmarshal(ial, &of); err != nil {
		t.Fatal(err)
	}
	module := of.User.AuthModuleID
	k = s.shared("users-mgmt")
	fetch := func(path, body string) reply {
		h := s.headers(k)
		h["X-TenantTag"] = "kosmoscope"
		return s.send("POST", path, strings.NewReader(body), h)
	}
	path := "/users-mgmt/tenant/" + tenant + "/community/" + community + "/users/fetch"
	ask := func(name string) string {
		return `{"authModule":"` + module + `","pIndex":0,"pSize":25,"query":{"username":"` + name + `"},"attributes":["*"]}`
	}
	r := fetch(path, ask("DORA"))
	signature := regexp.MustCompile(`"signature_token":"[0-9a-f]{64}"`)
	golden(t, "users_fetch", signature.ReplaceAll(r.body, []byte(`"signature_token":"HEX"`)), uid, "UID", s.dns, "DNS", s.serviceKey("users-mgmt").String(), "KEY")
	golden(t, "users_fetch_none", signature.ReplaceAll(fetch(path, ask("nobody")).body, []byte(`"signature_token":"HEX"`)), s.serviceKey("users-mgmt").String(), "KEY")
	if r := fetch(path, strings.Replace(ask("dora"), `"pIndex":0`, `"pIndex":1`, 1)); !strings.Contains(string(r.body), `"page":{"index":1,"total":1,"size":0},"data":[]`) {
		t.Errorf("second page: %s", r.body)
	}
	if err := s.Directory().SetDisabled(t.Context(), "bob", true, "x"); err != nil {
		t.Fatal(err)
	}
	if r := fetch(path, ask("bob")); !strings.Contains(string(r.body), `"disabled":true,"status":"disabled"`) {
		t.Errorf("disabled: %s", r.body)
	}
	for _, bad := range []struct {
		path, body string
		status     int
		message    string
	}{
		{strings.Replace(path, tenant, community, 1), ask("dora"), 404, "Unable to load tenant/community"},
		{path, strings.Replace(ask("dora"), module, "x", 1), 404, "Auth module is not found."},
		{path, `{"query":{"username":"dora"}}`, 400, "authModule is required"},
		{path, `{"authModule":"` + module + `","query":"dora"}`, 400, "query must be of type object"},
		{path, `{"authModule":"` + module + `"}`, 400, "query must be of type object"},
		{path, ask(""), 400, "username is required"},
		{path, `[`, 400, "request body must be a JSON object"},
	} {
		want := fmt.Sprintf("{\"code\":%d,\"message\":%q}\n", bad.status, bad.message)
		if r := fetch(bad.path, bad.body); r.status != bad.status || string(r.body) != want {
			t.Errorf("%s: %d %s", bad.body, r.status, r.body)
		}
	}
}

// ids are those of tenant and community, from community info.
func (s *server) ids() (tenant, community string) {
	s.t.Helper()
	r := s.send("POST", "/api/r1/system/community_info/fetch", strings.NewReader(`{"dns":"`+s.dns+`","communityName":"default"}`), nil)
	var info struct{ Tenant, Community struct{ ID string } }
	if err := json.Unmarshal(r.body, &info); err != nil {
		s.t.Fatal(err)
	}
	return info.Tenant.ID, info.Community.ID
}

// Killed while the end of a session is written, the server knows either all of it or nothing.
func TestEnrolmentOverRestart(t *testing.T) {
	anna := somebody("anna", "anna/p", "A1", "ANNASON")
	dir := t.TempDir()
	hang := newCrowd(anna)
	asked := make(chan struct{}, 9)
	s := start(t, &hangingMatch{hang, asked}, func(o *kosmos.Options) { o.DataDir = dir })
	s.proofFor("default", "anna", anna, true)
	before := s.rows(walletRows)
	id := s.capture("default", "anna", anna, true)
	s.act(id, "submit", nil, "")
	<-asked
	s.stop() // while the engine compares: no verdict, and nothing changed
	s = start(t, newCrowd(anna), func(o *kosmos.Options) { o.DataDir = dir })
	s.WaitJudged()
	if state, b := s.verdict("default", id); state != "SUCCESS" || !b.enrolled() || s.rows(walletRows) == before || !strings.HasSuffix(s.audit("anna"), "session enrolment_created ; session enrolment_replaced ") {
		t.Errorf("%s %+v, audit %s", state, b, s.audit("anna"))
	}
}

// hangingMatch compares nothing until the call is given up.
type hangingMatch struct {
	*crowd
	asked chan struct{}
}

func (h *hangingMatch) Match(ctx context.Context, _ *api.MatchRequest) (*api.Report, error) {
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}
