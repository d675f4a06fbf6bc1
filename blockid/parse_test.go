package blockid_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

func TestParseIDVResult(t *testing.T) {
	v1, v3 := blockid.ParseIDVResultV1, blockid.ParseIDVResult
	for _, tc := range []struct {
		file    string
		parse   func([]byte) (*blockid.IDVResult, error)
		status  blockid.Status
		wire    string
		object  blockid.DocumentType
		failure blockid.ReasonCode
		live    bool
		extra   string
	}{
		{file: "v3.pending.json", parse: v3, status: blockid.StatusPending, wire: "INPROGRESS"},
		{file: "v3.success.passport.json", parse: v3, status: blockid.StatusSuccess, wire: "SUCCESS", object: blockid.Passport, extra: "kosmoscope"},
		{file: "v3.success.idcard.json", parse: v3, status: blockid.StatusSuccess, wire: "SUCCESS", object: blockid.IDCard},
		{file: "v3.success.license.json", parse: v3, status: blockid.StatusSuccess, wire: "SUCCESS", object: blockid.DriversLicense, live: true},
		{file: "v3.failed.reason_code.json", parse: v3, status: blockid.StatusFailed, wire: "FAILED", failure: blockid.ReasonMismatch},
		{file: "v3.failed.reasonCode.json", parse: v3, status: blockid.StatusFailed, wire: "FAILED", failure: blockid.ReasonUnsupported},
		{file: "v3.expired.json", parse: v3, status: blockid.StatusExpired, wire: "EXPIRED"},
		{file: "v3.abandoned.json", parse: v3, status: blockid.StatusAbandoned, wire: "ABANDONED"},
		{file: "v1.pending.json", parse: v1, status: blockid.StatusPending, wire: "INPROGRESS", extra: "metadata"},
		{file: "v1.success.json", parse: v1, status: blockid.StatusSuccess, wire: "success", object: blockid.Passport, live: true, extra: "metadata"},
		{file: "v1.failed.json", parse: v1, status: blockid.StatusFailed, wire: "FAILED", failure: blockid.ReasonExpired},
		// Failures read the same in both; success never crosses over.
		{file: "v3.failed.reasonCode.json", parse: v1, status: blockid.StatusFailed, wire: "FAILED", failure: blockid.ReasonUnsupported},
		{file: "v3.success.passport.json", parse: v1, status: blockid.StatusUnknown, wire: "SUCCESS", object: blockid.Passport, extra: "kosmoscope"},
		{file: "v1.success.json", parse: v3, status: blockid.StatusUnknown, wire: "success", object: blockid.Passport, live: true, extra: "metadata"},
	} {
		in := golden(t, tc.file)
		r, err := tc.parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", tc.file, err)
			continue
		}
		if r.Status != tc.status || r.WireStatus != tc.wire || r.SessionID != fakeSession || string(r.Raw) != in {
			t.Errorf("%s: %s %s %s", tc.file, r.Status, r.WireStatus, r.SessionID)
		}
		if (r.Document != nil) != (tc.object != "") || r.Document != nil && r.Document.Object != tc.object {
			t.Errorf("%s: document %#v", tc.file, r.Document)
		}
		if (r.Failure != nil) != (tc.status == blockid.StatusFailed) || r.Failure != nil && (r.Failure.Code != tc.failure || r.Failure.Reason == "" || r.Failure.Message == "" || r.Failure.Status != 400) {
			t.Errorf("%s: failure %+v", tc.file, r.Failure)
		}
		if (r.LiveID != nil) != tc.live || tc.live && (r.LiveID.ID != "live-1" || r.Token != "certificate-token") {
			t.Errorf("%s: live id %+v, token %q", tc.file, r.LiveID, r.Token)
		}
		if _, ok := r.Extra[tc.extra]; tc.extra != "" && (!ok || len(r.Extra) != 1) || tc.extra == "" && len(r.Extra) != 0 {
			t.Errorf("%s: extra %v", tc.file, r.Extra)
		}
		if tc.status.Final() != (tc.status != blockid.StatusPending && tc.status != blockid.StatusUnknown) {
			t.Errorf("%s: final", tc.file)
		}
	}
}

func TestResultFields(t *testing.T) {
	r, err := blockid.ParseIDVResult([]byte(golden(t, "v3.success.passport.json")))
	if err != nil {
		t.Fatal(err)
	}
	if r.User != (blockid.IDVUser{Username: "j.doe", FirstName: "Zoë", LastName: "Specimen", UID: "corr-1"}) || r.RequestedType != blockid.Passport {
		t.Errorf("echo %#v %s", r.User, r.RequestedType)
	}
	if r.Extracted != (blockid.Extracted{DocumentType: "PASSPORT", DocumentID: "L898902C3", FirstName: "ANNA MARIA", LastName: "ERIKSSON", ExpiryDate: "20340415"}) {
		t.Errorf("extracted %#v", r.Extracted)
	}
	d := *r.Document
	for got, want := range map[string]string{
		d.Type: "ppt", d.DocumentType: "PASSPORT", d.Country: "XX", d.FirstName: "ANNA MARIA", d.LastName: "ERIKSSON",
		d.DateOfBirth: "19740812", d.ExpiryDate: "20340415", d.Gender: "1", d.ComplianceType: "F", d.Category: "identity_document",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if strings.Count(d.MRZ, "\n") != 2 || d.Image == "" || d.Face == "" {
		t.Error("MRZ or images missing")
	}

	p, err := blockid.ParseUnverifiedProof(d.ProofJWT)
	if err != nil {
		t.Fatal(err)
	}
	if p.Algorithm != "HS256" || p.Version != "1.0" || p.ID != "b8a1c4de-0000-4000-8000-000000000009" || p.IssuedAt != 1767225600 || len(p.Checks) != 5 {
		t.Errorf("%#v", p)
	}
	for check, want := range map[string]bool{
		blockid.CheckFaceCompare: true, blockid.CheckFraud: true, blockid.CheckDecision: true, blockid.CheckSummary: true,
		blockid.CheckDocumentFront: true, blockid.CheckDocumentBack: true,
		blockid.CheckSelfie: false, "never heard of": false,
	} {
		if p.Passed(check) != want {
			t.Errorf("%s: %v", check, !want)
		}
	}
	if !p.Matches("firstName", "ANNA MARIA") || p.Matches("firstName", "Anna Maria") || p.Matches("zipCode", "") || p.Matches("x", "") {
		t.Error("Matches")
	}

	var out bytes.Buffer
	for _, v := range []any{r, *r, d, r.Document, p, *p} {
		fmt.Fprintf(&out, "%v %+v %#v %s", v, v, v, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "v", v)
	}
	for _, leak := range []string{"ERIKSSON", "L898902C3", "19740812", "j.doe"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("printing shows %s", leak)
		}
	}
}

// TestNeverSuccess has answers that look like success and are not.
func TestNeverSuccess(t *testing.T) {
	for _, in := range []string{
		`{"sessionResult":"SUCCESSFUL"}`, `{"sessionResult":"DECLINED"}`, `{"sessionResult":" SUCCESS"}`, `{"sessionResult":"UNKNOWN"}`,
		`{"responseStatus":"INPROGRESS","sessionResult":"SUCCESS"}`,
		`{"sessionResult":"SUCCESS","errorInfo":{"status":400}}`,
		`{"sessionResult":"SUCCESS","errorInfo":{"reasonCode":"IDV0001"}}`,
		`{"sessionresult":"SUCCESS"}`, `{"sessionResult":true}`, `{"sessionResult":["SUCCESS"]}`, `{"sessionResult":{"SUCCESS":1}}`,
		`{"document":{"type":"ppt"}}`, `{}`, `[]`, `null`, ``, `"SUCCESS"`,
		`{"sessionResult":"FAILED","sessionResult":"SUCCESS"}`,
		`{"sessionResult":"SUCCESS"}x`, `{"sessionResult":"SUCCESS"}{}`, `{"sessionResult":"SUCCESS"`, `{"sessionResult":"SUCCESS",}`,
		`{"sessionResult":"SUCCESS","ppt_object":{},"document":{}}`,
		`{"responseStatus":"successful"}`, `{"responseStatus":"SUCCESS","sessionResult":"FAILED"}`, `{"responseStatus":"DECLINED"}`,
	} {
		for name, parse := range map[string]func([]byte) (*blockid.IDVResult, error){"v1": blockid.ParseIDVResultV1, "v3": blockid.ParseIDVResult} {
			r, err := parse([]byte(in))
			if err == nil && r.Status == blockid.StatusSuccess {
				t.Errorf("%s: %s is success", name, in)
			}
			if err != nil && blockid.KindOf(err) != blockid.KindMalformed {
				t.Errorf("%s: %s: %v", name, in, err)
			}
		}
	}
	var zero blockid.Status
	if zero == blockid.StatusSuccess || zero.Final() || blockid.StatusUnknown.Final() {
		t.Error("the zero status means something")
	}
}

func TestOddFieldsAreLeftOut(t *testing.T) {
	r, err := blockid.ParseIDVResult([]byte(`{"sessionResult":"SUCCESS","sessionId":"x","token":7,"liveid_object":"x","extractedInfo":[1],
		"errorInfo":{},"sessionData":"?","document":{"firstName":7,"lastName":"L","face":{"a":1},"country":"XX","dob":null}}`))
	if err != nil || r.Status != blockid.StatusSuccess || r.Document == nil {
		t.Fatal(r, err)
	}
	if d := r.Document; d.FirstName != "" || d.LastName != "L" || d.Country != "XX" || r.LiveID != nil && r.LiveID.ID != "" {
		t.Errorf("%#v", *d)
	}
}

func TestAnotherSession(t *testing.T) {
	f := startFake(t, "secp256k1")
	f.set(func() {
		f.plain[pathResult] = golden(t, "v3.success.passport.json")
		f.plain[pathResultV1] = golden(t, "v1.success.json")
	})
	c := f.client(t)
	if r, err := c.IDVResult(t.Context(), fakeDVC, "another"); r != nil || blockid.KindOf(err) != blockid.KindMalformed {
		t.Error(r, err)
	}
	if r, err := c.IDVResultV1(t.Context(), fakeDVC, "another"); r != nil || blockid.KindOf(err) != blockid.KindMalformed {
		t.Error(r, err)
	}
}

func TestIAL(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t)
	at := time.Unix(1767225600, 0)
	for file, want := range map[string]struct {
		level   blockid.Level
		wallets int
		expires int64
		did     string
	}{
		"ial.none.json": {},
		"ial.1.json":    {level: blockid.IAL1, wallets: 1, did: strings.Repeat("a", 40)},
		// b's first proof to end does so in 2033, c's in 2030.
		"ial.2.json": {level: blockid.IAL2, wallets: 3, expires: 2000000000, did: strings.Repeat("b", 40)},
	} {
		f.set(func() { f.plain[pathIAL] = golden(t, file) })
		i, err := c.IAL(t.Context(), "jdoe")
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		level, until := i.At(at)
		if i.Stated != want.level || len(i.Wallets) != want.wallets || want.wallets > 0 && i.Wallets[0].DID != want.did || i.Username != "jdoe" || level != want.level {
			t.Errorf("%s: %#v", file, i)
		}
		if got := until; got.IsZero() != (want.expires == 0) || !got.IsZero() && got.Unix() != want.expires {
			t.Errorf("%s: expires %s", file, got)
		}
		if s := fmt.Sprintf("%v %+v %#v", i, i, i); strings.Contains(s, "jdoe") {
			t.Errorf("prints %s", s)
		}
		if file != "ial.2.json" {
			continue
		}
		for sec, l := range map[int64]blockid.Level{1900000000: blockid.IAL2, 1999999999: blockid.IAL2, 2000000000: blockid.IAL1} {
			if got := levelAt(i, time.Unix(sec, 0)); got != l {
				t.Errorf("at %d: %s", sec, got)
			}
		}
		p := i.Wallets[0].Proofs[0]
		if p.Type != "dl_affidavit" || p.Recipient != "jdoe" || p.Document.ExpiryDate != "20340415" || len(p.Document.IDHash) != 128 || p.Purpose[0] != "ial" || p.IssuedAt.Unix() != 1767225600 {
			t.Errorf("%#v", p)
		}
	}
	if got := f.last(t); got.Header.Get("X-TenantTag") != "acme" || got.License != fakeLicense || got.Body != "" {
		t.Errorf("%+v", got)
	}
	if i, err := c.IAL(t.Context(), "nobody"); i != nil || blockid.KindOf(err) != blockid.KindNotFound {
		t.Errorf("unknown user: %v", err)
	}
	// A name is one path segment whatever it holds.
	odd := "a/../b?c#d e%2f"
	_, err := c.IAL(t.Context(), odd)
	if n := f.count("/api/r1/community/default/userid/a%2F..%2Fb%3Fc%23d%20e%252f/ial"); n != 1 || blockid.KindOf(err) != blockid.KindNotFound {
		t.Errorf("%d, %v, %v", n, err, f.hits)
	}
	f.set(func() {
		f.plain["/api/r1/community/default/userid/other/ial"] = golden(t, "ial.2.json")
	})
	if i, err := c.IAL(t.Context(), "other"); i != nil || blockid.KindOf(err) != blockid.KindMalformed {
		t.Errorf("another user's answer: %v", err)
	}
}

func levelAt(i *blockid.IAL, t time.Time) blockid.Level {
	l, _ := i.At(t)
	return l
}

func TestParseIAL(t *testing.T) {
	user := `"user":{"username":"u"}`
	for _, tc := range []struct {
		in    string
		level blockid.Level // after expiry is taken into account
		kind  blockid.Kind
	}{
		{in: `{` + user + `,"did":{"a":{"value":"ial2"}}}`, level: blockid.IAL2},
		{in: `{` + user + `,"did":{"a":{"value":"IAL3"},"b":{"value":"IAL2"}}}`, level: blockid.IAL3},
		{in: `{` + user + `,"did":{"a":{"value":"IAL2","proofs":[{"type":"x","proof":"broken"}]}}}`, level: blockid.IAL1},
		// A proof about somebody else (recipient "v").
		{in: `{` + user + `,"did":{"a":{"value":"IAL2","proofs":[{"type":"x","proof":"eyJhbGciOiJIUzI1NiJ9.eyJyZWNpcGllbnQiOnsidXNlcm5hbWUiOiJ2In19.c2ln"}]}}}`, level: blockid.IAL1},
		{in: `{` + user + `,"did":{"a":{"value":"IAL22"},"b":{"value":"IAL"},"c":{"value":"2"}}}`},
		{in: `{` + user + `,"did":{"a":{"value":2},"b":{"value":["IAL2"]},"c":"IAL2"}}`},
		{in: `{` + user + `,"did":[]}`},
		{in: `{` + user + `}`},
		{in: `{"user":null,"did":{}}`, kind: blockid.KindNotFound},
		{in: `{}`, kind: blockid.KindNotFound},
		{in: `{"message":"?"}`, kind: blockid.KindMalformed},
		{in: `{"did":{"a":{"value":"IAL2"}}}`, kind: blockid.KindMalformed},
		{in: `{"user":{"uid":"x"},"did":{"a":{"value":"IAL2"}}}`, kind: blockid.KindMalformed},
		{in: `{` + user + `,"did":{},"did":{"a":{"value":"IAL2"}}}`, kind: blockid.KindMalformed},
		{in: `[]`, kind: blockid.KindMalformed},
		{in: ``, kind: blockid.KindMalformed},
	} {
		i, err := blockid.ParseIAL([]byte(tc.in))
		if blockid.KindOf(err) != tc.kind || (err == nil) != (tc.kind == "") {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if err == nil && levelAt(i, time.Unix(1767225600, 0)) != tc.level {
			t.Errorf("%s: %s", tc.in, levelAt(i, time.Unix(1767225600, 0)))
		}
	}
}

func TestBadProofs(t *testing.T) {
	part := base64.RawURLEncoding.EncodeToString
	h := part([]byte(`{"alg":"HS256"}`))
	for _, in := range []string{
		"", ".", "..", "a.b.c", h + "." + part([]byte("[]")) + ".x", h + "." + part([]byte("null")) + ".x",
		h + "." + part([]byte(`{"ts":"x"}`)) + ".x", h + "." + part([]byte(`{`)) + ".x", "x." + part([]byte(`{}`)) + ".x",
		h + "." + part([]byte(`{}`)), h + "." + strings.Repeat("A", 1<<20) + ".x",
	} {
		if p, err := blockid.ParseUnverifiedProof(in); p != nil || !errors.Is(err, blockid.ErrProof) {
			t.Errorf("%.50s: %v", in, err)
		}
	}
	if p, err := blockid.ParseUnverifiedProof(h + "." + part([]byte(`{}`)) + "."); err != nil || p.Passed(blockid.CheckFaceCompare) {
		t.Error(err)
	}
}

func TestV1(t *testing.T) {
	f := startFake(t, "secp256k1")
	var got struct{ method, path, auth, body string }
	var answer string
	handler := func(w http.ResponseWriter, r *http.Request) {
		b := new(bytes.Buffer)
		_, _ = b.ReadFrom(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		got.method, got.path, got.auth, got.body = r.Method, r.URL.Path, r.Header.Get("Authorization"), b.String()
		if got.auth != "Bearer v1-token" {
			fail(w, 401, "Unauthorized")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	}
	status := "/v1/verify/sessions/" + fakeSession + "/status"
	f.set(func() { f.override["/v1/verify/sessions"], f.override[status] = handler, handler })
	cfg := blockid.V1Config{DNS: f.dns, Token: "v1-token", HTTPClient: f.srv.Client()}
	client := func(change func(*blockid.V1Config)) *blockid.V1Client {
		cfg := cfg
		if change != nil {
			change(&cfg)
		}
		c, err := blockid.NewV1Client(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := client(nil)
	q := blockid.V1Request{DocumentTypes: []string{"drivers_license", "passport"}, LivenessMode: "active",
		CallbackURL: "https://app.example/done", Metadata: map[string]string{"user": "u1"}}

	for _, key := range blockid.DefaultV1URLKeys() {
		f.set(func() { answer = fmt.Sprintf(`{"session_id":%q,%q:%q,"other":{"a":1}}`, fakeSession, key, f.url) })
		s, err := c.CreateSession(t.Context(), q)
		if err != nil || s.ID != fakeSession || s.URL != f.url {
			t.Errorf("%s: %v", key, err)
		}
		sameJSON(t, "create", got.body, golden(t, "bearer.create.request.json"))
		if got.method != "POST" {
			t.Error(got.method)
		}
	}
	f.set(func() {
		answer = fmt.Sprintf(`{"session_id":%q,"link":%q,"url":"https://evil.example/"}`, fakeSession, f.url)
	})
	if _, err := c.CreateSession(t.Context(), q); blockid.KindOf(err) != blockid.KindUntrustedHost {
		t.Error(err)
	}
	if s, err := client(func(c *blockid.V1Config) { c.URLKeys = []string{"link"} }).CreateSession(t.Context(), q); err != nil || s.URL != f.url {
		t.Error(err)
	}
	for in, kind := range map[string]blockid.Kind{
		`{}`: blockid.KindMalformed, `[]`: blockid.KindMalformed, `{"session_id":{},"url":"x"}`: blockid.KindMalformed,
		`{"session_id":"a b","url":"x"}`:     blockid.KindMalformed,
		`{"statusCode":404,"error":"nope"}`:  blockid.KindNotFound,
		`{"session_id":"x","url":"/relat"}`:  blockid.KindUntrustedHost,
		`{"session_id":"x","url":"http://"}`: blockid.KindUntrustedHost,
	} {
		f.set(func() { answer = in })
		if s, err := c.CreateSession(t.Context(), q); s != (blockid.IDVSession{}) || blockid.KindOf(err) != kind {
			t.Errorf("%s: %v", in, err)
		}
	}

	f.set(func() { answer = golden(t, "bearer.completed.json") })
	for _, method := range []string{"", "GET", "POST"} {
		r, err := client(func(c *blockid.V1Config) { c.StatusMethod = method }).Session(t.Context(), fakeSession)
		if err != nil || r.Status != blockid.StatusSuccess || r.Level != blockid.IAL2 || r.Extra["kosmoscope"] == nil || r.WireStatus != "completed" {
			t.Errorf("%s: %v, %v", method, r, err)
		}
		if want := map[string]string{"": "POST"}[method] + method; got.method != want || got.body != "" {
			t.Errorf("sent %s %q", got.method, got.body)
		}
	}
	for in, want := range map[string]blockid.Status{
		`{"status":"completed"}`:                                              blockid.StatusUnknown,
		`{"status":"completed","result":null}`:                                blockid.StatusUnknown,
		`{"status":"completed","result":{"ial_level":"IAL1"}}`:                blockid.StatusUnknown,
		`{"status":"completed","result":{"ial_level":2}}`:                     blockid.StatusUnknown,
		`{"status":"completed","result":"IAL2"}`:                              blockid.StatusUnknown,
		`{"status":"completed","result":{"ial_level":"IAL3"}}`:                blockid.StatusSuccess,
		`{"status":"in_progress","result":{"ial_level":"IAL2"}}`:              blockid.StatusPending,
		`{"status":"pending"}`:                                                blockid.StatusPending,
		`{"status":"failed","result":{"ial_level":"IAL2"}}`:                   blockid.StatusFailed,
		`{"status":"expired"}`:                                                blockid.StatusExpired,
		`{"status":"abandoned"}`:                                              blockid.StatusAbandoned,
		`{"status":"verified","result":{"ial_level":"IAL2"}}`:                 blockid.StatusUnknown,
		`{"status":"completed","session_id":7,"result":{"ial_level":"IAL2"}}`: blockid.StatusSuccess,
	} {
		f.set(func() { answer = in })
		if r, err := c.Session(t.Context(), fakeSession); err != nil || r.Status != want {
			t.Errorf("%s: %v, %v", in, r, err)
		}
	}
	for _, in := range []string{`{}`, `[]`, ``, `{"status":1}`, `{"status":"failed","status":"completed"}`, `{"status":"completed","session_id":"other"}`} {
		f.set(func() { answer = in })
		if r, err := c.Session(t.Context(), fakeSession); r != nil || blockid.KindOf(err) != blockid.KindMalformed {
			t.Errorf("%s: %v, %v", in, r, err)
		}
	}
	judge := client(func(c *blockid.V1Config) {
		c.Judge = func(r *blockid.V1Result) blockid.Status { return blockid.Status("mine:" + r.WireStatus) }
	})
	f.set(func() { answer = `{"status":"x"}` })
	if r, err := judge.Session(t.Context(), fakeSession); err != nil || r.Status != "mine:x" {
		t.Error(r, err)
	}
	wrong := client(func(c *blockid.V1Config) { c.Token = "other" })
	if _, err := wrong.Session(t.Context(), fakeSession); blockid.KindOf(err) != blockid.KindUnauthorized || strings.Contains(err.Error(), "other") {
		t.Error(err)
	}
	if _, err := c.Session(t.Context(), "elsewhere"); blockid.KindOf(err) != blockid.KindMalformed {
		t.Error(err) // the web root's page
	}
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Session(t.Context(), id); blockid.KindOf(err) != blockid.KindInvalid {
			t.Error(err)
		}
	}
	if _, err := c.CreateSession(t.Context(), blockid.V1Request{}); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
	for name, change := range map[string]func(*blockid.V1Config){
		"dns": func(c *blockid.V1Config) { c.DNS = "" }, "token": func(c *blockid.V1Config) { c.Token = "" },
		"token with line": func(c *blockid.V1Config) { c.Token = "a\r\nb" }, "method": func(c *blockid.V1Config) { c.StatusMethod = "PUT" },
		"host": func(c *blockid.V1Config) { c.DNS = "https://x" },
	} {
		cfg := cfg
		change(&cfg)
		if _, err := blockid.NewV1Client(cfg); blockid.KindOf(err) != blockid.KindConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
}
