package federation_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestFlat(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 13, 0, 0, 0, time.FixedZone("", 3600))
	full := federation.Answer{
		Matched: true, Proofed: true, AuthTime: at, Identifier: "anna@example.com", ACR: federation.ACRFace,
		IALLevel: "IAL2", IALSource: "policy:docs", IALExpiresAt: at.Add(time.Hour),
		Verification: proof.Verification{ID: "v", Status: proof.Verified, FinishedAt: at.Add(-time.Hour)},
		Outcome: proof.Outcome{Claims: proof.Claims{
			GivenName: "ANNA", FamilyName: "ERIKSSON", BirthDate: "1974-08-12", Gender: "female", Nationality: "UTO",
			DocumentType: proof.IDCard, DocumentNumber: "L898902C3", IssuingCountry: "UTO", ExpiryDate: "2032-04-15",
		}},
	}
	want := map[string]any{
		"face_matched": true, "idv_status": "verified", "ial_level": "IAL2", "ial_source": "policy:docs", "ial_expires_at": "2026-11-20T13:00:00Z",
		"verified_at": "2026-11-20T11:00:00Z", "auth_time": "2026-11-20T12:00:00Z", "acr": federation.ACRFace,
		"given_name": "ANNA", "family_name": "ERIKSSON", "name": "ANNA ERIKSSON", "birthdate": "1974-08-12",
		"document_type": "id_card", "document_country": "UTO", "user_identifier": "anna@example.com",
	}
	got := federation.Flat(&full)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	all := federation.FlatNames()
	if !slices.IsSorted(all) || len(all) != len(want) {
		t.Error(all)
	}
	for name := range want {
		if !slices.Contains(all, name) {
			t.Errorf("FlatNames lacks %s", name)
		}
	}
	for name, personal := range map[string]bool{"user_identifier": true, "birthdate": true, "ial_level": false, "acr": false} {
		if federation.FlatPersonal(name) != personal {
			t.Error(name)
		}
	}

	for name, c := range map[string]struct {
		a    federation.Answer
		want map[string]any
	}{
		"nothing":                    {federation.Answer{}, map[string]any{"face_matched": false, "idv_status": "none", "ial_level": "none"}},
		"a name without a match":     {federation.Answer{Identifier: "victim@example.com"}, map[string]any{"face_matched": false, "idv_status": "none", "ial_level": "none"}},
		"proofed, and the data gone": {federation.Answer{Proofed: true}, map[string]any{"face_matched": false, "idv_status": "verified", "ial_level": "none"}},
		"a failed verification": {
			federation.Answer{Verification: proof.Verification{Status: proof.Failed, FinishedAt: at}},
			map[string]any{"face_matched": false, "idv_status": "none", "ial_level": "none"},
		},
		"a level that there is not": {
			federation.Answer{IALLevel: "IAL9", IALSource: "x", IALExpiresAt: at},
			map[string]any{"face_matched": false, "idv_status": "none", "ial_level": "none"},
		},
		"one name": {
			federation.Answer{Outcome: proof.Outcome{Claims: proof.Claims{FamilyName: "SUKARNO"}}},
			map[string]any{"face_matched": false, "idv_status": "none", "ial_level": "none", "family_name": "SUKARNO", "name": "SUKARNO"},
		},
	} {
		if got := federation.Flat(&c.a); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
