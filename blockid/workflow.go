package blockid

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// WorkflowInstance is a started instance of a workflow. URL is a bearer link.
// Printing or logging the instance hides all of it.
//
// Key is the instance's own, as that of a UWLSession: nothing is known to be in a
// result that says which instance it is about, so what was sealed for one must
// not open as another's.
type WorkflowInstance struct {
	ID  string
	URL string
	Key *PrivateKey
}

// String hides the link.
func (w WorkflowInstance) String() string { return "workflow instance (redacted)" }

// GoString hides the link.
func (w WorkflowInstance) GoString() string { return w.String() }

// LogValue hides the link.
func (w WorkflowInstance) LogValue() slog.Value { return slog.StringValue(w.String()) }

type workflowRequest struct {
	WorkflowID string            `json:"workflowId"`
	MetaData   map[string]string `json:"metaData,omitempty"`
}

// CreateWorkflow starts an instance of a workflow that the tenant has, with an
// id like "wf-" and a UUID. Documented in metaData are firstName, lastName, dob,
// email, and callbackUrl, where the browser returns to. The link is on the
// tenant's hosts or the allowed ones, or the call fails with KindUntrustedHost.
func (c *Client) CreateWorkflow(ctx context.Context, workflowID string, metaData map[string]string) (WorkflowInstance, error) {
	const op = "workflow.create"
	if workflowID == "" {
		return WorkflowInstance{}, invalid(op, "workflowID is required")
	}
	fail := func(err error) (WorkflowInstance, error) {
		return WorkflowInstance{}, asError(err, op, ServiceWorkflow)
	}
	place, err := c.workflowPlace(ctx)
	if err != nil {
		return fail(err)
	}
	key, err := c.ownKey(ctx, ServiceWorkflow)
	if err != nil {
		return fail(err)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceWorkflow, method: http.MethodPost, path: "/workflow_instance" + place + "/create",
		key: key, body: workflowRequest{workflowID, metaData}, clear: true,
	})
	if err != nil {
		return WorkflowInstance{}, err
	}
	w, err := parseWorkflowCreate(a.plain)
	if err == nil {
		_, err = c.wire.trusted(w.URL, a.route.hosts)
	}
	if err != nil {
		return fail(err)
	}
	w.Key = key
	return w, nil
}

// workflowPlace is the part of the path that names tenant and community.
func (c *Client) workflowPlace(ctx context.Context) (string, error) {
	com, err := c.community(ctx)
	if err != nil {
		return "", err
	}
	return "/tenant/" + url.PathEscape(com.TenantID) + "/community/" + url.PathEscape(com.ID), nil
}

func parseWorkflowCreate(b []byte) (WorkflowInstance, error) {
	var w struct {
		ID  scalar `json:"wfInstanceId"`
		URL scalar `json:"wfInstanceUrl"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return WorkflowInstance{}, &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if id := string(w.ID); !sessionIDSafe(id) || !segment(id) || w.URL == "" {
		if e := errorInSuccess(b); e != nil {
			return WorkflowInstance{}, e
		}
		return WorkflowInstance{}, malformed("instance id or url missing")
	}
	return WorkflowInstance{ID: string(w.ID), URL: string(w.URL)}, nil
}

// WorkflowStatus is the state of a workflow's node.
type WorkflowStatus string

const (
	WorkflowUnknown   WorkflowStatus = "unknown" // a state this package does not know
	WorkflowPending   WorkflowStatus = "pending"
	WorkflowStarted   WorkflowStatus = "started"
	WorkflowCompleted WorkflowStatus = "completed" // the person is done; not that anything was proved
	WorkflowExpired   WorkflowStatus = "expired"
	WorkflowFailed    WorkflowStatus = "failed"
)

// WorkflowResult is the state of a node of a workflow instance. It may hold
// personal data; printing or logging it shows the status only.
//
// Only the five states are documented. Where the state is in the answer, and
// all that comes with it, is not known: the field is taken to be "status".
type WorkflowResult struct {
	Status     WorkflowStatus
	WireStatus string
	// Sealed reports whether the answer came encrypted, for the instance's own key
	// and with the one that the service publishes. Some come in clear. Who holds the
	// published key, TLS alone says, so that Sealed proves no more than TLS does.
	Sealed bool
	// Body holds the other fields.
	Body map[string]json.RawMessage
}

// String hides what is personal.
func (r WorkflowResult) String() string { return "workflow result " + string(r.Status) }

// GoString hides what is personal.
func (r WorkflowResult) GoString() string { return r.String() }

// LogValue hides what is personal.
func (r WorkflowResult) LogValue() slog.Value { return slog.StringValue(r.String()) }

// WorkflowNode reads the state of one node of an instance; of w it needs ID and
// Key. An answer that names another key than the service publishes, also when
// asked for it anew, is KindUntrustedAnswer. (That every service publishes its key
// is documented, reference 1.3; that its answers name that key is inferred.)
func (c *Client) WorkflowNode(ctx context.Context, w WorkflowInstance, nodeID string) (*WorkflowResult, error) {
	const op = "workflow.node"
	if !segment(w.ID) || w.Key == nil || !segment(nodeID) {
		return nil, invalid(op, "ID and Key of the instance, and nodeID, are required")
	}
	place, err := c.workflowPlace(ctx)
	if err != nil {
		return nil, asError(err, op, ServiceWorkflow)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceWorkflow, method: http.MethodGet, key: w.Key, clear: true, published: true,
		path: "/workflow_instance/" + url.PathEscape(w.ID) + place + "/node/" + url.PathEscape(nodeID),
	})
	if err != nil {
		return nil, err
	}
	r, id, err := parseWorkflowNode(a.plain)
	if err == nil && differ(id, w.ID) {
		err = malformed("answer is about another instance")
	}
	if err != nil {
		return nil, asError(err, op, ServiceWorkflow)
	}
	r.Sealed = a.sealed
	return r, nil
}

// parseWorkflowNode also returns the instance that the answer names, if any.
func parseWorkflowNode(plain []byte) (*WorkflowResult, string, error) {
	r := &WorkflowResult{Status: WorkflowUnknown}
	var id string
	var err error
	r.Body, err = decodeObject(plain, map[string]any{"status": &r.WireStatus, "wfInstanceId": &id})
	if err != nil {
		return nil, "", &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if r.WireStatus == "" {
		if e := errorInSuccess(plain); e != nil {
			return nil, "", e
		}
		return nil, "", malformed("answer has no status")
	}
	s := WorkflowStatus(strings.ToLower(r.WireStatus))
	if slices.Contains([]WorkflowStatus{WorkflowPending, WorkflowStarted, WorkflowCompleted, WorkflowExpired, WorkflowFailed}, s) {
		r.Status = s
	}
	return r, id, nil
}
