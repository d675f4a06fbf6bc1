package doortest

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console/risktest"
	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

// doorC makes the rules and the deliveries. There is no Descope project, and of journey
// only what door C cannot do without: what rules do about a person comes to nothing.
func (d *Doors) doorC(st Store, v *vault.Vault, publicURL string, now func() time.Time) (err error) {
	d.Deliveries, err = deliveries.New(deliveries.Options{Store: st, Vault: v, Tenants: []string{risktest.Tenant, risktest.OtherTenant}, Now: now, Timeout: 2 * time.Second})
	if err != nil {
		return err
	}
	d.Hooks, err = hooks.New(hooks.Options{
		Store: st, Vault: v, Journey: nobody{}, Outbox: d.Deliveries, PublicURL: publicURL, Now: now,
		Tenants: []hooks.Tenant{{ID: risktest.Tenant}, {ID: risktest.OtherTenant}},
	})
	return err
}

// Told are the events of Seed.
var Told = []hooks.Told{
	{Action: "LoginSucceed", Content: hooks.Content{UserID: "U1", LoginIDs: []string{"ada@example.com"}, Method: "otp", Device: "Desktop", Geo: "DE"}},
	{Action: "UserCreated", Content: hooks.Content{UserID: "U2", LoginIDs: []string{"grace@example.com"}, Method: "password", Geo: "PT"}},
	{Action: "UserCreated", Content: hooks.Content{UserID: "U3", LoginIDs: []string{"alan@example.org"}, Method: "password", Geo: "GB"}},
	{Action: "LoginFailed", Content: hooks.Content{UserID: "U1", LoginIDs: []string{"ada@example.com"}, Method: "otp", Data: map[string]any{"error_message": "wrong code"}}},
	{Action: "UserDeleted", Content: hooks.Content{UserID: "U4", LoginIDs: []string{"katherine@example.com"}}},
	{Action: hooks.ChallengeEnded, Content: hooks.Content{UserID: "U5"}}, // nobody outside may tell that: it is parked
}

// Seed publishes a rule that cannot work here, has these events received, evaluated, and
// what came of them tried once.
func (d *Doors) Seed(ctx context.Context, now time.Time) error {
	rules := append(hooks.Defaults(), hooks.Rule{
		ID: "mark-new", Name: "Mark whoever is new", On: []string{"UserCreated"}, If: `event.email_domain == "example.com"`,
		Do: []hooks.Action{{Do: hooks.WriteAttributes, Attributes: map[string]string{"kosmosIdvStatus": `"none"`}}},
	})
	if _, err := d.Hooks.Publish(ctx, risktest.Tenant, "operator:Grace", 0, rules, "New people are marked."); err != nil {
		return err
	}
	told := make([]hooks.Told, len(Told))
	for i, t := range Told {
		t.OccurredAt = now.Add(time.Duration(i-len(Told)) * time.Minute)
		told[i] = t
	}
	if _, err := d.Hooks.Accept(ctx, risktest.Tenant, hooks.SourceWebhook, told); err != nil {
		return err
	}
	if _, err := d.Hooks.Pump(ctx, proof.Job{Tenant: risktest.Tenant, Kind: hooks.JobPump}); err != nil {
		return err
	}
	work, err := d.Hooks.ListWork(ctx, hooks.WorkQuery{Tenant: risktest.Tenant, Limit: 100})
	if err != nil {
		return err
	}
	for _, w := range work {
		// Its error is the runner's to see; what became of it is in the store.
		_, _ = d.Hooks.Carry(ctx, proof.Job{Tenant: risktest.Tenant, Kind: hooks.JobWork, Key: w.ID})
	}
	return nil
}

// nobody is a journey that knows no one.
type nobody struct{}

var errNobody = &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonNotAllowed, Message: "nobody is known here"}

func (nobody) Start(context.Context, proof.Caller, journey.StartRequest) (journey.Started, error) {
	return journey.Started{}, errNobody
}

func (nobody) StartChallenge(context.Context, proof.Caller, journey.ChallengeStart) (journey.ChallengeStarted, error) {
	return journey.ChallengeStarted{}, errNobody
}

func (nobody) Result(context.Context, proof.Caller, string, string) (journey.ResultView, error) {
	return journey.ResultView{}, errNobody
}

func (nobody) Erase(context.Context, string, string) (journey.Erased, error) {
	return journey.Erased{}, errNobody
}

func (nobody) Lookup(tenant, identifier string) []byte {
	sum := sha256.Sum256([]byte(tenant + "\x00" + identifier))
	return sum[:]
}

func (nobody) Identifier(context.Context, string, string) (string, error) { return "", nil }
