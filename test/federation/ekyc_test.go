package federation_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestConformanceIDA is modelled on the suite's ekyc-test-plan-oidccore: see
// conformance_test.go for what that means.
func TestConformanceIDA(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	o := newOP(t, w, basic, person(t, w))
	o.tokens("scope", "openid identity_assurance")
	given := fields{"given_name": nil}
	// both asks in userinfo and sees what came, with the schema's musts.
	asked := func(o *op, verification any, claims fields) fields {
		o.t.Helper()
		info := o.userinfo(o.tokens("claims", verified("userinfo", verification, claims)))
		if info["verified_claims"] == nil {
			return nil
		}
		v := object(o.t, info, "verified_claims")
		if framework := object(o.t, v, "verification")["trust_framework"]; framework == nil || framework == "nist_800_63A" {
			o.t.Errorf("trust framework %v of the embedded engine", framework)
		}
		if len(object(o.t, v, "claims")) == 0 {
			o.t.Error("claims without one")
		}
		return v
	}
	justGiven := func(o *op, v fields) {
		o.t.Helper()
		if got := keys(v["claims"]); !slices.Equal(got, []string{"given_name"}) {
			o.t.Errorf("claims %v, and nothing but given_name was asked for", got)
		}
		if got := keys(v["verification"]); !slices.Equal(got, []string{"trust_framework"}) {
			o.t.Errorf("verification tells %v, and nothing but trust_framework was asked for", got)
		}
	}
	plain := fields{"trust_framework": nil}
	for name, module := range map[string]func(*op){
		"ekyc-server-happypath":                func(o *op) { justGiven(o, asked(o, plain, given)) },
		"ekyc-server-happypath-emptyobject":    func(o *op) { justGiven(o, asked(o, plain, fields{"given_name": fields{}})) },
		"ekyc-server-happypath-essentialfalse": func(o *op) { justGiven(o, asked(o, plain, fields{"given_name": fields{"essential": false}})) },
		"ekyc-server-unknown-claim-omitted": func(o *op) {
			justGiven(o, asked(o, plain, fields{"given_name": nil, "claim_" + strings.ToLower(random()[:6]): nil}))
		},
		"ekyc-server-unknown-essential-claim-omitted": func(o *op) {
			justGiven(o, asked(o, plain, fields{"given_name": nil, "nobody_knows": fields{"essential": true}}))
		},
		"ekyc-server-unknown-claim-specialchars-omitted": func(o *op) {
			justGiven(o, asked(o, plain, fields{"given_name": nil, "%=<\"'>&\u00e4\u4e2d \\": nil}))
		},
		"ekyc-server-one-claim-with-random-value-omitted": func(o *op) {
			x := o.tokens("claims", verified("id_token", plain, fields{"given_name": fields{"value": random()}}))
			if x.claims["verified_claims"] != nil {
				o.t.Errorf("verified_claims %v", x.claims["verified_claims"])
			}
			if v := asked(o, plain, fields{"given_name": fields{"value": random()}}); v != nil {
				o.t.Errorf("userinfo %v", v)
			}
		},
		"ekyc-server-request-only-in-idtoken": func(o *op) {
			x := o.tokens("claims", verified("id_token", plain, given))
			justGiven(o, object(o.t, x.claims, "verified_claims"))
			if info := o.userinfo(x); info["verified_claims"] != nil {
				o.t.Errorf("userinfo %v", info)
			}
		},
		"ekyc-server-request-only-in-userinfo": func(o *op) {
			x := o.tokens("claims", verified("userinfo", plain, given))
			justGiven(o, object(o.t, o.userinfo(x), "verified_claims"))
			if x.claims["verified_claims"] != nil {
				o.t.Errorf("ID token %v", x.claims)
			}
		},
		"ekyc-server-testuserprovidedrequest": func(o *op) {
			v := asked(o, fields{
				"trust_framework": nil, "time": nil,
				"evidence": []fields{{"type": fields{"value": "document"}, "document_details": fields{"type": nil}}},
			}, fields{"given_name": nil, "family_name": nil, "birthdate": nil})
			verification := object(o.t, v, "verification")
			evidence, _ := verification["evidence"].([]any)
			if len(evidence) != 1 || verification["time"] == nil {
				o.t.Fatalf("verification %v", verification)
			}
			if doc := evidence[0].(fields); doc["type"] != "document" || object(o.t, doc, "document_details")["type"] != "passport" {
				o.t.Errorf("evidence %v", doc)
			}
		},
		"ekyc-server-testbasedonuserinfo-defaults": func(o *op) {
			// What userinfo says without a wish is asked for, value by value.
			all := object(o.t, o.userinfo(o.tokens("scope", "openid identity_assurance")), "verified_claims")
			values := fields{}
			for name, v := range object(o.t, all, "claims") {
				values[name] = fields{"value": v}
			}
			framework := object(o.t, all, "verification")["trust_framework"]
			v := asked(o, fields{"trust_framework": fields{"value": framework}}, values)
			want, _ := json.Marshal(all["claims"])
			if got, _ := json.Marshal(v["claims"]); string(got) != string(want) {
				o.t.Errorf("claims %s, want %s", got, want)
			}
		},
		"ekyc-server-test-userinfo-notfoundinop": func(o *op) {
			if v := asked(o, fields{"trust_framework": fields{"value": "nobody_knows"}}, given); v != nil {
				o.t.Errorf("of a trust framework that we do not have: %v", v)
			}
			if v := asked(o, plain, fields{"blood_type": nil}); v != nil {
				o.t.Errorf("of a claim that we do not have: %v", v)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { module(o.as(t)) })
	}
}
