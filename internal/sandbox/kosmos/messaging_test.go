package kosmos_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// service makes an encrypted call to any service; body nil sends none.
func (s *server) service(service, method, path string, body any, change func(h map[string]string)) reply {
	s.t.Helper()
	k := s.shared(service)
	h := s.headers(k)
	h["X-TenantTag"] = "kosmoscope"
	sealed := []byte{}
	if body != nil {
		plain, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		sealed, _ = json.Marshal(map[string]string{"data": seal(s.t, k, string(plain))})
	}
	if change != nil {
		change(h)
	}
	return s.send(method, path, bytes.NewReader(sealed), h)
}

func (s *server) blockid() *blockid.Client {
	s.t.Helper()
	c, err := blockid.NewClient(blockid.Config{DNS: s.dns, Community: "default", LicenseKey: license, HTTPClient: s.http, Now: s.clock.now})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

const (
	acrPath = "/api/r2/acr/community/default/code"
	smsPath = "/api/r2/messaging/schedule"
)

// TestAccessCodes: made, mailed, looked up, used up, with the client that customers use.
func TestAccessCodes(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	c := s.blockid()
	const html = `<style>p{}</style><p>Hello &amp; welcome</p><p><a href="https://bridge.example/l/1?a=b&amp;c=d">Go on</a>, or https://bridge.example/other.</p>`
	a, err := c.CreateAccessCode(t.Context(), blockid.AccessCodeRequest{
		CreatedBy: "bridge", EmailTo: "ann@example.com", TTL: time.Hour, Subject: "Confirm who you are", HTML: html})
	if err != nil {
		t.Fatal(err)
	}
	if a.Email.Failed || a.Email.StatusCode != 202 || a.Code == "" || a.Link != s.base+"/acr/"+a.Code {
		t.Errorf("%#v", *a)
	}
	own, err := c.CreateAccessCode(t.Context(), blockid.AccessCodeRequest{CreatedBy: "bridge", EmailTo: "bob@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Inbox(t.Context(), "")
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if m := all[1]; m.To != "ann@example.com" || m.Subject != "Confirm who you are" || m.HTML != html || m.Channel != "email" || m.ID != a.Email.MessageID ||
		strings.Join(m.Links, " ") != "https://bridge.example/l/1?a=b&c=d https://bridge.example/other" ||
		m.Text != "Hello & welcome\n\nGo on, or https://bridge.example/other." {
		t.Errorf("%+v", m)
	}
	if m := all[0]; len(m.Links) != 1 || m.Links[0] != own.Link || m.Subject == "" {
		t.Errorf("%+v", m)
	}

	info, err := c.AccessCode(t.Context(), a.Code)
	if err != nil || info.Type != blockid.VerificationLink || string(info.Extra["createdBy"]) != `"bridge"` {
		t.Errorf("%+v, %v", info, err)
	}
	if r := s.send("GET", "/acr/"+a.Code, nil, nil); r.status != 200 || !bytes.Contains(r.body, []byte("This link is good")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if err := c.RedeemAccessCode(t.Context(), a.Code); err != nil {
		t.Fatal(err)
	}
	status := func(err error) int {
		var e *blockid.Error
		if e, _ = err.(*blockid.Error); e == nil {
			return 0
		}
		return e.HTTPStatus
	}
	_, err = c.AccessCode(t.Context(), a.Code)
	if again := c.RedeemAccessCode(t.Context(), a.Code); status(again) != 409 || status(err) != 409 {
		t.Errorf("used: %v, %v", again, err)
	}
	if err := c.RedeemAccessCode(t.Context(), "nobodys"); status(err) != 404 {
		t.Errorf("nobody's: %v", err)
	}
	s.clock.add(24 * time.Hour)
	if _, err := c.AccessCode(t.Context(), own.Code); status(err) != 410 {
		t.Errorf("old: %v", err)
	}
	if r := s.send("GET", "/acr/"+own.Code, nil, nil); r.status != 410 || !bytes.Contains(r.body, []byte("expired")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.clock.add(8 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Inbox(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestAccessCodeWire: how the published collection asks (noecdsa), and what is refused.
func TestAccessCodeWire(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	ask := func(change map[string]any) map[string]any {
		b := map[string]any{"createdBy": "x", "version": "v0", "type": "verification_link", "emailTo": "ann@example.com"}
		for k, v := range change {
			b[k] = v
		}
		return b
	}
	clear := s.headers(s.shared("community"))
	clear["X-tenantTag"], clear["noecdsa"], clear["licensekey"], clear["requestid"] = "kosmoscope", "true", license, s.requestID()
	body, _ := json.Marshal(ask(nil))
	r := s.send("PUT", acrPath, bytes.NewReader(body), clear)
	got := r.json(t)
	mail, _ := got["emailResult"].(map[string]any)
	if r.status != 200 || got["code"] == "" || mail["status"] != "success" || mail["error"] != nil || len(mail) != 9 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.service("community", "PUT", acrPath, ask(nil), nil); r.status != 200 || r.json(t)["link"] == nil {
		t.Errorf("%d %s", r.status, r.body)
	}
	for name, c := range map[string]struct {
		body   any
		change func(map[string]string)
		status int
	}{
		"no creator":   {ask(map[string]any{"createdBy": ""}), nil, 400},
		"type":         {ask(map[string]any{"type": "other"}), nil, 400},
		"nowhere":      {ask(map[string]any{"emailTo": ""}), nil, 400},
		"two places":   {ask(map[string]any{"emailTo": "a@b,c@d"}), nil, 400},
		"ttl":          {ask(map[string]any{"ttl_seconds": -1}), nil, 400},
		"template":     {ask(map[string]any{"emailTemplateB64": "<p>"}), nil, 400},
		"long":         {ask(map[string]any{"emailTemplateB64": base64.StdEncoding.EncodeToString(make([]byte, 129<<10))}), nil, 400},
		"header":       {ask(map[string]any{"emailSubject": "a\r\nBcc: b@c"}), nil, 400},
		"other tenant": {ask(nil), func(h map[string]string) { h["X-TenantTag"] = "acme" }, 404},
		"licence":      {ask(nil), func(h map[string]string) { h["licensekey"] = seal(t, s.shared("community"), "x") }, 401},
		"other key":    {ask(nil), func(h map[string]string) { h["licensekey"] = seal(t, s.shared("docuverify"), license) }, 400},
	} {
		if r := s.service("community", "PUT", acrPath, c.body, c.change); r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	h := s.headers(s.shared("community"))
	h["X-TenantTag"] = "kosmoscope"
	if r := s.send("PUT", acrPath, bytes.NewReader(body), h); r.status != 400 {
		t.Errorf("a body in clear beside sealed headers: %d", r.status)
	}
	if all, err := s.Inbox(t.Context(), ""); err != nil || len(all) != 2 {
		t.Errorf("%d messages, %v", len(all), err)
	}
}

func TestTextMessages(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	id, err := s.blockid().ScheduleSMS(t.Context(), blockid.SMS{To: "15550100", ISDCode: "+1", Text: "Go on: https://bridge.example/l/2"})
	if err != nil || id == "" {
		t.Fatalf("%q, %v", id, err)
	}
	all, err := s.Inbox(t.Context(), "+115550100")
	if err != nil || len(all) != 1 || all[0].Channel != "sms" || all[0].Links[0] != "https://bridge.example/l/2" || all[0].ID != id {
		t.Errorf("%+v, %v", all, err)
	}
	for name, sms := range map[string]blockid.SMS{
		"letters": {To: "call me", ISDCode: "1", Text: "x"}, "country": {To: "15550100", ISDCode: "x", Text: "x"}, "long": {To: "15550100", ISDCode: "1", Text: strings.Repeat("x", 1601)},
	} {
		if _, err := s.blockid().ScheduleSMS(t.Context(), sms); blockid.KindOf(err) != blockid.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := s.service("community", "POST", smsPath, map[string]string{"tenantId": "0", "communityId": "0", "smsTo": "15550100", "smsISDCode": "1", "smsTemplateB64": "eA=="}, nil); r.status != 404 {
		t.Errorf("another tenant: %d", r.status)
	}
}

// TestInbox: the page and its JSON, for this machine and nobody else.
func TestInbox(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	if r := s.send("GET", "/inbox", nil, nil); r.status != 200 || !bytes.Contains(r.body, []byte("Nothing was sent yet.")) {
		t.Errorf("%d %s", r.status, r.body)
	}
	for to, link := range map[string]string{"ann@example.com": "https://bridge.example/l/1", "bob@example.com": "javascript:alert(1)"} {
		_, err := s.blockid().CreateAccessCode(t.Context(), blockid.AccessCodeRequest{
			CreatedBy: "b", EmailTo: to, Subject: "For <" + to + ">", HTML: `<script>alert(1)</script><p><a href="` + link + `">here</a>`})
		if err != nil {
			t.Fatal(err)
		}
	}
	r := s.send("GET", "/inbox", nil, nil)
	page := string(r.body)
	for _, want := range []string{`<a href="https://bridge.example/l/1" rel="noreferrer" data-testid="link">`, "For &lt;ann@example.com&gt;", "bob@example.com"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, `href="javascript`) || !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s %s", r.header, page)
	}
	if page := string(s.send("GET", "/inbox?to=BOB@example.com", nil, nil).body); strings.Contains(page, "ann@example.com") || !strings.Contains(page, "bob@example.com") {
		t.Error(page)
	}
	var all []kosmos.Message
	if r := s.send("GET", "/inbox/api/messages?to=ann@example.com", nil, nil); json.Unmarshal(r.body, &all) != nil || len(all) != 1 || all[0].Links[0] != "https://bridge.example/l/1" {
		t.Errorf("%s", r.body)
	}
	style := page[strings.Index(page, `/static/`):]
	if r := s.send("GET", style[:strings.IndexByte(style, '"')], nil, nil); r.status != 200 {
		t.Errorf("style: %d", r.status)
	}
	for name, change := range map[string]func(*http.Request){
		"another machine": func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1234" },
		"a foreign name":  func(r *http.Request) { r.Host = "evil.example:8443" },
		"no address":      func(r *http.Request) { r.RemoteAddr = "@" },
		"itself":          func(*http.Request) {},
	} {
		for _, path := range []string{"/inbox", "/inbox/api/messages"} {
			req := httptest.NewRequest("GET", s.base+path, nil)
			req.RemoteAddr = "[::1]:1234"
			change(req)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, req)
			if ok := w.Code == 200; ok != (name == "itself") || !ok && strings.Contains(w.Body.String(), "example.com") {
				t.Errorf("%s %s: %d", name, path, w.Code)
			}
		}
	}
}

// TestMessagesAreSealed: neither address nor link nor code is readable at rest.
func TestMessagesAreSealed(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	a, err := s.blockid().CreateAccessCode(t.Context(), blockid.AccessCodeRequest{
		CreatedBy: "b", EmailTo: "ann@example.com", HTML: "https://bridge.example/secret-link"})
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "kosmos.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"ann@example.com", "secret-link", a.Code} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s is in %s", secret, filepath.Base(f))
			}
		}
	}
}
