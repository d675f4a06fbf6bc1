package kosmos_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

func documents(reasons ...string) func(*api.DocumentRequest) (*api.Report, error) {
	return func(r *api.DocumentRequest) (*api.Report, error) {
		if len(reasons) == 0 {
			return passed(r.DocumentTypes...), nil
		}
		reason := reasons[0]
		reasons = reasons[1:]
		switch reason {
		case "":
			return passed(r.DocumentTypes...), nil
		case "down":
			return nil, errDown
		}
		return refused(reason, api.Fail), nil
	}
}

func TestGuidance(t *testing.T) {
	type want struct {
		usable       bool
		reason, step string
		left, status int
	}
	notPhoto := []byte("%PDF-1.4 not a photo")
	tests := []struct {
		name, doc string
		engine    *engine
		sides     []string
		files     [][]byte
		want      []want
	}{
		{"good", "ppt_object", &engine{}, []string{"front", "selfie"}, nil,
			[]want{{true, "", "selfie", 2, 200}, {true, "", "review", 2, 200}}},
		{"advice, then good", "ppt_object", &engine{document: documents(api.ReasonMRZNotFound, "")}, []string{"front", "front"}, nil,
			[]want{{false, "mrz_not_found", "selfie", 2, 200}, {true, "", "selfie", 1, 200}}},
		{"continue anyway", "ppt_object", &engine{document: documents("image_blurred", "image_blurred", "image_blurred")},
			[]string{"front", "front", "front", "front", "selfie"}, nil,
			[]want{{false, "image_blurred", "selfie", 2, 200}, {false, "image_blurred", "selfie", 1, 200},
				{false, "image_blurred", "selfie", 0, 200}, {false, "attempts_exhausted", "selfie", 0, 409}, {true, "", "review", 2, 200}}},
		{"engine down", "ppt_object", &engine{document: documents("down")}, []string{"front"}, nil, []want{{true, "engine_unavailable", "selfie", 2, 200}}},
		{"engine busy", "ppt_object", &engine{document: func(*api.DocumentRequest) (*api.Report, error) {
			return nil, &api.StatusError{Status: 503, Problem: api.Problem{Reason: api.ReasonEngineBusy}}
		}}, []string{"front"}, nil, []want{{true, "engine_busy", "selfie", 2, 200}}},
		{"too large for the engine", "ppt_object", &engine{document: func(*api.DocumentRequest) (*api.Report, error) {
			return nil, &api.StatusError{Status: 413, Problem: api.Problem{Reason: api.ReasonImageTooLarge}}
		}}, []string{"front"}, nil, []want{{false, "image_too_large", "selfie", 2, 200}}},
		{"engine down, card", "idcard_object", &engine{document: documents("down")}, []string{"front"}, nil, []want{{true, "engine_unavailable", "back", 2, 200}}},
		{"card with the zone on the back", "idcard_object", &engine{document: documents(api.ReasonMRZNotFound, api.ReasonMRZCheckDigit, "")},
			[]string{"back", "front", "back", "back", "selfie"}, nil,
			[]want{{false, "photos_missing", "front", 3, 409}, {true, "", "back", 2, 200}, {false, "mrz_check_digit", "selfie", 2, 200},
				{true, "", "selfie", 1, 200}, {true, "", "review", 2, 200}}},
		{"card whose front shows no portrait", "idcard_object", &engine{document: func(*api.DocumentRequest) (*api.Report, error) {
			r := refused(api.ReasonMRZNotFound, api.Fail)
			r.Checks = append(r.Checks, api.Check{Name: api.CheckDocumentPortrait, Outcome: api.Fail})
			return r, nil
		}}, []string{"front"}, nil, []want{{false, "portrait_not_found", "back", 2, 200}}},
		{"card with all on one side", "idcard_object", &engine{}, []string{"front"}, nil, []want{{true, "", "selfie", 2, 200}}},
		{"selfie without a face", "ppt_object", &engine{selfie: func(*api.SelfieRequest) (*api.Report, error) {
			return refused(api.ReasonSelfieNoFace, api.Fail), nil
		}}, []string{"front", "selfie"}, nil, []want{{true, "", "selfie", 2, 200}, {false, "selfie_no_face", "review", 2, 200}}},
		{"no photo, then one", "ppt_object", &engine{}, []string{"front", "front"}, [][]byte{notPhoto, frontPhoto},
			[]want{{false, "image_unreadable", "selfie", 2, 415}, {true, "", "selfie", 1, 200}}},
		{"empty file", "ppt_object", &engine{}, []string{"front"}, [][]byte{{}}, []want{{false, "image_unreadable", "selfie", 2, 415}}},
		{"giant", "ppt_object", &engine{}, []string{"front"}, [][]byte{make([]byte, 13<<20)}, []want{{false, "image_too_large", "selfie", 2, 413}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.engine, nil)
			id := s.create("default", tt.doc, nil)
			if a := s.upload(id, "front", frontPhoto); a.status != 409 || a.Reason != "not_started" {
				t.Errorf("before consent: %+v", a)
			}
			s.act(id, "start", nil, "")
			for i, side := range tt.sides {
				file := frontPhoto
				if tt.files != nil {
					file = tt.files[i]
				}
				a, w := s.upload(id, side, file), tt.want[i]
				if (a.Usable != nil && *a.Usable) != w.usable || a.Reason != w.reason || a.AttemptsLeft != w.left || a.status != w.status {
					t.Errorf("%d %s: %+v, want %+v", i, side, a, w)
				}
				// After a photo that is none, the step is asked of the page, not told.
				if a.status == 200 && a.Step != w.step {
					t.Errorf("%d %s: step %s, want %s", i, side, a.Step, w.step)
				}
				if a.Reason != "" && a.Message == "" {
					t.Errorf("%d %s: a reason without words", i, side)
				}
			}
		})
	}
}

// Files that are no photos end the session with their own reason: when the
// attempts are used up, or at once when the person submits all the same.
func TestNoPhotos(t *testing.T) {
	check := func(t *testing.T, s *server, id, reason string) {
		t.Helper()
		r := string(s.result("v3", "default", id))
		for _, want := range []string{`"sessionResult":"FAILED"`, `"reasonCode":"IDV0014"`, `"kosmoscope":{"reason":"` + reason + `"`} {
			if !strings.Contains(r, want) {
				t.Errorf("no %s in %s", want, r)
			}
		}
	}
	s := start(t, &engine{}, nil)
	id := s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	for range 2 {
		s.upload(id, "front", []byte("GIF89a"))
	}
	if a := s.upload(id, "front", []byte("GIF89a")); a.State != "failed" || a.Message == "" {
		t.Errorf("third: %+v", a)
	}
	check(t, s, id, "image_unreadable")

	id = s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	if a := s.act(id, "submit", nil, ""); a.status != 409 || a.Reason != "photos_missing" {
		t.Errorf("submit without photos: %+v", a)
	}
	s.upload(id, "front", make([]byte, 13<<20))
	if a := s.act(id, "submit", nil, ""); a.State != "failed" {
		t.Errorf("submit: %+v", a)
	}
	check(t, s, id, "image_too_large")
}

func TestWhatTheEngineGets(t *testing.T) {
	e := &engine{document: documents(api.ReasonMRZNotFound, "")}
	s := start(t, e, nil)
	id := s.create("default", "idcard_object", nil)
	s.act(id, "start", nil, "")
	s.upload(id, "front", frontPhoto)
	s.upload(id, "back", backPhoto)
	s.upload(id, "selfie", selfiePhoto, frontPhoto)
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	r := e.verified[0]
	if !bytes.Equal(r.DocumentFront, frontPhoto) || !bytes.Equal(r.DocumentBack, backPhoto) || len(r.Selfies) != 2 ||
		!bytes.Equal(r.Selfies[0], selfiePhoto) || r.LivenessMode != api.LivenessNone || r.Liveness != nil || len(r.DocumentTypes) != 1 || r.DocumentTypes[0] != api.IDCard {
		t.Errorf("got %d+%d bytes, %d selfies, %s, %v", len(r.DocumentFront), len(r.DocumentBack), len(r.Selfies), r.LivenessMode, r.DocumentTypes)
	}
}

func TestBadUploads(t *testing.T) {
	s := start(t, &engine{}, nil)
	id := s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	noFile, noFileType := form(map[string]string{"side": "front"})
	badSide, badSideType := form(map[string]string{"side": "middle"}, frontPhoto)
	for name, a := range map[string]act{
		"no multipart":  s.act(id, "document", strings.NewReader("x"), "text/plain"),
		"no body":       s.act(id, "document", nil, ""),
		"broken":        s.act(id, "document", strings.NewReader("--x\r\n"), "multipart/form-data; boundary=x"),
		"no file":       s.act(id, "document", noFile, noFileType),
		"unknown side":  s.act(id, "document", badSide, badSideType),
		"unknown start": s.act(s.create("default", "ppt_object", nil), "start", strings.NewReader("document_type=id_card"), "application/x-www-form-urlencoded"),
	} {
		want := 400
		if name == "unknown start" {
			want = 200 // only one type is allowed, so there is nothing to choose
		}
		if a.status != want {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := s.upload(id, "front", frontPhoto); a.AttemptsLeft != 2 {
		t.Errorf("malformed requests counted as attempts: %+v", a)
	}
}

// slow is an upload of a front whose file never comes to its end.
func (s *server) slow(id string) (a act) {
	s.t.Helper()
	body, ct := form(map[string]string{"side": "front"}, frontPhoto)
	b, err := io.ReadAll(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, w := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = w.Write(b[:len(b)/2]) // the server may hang up before
	}()
	a = s.act(id, "document", r, ct)
	_ = r.Close()
	<-sent
	return a
}

// A photo that cannot count any more is refused before it has arrived.
func TestAttemptsComeFirst(t *testing.T) {
	s := start(t, &engine{document: documents(api.ReasonImageBlurred, api.ReasonImageBlurred, api.ReasonImageBlurred)}, nil)
	s.SetPatience(time.Second, time.Hour, time.Millisecond)
	id := s.create("default", "idcard_object", nil)
	s.act(id, "start", nil, "")
	for range 3 {
		s.upload(id, "front", frontPhoto)
	}
	if a := s.slow(id); a.status != 409 || a.Reason != "attempts_exhausted" || a.State != "started" && a.State != "captured" {
		t.Errorf("got %+v", a)
	}
	// The other side has attempts left, also where the side comes after the file.
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreateFormFile("file", "x")
	_, _ = part.Write(backPhoto)
	_ = w.WriteField("other", strings.Repeat("x", 1000))
	_ = w.WriteField("side", "back")
	_ = w.Close()
	if a := s.act(id, "document", &b, w.FormDataContentType()); a.status != 200 || a.AttemptsLeft != 2 {
		t.Errorf("side after the file: %+v", a)
	}
}

func TestSlowUpload(t *testing.T) {
	s := start(t, &engine{}, nil)
	s.SetPatience(time.Second, 50*time.Millisecond, time.Millisecond)
	id := s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	if a := s.slow(id); a.status != 408 || a.Reason != "upload_slow" || a.Message == "" {
		t.Errorf("got %+v", a)
	}
	s.SetPatience(time.Second, time.Hour, time.Second)
	if a := s.upload(id, "front", frontPhoto); a.status != 200 || a.AttemptsLeft != 2 {
		t.Errorf("afterwards: %+v", a)
	}
}

// One upload at a time in a session, a bounded number in all; who has to wait
// loses no attempt.
func TestConcurrentUploads(t *testing.T) {
	arrived, look := make(chan struct{}, 99), make(chan struct{})
	s := start(t, &engine{document: func(r *api.DocumentRequest) (*api.Report, error) {
		arrived <- struct{}{}
		<-look
		return passed(r.DocumentTypes...), nil
	}}, nil)
	s.SetPatience(time.Millisecond, time.Hour, time.Second)
	var ids []string
	for range kosmos.MaxUploads + 1 {
		id := s.create("default", "ppt_object", nil)
		s.act(id, "start", nil, "")
		ids = append(ids, id)
	}
	var all sync.WaitGroup
	for _, id := range ids[:kosmos.MaxUploads] {
		all.Go(func() {
			if a := s.upload(id, "front", frontPhoto); a.status != 200 || a.AttemptsLeft != 2 {
				t.Errorf("first: %+v", a)
			}
		})
		<-arrived
	}
	if a := s.upload(ids[0], "selfie", selfiePhoto); a.status != 409 || a.Reason != "upload_running" || a.Message == "" {
		t.Errorf("second of a session: %+v", a)
	}
	last := ids[kosmos.MaxUploads]
	if a := s.upload(last, "front", frontPhoto); a.status != 503 || a.Reason != "uploads_busy" || a.State != "" {
		t.Errorf("one too many: %+v", a)
	}
	body, ct := form(map[string]string{"side": "front"}, frontPhoto)
	r := s.send("POST", "/idproofing/session/"+last+"/document", body, map[string]string{"Content-Type": ct})
	if r.status != 503 || r.header.Get("Retry-After") != "5" || !strings.Contains(string(r.body), "Too many photos") {
		t.Errorf("without a script: %d %v", r.status, r.header)
	}
	close(look)
	all.Wait()
	if a := s.upload(last, "front", frontPhoto); a.status != 200 || a.AttemptsLeft != 2 {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestCrossOriginAndLimits(t *testing.T) {
	s := start(t, &engine{}, nil)
	id := s.create("default", "ppt_object", nil)
	path := "/idproofing/session/" + id
	for _, h := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
	} {
		if r := s.send("POST", path+"/decline", nil, h); r.status != 403 {
			t.Errorf("%v: %d", h, r.status)
		}
	}
	for _, h := range []map[string]string{{"Sec-Fetch-Site": "same-origin"}, {"Origin": s.base}, {}} {
		if r := s.send("POST", path+"/start", nil, h); r.status != 303 || r.header.Get("Location") != path {
			t.Errorf("%v: %d %v", h, r.status, r.header)
		}
	}
	if r := s.send("GET", "/idproofing/session/"+uuid.NewString(), nil, nil); r.status != 404 || !bytes.Contains(r.body, []byte("not valid")) {
		t.Errorf("unknown session: %d", r.status)
	}
	var last act
	for range 60 {
		last = s.act(id, "start", nil, "")
	}
	if last.status != 429 || last.Reason != "rate_limited" {
		t.Errorf("sixty acts: %+v", last)
	}
	s.clock.add(time.Minute)
	if a := s.act(id, "start", nil, ""); a.status != 200 {
		t.Errorf("a minute later: %+v", a)
	}
}

// Without a script the page is forms and redirects; every state shows on reload.
func TestPageWithoutScript(t *testing.T) {
	block := make(chan struct{})
	s := start(t, &engine{document: documents(api.ReasonImageBlurred, ""), verify: func(r *api.VerifyRequest) (*api.Report, error) {
		<-block
		return passed(), nil
	}}, nil)
	r := s.send("POST", "/v1/verify/sessions", strings.NewReader(
		`{"document_types":["passport","drivers_license","id_card"],"liveness_mode":"none","callback_url":"https://app.example/done"}`),
		map[string]string{"Authorization": "Bearer " + token})
	id, _ := r.json(t)["session_id"].(string)
	at := "/idproofing/session/" + id
	shows := func(path string, wants ...string) {
		t.Helper()
		r := s.send("GET", path, nil, nil)
		for _, want := range wants {
			if !strings.Contains(string(r.body), want) {
				t.Errorf("%s shows no %q:\n%s", path, want, r.body)
			}
		}
		for _, name := range []string{"Content-Security-Policy", "Permissions-Policy"} {
			if r.header.Get(name) == "" {
				t.Errorf("no %s", name)
			}
		}
		if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Referrer-Policy") != "no-referrer" || r.header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(r.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("headers %v", r.header)
		}
		if regexp.MustCompile(`(src|href)="https?://[^"]*"`).MatchString(strings.ReplaceAll(string(r.body), "https://app.example", "")) {
			t.Error("the page loads or links something of a third party")
		}
	}
	post := func(what string, fields map[string]string, files ...[]byte) string {
		t.Helper()
		body, ct := form(fields, files...)
		r := s.send("POST", at+"/"+what, body, map[string]string{"Content-Type": ct, "Sec-Fetch-Site": "same-origin"})
		if r.status != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", what, r.status, r.body)
		}
		return r.header.Get("Location")
	}
	shows(at, `data-testid="start"`, `data-testid="decline"`, `data-testid="type-id_card"`, "one hour")
	shows(post("start", map[string]string{"document_type": "passport"}), `data-testid="file-document"`, "Step 1 of 3", `capture="environment"`, "Photograph your passport")
	shows(at+"?step=review", `data-testid="file-document"`) // not yet reachable
	to := post("document", map[string]string{"side": "front"}, frontPhoto)
	if to != at+"?note=image_blurred&step=front" {
		t.Errorf("after a bad photo: %s", to)
	}
	shows(to, "The photo is blurred", "2 attempts left", `data-testid="file-document"`)
	shows(at, "The photo is blurred")
	to = post("document", map[string]string{"side": "front"}, frontPhoto)
	shows(to, `data-testid="file-selfie"`, "Step 2 of 3", `capture="user"`)
	shows(at+"?step=front", "This photo is good", `data-testid="continue"`, "One attempt left")
	shows(post("selfie", nil, selfiePhoto), `data-testid="submit"`, "Step 3 of 3", "Good photo", `data-testid="retake"`)
	shows(post("submit", nil), "Checking your photos", `http-equiv="refresh"`)
	if a := s.act(id, "decline", nil, ""); a.status != 409 || a.State != "judging" {
		t.Errorf("decline while judging: %+v", a)
	}
	close(block)
	s.WaitJudged()
	shows(at, `data-testid="result" data-status="success"`, "Return to app.example", "https://app.example/done?session_id="+id)

	id = s.create("default", "ppt_object", nil)
	at = "/idproofing/session/" + id
	shows(post("decline", nil), `data-testid="result" data-status="abandoned"`, "close this page")
}

func TestPageWeight(t *testing.T) {
	s := start(t, &engine{}, nil)
	page := s.send("GET", "/idproofing/session/"+s.create("default", "ppt_object", nil), nil, nil).body
	total := 0
	weigh := func(b []byte) {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		total += z.Len()
	}
	weigh(page)
	found := regexp.MustCompile(`/static/[^"]+`).FindAllString(string(page), -1)
	if len(found) != 2 {
		t.Fatalf("found %v", found)
	}
	for _, path := range found {
		r := s.send("GET", path, nil, nil)
		if r.status != 200 || !strings.Contains(r.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, r.status, r.header)
		}
		weigh(r.body)
	}
	if total > 15<<10 {
		t.Errorf("the page weighs %d bytes compressed", total)
	}
	t.Logf("page, script and style: %d bytes compressed", total)
	if r := s.send("GET", "/static/000000000000/capture.js", nil, nil); r.status != 404 {
		t.Errorf("wrong version: %d", r.status)
	}
}

func FuzzUpload(f *testing.F) {
	// A server of its own for all inputs: what matters is that none of them
	// breaks it or is taken for a photo without being one.
	dir, err := os.MkdirTemp("", "kosmos-fuzz-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	srv, err := kosmos.New(kosmos.Options{DNS: "localhost:1", LicenseKey: license, V1Tokens: []string{token}, Engine: &engine{}, DataDir: dir, MaxAttempts: 1 << 30})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = srv.Close() })
	good, _ := form(map[string]string{"side": "front"}, frontPhoto)
	var b bytes.Buffer
	_, _ = b.ReadFrom(good)
	boundary, _, _ := strings.Cut(b.String(), "\r\n")
	f.Add(strings.TrimPrefix(boundary, "--"), b.Bytes())
	f.Add("x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\xff\xd8\xff\r\n--x--"))
	f.Fuzz(func(t *testing.T, boundary string, body []byte) {
		w := record(srv.Handler(), "POST", "/v1/verify/sessions", map[string]string{"Authorization": "Bearer " + token}, []byte("{}"))
		id := reply{body: w.Body.Bytes()}.json(t)["session_id"].(string)
		at := "/idproofing/session/" + id
		record(srv.Handler(), "POST", at+"/start", nil, nil)
		w = record(srv.Handler(), "POST", at+"/document", map[string]string{
			"Accept": "application/json", "Content-Type": "multipart/form-data; boundary=" + boundary}, body)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Code == 200 && !bytes.Contains(body, []byte("\xff\xd8\xff")) && !bytes.Contains(body, []byte("PNG")) {
			t.Errorf("taken for a photo: %q", body)
		}
	})
}

// TestSecondPhoto: where the engine wants another photo of a side, it gets the
// earlier ones along with it, and so does the verdict; unless they disagree.
func TestSecondPhoto(t *testing.T) {
	t.Parallel()
	other := selfiePhoto // any other picture
	again := refused(api.ReasonDocumentAgain, api.CannotTell)
	disagree := refused(api.ReasonDocumentAgain, api.Fail)
	var asked []int
	answers := []*api.Report{again, disagree, again, passed()}
	e := &engine{document: func(r *api.DocumentRequest) (*api.Report, error) {
		asked = append(asked, len(r.DocumentMore))
		return answers[len(asked)-1], nil
	}}
	s := start(t, e, func(o *kosmos.Options) { o.MaxAttempts = 4 })
	id := s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	for i, file := range [][]byte{frontPhoto, other, other, frontPhoto} {
		if a := s.upload(id, "front", file); a.status != 200 || *a.Usable != (i == 3) {
			t.Fatalf("photo %d: %+v", i, a)
		}
	}
	if want := []int{0, 1, 1, 2}; !slices.Equal(asked, want) {
		t.Errorf("looked at with %v earlier ones, want %v", asked, want)
	}
	s.upload(id, "selfie", selfiePhoto)
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	if got := s.state("default", id); got != "SUCCESS" && got != "passed" {
		t.Errorf("ended as %s", got)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.verified) != 1 || len(e.verified[0].DocumentMore) != 2 || !bytes.Equal(e.verified[0].DocumentFront, frontPhoto) {
		t.Errorf("%d verdicts", len(e.verified))
	}
}
