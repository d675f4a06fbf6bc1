package blockid_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// Two parties agree on a key and exchange a sealed request id.
func Example() {
	client, _ := blockid.GenerateKey(blockid.Auto)
	service, _ := blockid.GenerateKey(blockid.Auto)

	// Public keys travel in the clear.
	theirs, _ := blockid.ParsePublicKey(blockid.Auto, service.Public().String())
	shared, _ := client.Shared(theirs)
	header, _ := shared.Seal([]byte(`{"ts":1767225600,"appid":"com.example.bridge","uuid":"00000000-0000-4000-8000-000000000001"}`))

	// The service's side.
	back, _ := service.Shared(client.Public())
	plain, err := back.Open(header)
	if err != nil {
		fmt.Println(err)
		return
	}
	id, _ := blockid.ParseRequestID(plain)
	fmt.Println(id.AppID, time.Unix(id.TS, 0).UTC().Year())
	fmt.Println(client) // secrets do not print
	// Output:
	// com.example.bridge 2026
	// blockid.PrivateKey(secp256k1, redacted)
}

// Starts a session, hands the link to the person, and asks for the result
// until there is one.
func ExampleClient() {
	tenant := newFake("secp256k1") // stands for acme.1kosmos.net
	defer tenant.srv.Close()
	tenant.plain[pathResult] = `{"sessionResult":"SUCCESS","sessionId":"` + fakeSession + `","document":{"type":"ppt","country":"XX"}}`

	client, err := blockid.NewClient(blockid.Config{
		DNS:        tenant.dns,
		Community:  "default",
		LicenseKey: fakeLicense,
		AppID:      "com.example.bridge",
		HTTPClient: tenant.srv.Client(), // usually nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	session, err := client.CreateIDV(ctx, blockid.IDVRequest{DVCID: fakeDVC, DocumentType: blockid.Passport})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Redirect the person to session.URL. It is a secret of theirs: do not log it.

	for wait := 3 * time.Second; ; wait = min(2*wait, 15*time.Second) {
		result, err := client.IDVResult(ctx, fakeDVC, session.ID)
		if err != nil {
			fmt.Println(err)
			return
		}
		if result.Status.Final() {
			fmt.Println(result.Status, result.Document.Country)
			return
		}
		time.Sleep(wait)
	}
	// Output: success XX
}

// Every failed call says what kind of failure it was.
func ExampleError() {
	tenant := newFake("secp256k1")
	defer tenant.srv.Close()
	cfg := tenant.config()
	cfg.LicenseKey = "not the license key"
	client, _ := blockid.NewClient(cfg)

	_, err := client.CreateIDV(context.Background(), blockid.IDVRequest{DVCID: fakeDVC, DocumentType: blockid.IDCard})
	var e *blockid.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind, e.HTTPStatus, e.Temporary())
		fmt.Println(e.Message) // the vendor's words, for operators
	}
	fmt.Println(err) // safe to log
	// Output:
	// unauthorized 401 false
	// Invalid or Unauthorized License
	// blockid: idv.create: docuverify: unauthorized (HTTP 401)
}

// An assurance level holds until the documents behind it expire.
func ExampleClient_IAL() {
	tenant := newFake("secp256k1")
	defer tenant.srv.Close()
	tenant.plain[pathIAL] = `{"user":{"username":"jdoe"},"did":{"aaaa":{"value":"IAL1","proofs":[]}}}`
	client, _ := blockid.NewClient(tenant.config())

	ial, err := client.IAL(context.Background(), "jdoe")
	if blockid.KindOf(err) == blockid.KindNotFound {
		fmt.Println("not enrolled")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	level, _ := ial.At(time.Now())
	fmt.Println(level)
	// Output: IAL1
}

// Asks whoever scans a code for their LiveID, and believes the answer only if it
// came from the wallet of the one user.
func ExampleClient_Authenticate() {
	tenant := newFake("secp256k1")
	defer tenant.srv.Close()
	client, _ := blockid.NewClient(tenant.config())

	ctx := context.Background()
	session, err := client.NewSession(ctx, blockid.UWLRequest{
		AuthType: blockid.AuthFace,
		Metadata: map[string]string{"purpose": "authentication"}, // shown to the person
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Show session.URL as a QR code, and ask every second or two.
	answer, err := client.Authenticate(ctx, session, "jdoe")
	if err != nil {
		fmt.Println(err) // nothing that could be believed: not a yes, not a no
		return
	}
	switch {
	case answer.Status == blockid.StatusPending:
		fmt.Println("nobody answered yet")
	case answer.Status == blockid.StatusExpired:
		fmt.Println("open another session")
	case answer.Belongs:
		fmt.Println("it is jdoe")
	default:
		fmt.Println("it is somebody else")
	}
	// Output: nobody answered yet
}

// The Bearer profile takes several document types and a return address.
func ExampleV1Client() {
	tenant := newFake("secp256k1")
	defer tenant.srv.Close()
	tenant.override["/v1/verify/sessions"] = func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200, map[string]string{"session_id": fakeSession, "redirect_url": tenant.url})
	}
	tenant.override["/v1/verify/sessions/"+fakeSession+"/status"] = func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, 200, map[string]any{"status": "completed", "result": map[string]string{"ial_level": "IAL2"}})
	}
	client, _ := blockid.NewV1Client(blockid.V1Config{DNS: tenant.dns, Token: "api-key", HTTPClient: tenant.srv.Client()})

	ctx := context.Background()
	session, err := client.CreateSession(ctx, blockid.V1Request{
		DocumentTypes: []string{"drivers_license", "passport"},
		LivenessMode:  "active",
		CallbackURL:   "https://app.example/done",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.Session(ctx, session.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Status, result.Level)
	// Output: success IAL2
}
