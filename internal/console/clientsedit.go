package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	maxClients     = 500      // of a tenant, kept by the console
	maxClientBytes = 64 << 10 // of a document
	maxListed      = 50       // entries of one list in it

	// actorOperator is the actor of the audit records; who it was is their detail "author".
	actorOperator = "operator"
)

// reasonClient: a client's document has something wrong with it.
const reasonClient proof.Reason = "invalid_client"

// changedMeanwhile is what somebody is told who would overwrite what they have not seen.
func changedMeanwhile(message string) error {
	return &proof.Error{Code: proof.CodeConflict, Reason: reasonStale, Message: message}
}

// stale is err, in those words if it is proof.ErrStale.
func stale(err error, message string) error {
	if errors.Is(err, proof.ErrStale) {
		return changedMeanwhile(message)
	}
	return err
}

// clientDocument reads a client. What is wrong with it, field by field, is no error.
func clientDocument(raw json.RawMessage) (x federation.Client, wrong map[string]string, err error) {
	if len(raw) > maxClientBytes {
		return x, nil, &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Message: fmt.Sprintf("a client is larger than %d KiB", maxClientBytes>>10)}
	}
	fields, err := object(raw)
	if err != nil {
		return x, nil, proof.Invalid("client", "client must be a JSON object that gives each name once")
	}
	// A time that cannot be read would be an error without a field, and all that is left.
	badSession := ""
	if session, given := fields["session"]; given && string(session) != "null" {
		var text string
		if json.Unmarshal(session, &text) != nil {
			badSession = "must be a text such as 5m"
		} else if _, err := time.ParseDuration(text); err != nil {
			badSession = "must be a time such as 5m, 90s or 1h"
		}
		if badSession != "" {
			delete(fields, "session")
			if raw, err = json.Marshal(fields); err != nil {
				return x, nil, err
			}
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&x); err != nil {
		return x, nil, decodeError("client", err)
	}
	if x.Protocol == federation.OIDC && x.OIDC != nil && string(x.OIDC.JWKS) == "null" {
		x.OIDC.JWKS = nil
	}
	x.Complete()
	if wrong = x.Check(); wrong == nil {
		wrong = map[string]string{}
	}
	if badSession != "" {
		wrong["session"] = badSession
	}
	if x.Claims != nil && len(x.Claims) == 0 {
		// Kept, it would be the same as none named, which means the usual ones.
		wrong["claims"] = "name at least one, or leave it out for the usual ones"
	}
	if x.ID == "." || x.ID == ".." {
		wrong["client_id"] = "must not be made of dots alone"
	}
	for name, n := range listed(&x) {
		if n > maxListed && wrong[name] == "" {
			wrong[name] = fmt.Sprintf("must have at most %d entries", maxListed)
		}
	}
	if o := x.OIDC; o != nil && o.JWKSURI != "" && o.AuthMethod != federation.AuthPrivateKey && wrong["oidc.jwks_uri"] == "" {
		wrong["oidc.jwks_uri"] = "is for private_key_jwt only"
	}
	return x, wrong, nil
}

func listed(x *federation.Client) map[string]int {
	n := map[string]int{"default_acr": len(x.DefaultACR), "allowed_acr": len(x.Allowed), "claims": len(x.Claims), "document_types": len(x.DocumentTypes)}
	if o := x.OIDC; o != nil {
		n["oidc.redirect_uris"], n["oidc.post_logout_redirect_uris"] = len(o.RedirectURIs), len(o.PostLogoutRedirectURIs)
	}
	if m := x.SAML; m != nil {
		n["saml.acs"], n["saml.certificates"], n["saml.attributes"] = len(m.ACS), len(m.Certificates), len(m.Attributes)
	}
	return n
}

// taken adds what is wrong with x beside all others: names that are somebody else's.
// self is the client that x replaces, "" for none.
func taken(x *federation.Client, self string, all []*federation.StoredClient, wrong map[string]string) {
	for _, o := range all {
		if o.ID == self && !o.Fixed {
			continue
		}
		if o.ID == x.ID && o.ID != self && wrong["client_id"] == "" {
			wrong["client_id"] = "is that of another client already"
		}
		if x.SAML != nil && o.SAML != nil && x.SAML.EntityID == o.SAML.EntityID && wrong["saml.entity_id"] == "" {
			wrong["saml.entity_id"] = fmt.Sprintf("is that of the client %q already", o.ID)
		}
	}
}

// clientCheck says what is wrong with a client before it is kept. self names the client
// that it is to replace.
func (c *Console) clientCheck(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var raw json.RawMessage
	var self string
	if err := decode(w, r, documentField("client", &raw), field{name: "self", into: &self, optional: true}); err != nil {
		return err
	}
	x, wrong, err := clientDocument(raw)
	if err != nil {
		return err
	}
	fixed, stored, err := c.allClients(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	if x.ID == "" && self == "" {
		delete(wrong, "client_id") // one is made
	}
	taken(&x, self, slices.Concat(fixed, stored), wrong)
	c.answer(w, r, http.StatusOK, map[string]any{"fields": wrong})
	return nil
}

func (c *Console) refuseFields(w http.ResponseWriter, r *http.Request, reason proof.Reason, message string, wrong map[string]string) {
	c.log(r, http.StatusUnprocessableEntity, reason, nil)
	c.answer(w, r, http.StatusUnprocessableEntity, problem{Reason: reason, Message: message, Hint: "Correct what is marked.", Fields: wrong})
}

// clientCreate keeps a new client; the answer has its first secret, if it has one.
func (c *Console) clientCreate(w http.ResponseWriter, r *http.Request, s *Session) error {
	var raw json.RawMessage
	if err := decode(w, r, documentField("client", &raw)); err != nil {
		return err
	}
	tenant := r.PathValue("tenant")
	x, wrong, err := clientDocument(raw)
	if err != nil {
		return err
	}
	if x.ID == "" {
		x.ID = proof.NewID()
		delete(wrong, "client_id")
	}
	x.Tenant = tenant
	fresh, plain := &federation.StoredClient{Client: x, Version: 1, CreatedAt: c.o.Now(), UpdatedAt: c.o.Now()}, ""
	if x.HasSecret() {
		var kept federation.Secret
		plain, kept = federation.NewSecret(proof.NewID(), c.o.Now(), time.Time{})
		fresh.Secrets = []federation.Secret{kept}
	}
	fixed, _, err := c.allClients(r.Context(), tenant)
	if err != nil {
		return err
	}
	known := maps.Clone(wrong)
	err = c.updateFederation(r, func(tx federation.Tx) error {
		stored, err := tx.Clients(tenant)
		if err != nil {
			return err
		}
		if len(stored) >= maxClients {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: fmt.Sprintf("this tenant has %d clients, and may not have more; delete one first", maxClients)}
		}
		wrong = maps.Clone(known) // of an earlier run of the transaction nothing is left
		if taken(&x, "", slices.Concat(fixed, stored), wrong); len(wrong) > 0 {
			return nil
		}
		if err := tx.InsertClient(fresh); err != nil {
			return err
		}
		return c.auditClient(tx, s, fresh, "federation.client_created", nil)
	})
	switch {
	case err != nil:
		return stale(err, "somebody else made a client of this id meanwhile")
	case len(wrong) > 0:
		c.refuseFields(w, r, reasonClient, "the client cannot be kept as it is", wrong)
		return nil
	}
	answer := map[string]any{"client": c.view(fresh)}
	if plain != "" {
		answer["secret"] = plain
	}
	c.answer(w, r, http.StatusCreated, answer)
	return nil
}

// errWrong ends a transaction of a client with something wrong with it.
var errWrong = errors.New("console: fields are wrong")

func (c *Console) clientUpdate(w http.ResponseWriter, r *http.Request, s *Session) error {
	var raw json.RawMessage
	var version *int64
	if err := decode(w, r, documentField("client", &raw), field{name: "version", into: &version}); err != nil {
		return err
	}
	x, known, err := clientDocument(raw)
	if err != nil {
		return err
	}
	tenant, id := r.PathValue("tenant"), r.PathValue("client")
	fixed, _, err := c.allClients(r.Context(), tenant)
	if err != nil {
		return err
	}
	var wrong map[string]string
	detail := map[string]string{}
	changed, err := c.changeClientAmong(r, s, *version, "federation.client_changed", detail, func(all []*federation.StoredClient, o *federation.StoredClient) error {
		wrong = maps.Clone(known)
		if x.ID != id {
			wrong["client_id"] = "stays as it is: make another client"
		}
		if x.Protocol != o.Protocol {
			wrong["protocol"] = "stays as it is: make another client"
		}
		if taken(&x, id, slices.Concat(fixed, all), wrong); len(wrong) > 0 {
			return errWrong
		}
		detail["disabled"] = strconv.FormatBool(x.Disabled)
		o.Client = x
		o.Tenant = tenant
		if !o.HasSecret() {
			o.Secrets = nil // they must not hold again when the method is changed back
		}
		return nil
	})
	switch {
	case errors.Is(err, errWrong):
		c.refuseFields(w, r, reasonClient, "the client cannot be kept as it is", wrong)
		return nil
	case err != nil:
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"client": c.view(changed)})
	return nil
}

func (c *Console) clientDelete(w http.ResponseWriter, r *http.Request, s *Session) error {
	q, err := query(r, "version")
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(q["version"], 10, 64)
	if err != nil {
		return proof.Invalid("version", "version must be that of the client that you have seen")
	}
	tenant, id := r.PathValue("tenant"), r.PathValue("client")
	err = c.updateFederation(r, func(tx federation.Tx) error {
		_, x, err := clientAt(tx, tenant, id, version)
		if err != nil {
			return err
		}
		if err := tx.DeleteClient(tenant, id); err != nil {
			return err
		}
		return c.auditClient(tx, s, x, "federation.client_deleted", nil)
	})
	if err != nil {
		return c.whyNot(r, err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeClient changes the client that the request names, if it still has that version.
func (c *Console) changeClient(r *http.Request, s *Session, version int64, action string, detail map[string]string, change func(x *federation.StoredClient) error) (*federation.StoredClient, error) {
	return c.changeClientAmong(r, s, version, action, detail, func(_ []*federation.StoredClient, x *federation.StoredClient) error { return change(x) })
}

func (c *Console) changeClientAmong(r *http.Request, s *Session, version int64, action string, detail map[string]string, change func(all []*federation.StoredClient, x *federation.StoredClient) error) (*federation.StoredClient, error) {
	var changed *federation.StoredClient
	err := c.updateFederation(r, func(tx federation.Tx) error {
		all, x, err := clientAt(tx, r.PathValue("tenant"), r.PathValue("client"), version)
		if err != nil {
			return err
		}
		if err := change(all, x); err != nil {
			return err
		}
		x.UpdatedAt = c.o.Now()
		if err := tx.UpdateClient(x); err != nil {
			return err
		}
		changed = x
		return c.auditClient(tx, s, x, action, detail)
	})
	return changed, c.whyNot(r, err)
}

// whyNot is the error of a change of a client, in words for who wanted it.
func (c *Console) whyNot(r *http.Request, err error) error {
	if errors.Is(err, errNoClient) {
		all := c.o.Federation.Clients.AllClients(r.PathValue("tenant"))
		if x := clientOf(all, r.PathValue("client")); x != nil && x.Fixed {
			return &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Message: "this client is in the configuration file, which alone changes it"}
		}
	}
	return stale(err, errClientChanged)
}

var errNoClient = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such client"}

const errClientChanged = "somebody else changed this client meanwhile"

// clientAt is the stored client of that id, and all, if it has that version.
func clientAt(tx federation.Tx, tenant, id string, version int64) ([]*federation.StoredClient, *federation.StoredClient, error) {
	all, err := tx.Clients(tenant)
	if err != nil {
		return nil, nil, err
	}
	x := clientOf(all, id)
	if x == nil {
		return nil, nil, errNoClient
	}
	if x.Version != version {
		return nil, nil, changedMeanwhile(errClientChanged)
	}
	x.Tenant = tenant
	return all, x, nil
}

// updateFederation is one transaction. That somebody else came between is told to who
// asked: what they have seen is not what they would change.
func (c *Console) updateFederation(r *http.Request, fn func(tx federation.Tx) error) error {
	return c.o.Federation.Store.UpdateFederation(r.Context(), fn)
}

func (c *Console) auditClient(tx federation.Tx, s *Session, x *federation.StoredClient, action string, detail map[string]string) error {
	more := map[string]string{"author": s.Name, "protocol": string(x.Protocol), "version": strconv.FormatInt(x.Version, 10)}
	maps.Copy(more, detail)
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: x.Tenant, At: c.o.Now(), Actor: actorOperator, Action: action, Object: "client:" + x.ID, Detail: more,
	})
}

// conflictOf is the conflict that err is, if it is one.
func conflictOf(err error) (*proof.Error, bool) {
	e, ok := errors.AsType[*proof.Error](err)
	return e, ok && e.Code == proof.CodeConflict
}
