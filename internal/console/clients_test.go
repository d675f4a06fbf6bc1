package console_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const clientsAt = "/console/api/t/acme/clients"

// shownClient is what the page reads of a client.
type shownClient struct {
	federation.Client
	Fixed, Hidden bool
	Version       int64
	Secrets       []struct {
		ID    string
		Holds bool
	}
	Paste []struct{ Name, Value string }
}

func (c *shownClient) pasted(name string) string {
	for _, l := range c.Paste {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// kept is the answer to a change of a client.
func kept(t *testing.T, a answer) (c shownClient, secret string) {
	t.Helper()
	var v struct {
		Client shownClient
		Secret string
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatal(err, a.body)
	}
	return v.Client, v.Secret
}

func (b *browser) listed() map[string]shownClient {
	b.t.Helper()
	got := b.do("GET", clientsAt, "")
	b.expect(got, http.StatusOK)
	var v struct{ Clients []shownClient }
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		b.t.Fatal(err)
	}
	all := map[string]shownClient{}
	for _, c := range v.Clients {
		all[c.ID] = c
	}
	return all
}

// audited are the records about one object, without their ids.
func (w *world) audited(object string) (list []*proof.AuditRecord) {
	w.t.Helper()
	if err := w.store.View(w.t.Context(), func(tx journey.Tx) (err error) {
		list, err = tx.AuditOf("acme", object)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return list
}

func oidcClient(change ...func(c map[string]any)) map[string]any {
	c := map[string]any{
		"client_id": "back-office", "protocol": "oidc", "name": "Back office", "session": "10m",
		"oidc": map[string]any{"redirect_uris": []string{"https://office.example/cb"}, "token_endpoint_auth_method": "client_secret_basic"},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func TestClientIsMadeAndItsSecretHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	viewer.expect(viewer.do("POST", clientsAt, call(t, map[string]any{"client": oidcClient()})), http.StatusForbidden, "not_allowed")

	got := b.do("POST", clientsAt, call(t, map[string]any{"client": oidcClient()}))
	b.expect(got, http.StatusCreated)
	c, secret := kept(t, got)
	if c.ID != "back-office" || c.Version != 1 || len(c.Secrets) != 1 || !c.Secrets[0].Holds || len(secret) < 40 {
		t.Errorf("made: %+v, secret of %d characters", c, len(secret))
	}
	if c.OIDC.Alg != federation.ES256 || c.Session != federation.Duration(10*time.Minute) {
		t.Errorf("not completed: %+v", c.Client)
	}
	for name, want := range map[string]string{
		"Issuer": loopback + "/federation/acme", "Client ID": "back-office", "Token endpoint": loopback + "/federation/acme/token",
		"Discovery address": loopback + "/federation/acme/.well-known/openid-configuration",
	} {
		if got := c.pasted(name); got != want {
			t.Errorf("to paste as %s: %q", name, got)
		}
	}

	// Door B takes that secret, and nothing has it any more.
	w.later(2 * time.Second)
	service := w.doors.Federation.Clients.(*federation.Service)
	holding := service.Secrets("acme", "back-office")
	if len(holding) != 1 || string(holding[0].Hash) != string(federation.SecretFrom("", secret).Hash) {
		t.Errorf("door B knows %d secrets of it, and not this one", len(holding))
	}
	if shown := b.do("GET", clientsAt, ""); strings.Contains(shown.body, secret) || strings.Contains(shown.body, "made-up secret") {
		t.Error("the list has a secret")
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the log has the secret")
	}
	records := w.audited("client:back-office")
	if len(records) != 1 || records[0].Action != "federation.client_created" || records[0].Actor != "operator" || records[0].Detail["author"] != "Ada Lovelace" {
		t.Errorf("the trail: %+v", records)
	}
	if all := viewer.listed(); len(all) != 3 || !all["shop-file"].Fixed || all["shop"].Fixed || all["back-office"].Name != "Back office" {
		t.Errorf("listed: %+v", all)
	}

	// A client that authenticates with a key of its own has no secret, and an id is made.
	made, none := kept(t, b.do("POST", clientsAt, call(t, map[string]any{"client": oidcClient(func(c map[string]any) {
		c["client_id"] = ""
		c["oidc"] = map[string]any{"redirect_uris": []string{"https://office.example/cb"}, "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://office.example/jwks"}
	})})))
	if len(made.ID) != 36 || none != "" || len(made.Secrets) != 0 {
		t.Errorf("%+v, secret %q", made, none)
	}
}

func TestClientFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	oidc := func(name string, v any) func(map[string]any) {
		return func(c map[string]any) { c["oidc"].(map[string]any)[name] = v }
	}
	saml := func(entity string) func(map[string]any) {
		return func(c map[string]any) {
			delete(c, "oidc")
			c["protocol"], c["client_id"] = "saml", entity
			c["saml"] = map[string]any{"entity_id": "https://sp.example", "acs": []string{"https://sp.example/acs"}}
		}
	}
	b.expect(b.do("POST", clientsAt, call(t, map[string]any{"client": oidcClient(saml("sp-1"))})), http.StatusCreated)
	for what, c := range map[string]struct {
		change func(map[string]any)
		field  string
	}{
		"a redirect address without TLS": {oidc("redirect_uris", []string{"http://office.example/cb"}), "oidc.redirect_uris"},
		"no redirect address":            {oidc("redirect_uris", []string{}), "oidc.redirect_uris"},
		"too many":                       {oidc("redirect_uris", slices.Repeat([]string{"https://office.example/cb"}, 51)), "oidc.redirect_uris"},
		"a name that is taken":           {set("client_id", "shop"), "client_id"},
		"one of the configuration":       {set("client_id", "shop-file"), "client_id"},
		"dots":                           {set("client_id", ".."), "client_id"},
		"a slash":                        {set("client_id", "a/b"), "client_id"},
		"an entity that is taken":        {saml("sp-2"), "saml.entity_id"},
		"no name":                        {set("name", ""), "name"},
		"an unknown context":             {set("default_acr", []string{"gold"}), "default_acr"},
		"no claims, which would be all the usual ones": {set("claims", []string{}), "claims"},
		"a time that is none":                          {set("session", "soon"), "session"},
		"a time that is a number":                      {set("session", 5), "session"},
		"a time that is too long":                      {set("session", "48h"), "session"},
		"no PKCE and no secret":                        {func(c map[string]any) { oidc("token_endpoint_auth_method", "none")(c); oidc("without_pkce", true)(c) }, "oidc.without_pkce"},
		"keys that are a text":                         {func(c map[string]any) { oidc("token_endpoint_auth_method", "private_key_jwt")(c); oidc("jwks", "{")(c) }, "oidc.jwks"},
		"an address of keys that is not used":          {oidc("jwks_uri", "https://office.example/jwks"), "oidc.jwks_uri"},
		"another protocol":                             {set("protocol", "ws-fed"), "protocol"},
	} {
		body := map[string]any{"client": oidcClient(c.change)}
		checked := b.do("POST", clientsAt+"/check", call(t, body))
		b.expect(checked, http.StatusOK)
		got := b.do("POST", clientsAt, call(t, body))
		b.expect(got, http.StatusUnprocessableEntity, "invalid_client")
		for _, a := range []answer{checked, got} {
			if fields, _ := a.json(t)["fields"].(map[string]any); fields[c.field] == nil {
				t.Errorf("%s: %v, want %s", what, a.json(t), c.field)
			}
		}
	}
	for what, c := range map[string]struct {
		body   string
		status int
	}{
		"an unknown field":  {`{"client":{"client_id":"x","hash":"y"}}`, http.StatusBadRequest},
		"a wrong type":      {`{"client":{"client_id":7}}`, http.StatusBadRequest},
		"a list":            {`{"client":[]}`, http.StatusBadRequest},
		"a name twice":      {`{"client":{"name":"x","name":"y"}}`, http.StatusBadRequest},
		"none":              {`{}`, http.StatusBadRequest},
		"something besides": {`{"client":{},"tenant":"globex"}`, http.StatusBadRequest},
		"too much":          {`{"client":{"name":"` + strings.Repeat("x", 65<<10) + `"}}`, http.StatusRequestEntityTooLarge},
	} {
		if got := b.do("POST", clientsAt, c.body); got.StatusCode != c.status {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
		}
	}
	if all := b.listed(); len(all) != 3 {
		t.Errorf("what was refused was kept: %v", all)
	}
	checked := b.do("POST", clientsAt+"/check", call(t, map[string]any{"client": oidcClient(set("client_id", ""))}))
	if fields := checked.json(t)["fields"].(map[string]any); len(fields) != 0 {
		t.Errorf("an id that will be made is missed: %v", fields)
	}
}

func TestClientChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, other := w.signedIn("operator"), w.signedIn("operator")
	put := func(b *browser, id string, c any, version int64) answer {
		return b.do("PUT", clientsAt+"/"+id, call(t, map[string]any{"client": c, "version": version}))
	}
	shop := b.listed()["shop"]
	c := shop.Client
	c.Name, c.Disabled = "The back office", true
	got := put(b, "shop", c, shop.Version)
	b.expect(got, http.StatusOK)
	now, _ := kept(t, got)
	if now.Version != shop.Version+1 || now.Name != "The back office" || !now.Disabled || len(now.Secrets) != 1 {
		t.Errorf("changed: %+v", now)
	}
	// Of two who saw the same, the second is told.
	other.expect(put(other, "shop", c, shop.Version), http.StatusConflict, "stale")
	other.expect(other.do("DELETE", clientsAt+"/shop?version=1", ""), http.StatusConflict, "stale")
	other.expect(other.do("POST", clientsAt+"/shop/secrets", `{"version":1}`), http.StatusConflict, "stale")

	// What names it stays.
	c.ID = "shop-2"
	got = put(b, "shop", c, now.Version)
	b.expect(got, http.StatusUnprocessableEntity, "invalid_client")
	// What is wrong is told, and nothing beside.
	soon := b.do("PUT", clientsAt+"/shop", call(t, map[string]any{"version": now.Version, "client": oidcClient(func(c map[string]any) { c["client_id"], c["session"] = "shop", "soon" })}))
	b.expect(soon, http.StatusUnprocessableEntity, "invalid_client")
	if fields := soon.json(t)["fields"].(map[string]any); len(fields) != 1 || fields["session"] == nil {
		t.Errorf("a time that is none: %v", fields)
	}
	b.expect(put(b, "nobody", c, 1), http.StatusNotFound)
	b.expect(put(b, "shop-file", b.listed()["shop-file"].Client, 0), http.StatusForbidden, "not_allowed")
	b.expect(b.do("DELETE", clientsAt+"/shop-file?version=0", ""), http.StatusForbidden, "not_allowed")
	b.expect(b.do("GET", "/console/api/t/globex/clients", ""), http.StatusNotFound)
	b.expect(b.do("POST", "/console/api/t/globex/clients", call(t, map[string]any{"client": oidcClient()})), http.StatusNotFound)

	// A client that comes to authenticate without a secret loses those that it had.
	c = now.Client
	c.OIDC.AuthMethod, c.OIDC.JWKSURI = federation.AuthPrivateKey, "https://shop.example/jwks"
	got = put(b, "shop", c, now.Version)
	b.expect(got, http.StatusOK)
	if now, _ = kept(t, got); len(now.Secrets) != 0 {
		t.Errorf("secrets that are not used any more: %v", now.Secrets)
	}
	b.expect(b.do("POST", clientsAt+"/shop/secrets", call(t, map[string]any{"version": now.Version})), http.StatusConflict)

	b.expect(b.do("DELETE", clientsAt+"/shop", ""), http.StatusBadRequest)
	viewer := w.signedIn("viewer")
	viewer.expect(viewer.do("DELETE", clientsAt+"/shop?version=3", ""), http.StatusForbidden, "not_allowed")
	b.expect(b.do("DELETE", clientsAt+"/shop?version=3", ""), http.StatusNoContent)
	if _, still := b.listed()["shop"]; still {
		t.Error("it is still there")
	}
	var actions []string
	for _, r := range w.audited("client:shop") {
		actions = append(actions, r.Action)
	}
	if got := strings.Join(actions, " "); got != "federation.client_changed federation.client_changed federation.client_deleted" {
		t.Errorf("the trail: %s", got)
	}
}

func TestClientSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	service := w.doors.Federation.Clients.(*federation.Service)
	add := func(version int64, more map[string]any) answer {
		body := map[string]any{"version": version}
		for k, v := range more {
			body[k] = v
		}
		return b.do("POST", clientsAt+"/shop/secrets", call(t, body))
	}
	got := add(1, map[string]any{"days": 30})
	b.expect(got, http.StatusOK)
	c, plain := kept(t, got)
	if len(c.Secrets) != 2 || len(plain) < 40 || c.Version != 2 {
		t.Fatalf("%+v", c)
	}
	// The old one goes in a day.
	old := c.Secrets[0].ID
	got = b.do("POST", clientsAt+"/shop/secrets/"+old, call(t, map[string]any{"version": 2, "hours": 24}))
	b.expect(got, http.StatusOK)
	w.later(23 * time.Hour)
	if n := len(service.Secrets("acme", "shop")); n != 2 {
		t.Errorf("after 23 hours %d hold", n)
	}
	w.later(2 * time.Hour)
	b = w.signedIn("operator") // the session is over, too
	if holding := service.Secrets("acme", "shop"); len(holding) != 1 || holding[0].ID == old {
		t.Errorf("after 25 hours: %v", holding)
	}
	b.expect(b.do("POST", clientsAt+"/shop/secrets/"+old, `{"version":3,"hours":48}`), http.StatusConflict) // it is not raised from the dead
	b.expect(b.do("POST", clientsAt+"/shop/secrets/none", `{"version":3}`), http.StatusNotFound)
	b.expect(add(3, map[string]any{"days": 731}), http.StatusBadRequest)
	b.expect(add(3, map[string]any{"days": -1}), http.StatusBadRequest)

	// Those that ended make room; as many as may hold, and no more.
	for v := int64(3); v < 7; v++ {
		b.expect(add(v, nil), http.StatusOK)
	}
	b.expect(add(7, nil), http.StatusConflict)
	if c := b.listed()["shop"]; len(c.Secrets) != 5 {
		t.Errorf("%d secrets", len(c.Secrets))
	}
	// The last one ends now.
	last := b.listed()["shop"].Secrets[4].ID
	b.expect(b.do("POST", clientsAt+"/shop/secrets/"+last, `{"version":7,"hours":0}`), http.StatusOK)
	w.later(2 * time.Second)
	if n := len(service.Secrets("acme", "shop")); n != 4 {
		t.Errorf("%d hold", n)
	}
}

func TestPresetsAreSound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	got := b.do("GET", clientsAt, "")
	b.expect(got, http.StatusOK)
	var v struct {
		Options struct {
			Presets []struct {
				Name   string
				Client federation.Client
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Options.Presets) != 7 {
		t.Errorf("%d presets", len(v.Options.Presets))
	}
	for _, p := range v.Options.Presets {
		c := p.Client
		c.ID, c.Name = "x-"+p.Name, "X"
		if c.OIDC != nil {
			c.OIDC.RedirectURIs = append(c.OIDC.RedirectURIs, "https://rp.example/cb")
			if e := c.OIDC.Entra; e != nil {
				e.Issuer, e.JWKSURI, e.AppID = "https://login.example/v2.0", "https://login.example/keys", "app"
			}
		} else {
			c.SAML.EntityID, c.SAML.ACS = p.Name, []string{"https://sp.example/acs"}
		}
		got := b.do("POST", clientsAt, call(t, map[string]any{"client": c}))
		b.expect(got, http.StatusCreated)
		if made, _ := kept(t, got); len(made.Paste) < 2 {
			t.Errorf("%s: to paste %v", p.Name, made.Paste)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	if err := w.doors.MakeKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	type key struct{ Kid, Use, Alg, State string }
	keys := func(a answer) (list []key) {
		b.expect(a, http.StatusOK)
		var v struct{ Keys []key }
		if err := json.Unmarshal([]byte(a.body), &v); err != nil {
			t.Fatal(err)
		}
		return v.Keys
	}
	of := func(list []key, use, state string) (kids []string) {
		for _, k := range list {
			if k.Use == use && k.State == state {
				kids = append(kids, k.Kid)
			}
		}
		return kids
	}
	before := keys(viewer.do("GET", "/console/api/t/acme/keys", ""))
	signing, next := of(before, "oidc", "active"), of(before, "oidc", "next")
	if len(signing) != 2 || len(next) != 2 || len(of(before, "saml", "active")) != 1 {
		t.Fatalf("%+v", before)
	}
	rotate := call(t, map[string]any{"use": "oidc", "signing": signing})
	viewer.expect(viewer.do("POST", "/console/api/t/acme/keys/rotate", rotate), http.StatusForbidden, "not_allowed")
	after := keys(b.do("POST", "/console/api/t/acme/keys/rotate", rotate))
	now := of(after, "oidc", "active")
	if slices.Sort(now); !slices.Equal(now, slices.Sorted(slices.Values(next))) || len(of(after, "oidc", "retiring")) != 2 {
		t.Errorf("after: %+v", after)
	}
	// Pressed twice, it turns once.
	b.expect(b.do("POST", "/console/api/t/acme/keys/rotate", rotate), http.StatusConflict, "stale")
	b.expect(b.do("POST", "/console/api/t/acme/keys/rotate", `{"use":"tls","signing":[]}`), http.StatusBadRequest)
	if got := of(keys(b.do("GET", "/console/api/t/acme/keys", "")), "saml", "active"); len(got) != 1 || got[0] != of(before, "saml", "active")[0] {
		t.Error("keys of another use were rotated")
	}
	// One that leaked goes at once.
	withdraw := call(t, map[string]any{"kid": now[0]})
	viewer.expect(viewer.do("POST", "/console/api/t/acme/keys/withdraw", withdraw), http.StatusForbidden, "not_allowed")
	if list := keys(b.do("POST", "/console/api/t/acme/keys/withdraw", withdraw)); !slices.Contains(of(list, "oidc", "retired"), now[0]) || len(of(list, "oidc", "active")) != 2 {
		t.Errorf("after: %+v", list)
	}
	b.expect(b.do("POST", "/console/api/t/acme/keys/withdraw", withdraw), http.StatusConflict, "stale")
	b.expect(b.do("POST", "/console/api/t/acme/keys/withdraw", `{"kid":"no-such-key"}`), http.StatusNotFound)
}
