package blockid_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

const (
	pathACR       = "/api/r2/acr/community/default/code"
	pathACRCode   = "/api/r1/acr/community/default/c0de"
	pathACRRedeem = pathACRCode + "/redeem"
	pathSMS       = "/api/r2/messaging/schedule"
)

// console lets the admin console answer one path with what it is told; what came is
// kept as of every encrypted call.
func (f *fake) console(path, method string, status int, seal bool, answer string) {
	f.set(func() {
		f.override[path] = func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if r.Method != method || r.Header.Get("X-TenantTag") != "acme" {
				fail(w, 400, "X-TenantTag is required")
				return
			}
			s, ok := f.admit(w, r, "community")
			if !ok {
				return
			}
			body, _ := io.ReadAll(r.Body)
			if len(body) > 0 {
				var env map[string]string
				var err error
				if json.Unmarshal(body, &env) != nil || len(env) != 1 {
					fail(w, 400, "data is required")
					return
				}
				if s.Body, err = f.keys["community"].open(r.Header.Get("publickey"), env["data"]); err != nil {
					fail(w, 400, "This data can't be decrypted")
					return
				}
			}
			f.keep(s)
			if seal {
				answer := map[string]string{"data": f.keys["community"].seal(r.Header.Get("publickey"), answer)}
				writeJSON(w, status, answer)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		}
	})
}

func TestCreateAccessCode(t *testing.T) {
	t.Parallel()
	f := startFake(t, "secp256k1")
	c := f.client(t)
	const answer = `{"emailResult":{"status":"success","statusCode":202,"message":"Queued","error":null,"gatewayId":"g","gatewayName":"n","resultId":"r","messageId":"m1","ts":1},"link":"https://acme.example/l","code":"c0de","later":1}`
	for name, seal := range map[string]bool{"clear": false, "sealed": true} {
		f.console(pathACR, http.MethodPut, 200, seal, answer)
		a, err := c.CreateAccessCode(t.Context(), blockid.AccessCodeRequest{
			CreatedBy: "bridge", EmailTo: "ann@example.com", TTL: 10 * time.Minute, Subject: "Your link", HTML: "<p>hi</p>",
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.Link != "https://acme.example/l" || a.Code != "c0de" || len(a.Extra) != 1 || a.Email != (blockid.EmailResult{Status: "success", StatusCode: 202, MessageID: "m1"}) {
			t.Errorf("%s: %#v", name, *a)
		}
		if s := fmt.Sprintf("%v %+v %#v", a, *a, *a); strings.Contains(s, "c0de") || strings.Contains(s, "acme.example") {
			t.Errorf("%s: printed %s", name, s)
		}
		want := `{"createdBy":"bridge","version":"v0","type":"verification_link","emailTo":"ann@example.com","ttl_seconds":600,"emailTemplateB64":"PHA+aGk8L3A+","emailSubject":"Your link"}`
		if got := f.last(t); got.Body != want || got.License != fakeLicense {
			t.Errorf("%s: sent %s", name, got.Body)
		}
	}
	if _, err := c.CreateAccessCode(t.Context(), blockid.AccessCodeRequest{CreatedBy: "b", EmailTo: "a@b", Type: "other"}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.last(t).Body, `{"createdBy":"b","version":"v0","type":"other","emailTo":"a@b"}`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	before := f.count(pathACR)
	for field, r := range map[string]blockid.AccessCodeRequest{
		"CreatedBy": {EmailTo: "a@b"}, "EmailTo": {CreatedBy: "b", EmailTo: "a@b,c@d"}, "EmailTo is": {CreatedBy: "b", EmailTo: "@b"},
		"Subject": {CreatedBy: "b", EmailTo: "a@b", Subject: "x\r\nBcc: c@d"}, "TTL": {CreatedBy: "b", EmailTo: "a@b", TTL: time.Millisecond},
	} {
		if _, err := c.CreateAccessCode(t.Context(), r); blockid.KindOf(err) != blockid.KindInvalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if f.count(pathACR) != before {
		t.Error("a bad request was sent")
	}
}

// TestMailFailed: what a gateway's answer means, of which only the names are known.
func TestMailFailed(t *testing.T) {
	t.Parallel()
	for mail, failed := range map[string]bool{
		`{"status":"success"}`: false, `{"status":200,"statusCode":"202"}`: false, `{"error":null}`: false, `{"error":""}`: false, `{}`: false, `null`: false,
		`{"statusCode":550}`: true, `{"statusCode":"429"}`: true, `{"error":"mailbox"}`: true, `{"error":{"code":1}}`: true, `{"status":false}`: true, `{"error":true}`: true,
	} {
		a, err := blockid.ParseAccessCode([]byte(`{"code":"c","emailResult":` + mail + `}`))
		if err != nil || a.Email.Failed != failed {
			t.Errorf("%s: %+v, %v", mail, a, err)
		}
	}
	for answer, kind := range map[string]blockid.Kind{
		`{}`: blockid.KindMalformed, `[]`: blockid.KindMalformed, `{"code":400,"message":"emailTo is required"}`: blockid.KindInvalid,
		`{"emailResult":{"status":"success"}}`: blockid.KindMalformed,
	} {
		if _, err := blockid.ParseAccessCode([]byte(answer)); blockid.KindOf(err) != kind {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// TestAccessCodeIsMailedOnce: nothing but a refusal is followed by a second request.
func TestAccessCodeIsMailedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		answer string
		kind   blockid.Kind
	}{
		"server error": {500, `{"message":"no"}`, blockid.KindUpstream},
		"malformed":    {200, `{"ok":true}`, blockid.KindMalformed},
		"no licence":   {401, `{"message":"Unauthorized"}`, blockid.KindUnauthorized},
		"slow down":    {429, `{"message":"later","retryAfterSeconds":30}`, blockid.KindRateLimited},
		"gone":         {404, `{"message":"Unable to load tenant/community"}`, blockid.KindNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t, "P-256")
			f.console(pathACR, http.MethodPut, c.status, false, c.answer)
			_, err := f.client(t).CreateAccessCode(t.Context(), blockid.AccessCodeRequest{CreatedBy: "b", EmailTo: "ann@example.com"})
			if blockid.KindOf(err) != c.kind || f.count(pathACR) != 1 {
				t.Errorf("%v, after %d requests", err, f.count(pathACR))
			}
			if err != nil && strings.Contains(err.Error(), "ann@") {
				t.Errorf("personal: %v", err)
			}
		})
	}
}

func TestAccessCodeUse(t *testing.T) {
	t.Parallel()
	f := startFake(t, "secp256k1")
	c := f.client(t)
	f.console(pathACRCode, http.MethodGet, 200, true, `{"type":"verification_link","createdBy":"bridge"}`)
	info, err := c.AccessCode(t.Context(), "c0de")
	if err != nil || info.Type != blockid.VerificationLink || len(info.Extra) != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	f.console(pathACRCode, http.MethodGet, 200, false, `{"type":"verification_link"}`)
	if _, err := c.AccessCode(t.Context(), "c0de"); blockid.KindOf(err) != blockid.KindMalformed {
		t.Errorf("an answer in clear: %v", err)
	}
	f.console(pathACRCode, http.MethodGet, 200, true, `{}`)
	if _, err := c.AccessCode(t.Context(), "c0de"); blockid.KindOf(err) != blockid.KindMalformed {
		t.Errorf("no type: %v", err)
	}
	f.console(pathACRRedeem, http.MethodPost, 200, false, `{}`)
	if err := c.RedeemAccessCode(t.Context(), "c0de"); err != nil || f.last(t).Body != "{}" {
		t.Errorf("%v, sent %s", err, f.last(t).Body)
	}
	f.console(pathACRRedeem, http.MethodPost, 410, false, `{"message":"expired"}`)
	if err := c.RedeemAccessCode(t.Context(), "c0de"); err == nil {
		t.Error("redeemed")
	}
	for _, code := range []string{"", ".", ".."} {
		if err := c.RedeemAccessCode(t.Context(), code); blockid.KindOf(err) != blockid.KindInvalid {
			t.Errorf("%q: %v", code, err)
		}
	}
}

func TestScheduleSMS(t *testing.T) {
	t.Parallel()
	f := startFake(t, "secp256k1")
	c := f.client(t)
	f.console(pathSMS, http.MethodPost, 202, false, `{"messageId":"m2","info":"accepted"}`)
	id, err := c.ScheduleSMS(t.Context(), blockid.SMS{To: "15550100", ISDCode: "+1", Text: "hi"})
	if err != nil || id != "m2" {
		t.Errorf("%q, %v", id, err)
	}
	want := `{"tenantId":"5f0000000000000000000001","communityId":"5f0000000000000000000002","smsTo":"15550100","smsISDCode":"+1","smsTemplateB64":"aGk="}`
	if got := f.last(t).Body; got != want {
		t.Errorf("sent %s", got)
	}
	if _, err := c.ScheduleSMS(t.Context(), blockid.SMS{To: "1"}); blockid.KindOf(err) != blockid.KindInvalid {
		t.Error(err)
	}
}

func FuzzAccessCode(f *testing.F) {
	f.Add([]byte(`{"emailResult":{"status":"success","statusCode":202},"link":"https://l","code":"c"}`))
	f.Add([]byte(`{"code":1e999,"emailResult":{"error":[1]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := blockid.ParseAccessCode(b); err == nil && a.Code == "" && a.Link == "" {
			t.Error("neither code nor link")
		}
	})
}
