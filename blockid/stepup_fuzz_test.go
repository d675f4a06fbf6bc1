package blockid_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// FuzzUWLAnswer reads an answer twice: as the service sent it, and as what the
// app sealed, which whoever has the session's link may choose.
func FuzzUWLAnswer(f *testing.F) {
	key, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		f.Fatal(err)
	}
	wallet, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		f.Fatal(err)
	}
	shared, err := wallet.Shared(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	s := blockid.UWLSession{ID: fakeUWL, Key: key}
	good, _ := shared.Seal([]byte(fakeUser))
	f.Add([]byte(strings.NewReplacer("SEALED", good, "KEY", wallet.Public().String()).Replace(golden(f, "uwl.answer.json"))))
	f.Add([]byte(fakeUser))
	seed(f, "uwl.*.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(a *blockid.UWLAnswer, err error) {
			ours(t, err)
			if (a == nil) != (err != nil) {
				t.Fatal("both or neither")
			}
			if a != nil && (a.Status != blockid.StatusSuccess || a.SessionID != fakeUWL || a.DID == "" || a.PublicKey == nil || a.Belongs) {
				t.Errorf("%+v", *a)
			}
		}
		check(blockid.OpenUWLAnswer(s, b))
		sealed, _ := shared.Seal(b)
		wire, _ := json.Marshal(map[string]string{"sessionId": fakeUWL, "data": sealed, "publicKey": wallet.Public().String()})
		check(blockid.OpenUWLAnswer(s, wire))
	})
}

func FuzzStepUpAnswers(f *testing.F) {
	for _, pattern := range []string{"user*.json", "workflow.*.json", "bearer.*.json", "uwl.*.json"} {
		seed(f, pattern)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := blockid.ParseUWLCreate(b)
		if ours(t, err); (id == "") != (err != nil) || len(id) > 128 || id == ".." {
			t.Errorf("session id %q", id)
		}
		_, _, err = blockid.ParseUsers(b)
		ours(t, err)
		u, err := blockid.ParseUserInfo(b, blockid.Auto)
		if ours(t, err); err == nil && u.PublicKey == nil && len(u.UserIDs) == 0 {
			t.Error("user info of nobody")
		}
		c, err := blockid.ParseV1Challenge(b)
		if ours(t, err); err == nil && (c.ID == "" || c.URL == "") {
			t.Error("a challenge without id or link")
		}
		r, _, err := blockid.ParseV1StepUp(b)
		if ours(t, err); err == nil && r.Confidence != nil && !(*r.Confidence >= 0 && *r.Confidence <= 1) {
			t.Error(*r.Confidence)
		}
		w, err := blockid.ParseWFCreate(b)
		if ours(t, err); err == nil && (w.ID == "" || w.URL == "") {
			t.Error("an instance without id or link")
		}
		n, _, err := blockid.ParseWFNode(b)
		if ours(t, err); err == nil && n.Status == blockid.WorkflowCompleted && !strings.EqualFold(n.WireStatus, "completed") {
			t.Error(n.WireStatus)
		}
	})
}
