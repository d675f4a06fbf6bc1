package descope_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var day = time.UnixMilli(1_796_000_000_123).UTC()

// searched asks for sign-ins over w.
func searched(t *testing.T, page int, w wire) ([]descope.SignIn, bool, *counted, error) {
	t.Helper()
	c := &counted{wire: w}
	list, more, err := client(t, "https://api.example", &http.Client{Transport: c}).SignIns(t.Context(), day, day.Add(time.Hour), page)
	return list, more, c, err
}

func TestSignIns(t *testing.T) {
	t.Parallel()
	var sent map[string]any
	list, more, _, err := searched(t, 2, func(_ int, r *http.Request) (*http.Response, error) {
		if r.Method != "POST" || r.URL.Path != "/v1/mgmt/audit/search" || r.Header.Get("Authorization") != "Bearer "+projectID+":"+key {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		return answer(200, `{"audits":[
			{"ID":"7","projectId":"P2","userId":"U1","action":"LoginSucceed","type":"info","actorId":"U1","occurred":"1796000000123","device":"Desktop","method":"otp","geo":"DE","remoteAddress":"192.0.2.7","externalIds":["ada@example.com"],"tenants":[],"data":{"new":[1]}},
			{"userId":"U2","action":"LoginSucceed","occurred":1796000000124,"geo":"Germany","remoteAddress":"::ffff:192.0.2.8","externalIds":null,"later":true},
			{"userId":"U3","action":"LoginSucceed","occurred":"1796000000125","method":7,"geo":null,"remoteAddress":"10.0.0.300","externalIds":"x"}
		],"total":2000}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"from": 1796000000123.0, "to": 1796003600123.0, "actions": []any{"LoginSucceed"}, "size": 500.0, "page": 2.0, "oldestFirst": true}; !reflect.DeepEqual(sent, want) {
		t.Errorf("sent %v", sent)
	}
	want := []descope.SignIn{
		{ID: "7", UserID: "U1", LoginIDs: []string{login}, At: day, Method: "otp", Country: "DE", IP: netip.MustParseAddr("192.0.2.7")},
		{UserID: "U2", At: day.Add(time.Millisecond), IP: netip.MustParseAddr("192.0.2.8")},
		{UserID: "U3", At: day.Add(2 * time.Millisecond)},
	}
	if !reflect.DeepEqual(list, want) || !more {
		t.Errorf("%+v, more: %t", list, more)
	}
}

// Nobody's habits are learned from what is not their login.
func TestSignInsLeftOut(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{
		"impersonation": `{"userId":"U1","action":"LoginSucceed","occurred":"1796000000123","method":"Impersonate"}`,
		"by case":       `{"userId":"U1","action":"LoginSucceed","occurred":"1796000000123","method":"impersonate"}`,
		"a failure":     `{"userId":"U1","action":"LoginFailed","occurred":"1796000000123"}`,
		"no action":     `{"userId":"U1","occurred":"1796000000123"}`,
		"no user":       `{"action":"LoginSucceed","occurred":"1796000000123"}`,
		"no time":       `{"userId":"U1","action":"LoginSucceed"}`,
		"a word":        `{"userId":"U1","action":"LoginSucceed","occurred":"yesterday"}`,
		"long ago":      `{"userId":"U1","action":"LoginSucceed","occurred":"-1"}`,
		"far away":      `{"userId":"U1","action":"LoginSucceed","occurred":1e300}`,
		"null":          `null`,
		"empty":         `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			list, more, _, err := searched(t, 0, func(int, *http.Request) (*http.Response, error) {
				return answer(200, `{"audits":[`+event+`,{"userId":"U2","action":"LoginSucceed","occurred":"1796000000124"}],"total":2}`)
			})
			if err != nil || len(list) != 1 || list[0].UserID != "U2" || more {
				t.Errorf("%+v %t %v", list, more, err)
			}
		})
	}
}

func TestSignInsPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page, events, total int
		more                bool
	}{{0, 0, 0, false}, {0, 500, 500, false}, {0, 500, 501, true}, {1, 1, 501, false}, {1, 500, 1001, true}, {3, 0, 5000, false}} {
		_, more, _, err := searched(t, c.page, func(int, *http.Request) (*http.Response, error) {
			return answer(200, fmt.Sprintf(`{"audits":[%s],"total":%d}`, strings.TrimSuffix(strings.Repeat("{},", c.events), ","), c.total))
		})
		if err != nil || more != c.more {
			t.Errorf("%+v: %t %v", c, more, err)
		}
	}
	if _, _, c, err := searched(t, -1, nil); err == nil || len(c.at) != 0 {
		t.Errorf("page -1: %v", err)
	}
	// Without an end, up to now.
	var sent map[string]any
	hc := &http.Client{Transport: &counted{wire: func(_ int, r *http.Request) (*http.Response, error) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		return answer(200, `{"audits":null}`)
	}}}
	if list, more, err := client(t, "https://api.example", hc).SignIns(t.Context(), time.Time{}, time.Time{}, 0); err != nil || len(list) != 0 || more || sent["from"] != 1.0 || sent["to"] != nil {
		t.Errorf("%v %t %v, sent %v", list, more, err, sent)
	}
}

func TestSignInsTrouble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		reason proof.Reason
	}{
		"refused":         {401, `{"errorCode":"E074101"}`, proof.ReasonDescopeRefused},
		"broken":          {500, `SECRET`, proof.ReasonDescopeUnavailable},
		"no list":         {200, `{"audits":{"SECRET":1}}`, proof.ReasonDescopeUnavailable},
		"no events":       {200, `{"audits":["SECRET"]}`, proof.ReasonDescopeUnavailable},
		"more than asked": {200, `{"audits":[` + strings.Repeat("{},", 500) + `{}]}`, proof.ReasonDescopeUnavailable},
		"too long":        {200, `{"audits":[],"x":"` + strings.Repeat("x", 2<<20) + `"}`, proof.ReasonDescopeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			list, _, _, err := searched(t, 0, func(int, *http.Request) (*http.Response, error) { return answer(c.status, c.body) })
			is(t, err, c.reason)
			if list != nil {
				t.Errorf("%v", list)
			}
		})
	}
}

// Ten searches a minute: a short wait is waited for, a long one is the caller's.
func TestSignInsTooOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, c, err := searched(t, 0, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return answer(429, `{"errorCode":"E130429"}`, "Retry-After", "3")
			}
			return answer(200, `{"audits":[],"total":0}`)
		})
		if err != nil || len(c.at) != 2 || c.at[1] != 3*time.Second {
			t.Errorf("%v, at %v", err, c.at)
		}
		_, _, c, err = searched(t, 0, func(int, *http.Request) (*http.Response, error) {
			return answer(429, `{"errorCode":"E130429"}`, "Retry-After", "40")
		})
		if e := is(t, err, proof.ReasonDescopeUnavailable); e.RetryAfter != 40*time.Second || len(c.at) != 1 {
			t.Errorf("%v, at %v", e.RetryAfter, c.at)
		}
	})
}
