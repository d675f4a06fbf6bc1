package federation_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// samlWorld has tenant T1 with SAML, and a flow to it.
func samlWorld(t *testing.T, change func(*federation.Options), args ...any) (*world, *idp) {
	t.Helper()
	t.Parallel()
	i := newIDP(t)
	w := newWorld(t, func(o *federation.Options) {
		o.SSO = []federation.SSO{i.settings("T1")}
		if change != nil {
			change(o)
		}
	})
	w.trip("f", "saml-start", "exchange-saml-code", append([]any{"tenantId", "T1"}, args...)...)
	return w, i
}

func (w *world) signInSAML(i *idp) *browser {
	w.Helper()
	b, address := w.leave("f")
	b.resume(w.arrived(w.acs("T1", i.answer(w.T, i.read(w.T, address)))))
	return b
}

func TestSAMLSignUpAndIn(t *testing.T) {
	w, i := samlWorld(t, func(o *federation.Options) {
		o.SSO[0].Settings.SubjectNameIDFormat = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	}, "loginHint", "ada & co", "forceAuthn", true)
	i.attributes = map[string][]string{"given_name": {"ADA"}, "ial_level": {"IAL2"}, "face_matched": {"true"}, "more": {"a", "b"}}
	b, address := w.leave("f")
	q := i.read(t, address)
	acs := base + "/v1/auth/saml/acs?projectId=" + projectID + "&tenantId=T1"
	if q.ACS != acs || q.Issuer != projectID+"-T1" || q.ForceAuthn != "true" || q.hint != "ada & co" || len(q.relay) > 80 || q.Policy.Format != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" {
		t.Fatalf("%+v", q)
	}
	b.resume(w.arrived(w.acs("T1", i.answer(t, q))))
	u := b.inside()
	want := map[string]any{"kosmosIal": "IAL2", "kosmosFace": true}
	if !slices.Equal(u.LoginIDs, []string{"pairwise-1"}) || u.GivenName != "ADA" || !u.SAML || !reflect.DeepEqual(u.CustomAttributes, want) || len(u.UserTenants) != 1 || u.UserTenants[0].TenantID != "T1" {
		t.Fatalf("%+v", u)
	}
	if b.at.AuthInfo.Claims["saml_level"] != "IAL2" {
		t.Fatalf("%+v", b.at.AuthInfo.Claims)
	}
	i.whole = true // the response is signed as well
	if v := w.signInSAML(i).inside(); v.UserID != u.UserID || len(v.UserTenants) != 1 {
		t.Fatalf("%+v", v)
	}
}

// Who comes from a tenant's provider is believed to have their address, unless the
// project says otherwise.
func TestSAMLMergesByAddress(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*federation.Options)
		email  []string
		merged bool
	}{
		"as it comes":        {email: []string{victim}, merged: true},
		"no address":         {},
		"marked as unproven": {email: []string{victim}, change: func(o *federation.Options) { o.UnverifiedSSO = true }},
		"merging is off":     {email: []string{victim}, change: func(o *federation.Options) { o.MergeSSO = false }},
		"two addresses":      {email: []string{"a@example.org", victim}},
	} {
		t.Run(name, func(t *testing.T) {
			w, i := samlWorld(t, c.change)
			v := w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: true})
			if c.email != nil {
				i.attributes["email"] = c.email
			}
			if u := w.signInSAML(i).inside(); (u.UserID == v.UserID) != c.merged {
				t.Fatalf("%+v", u)
			}
		})
	}
}

func TestSAMLByDomain(t *testing.T) {
	w, _ := samlWorld(t, nil)
	if id, ok := w.fed.TenantOf("Tenant.Example"); !ok || id != "T1" {
		t.Fatal(id, ok)
	}
	s, _ := w.fed.SSO("T1")
	s.TenantID = "T2"
	if err := w.fed.SetSSO(s); err != nil {
		t.Fatal(err)
	}
	if id, ok := w.fed.TenantOf("tenant.example"); ok {
		t.Fatalf("%s, although two have it", id)
	}
	w.fed.DropSSO("T2")
	if _, ok := w.fed.TenantOf("tenant.example"); !ok || w.fed.Known(project.FederationSAML, "T2") {
		t.Fatal("still there")
	}
}

func TestSAMLMetadata(t *testing.T) {
	w, i := samlWorld(t, func(o *federation.Options) {
		k := &o.SSO[0].Settings
		k.MetadataURL, k.IDPURL, k.EntityID, k.IDPCert = k.EntityID+"/metadata", "", "", ""
	})
	w.signInSAML(i).inside()
	other, err := theirs()
	if err != nil {
		t.Fatal(err)
	}
	i.cred = other // at once, with nothing published ahead
	w.signInSAML(i).outside()
	w.ahead = 2 * time.Minute
	b, address := w.leave("f")
	w.ahead = 0
	b.resume(w.arrived(w.acs("T1", i.answer(t, i.read(t, address)))))
	b.inside()
}

func attr(e *etree.Element, path, name, value string) {
	at := e.FindElement(path)
	at.CreateAttr(name, value)
}

func TestSAMLRefusesWhatIsNotRight(t *testing.T) {
	text := func(path, value string) func(_, a *etree.Element) {
		return func(_, a *etree.Element) { a.FindElement(path).SetText(value) }
	}
	on := func(path, name, value string) func(_, a *etree.Element) {
		return func(_, a *etree.Element) { attr(a, path, name, value) }
	}
	old := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for name, change := range map[string]func(*testing.T, *idp){
		"no signature": func(_ *testing.T, i *idp) { i.plain = true },
		"another key": func(t *testing.T, i *idp) {
			other, err := theirs()
			if err != nil {
				t.Fatal(err)
			}
			i.cred = other
		},
		"changed afterwards": func(_ *testing.T, i *idp) {
			i.after = func(d *etree.Document) { d.FindElement("//NameID").SetText("victim") }
		},
		"an attribute changed afterwards": func(_ *testing.T, i *idp) {
			i.attributes["email"] = []string{"mallory@example.org"}
			i.after = func(d *etree.Document) { d.FindElement("//AttributeValue").SetText(victim) }
		},
		"changed in a signed response": func(_ *testing.T, i *idp) {
			i.whole = true
			i.after = func(d *etree.Document) { d.FindElement("//NameID").SetText("victim") }
		},
		"wrapped": func(_ *testing.T, i *idp) {
			i.after = func(d *etree.Document) {
				a := d.FindElement("//Assertion")
				forged := a.Copy()
				forged.RemoveChild(forged.SelectElement("Signature"))
				forged.CreateAttr("ID", "_forged")
				forged.FindElement("//NameID").SetText("victim")
				d.Root().InsertChildAt(0, forged)
			}
		},
		"wrapped in an extension": func(_ *testing.T, i *idp) {
			i.after = func(d *etree.Document) {
				a := d.FindElement("//Assertion")
				forged := a.Copy()
				forged.RemoveChild(forged.SelectElement("Signature"))
				forged.FindElement("//NameID").SetText("victim")
				d.Root().RemoveChild(a)
				d.Root().CreateElement("samlp:Extensions").AddChild(a)
				d.Root().AddChild(forged)
			}
		},
		"two assertions": func(t *testing.T, i *idp) {
			i.after = func(d *etree.Document) { d.Root().AddChild(d.FindElement("//Assertion").Copy()) }
		},
		"for somebody else": func(_ *testing.T, i *idp) { i.change = text("//Audience", "somebody else") },
		"for nobody in particular": func(_ *testing.T, i *idp) {
			i.change = func(_, a *etree.Element) {
				c := a.FindElement("//Conditions")
				c.RemoveChild(c.SelectElement("AudienceRestriction"))
			}
		},
		"another recipient": func(_ *testing.T, i *idp) {
			i.change = on("//SubjectConfirmationData", "Recipient", "https://evil.example/acs")
		},
		"another request": func(_ *testing.T, i *idp) { i.change = on("//SubjectConfirmationData", "InResponseTo", "_other") },
		"another request, outside": func(_ *testing.T, i *idp) {
			i.change = func(r, _ *etree.Element) { r.CreateAttr("InResponseTo", "_other") }
		},
		"no request": func(_ *testing.T, i *idp) {
			i.change = func(_, a *etree.Element) { a.FindElement("//SubjectConfirmationData").RemoveAttr("InResponseTo") }
		},
		"old":                     func(_ *testing.T, i *idp) { i.change = on("//Conditions", "NotOnOrAfter", old) },
		"too old to be confirmed": func(_ *testing.T, i *idp) { i.change = on("//SubjectConfirmationData", "NotOnOrAfter", old) },
		"not yet": func(_ *testing.T, i *idp) {
			i.change = on("//Conditions", "NotBefore", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		},
		"another issuer": func(_ *testing.T, i *idp) {
			i.change = func(_, a *etree.Element) { a.SelectElement("Issuer").SetText("https://evil.example") }
		},
		"another destination": func(_ *testing.T, i *idp) {
			i.change = func(r, _ *etree.Element) { r.CreateAttr("Destination", "https://evil.example/acs") }
		},
		"nobody": func(_ *testing.T, i *idp) { i.change = text("//NameID", "") },
		"not authenticated": func(_ *testing.T, i *idp) {
			i.change = func(_, a *etree.Element) { a.RemoveChild(a.FindElement("//AuthnStatement")) }
		},
		"refused": func(_ *testing.T, i *idp) {
			i.change = func(r, a *etree.Element) {
				attr(r, "//StatusCode", "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
			}
		},
		"no XML": func(_ *testing.T, i *idp) {
			i.after = func(d *etree.Document) { d.Child = nil; d.CreateText("not XML") }
		},
		"a document type": func(_ *testing.T, i *idp) {
			i.after = func(d *etree.Document) { d.InsertChildAt(0, etree.NewDirective(`DOCTYPE x [<!ENTITY a "b">]`)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, i := samlWorld(t, nil)
			w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: true})
			change(t, i)
			b, address := w.leave("f")
			back := w.arrived(w.acs("T1", i.answer(t, i.read(t, address))))
			if back.Get("err") != "invalid_saml_response" || back.Get("code") != "" {
				t.Fatalf("%v", back)
			}
			b.resume(back)
			b.outside()
			if u := w.users(); len(u) != 1 || len(u[0].LoginIDs) != 1 {
				t.Fatalf("something was written: %+v", u)
			}
		})
	}
}

// A comment within a name does not cut it short: what is signed is what is read.
func TestSAMLCommentInAName(t *testing.T) {
	w, i := samlWorld(t, nil)
	w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: true})
	i.change = func(_, a *etree.Element) {
		n := a.FindElement("//NameID")
		n.SetText("")
		n.CreateText("victim")
		n.CreateComment("x")
		n.CreateText(".mallory")
	}
	b, address := w.leave("f")
	back := w.arrived(w.acs("T1", i.answer(t, i.read(t, address))))
	b.resume(back)
	if back.Get("code") == "" {
		b.outside()
		return
	}
	if u := b.inside(); slices.Contains(u.LoginIDs, "victim") {
		t.Fatalf("%+v", u)
	}
}

func TestSAMLAnswersHoldOnceAndHereOnly(t *testing.T) {
	w, i := samlWorld(t, nil)
	second := i.settings("T2")
	if err := w.fed.SetSSO(second); err != nil {
		t.Fatal(err)
	}
	b, address := w.leave("f")
	form := i.answer(t, i.read(t, address))
	back := w.arrived(w.acs("T1", form))
	w.lost(w.acs("T1", form)) // the same again

	// The same assertion for another trip.
	_, address = w.leave("f")
	other := maps.Clone(form)
	other.Set("RelayState", i.read(t, address).relay)
	if back := w.arrived(w.acs("T1", other)); back.Get("err") == "" {
		t.Fatal("an assertion was used twice")
	}
	// At another tenant's address, or another project's.
	_, address = w.leave("f")
	w.lost(w.acs("T2", i.answer(t, i.read(t, address))))
	_, address = w.leave("f")
	q := i.read(t, address)
	r, err := http.NewRequest(http.MethodPost, strings.ReplaceAll(w.fed.ACSURL("T1"), projectID, "P2other"), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.lost(w.post(r.URL, i.answer(t, q)))
	// Begun at the provider, or by somebody who made it all up.
	for _, relay := range []string{"", "x", strings.Repeat("A", 10_000)} {
		f := i.answer(t, authnRequest{ID: "", ACS: w.fed.ACSURL("T1"), Issuer: projectID + "-T1", relay: relay})
		w.lost(w.acs("T1", f))
	}
	w.lost(w.acs("T1", url.Values{"RelayState": {"x"}, "SAMLResponse": {base64.StdEncoding.EncodeToString(make([]byte, 1<<20))}}))
	b.resume(back)
	b.inside()
}

func TestSAMLSettingsThatCannotBe(t *testing.T) {
	t.Parallel()
	i := newIDP(t)
	f, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: base})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*federation.SSO){
		"no tenant": func(s *federation.SSO) { s.TenantID = "" }, "no issuer": func(s *federation.SSO) { s.Settings.EntityID = "" },
		"no certificate": func(s *federation.SSO) { s.Settings.IDPCert = "" }, "no whole address": func(s *federation.SSO) { s.Settings.IDPURL = "/sso" },
		"another certificate that is none": func(s *federation.SSO) { s.Settings.MoreCerts = []string{"AAAA"} },
		"metadata nowhere":                 func(s *federation.SSO) { s.Settings.MetadataURL = "metadata" },
	} {
		s := i.settings("T1")
		change(&s)
		if f.SetSSO(s) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
