package federation_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/test/world"
)

// samlTask is what node-saml is to do, with changes.
func samlTask(t *testing.T, w *world.World, client string, changes fields) fields {
	t.Helper()
	out := fields{"metadata": issuer(w) + "/saml/metadata", "entity_id": entityOf(client), "acs": shared.home(t)}
	maps.Copy(out, changes)
	return out
}

func TestSAMLProof(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	for name, change := range map[string]fields{
		"nothing asked": nil,
		"proofing":      {"authn_context": []string{proofingACR}},
		"minimum":       {"authn_context": []string{proofingACR}, "comparison": "minimum"},
	} {
		t.Run(name, func(t *testing.T) {
			p := person(t, w)
			done := signIn(t, p, "node-saml", samlTask(t, w, sp, change)).done(t)
			profile := object(t, done, "profile")
			if profile["issuer"] == nil || profile["nameID"] == "" || profile["nameIDFormat"] != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" {
				t.Errorf("profile %v", profile)
			}
			if profile["family_name"] != "ERIKSSON" || profile["given_name"] != "ANNA MARIA" || profile["idv_status"] != "verified" {
				t.Errorf("attributes %v", profile)
			}
			if !strings.Contains(str(done["assertion"]), proofingACR+"<") {
				t.Errorf("the assertion names another context: %s", done["assertion"])
			}
			nobody(t, profile)
			if !slices.Contains(p.Saw, "capture") {
				t.Errorf("saw %v", p.Saw)
			}
			if done["replay"] == "accepted" {
				t.Error("the same response was taken twice")
			}
		})
	}
	t.Run("e-mail as NameID", func(t *testing.T) { // nobody's account is proved by a document
		o := signIn(t, person(t, w), "node-saml", samlTask(t, w, spEmail, nil))
		if o.Refused == nil && (strings.Contains(str(object(t, o.Done, "profile")["nameID"]), "@") || object(t, o.Done, "profile")["email"] != nil) {
			t.Errorf("%s", o)
		}
	})
}

func TestSAMLStepUp(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	user := enrolled(t, w, "saml")
	p := person(t, w)
	p.Account = user
	task := samlTask(t, w, spEmail, fields{"authn_context": []string{faceACR}})
	done := signIn(t, p, "node-saml", task).done(t)
	profile := object(t, done, "profile")
	if profile["nameID"] != user || !strings.Contains(str(done["assertion"]), faceACR+"<") || profile["user_identifier"] != user {
		t.Errorf("profile %v", profile)
	}
	if !slices.Contains(p.Saw, "authenticator") {
		t.Errorf("saw %v", p.Saw)
	}
	saw := len(p.Saw)
	passive := maps.Clone(task)
	passive["passive"] = true
	signIn(t, p, "node-saml", passive).done(t)
	if len(p.Saw) != saw {
		t.Errorf("IsPassive showed %v", p.Saw[saw:])
	}
	force := maps.Clone(task)
	force["force"] = true
	signIn(t, p, "node-saml", force).done(t)
	if len(p.Saw) == saw {
		t.Error("ForceAuthn showed nothing")
	}
	t.Run("stranger", func(t *testing.T) {
		p := stranger(t, w)
		p.Account = user
		if o := signIn(t, p, "node-saml", task); o.Refused == nil || strings.Contains(o.String(), user) {
			t.Errorf("%s", o)
		}
	})
	t.Run("nobody there, passive", func(t *testing.T) {
		p := person(t, w)
		o := signIn(t, p, "node-saml", passive)
		if o.Refused == nil && o.Done["profile"] != nil || len(p.Saw) > 0 {
			t.Errorf("%s, having shown %v", o, p.Saw)
		}
	})
}

// TestSAMLRefuse has node-saml refuse what was changed on its way.
func TestSAMLRefuse(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	p := person(t, w)
	task := samlTask(t, w, sp, nil)
	signIn(t, p, "node-saml", task).done(t)
	for _, change := range []string{"subject", "audience", "level", "unsigned", "digest", "wrapped"} {
		t.Run(change, func(t *testing.T) {
			changed := maps.Clone(task)
			changed["change"] = change
			o := signIn(t, p, "node-saml", changed)
			if o.Refused == nil || strings.Contains(o.Refused.Message, "NOTHING CHANGED") {
				t.Errorf("%s", o)
			}
		})
	}
	t.Run("comment", func(t *testing.T) { // canonical XML has none: the signature holds, and the name must stay whole
		changed := maps.Clone(task)
		changed["change"] = "comment"
		whole := object(t, signIn(t, p, "node-saml", task).done(t), "profile")["nameID"]
		if o := signIn(t, p, "node-saml", changed); o.Refused == nil && object(t, o.Done, "profile")["nameID"] != whole {
			t.Errorf("%s, want %v", o, whole)
		}
	})
}
