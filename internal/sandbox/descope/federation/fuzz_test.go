package federation_test

import (
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
)

// Whatever comes that was not asked for sends nobody anywhere.
func FuzzUnasked(f *testing.F) {
	i, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: base})
	if err != nil {
		f.Fatal(err)
	}
	w := &world{fed: i, handler: i.Handler(nil)}
	f.Add("", "", "")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "code", "T1")
	f.Add("{}", base64.StdEncoding.EncodeToString([]byte("<Response/>")), "T1&tenantId=T2")
	f.Fuzz(func(t *testing.T, state, answer, tenant string) {
		w := *w
		w.T = t
		w.lost(w.callback(url.Values{"state": {state}, "code": {answer}}))
		w.lost(w.acs(tenant, url.Values{"RelayState": {state}, "SAMLResponse": {answer}}))
	})
}
