package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"go.yaml.in/yaml/v4"

	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// apiVersion counts changes of this API, not of the program.
const apiVersion = "1.3.0"

// OpenAPI returns the OpenAPI 3.1 document of this door as indented JSON, and what else is
// below Prefix: fragments have paths, tags, schemas and ways to authenticate of other
// doors. The copy in docs/openapi.json is the same; a test holds them together.
func OpenAPI(fragments ...[]byte) ([]byte, error) {
	d := described(fragments)
	return d.json, d.err
}

// description is the document in both forms.
type description struct {
	json, yaml []byte
	err        error
}

// written keeps descriptions by their fragments: making one takes a while, and there are
// as many as there are programs, which is one.
var written sync.Map

func described(fragments [][]byte) description {
	key := string(bytes.Join(fragments, []byte{0}))
	if d, ok := written.Load(key); ok {
		return d.(description)
	}
	var d description
	merged, err := describe(fragments)
	if err == nil {
		d.json, err = json.MarshalIndent(merged, "", "  ")
	}
	if err == nil {
		d.json = append(d.json, '\n')
		d.yaml, err = yaml.Dump(merged)
	}
	if err != nil {
		d = description{err: fmt.Errorf("encoding the OpenAPI document: %w", err)}
	}
	written.Store(key, d)
	return d
}

// describe merges fragments into the document of this door. What two of them define is a
// mistake in the program.
func describe(fragments [][]byte) (map[string]any, error) {
	raw, err := json.Marshal(document())
	if err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	for _, f := range fragments {
		var more struct {
			Tags       []any
			Paths      map[string]any
			Components map[string]map[string]any
		}
		if err := json.Unmarshal(f, &more); err != nil {
			return nil, fmt.Errorf("reading a fragment of the OpenAPI document: %w", err)
		}
		tags, _ := out["tags"].([]any)
		out["tags"] = append(tags, more.Tags...)
		if err := graft(out["paths"].(map[string]any), more.Paths); err != nil {
			return nil, err
		}
		components := out["components"].(map[string]any)
		for kind, named := range more.Components {
			if err := graft(components[kind].(map[string]any), named); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func graft(into, from map[string]any) error {
	for name, v := range from {
		if into[name] != nil {
			return fmt.Errorf("the OpenAPI document has %q twice", name)
		}
		into[name] = v
	}
	return nil
}

func document() *huma.OpenAPI {
	reg := huma.NewMapRegistry("#/components/schemas/", schemaName)
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:   "Kosmoscope: nodes for Descope flows",
			Version: apiVersion,
			Description: "Descope's Generic HTTP connector calls these operations from inside a flow. " +
				"Business outcomes are HTTP 200 with a `status`; 4xx is for malformed or unauthenticated calls. " +
				"Every operation takes one credential, plus an HMAC of the body in `x-descope-webhook-s256` when the caller has an " +
				"HMAC secret, plus an HTTP message signature (RFC 9421) when it has verification keys.",
			License: &huma.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
			Contact: &huma.Contact{Name: "Kosmoscope", URL: "https://github.com/kosmoscope/kosmoscope"},
		},
		Servers: []*huma.Server{{URL: "/", Description: "The address at which this document is served."}},
		Tags: []*huma.Tag{
			{Name: tagVerification, Description: "Prove who a person is, with a document and a face."},
			{Name: tagStepUp, Description: "Find out whether it is the same person who was verified, by their face."},
			{Name: tagRisk, Description: "Find out whether a login is to go straight through, to ask for a face, or to end."},
			{Name: "Operation", Description: "Is the program up?"},
		},
		Components: &huma.Components{
			Schemas: reg,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "A fixed token from the configuration."},
				"basic":  {Type: "http", Scheme: "basic", Description: "User and password from the configuration."},
				"apiKey": {Type: "apiKey", In: "header", Name: "X-Api-Key", Description: "A fixed value in a header; configuration names the header."},
				"oauth2": {
					Type: "oauth2", Description: "An access token got with the client credentials grant.",
					Flows: &huma.OAuthFlows{ClientCredentials: &huma.OAuthFlow{TokenURL: "/oauth2/token", Scopes: map[string]string{}}},
				},
			},
		},
		Paths: map[string]*huma.PathItem{},
	}
	d := describer{reg}
	doc.Paths[startPath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "startVerification", Tags: []string{tagVerification},
		Summary: "1Kosmos IDV",
		Description: "Begins a verification and returns the link that the person must open. " +
			"Nothing is sent to 1Kosmos before the person has agreed.",
	}, startSchema(), d.answer(reflect.TypeFor[startAnswer]()), map[string]example{
		"minimal": {"What the two published fields look like", map[string]any{"document_types": []string{"passport"}, "liveness_mode": "passive"}},
		"full": {"Everything", map[string]any{
			"document_types": []string{"passport", "id_card"}, "liveness_mode": "active", "user_identifier": "U2abcdefghijklmnopqrstuvwxyz",
			"expected":     map[string]any{"given_name": "Anna Maria", "family_name": "Eriksson", "birth_date": "1974-08-12"},
			"callback_url": "https://app.acme.test/kosmos/return", "metadata": map[string]any{"order": "4711"}, "idempotency_key": "signup-4711",
		}},
		"external": {"For the External Authentication action of the flow", map[string]any{"user_identifier": "anna@acme.test", "external_auth": true}},
		"template": {"Templates that resolved to nothing", map[string]any{"document_types": "passport", "liveness_mode": "", "user_identifier": nil}},
	}, map[string]any{
		"session_id":  "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24",
		"session_url": "https://bridge.acme.test/v/0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24/kU0xDl6hB2cMn8Qv1rZs5w",
		"status":      "pending", "expires_at": "2026-11-23T12:30:00Z",
	}, 403, 409)}
	doc.Paths[resultPath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "readResult", Tags: []string{tagVerification},
		Summary: "1Kosmos IDV Result",
		Description: "Says how a verification stands. Answers at once and may be asked again at will; once it has ended the answer stays. " +
			"An unknown session_id and one of another caller look the same: `status` is `error`, `reason` is `unknown_session`.",
	}, whichSchema("Which verification.", "session_id", "The id that node 1Kosmos IDV returned."), d.answer(reflect.TypeFor[resultAnswer]()), map[string]example{
		"usual": {"The id that node 1Kosmos IDV returned", map[string]any{"session_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24"}},
		"bound": {"Only if it is for this user", map[string]any{"session_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "user_identifier": "U2abcdefghijklmnopqrstuvwxyz"}},
	}, verifiedExample())}
	doc.Paths[stepUpPath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "startChallenge", Tags: []string{tagStepUp},
		Summary: "1Kosmos LiveID Step-Up",
		Description: "Asks a user to show their face and returns the link that the person must open, in the browser in which they are signing in. " +
			"When the user cannot be asked, because they are unknown, not enrolled, disabled or were asked too often, `status` is `refused`, " +
			"`reason` says why, and there is no link: send the person on another branch of the flow. " +
			"Whatever this node answers, only node 1Kosmos Step-Up Result says that the face matched.",
	}, stepUpSchema(), d.answer(reflect.TypeFor[stepUpAnswer]()), map[string]example{
		"minimal": {"What the published field looks like", map[string]any{"user_identifier": "U2abcdefghijklmnopqrstuvwxyz"}},
		"full": {"Everything", map[string]any{
			"user_identifier": "U2abcdefghijklmnopqrstuvwxyz", "reason_code": "high_value_transaction", "timeout_seconds": 300,
			"transaction": "Pay 1,200.00 EUR\nto Example Boats", "decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24",
			"callback_url": "https://app.acme.test/kosmos/return", "idempotency_key": "login-4711",
		}},
		"template": {"Templates: a number became a string, and two resolved to nothing", map[string]any{
			"user_identifier": "U2abcdefghijklmnopqrstuvwxyz", "timeout_seconds": "120", "reason_code": "", "transaction": nil,
		}},
		"external": {"For the External Authentication action of the flow", map[string]any{
			"user_identifier": "anna@acme.test", "reason_code": "new_device", "external_auth": true,
		}},
	}, map[string]any{
		"challenge_url": "https://bridge.acme.test/c/0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24/kU0xDl6hB2cMn8Qv1rZs5w",
		"challenge_id":  "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "status": "pending", "expires_at": "2026-11-23T12:09:31Z", "reason": nil, "retry_at": nil,
	}, 403, 409)}
	doc.Paths[stepUpResultPath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "readChallengeResult", Tags: []string{tagStepUp},
		Summary: "1Kosmos Step-Up Result",
		Description: "Says how a challenge stands. Answers at once and may be asked again at will; once it has ended the answer stays, but a match is for one login: " +
			"ten minutes later (`step_up.result_ttl`) it reads as `error` with `challenge_used`. Let the login go on only where `match_result` is `match`; a condition on `confidence` may come on top, never instead. " +
			"An unknown challenge_id and one of another caller look the same: `match_result` is `error`, `reason` is `unknown_challenge`.",
	}, whichSchema("Which challenge.", "challenge_id", "The id that node 1Kosmos LiveID Step-Up returned."), d.answer(reflect.TypeFor[stepUpResultAnswer]()), map[string]example{
		"usual": {"The id that node 1Kosmos LiveID Step-Up returned", map[string]any{"challenge_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24"}},
		"bound": {"Only if it is for this user", map[string]any{"challenge_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "user_identifier": "U2abcdefghijklmnopqrstuvwxyz"}},
	}, map[string]any{
		"challenge_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "match_result": "match", "confidence": nil, "confidence_basis": "binary", "reason": nil,
		"liveness_mode": nil, "decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "completed_at": "2026-11-23T12:05:02Z",
	})}
	doc.Paths[riskPath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "evaluateRisk", Tags: []string{tagRisk},
		Summary: "Risk Evaluation",
		Description: "Weighs a login by the policy that holds for the application, and says whether it goes straight through (`allow`), needs the person's face (`step_up`), or ends (`deny`). " +
			"Only user_identifier is required: what a flow does not know it leaves out, and a signal that cannot be told never clears a login. " +
			"An answer that is no 2xx, or none at all, is no decision: ask for a face then. " +
			"Send what the flow knows of the authenticated user and from Descope; whatever a page could have typed belongs in a condition of the flow and not in here.",
	}, riskSchema(), d.answer(reflect.TypeFor[riskAnswer]()), map[string]example{
		"minimal": {"The one field that is required", map[string]any{"user_identifier": "U2abcdefghijklmnopqrstuvwxyz"}},
		"full": {"Everything", map[string]any{
			"user_identifier": "U2abcdefghijklmnopqrstuvwxyz", "ip": "192.0.2.7", "user_agent": "Mozilla/5.0", "application": "shop", "scopes": []string{"openid", "orders:refund"},
			"known_device": true, "trusted_device": false, "impossible_travel": false, "vpn": false, "bot": false, "risk_score": 0.1,
			"last_countries": []string{"DE", "FR"}, "last_ips": []string{"192.0.2.7", "2001:db8::7"},
		}},
		"template": {"Templates: what is no text became one, and some resolved to nothing", map[string]any{
			"user_identifier": "U2abcdefghijklmnopqrstuvwxyz", "ip": "192.0.2.7", "application": "", "scopes": "openid orders:refund",
			"known_device": "true", "trusted_device": "", "impossible_travel": nil, "risk_score": "0.1", "last_countries": "DE,FR", "last_ips": "",
		}},
	}, map[string]any{
		"decision": "step_up", "score": 55.0, "reasons": []any{"new_device", "geo_anomaly"}, "reason": "new_device",
		"policy_version": 3, "policy_application": "shop", "decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24",
	})}
	doc.Paths[outcomePath] = &huma.PathItem{Post: d.node(&huma.Operation{
		OperationID: "endDecision", Tags: []string{tagRisk},
		Summary: "Risk Outcome",
		Description: "Says how a login ended, as the last step before the flow does. From a `success` after `allow`, and from a face that matched, the program learns the person's device, network and place; " +
			"a `failure` counts against more of its kind. Repeating it changes nothing. A flow may ignore what this answers, and that it does not. " +
			"An unknown decision_id and one of another caller look the same: `why` is `unknown_decision`.",
	}, outcomeSchema(), d.answer(reflect.TypeFor[outcomeAnswer]()), map[string]example{
		"usual": {"The login goes on to its end", map[string]any{"decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "outcome": "success"}},
		"bound": {"Only if it is about this user", map[string]any{
			"decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "outcome": "failure", "user_identifier": "U2abcdefghijklmnopqrstuvwxyz",
		}},
	}, map[string]any{"decision_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "outcome": "success", "learned": true, "why": nil})}
	doc.Paths[HealthPath] = &huma.PathItem{Get: &huma.Operation{
		OperationID: "health", Summary: "Health", Tags: []string{"Operation"},
		Description: "For the Test panel of Descope's connector page and for load balancers. Needs no credential and changes nothing.",
		Security:    []map[string][]string{},
		Responses: map[string]*huma.Response{
			"200": {
				Description: "The program is up.", Headers: commonHeaders(),
				Content: map[string]*huma.MediaType{"application/json": {
					Schema:  d.answer(reflect.TypeFor[healthAnswer]()),
					Example: map[string]any{"status": "ok", "version": "1.0.0"},
				}},
			},
			"400": {
				Description: "The request is not HTTP.",
				Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: "string"}}},
			},
		},
	}}
	return doc
}

const (
	tagVerification = "Identity verification"
	tagStepUp       = "LiveID step-up"
	tagRisk         = "Risk"
)

type example struct {
	summary string
	value   any
}

type describer struct{ reg huma.Registry }

// node completes the description of an operation that takes a JSON object from a
// known caller. codes are client errors besides those that every node has.
func (d describer) node(op *huma.Operation, in, out *huma.Schema, requests map[string]example, response any, codes ...int) *huma.Operation {
	op.Security = []map[string][]string{{"bearer": {}}, {"basic": {}}, {"apiKey": {}}, {"oauth2": {}}}
	op.Parameters = []*huma.Param{
		{
			Name: "x-descope-webhook-s256", In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "HMAC-SHA256 of the body in base64; required when the caller has an HMAC secret.",
		},
		{
			Name: "Signature-Input", In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "RFC 9421; required, with Signature, when the caller has verification keys.",
		},
		{Name: "Signature", In: "header", Schema: &huma.Schema{Type: "string"}, Description: "RFC 9421."},
		{Name: "Content-Digest", In: "header", Schema: &huma.Schema{Type: "string"}, Description: "RFC 9530, sha-256 or sha-512; covered by the signature."},
	}
	examples := map[string]*huma.Example{}
	for name, e := range requests {
		examples[name] = &huma.Example{Summary: e.summary, Value: e.value}
	}
	op.RequestBody = &huma.RequestBody{
		Required: true, Description: "null and empty strings count as absent. Unknown fields are refused. At most 64 KiB.",
		Content: map[string]*huma.MediaType{"application/json": {Schema: in, Examples: examples}},
	}
	op.Responses = map[string]*huma.Response{
		"200": {
			Description: "The outcome; read `status`.", Headers: commonHeaders(),
			Content: map[string]*huma.MediaType{"application/json": {Schema: out, Example: response}},
		},
	}
	for _, code := range append([]int{400, 401, 413, 415, 429, 500, 502, 503}, codes...) {
		r := problemText[code]
		op.Responses[fmt.Sprint(code)] = &huma.Response{
			Description: r.text, Headers: commonHeaders(),
			Content: map[string]*huma.MediaType{"application/problem+json": {Schema: d.answer(reflect.TypeFor[problem]())}},
		}
		if r.header != "" {
			op.Responses[fmt.Sprint(code)].Headers[r.header] = &huma.Param{Schema: &huma.Schema{Type: "string"}, Description: r.headerText}
		}
	}
	return op
}

var problemText = map[int]struct{ text, header, headerText string }{
	400: {text: "The body is malformed; `field` and `detail` say where."},
	401: {"The credentials are missing or wrong, or the HMAC or signature does not fit.", "WWW-Authenticate", "How to authenticate."},
	403: {text: "The caller is known but may not ask for this."},
	409: {text: "The idempotency_key was used before with other content."},
	413: {text: "The body is larger than 64 KiB."},
	415: {text: "The body is not application/json."},
	429: {"Too many refused calls from this network.", "Retry-After", "Seconds to wait."},
	500: {text: "Something went wrong on our side."},
	502: {text: "1Kosmos answered something that cannot be used."},
	503: {"Something that is needed is not there right now.", "Retry-After", "Seconds to wait, if known."},
}

func commonHeaders() map[string]*huma.Param {
	return map[string]*huma.Param{
		"X-Request-Id":  {Schema: &huma.Schema{Type: "string"}, Description: "Id of this call, also in our log."},
		"Cache-Control": {Schema: &huma.Schema{Type: "string", Enum: []any{"no-store"}}, Description: "Answers are not to be kept."},
	}
}

func schemaName(t reflect.Type, hint string) string {
	names := map[string]string{
		"startAnswer": "Verification", "resultAnswer": "Result", "healthAnswer": "Health", "problem": "Problem",
		"stepUpAnswer": "Challenge", "stepUpResultAnswer": "ChallengeResult", "riskAnswer": "Decision", "outcomeAnswer": "DecisionOutcome",
		"Verification": "VerifiedClaimsVerification", "PersonClaims": "VerifiedClaimsClaims", // of package ida
	}
	if n := names[t.Name()]; n != "" {
		return n
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// answer derives a schema from a Go type. huma cannot say that a reference may be
// null, so those members get a copy of the schema that may.
func (d describer) answer(t reflect.Type) *huma.Schema {
	ref := d.reg.Schema(t, true, "")
	s := d.reg.SchemaFromRef(ref.Ref)
	for i := range t.NumField() {
		f := t.Field(i)
		p := s.Properties[jsonName(f)]
		if p == nil || !nullable(f) {
			continue
		}
		if p.Ref != "" {
			inline := *d.reg.SchemaFromRef(p.Ref)
			inline.Description = f.Tag.Get("doc")
			delete(d.reg.Map(), p.Ref[strings.LastIndexByte(p.Ref, '/')+1:])
			p = &inline
			s.Properties[jsonName(f)] = p
		}
		p.Nullable = true
		if p.Enum != nil { // an enumeration that allows null has to list it
			p.Enum = append(p.Enum[:len(p.Enum):len(p.Enum)], nil)
		}
	}
	return ref
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// nullable says whether the encoder can write null for a field.
func nullable(f reflect.StructField) bool {
	k := f.Type.Kind()
	always := !strings.Contains(f.Tag.Get("json"), ",omitempty")
	return always && (k == reflect.Pointer || k == reflect.Map) && f.Tag.Get("nullable") != "false"
}

// startSchema, stepUpSchema and whichSchema describe what decode.go and request.go accept. A
// test sends the same bodies to both.
func startSchema() *huma.Schema {
	types, modes := []any{}, []any{}
	for _, t := range documentTypes() {
		types = append(types, t)
	}
	for _, m := range livenessModes() {
		modes = append(modes, m)
	}
	return object("What to verify.", map[string]*huma.Schema{
		"document_types": {
			Description: "Documents that are accepted; a list or one word. Absent: all that the caller may ask for.",
			OneOf: []*huma.Schema{
				{Type: "array", Items: &huma.Schema{Type: "string", Nullable: true, Enum: append(types, "", nil)}},
				{Type: "string", Nullable: true, Enum: append(types, "", nil)},
			},
		},
		"liveness_mode": {
			Type: "string", Nullable: true, Enum: append(modes, "", nil),
			Description: "How hard the proof of a living person is. Absent: the configured default. none accepts a still photo and needs to be allowed.",
		},
		"user_identifier": text("Who this is about, in the customer's words; the shipped flows send Descope's user id. Without it nothing is enrolled.", maxIdentifier),
		"expected": nested("What the caller believes about the person. A document that says otherwise ends the verification as failed.", map[string]*huma.Schema{
			"given_name":  text("Given names.", maxName),
			"family_name": text("Family name.", maxName),
			"birth_date":  text("Birth date as YYYY-MM-DD.", 64),
		}),
		"callback_url": text("Where the person returns to at the end; must be on the caller's allow-list.", 2048),
		"metadata": {
			OneOf: []*huma.Schema{
				{
					Type: "object", Nullable: true, MaxProperties: num(maxMetadata),
					AdditionalProperties: &huma.Schema{Type: "string", Nullable: true, MaxLength: num(maxMetadataValue)},
				},
				{Type: "string", Enum: []any{""}},
			},
			Description: "Anything of the caller's own; the result repeats it. Names are 1 to 64 letters, digits, '_' or '-'.",
		},
		"idempotency_key": text("Repeating a call with the same key and content returns the same verification.", maxKey),
		"external_auth":   externalAuth("session_url"),
	})
}

func stepUpSchema() *huma.Schema {
	s := object("Whom to ask, and what for.", map[string]*huma.Schema{
		"user_identifier": {
			Type: "string", MinLength: num(1), MaxLength: num(maxIdentifier),
			Description: "Who has to show their face: the same words as in the verification that enrolled them. " +
				"Take it from the authenticated user of the flow, never from what a browser sent.",
		},
		"reason_code": text("Why, as a code; the person reads it in plain words where the pages know it: new_device, unfamiliar_ip, geo_anomaly, "+
			"sensitive_scope, high_value_transaction. Letters, digits, '_', '-', '.' and ':'.", maxWord),
		"timeout_seconds": {
			Description: "How long the person has, in whole seconds. Absent: the configured default.",
			OneOf: []*huma.Schema{
				{Type: "integer", Format: "int32", Minimum: ptr(1.0)},
				{Type: "string", Nullable: true, Pattern: `^(0*[1-9][0-9]*)?$`},
			},
		},
		"transaction":     text("What the person agrees to by showing their face, in your words; they read it before they answer. It may have line breaks.", maxTransaction),
		"decision_id":     text("The risk decision that asks for this; the result repeats it. Nothing personal. Letters, digits, '_', '-', '.' and ':'.", maxDecision),
		"callback_url":    text("Where the person returns to at the end; must be on the caller's allow-list.", 2048),
		"idempotency_key": text("Repeating a call with the same key and content returns the same challenge.", maxKey),
		"external_auth":   externalAuth("challenge_url"),
	})
	s.Required = []string{"user_identifier"}
	return s
}

func whichSchema(description, idField, idDescription string) *huma.Schema {
	s := object(description, map[string]*huma.Schema{
		idField:           {Type: "string", MinLength: num(1), MaxLength: num(maxID), Description: idDescription},
		"user_identifier": text("Whom it must be for; for anybody else it is unknown. Always send it when the id came through a browser.", maxIdentifier),
	})
	s.Required = []string{idField}
	if idField == "challenge_id" {
		s.Properties["decision_id"] = text("Of which risk decision it must be; of any other it is unknown.", maxDecision)
	}
	return s
}

func riskSchema() *huma.Schema {
	s := object("What the flow knows about a login.", map[string]*huma.Schema{
		"user_identifier": {
			Type: "string", MinLength: num(1), MaxLength: num(maxIdentifier),
			Description: "Whose login it is: the same words as in the other nodes. Take it from the authenticated user of the flow, never from what a browser sent.",
		},
		"ip": {Type: "string", Nullable: true, Description: "The address that the person comes from, as Descope tells it. One that cannot be read cannot be told. The address of this call, and X-Forwarded-For, play no part."},
		"user_agent": {Type: "string", Nullable: true, Description: "The browser's; only shown to operators. It is cut after " + fmt.Sprint(maxUserAgent) + " bytes. " +
			"A browser can write anything into it, so a payload that is made of templates had better leave it out."},
		"application":       text("For which application: its policy decides, if it has one of its own.", maxApplication),
		"scopes":            items("What the login is for: scopes in a list, or in one string with blanks between them (RFC 6749 3.3). An empty list says that nothing was asked for; absent says that it cannot be told."),
		"known_device":      fact("user.fingerprint.knownDevice"),
		"trusted_device":    fact("riskInfo.trustedDevice"),
		"impossible_travel": fact("riskInfo.impossibleTravel"),
		"vpn":               fact("riskInfo.vpnDetected"),
		"bot":               fact("riskInfo.botDetected"),
		"risk_score": {
			Description: "Descope's riskInfo.riskScore, 0 to 1. A number outside is on a scale that is not known, and cannot be told.",
			OneOf:       []*huma.Schema{{Type: "number", Format: "double"}, {Type: "string", Nullable: true, Pattern: `^(-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?)?$`}},
		},
		"last_countries": items("Descope's user.lastAuth.countries: ISO 3166-1 alpha-2, in a list or in one string with commas. Whatever else a place is called by is left out."),
		"last_ips":       items("Descope's user.lastAuth.ips, in a list or in one string with commas. What is no address is left out."),
	})
	s.Required = []string{"user_identifier"}
	return s
}

func fact(key string) *huma.Schema {
	return &huma.Schema{
		Description: "Descope's " + key + ". Absent: it cannot be told.",
		OneOf:       []*huma.Schema{{Type: "boolean"}, {Type: "string", Nullable: true, Enum: []any{"true", "false", "", nil}}},
	}
}

func items(description string) *huma.Schema {
	return &huma.Schema{Description: description, OneOf: []*huma.Schema{
		{Type: "array", MaxItems: num(maxItems), Items: &huma.Schema{Type: "string", Nullable: true}},
		{Type: "string", Nullable: true},
	}}
}

func outcomeSchema() *huma.Schema {
	s := whichSchema("Which decision, and how the login ended.", "decision_id", "The id that node Risk Evaluation returned.")
	s.Properties["outcome"] = &huma.Schema{
		Type: "string", Enum: []any{decide.OutcomeSuccess, decide.OutcomeFailure},
		Description: "success: the person is about to get a session. failure: they were refused, or said that it was not them.",
	}
	s.Required = append(s.Required, "outcome")
	return s
}

func externalAuth(link string) *huma.Schema {
	return &huma.Schema{
		OneOf: []*huma.Schema{{Type: "boolean"}, {Type: "string", Nullable: true, Enum: []any{"true", "false", "", nil}}},
		Description: link + " is for the URL of the flow's External Authentication action, which takes the person there and back. Needs to be allowed; " +
			"then user_identifier, a login id of Descope's, is required, and callback_url is refused. Only after a success Descope signs in that user.",
	}
}

func object(description string, properties map[string]*huma.Schema) *huma.Schema {
	return &huma.Schema{Type: "object", Description: description, AdditionalProperties: false, Properties: properties}
}

func nested(description string, properties map[string]*huma.Schema) *huma.Schema {
	o := object("", properties)
	o.Nullable = true
	return &huma.Schema{Description: description, OneOf: []*huma.Schema{o, {Type: "string", Enum: []any{""}}}}
}

func text(description string, limit int) *huma.Schema {
	return &huma.Schema{Type: "string", Nullable: true, MaxLength: num(limit), Description: description}
}

func num(n int) *int { return &n }

func verifiedExample() any {
	return map[string]any{
		"session_id": "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "status": "verified", "reason": nil,
		"ial_level": "IAL2", "ial_source": "1kosmos_session", "ial_expires_at": "2031-04-15T00:00:00Z",
		"verified_claims": map[string]any{
			"verification": map[string]any{
				"trust_framework": "nist_800_63A", "assurance_level": "ial2", "time": "2026-11-23T12:04:31Z",
				"evidence": []any{map[string]any{
					"type": "document", "time": "2026-11-23T12:04:31Z", "check_details": []any{map[string]any{"check_method": "bvr"}},
					"document_details": map[string]any{
						"type": "passport", "date_of_expiry": "2031-04-15", "issuer": map[string]any{"country_code": "UTO"},
					},
				}},
			},
			"claims": map[string]any{"given_name": "Anna Maria", "family_name": "Eriksson", "birthdate": "1974-08-12", "nationalities": []any{"UTO"}},
		},
		"claims": map[string]any{
			"given_name": "Anna Maria", "family_name": "Eriksson", "birthdate": "1974-08-12", "nationality": "UTO",
			"document_type": "passport", "issuing_country": "UTO", "date_of_expiry": "2031-04-15",
		},
		"checks":        []any{map[string]any{"name": "face_match", "outcome": "pass", "score": 0.71, "threshold": 0.36, "duration_ms": 184.2}},
		"document_type": "passport", "enrolled": true, "completed_at": "2026-11-23T12:04:31Z", "metadata": map[string]any{"order": "4711"},
	}
}
