package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Deliveries is the use cases over endpoints and what goes to them; deliveries.Service
// implements it. actor is who, as "operator:Ada".
type Deliveries interface {
	Endpoints(ctx context.Context, tenant string) ([]deliveries.EndpointView, error)
	Endpoint(ctx context.Context, tenant, id string) (deliveries.EndpointView, error)
	// Check is of a new endpoint.
	Check(in deliveries.Input) []deliveries.Problem
	Create(ctx context.Context, tenant, actor string, in deliveries.Input) (e deliveries.EndpointView, secret string, problems []deliveries.Problem, err error)
	Update(ctx context.Context, tenant, id, actor string, in deliveries.Input) (e deliveries.EndpointView, secret string, problems []deliveries.Problem, err error)
	Delete(ctx context.Context, tenant, id, actor string) error
	Enable(ctx context.Context, tenant, id, actor string) (deliveries.EndpointView, error)
	Rotate(ctx context.Context, tenant, id, actor, kind string, overlap time.Duration) (e deliveries.EndpointView, secret string, err error)
	Test(ctx context.Context, tenant, id, actor string) (deliveries.DeliveryView, deliveries.AttemptView, error)

	Deliveries(ctx context.Context, q deliveries.DeliveryQuery) ([]deliveries.DeliveryView, error)
	Delivery(ctx context.Context, tenant, id string) (deliveries.DeliveryView, []deliveries.AttemptView, error)
	Replay(ctx context.Context, tenant, id, actor string) (deliveries.DeliveryView, error)
	// ReplayAll replays a bite of those that q finds.
	ReplayAll(ctx context.Context, actor string, q deliveries.DeliveryQuery) (deliveries.ReplayProgress, error)
}

// reasonEndpoint: an endpoint has something wrong with it.
const reasonEndpoint proof.Reason = "invalid_endpoint"

func (c *Console) serveDeliveries(routes map[string]apiCall) {
	if c.o.Deliveries == nil {
		return
	}
	for pattern, call := range map[string]apiCall{
		"GET endpoints":                     c.endpoints,
		"POST endpoints":                    operator(c.endpointCreate),
		"POST endpoints/check":              c.endpointCheck,
		"GET endpoints/{endpoint}":          c.endpoint,
		"PUT endpoints/{endpoint}":          operator(c.endpointUpdate),
		"DELETE endpoints/{endpoint}":       operator(c.endpointDelete),
		"POST endpoints/{endpoint}/enable":  operator(c.endpointEnable),
		"POST endpoints/{endpoint}/rotate":  operator(c.endpointRotate),
		"POST endpoints/{endpoint}/test":    operator(c.endpointTest),
		"GET deliveries":                    c.deliveries,
		"GET deliveries/{delivery}":         c.delivery,
		"POST deliveries/{delivery}/replay": operator(c.deliveryReplay),
		"POST deliveries/replay":            operator(c.deliveriesReplay),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		routes[method+" t/{tenant}/"+path] = c.tenant(call)
	}
}

// shapeView is a shape, and what an endpoint of it has.
type shapeView struct {
	Shape deliveries.Shape `json:"shape"`
	Signs bool             `json:"signs"`
	Token bool             `json:"token"`
}

func (c *Console) endpoints(w http.ResponseWriter, r *http.Request, _ *Session) error {
	all, err := c.o.Deliveries.Endpoints(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	var shapes []shapeView
	for _, s := range deliveries.Shapes() {
		shapes = append(shapes, shapeView{s, s.Signs(), s.TakesToken()})
	}
	c.answer(w, r, http.StatusOK, map[string]any{"endpoints": list(all), "shapes": shapes})
	return nil
}

func (c *Console) endpoint(w http.ResponseWriter, r *http.Request, _ *Session) error {
	e, err := c.o.Deliveries.Endpoint(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"))
	if err != nil {
		return noSuch(err, "endpoint")
	}
	c.answer(w, r, http.StatusOK, map[string]any{"endpoint": e})
	return nil
}

// endpointInput reads an endpoint. It is a document: a template is as large as one.
func endpointInput(w http.ResponseWriter, r *http.Request) (in deliveries.Input, err error) {
	var raw json.RawMessage
	if err := decode(w, r, documentField("endpoint", &raw)); err != nil {
		return in, err
	}
	return in, fill(field{name: "endpoint", into: &in}, raw)
}

// byField takes the first problem of each field.
func byField(problems []deliveries.Problem) map[string]string {
	fields := map[string]string{}
	for _, p := range problems {
		if fields[p.Field] == "" {
			fields[p.Field] = p.Message
		}
	}
	return fields
}

func (c *Console) endpointCheck(w http.ResponseWriter, r *http.Request, _ *Session) error {
	in, err := endpointInput(w, r)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"fields": byField(c.o.Deliveries.Check(in))})
	return nil
}

func (c *Console) endpointCreate(w http.ResponseWriter, r *http.Request, s *Session) error {
	in, err := endpointInput(w, r)
	if err != nil {
		return err
	}
	e, secret, problems, err := c.o.Deliveries.Create(r.Context(), r.PathValue("tenant"), actor(s), in)
	return c.endpointKept(w, r, http.StatusCreated, e, secret, problems, err)
}

func (c *Console) endpointUpdate(w http.ResponseWriter, r *http.Request, s *Session) error {
	in, err := endpointInput(w, r)
	if err != nil {
		return err
	}
	e, secret, problems, err := c.o.Deliveries.Update(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"), actor(s), in)
	return c.endpointKept(w, r, http.StatusOK, e, secret, problems, err)
}

func (c *Console) endpointKept(w http.ResponseWriter, r *http.Request, status int, e deliveries.EndpointView, secret string, problems []deliveries.Problem, err error) error {
	if known, ok := conflictOf(err); ok && known.Field == "version" {
		return changedMeanwhile("somebody else changed this endpoint meanwhile")
	}
	switch {
	case err != nil:
		return noSuch(err, "endpoint")
	case len(problems) > 0:
		c.refuseFields(w, r, reasonEndpoint, "the endpoint cannot be kept as it is", byField(problems))
		return nil
	}
	answer := map[string]any{"endpoint": e}
	if secret != "" {
		answer["secret"] = secret
	}
	c.answer(w, r, status, answer)
	return nil
}

func (c *Console) endpointDelete(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := c.o.Deliveries.Delete(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"), actor(s)); err != nil {
		return noSuch(err, "endpoint")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Console) endpointEnable(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := decode(w, r); err != nil {
		return err
	}
	e, err := c.o.Deliveries.Enable(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"), actor(s))
	return c.endpointKept(w, r, http.StatusOK, e, "", nil, err)
}

func (c *Console) endpointRotate(w http.ResponseWriter, r *http.Request, s *Session) error {
	var kind string
	var hours int
	err := decode(w, r, field{name: "kind", into: &kind}, field{name: "hours", into: &hours, optional: true})
	if err == nil && (hours < 0 || hours > 7*24) {
		err = proof.Invalid("hours", "hours must be from 0 to 168")
	}
	if err != nil {
		return err
	}
	e, secret, err := c.o.Deliveries.Rotate(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"), actor(s), kind, time.Duration(hours)*time.Hour)
	return c.endpointKept(w, r, http.StatusOK, e, secret, nil, err)
}

// endpointTest sends a message now and says what came of it. That may take as long as a
// request may.
func (c *Console) endpointTest(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := decode(w, r); err != nil {
		return err
	}
	d, a, err := c.o.Deliveries.Test(r.Context(), r.PathValue("tenant"), r.PathValue("endpoint"), actor(s))
	if err != nil {
		return noSuch(err, "endpoint")
	}
	c.answer(w, r, http.StatusOK, map[string]any{"delivery": d, "attempt": attemptOf(a, s)})
	return nil
}

// deliveryFilter reads what finds deliveries.
func deliveryFilter(tenant string, q map[string]string) (f deliveries.DeliveryQuery, err error) {
	f = deliveries.DeliveryQuery{Tenant: tenant, Endpoint: q["endpoint"], Type: q["type"], State: deliveries.DeliveryState(q["state"]), Before: q["before"]}
	switch f.State {
	case "", deliveries.Waiting, deliveries.Delivered, deliveries.Failed:
	default:
		return f, proof.Invalid("state", "state must be waiting, delivered or failed")
	}
	if f.Since, err = instant(q, "since"); err != nil {
		return f, err
	}
	f.Until, err = instant(q, "until")
	return f, err
}

func (c *Console) deliveries(w http.ResponseWriter, r *http.Request, _ *Session) error {
	q, err := query(r, "endpoint", "type", "state", "since", "until", "before", "limit")
	if err != nil {
		return err
	}
	f, err := deliveryFilter(r.PathValue("tenant"), q)
	if err == nil {
		f.Limit, err = paging(q)
	}
	if err != nil {
		return err
	}
	page, err := c.o.Deliveries.Deliveries(r.Context(), f)
	if err != nil {
		return err
	}
	next := ""
	if len(page) == f.Limit {
		next = page[len(page)-1].ID
	}
	c.answer(w, r, http.StatusOK, map[string]any{"deliveries": list(page), "next": next})
	return nil
}

// attemptView is an attempt. What was sent and answered may be personal: it is for
// operators.
type attemptView struct {
	deliveries.AttemptView
	Hidden bool `json:"hidden,omitempty"`
}

func attemptOf(a deliveries.AttemptView, s *Session) attemptView {
	v := attemptView{AttemptView: a}
	if a.Exchange != nil && s.Role != Operator {
		v.Exchange, v.Hidden = nil, true
	}
	return v
}

func (c *Console) delivery(w http.ResponseWriter, r *http.Request, s *Session) error {
	d, attempts, err := c.o.Deliveries.Delivery(r.Context(), r.PathValue("tenant"), r.PathValue("delivery"))
	if err != nil {
		return noSuch(err, "delivery")
	}
	views := make([]attemptView, 0, len(attempts))
	for _, a := range attempts {
		views = append(views, attemptOf(a, s))
	}
	c.answer(w, r, http.StatusOK, map[string]any{"delivery": d, "attempts": views})
	return nil
}

func (c *Console) deliveryReplay(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := decode(w, r); err != nil {
		return err
	}
	d, err := c.o.Deliveries.Replay(r.Context(), r.PathValue("tenant"), r.PathValue("delivery"), actor(s))
	if err != nil {
		return noSuch(err, "delivery")
	}
	c.answer(w, r, http.StatusOK, map[string]any{"delivery": d})
	return nil
}

// deliveriesReplay replays a bite of those that a filter finds; the page goes on with
// what next says. until keeps what comes meanwhile out of it.
func (c *Console) deliveriesReplay(w http.ResponseWriter, r *http.Request, s *Session) error {
	given := map[string]*string{}
	var fields []field
	for _, name := range []string{"endpoint", "type", "state", "since", "until", "before"} {
		given[name] = new(string)
		fields = append(fields, field{name: name, into: given[name], optional: true})
	}
	if err := decode(w, r, fields...); err != nil {
		return err
	}
	q := map[string]string{}
	for name, value := range given {
		if len(*value) > maxParameter {
			return proof.Invalid(name, "%s is too long", name)
		}
		q[name] = *value
	}
	f, err := deliveryFilter(r.PathValue("tenant"), q)
	if err != nil {
		return err
	}
	progress, err := c.o.Deliveries.ReplayAll(r.Context(), actor(s), f)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, progress)
	return nil
}
