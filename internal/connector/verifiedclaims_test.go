package connector_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rule checks one JSON value against the rules of "OpenID Identity Assurance
// Schema Definition 1.0", section 5. The published JSON schema is not shipped
// here; these are its requirements, written down from the text, with the members
// that we use. A member that is not listed is a mistake of ours.
type rule func(path string, v any) []string

func obj(required string, members map[string]rule) rule {
	return func(path string, v any) (out []string) {
		m, ok := v.(map[string]any)
		if !ok || len(m) == 0 {
			return []string{path + " is not an object with members"}
		}
		for _, r := range strings.Fields(required) {
			if _, ok := m[r]; !ok {
				out = append(out, path+"."+r+" is required")
			}
		}
		for k, v := range m {
			if members[k] == nil {
				out = append(out, path+"."+k+" is not known")
				continue
			}
			out = append(out, members[k](path+"."+k, v)...)
		}
		return out
	}
}

func list(item rule) rule {
	return func(path string, v any) (out []string) {
		l, ok := v.([]any)
		if !ok || len(l) == 0 {
			return []string{path + " is not a list with members"}
		}
		for i, v := range l {
			out = append(out, item(fmt.Sprintf("%s[%d]", path, i), v)...)
		}
		return out
	}
}

func like(pattern string) rule {
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	return func(path string, v any) []string {
		if s, ok := v.(string); !ok || !re.MatchString(s) {
			return []string{path + " is not like " + pattern}
		}
		return nil
	}
}

func calendar(layout string) rule {
	return func(path string, v any) []string {
		s, _ := v.(string)
		if _, err := time.Parse(layout, s); err != nil {
			return []string{path + " is no date or time"}
		}
		return nil
	}
}

func boolean(path string, v any) []string {
	if _, ok := v.(bool); !ok {
		return []string{path + " is not a boolean"}
	}
	return nil
}

var (
	day   = calendar(time.DateOnly)
	clock = calendar(time.RFC3339)

	idaRules = obj("verification claims", map[string]rule{
		"verification": obj("trust_framework", map[string]rule{
			"trust_framework": like(`\S+`),
			"assurance_level": like(`\S+`),
			"time":            clock,
			"assessed":        boolean, // ours; section 5 allows more members
			"evidence": list(obj("type", map[string]rule{
				"type":          like("document"), // section 5.4.4.1
				"time":          clock,
				"check_details": list(obj("check_method", map[string]rule{"check_method": like("vpip|vpiruv|vri|vdig|vcrypt|data|auth|token|kbv|pvp|pvr|bvp|bvr")})),
				"document_details": obj("type", map[string]rule{
					"type":             like("passport|idcard|driving_permit"),
					"document_number":  like(".+"),
					"date_of_issuance": day,
					"date_of_expiry":   day,
					"issuer":           obj("", map[string]rule{"country_code": like("[A-Z]{2,3}"), "country": like(".+")}),
				}),
			})),
		}),
		"claims": obj("", map[string]rule{
			"given_name": like(".+"), "family_name": like(".+"), "birthdate": day, "gender": like("female|male|.+"),
			"nationalities": list(like("[A-Z]{2,3}")),
		}),
	})
)

func TestVerifiedClaimsFollowTheSpecification(t *testing.T) {
	count := 0
	for name := range views() {
		raw, err := os.ReadFile("testdata/result_" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		if vc := out["verified_claims"]; vc != nil {
			count++
			if out["status"] != "verified" {
				t.Errorf("%s: verified claims with status %v", name, out["status"])
			}
			for _, problem := range idaRules("verified_claims", vc) {
				t.Errorf("%s: %s", name, problem)
			}
			level, has := vc.(map[string]any)["verification"].(map[string]any)["assurance_level"]
			if has != (name == "verified_1kosmos_ial2") || has && level != "ial2" {
				t.Errorf("%s: assurance_level %v", name, level)
			}
		}
	}
	if count < 4 {
		t.Errorf("only %d answers have verified claims", count)
	}
	// The rules must be able to fail.
	for _, bad := range []string{
		`{"verification":{},"claims":{"given_name":"A"}}`, `{"verification":{"trust_framework":"x"},"claims":{}}`,
		`{"verification":{"trust_framework":"x","evidence":[{"type":"passport"}]},"claims":{"given_name":"A"}}`,
		`{"verification":{"trust_framework":"x","evidence":[]},"claims":{"given_name":"A"}}`, `{"claims":{"birthdate":"x"}}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(bad), &v); err != nil {
			t.Fatal(err)
		}
		if len(idaRules("x", v)) == 0 {
			t.Errorf("accepted %s", bad)
		}
	}
}
