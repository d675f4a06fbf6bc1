package kosmos

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A webhook is told when a session or a step-up ends. That it ended and that it is to be
// told is one transaction, whatever ended it: triggers see to that.
//
//	ends ──trigger──▶ waiting ──2xx──▶ done
//	                    ▲  │ else
//	                    │  ├──▶ waits, and again
//	                    └──┘ the last wait is over ──▶ done, with the status of the last answer

// webhookSchema holds who is told, and what is to be told. URLs and secrets are sealed.
const webhookSchema = `
CREATE TABLE IF NOT EXISTS webhooks (
	id         TEXT PRIMARY KEY,
	configured INTEGER NOT NULL,     -- by whoever runs the server, not by the API
	created    INTEGER NOT NULL,
	sealed     BLOB NOT NULL         -- sealed JSON
) STRICT;
CREATE TABLE IF NOT EXISTS callbacks (
	id      INTEGER PRIMARY KEY,
	webhook TEXT NOT NULL,
	kind    TEXT NOT NULL,           -- idv, stepup
	session TEXT NOT NULL,
	state   TEXT NOT NULL,           -- in which it ended
	at      INTEGER NOT NULL,
	due     INTEGER NOT NULL,
	tries   INTEGER NOT NULL,
	status  INTEGER NOT NULL,        -- of the last answer; 0: none
	done    INTEGER NOT NULL         -- 0 while it is waiting
) STRICT;
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (done, due);
CREATE TRIGGER IF NOT EXISTS callbacks_of_sessions AFTER UPDATE OF ended ON sessions WHEN OLD.ended = 0 AND NEW.ended > 0 BEGIN
	INSERT INTO callbacks (webhook, kind, session, state, at, due, tries, status, done)
		SELECT id, 'idv', NEW.id, NEW.state, NEW.ended, NEW.ended, 0, 0, 0 FROM webhooks;
END;
CREATE TRIGGER IF NOT EXISTS callbacks_of_stepups AFTER UPDATE OF ended ON stepups WHEN OLD.ended = 0 AND NEW.ended > 0 BEGIN
	INSERT INTO callbacks (webhook, kind, session, state, at, due, tries, status, done)
		SELECT id, 'stepup', NEW.id, NEW.state, NEW.ended, NEW.ended, 0, 0, 0 FROM webhooks;
END;
`

// What ended.
const (
	callbackIDV    = "idv"
	callbackStepUp = "stepup"
)

// Webhook is one subscription to callbacks.
type Webhook struct {
	URL    string   `json:"url"`              // http or https
	Secret string   `json:"secret"`           // at least 16 characters; signs every callback
	Events []string `json:"events,omitempty"` // names, as E_IDV_DOCUMENT_VALIDATE; none: all
}

func (h Webhook) check() error {
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(h.URL) > 2048:
		return errors.New("url must be an absolute http or https address")
	case len(h.Secret) < leastWebhookSecret || len(h.Secret) > 256:
		return errors.New("secret must have 16 to 256 characters")
	case len(h.Events) > 50 || slices.ContainsFunc(h.Events, func(e string) bool { return !eventName.MatchString(e) }):
		return errors.New("events must be names such as E_LOGIN_SUCCEEDED")
	}
	return nil
}

// webhookDesk is the part of the server that callbacks need.
type webhookDesk struct {
	callbackClient *http.Client
	callbackTurn   sync.Mutex  // held while callbacks are sent, so that none is sent twice at once
	told           atomic.Bool // there are webhooks
}

// openWebhooks takes those of the configuration, and forgets those that it had before.
func (s *Server) openWebhooks(ctx context.Context) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // they are on this machine
	s.callbackClient = &http.Client{Transport: transport, Timeout: guessCallbackTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s.store.update(ctx, func(tx *sql.Tx) error {
		keep := map[string]bool{}
		for i, h := range s.opt.Webhooks {
			if err := h.check(); err != nil {
				return fmt.Errorf("webhook %d: %w", i+1, err)
			}
			id := uuidOf("webhook", h.URL)
			keep[id] = true
			if err := s.putWebhook(ctx, tx, id, true, h); err != nil {
				return err
			}
		}
		ids, err := webhookIDs(ctx, tx)
		if err != nil {
			return err
		}
		for id, configured := range ids {
			if configured && !keep[id] {
				if err := dropWebhook(ctx, tx, id); err != nil {
					return err
				}
				delete(ids, id)
			}
		}
		s.told.Store(len(ids) > 0)
		return nil
	})
}

func (s *Server) putWebhook(ctx context.Context, tx *sql.Tx, id string, configured bool, h Webhook) error {
	sealed, err := s.store.sealJSON("webhooks/sealed/"+id, h)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO webhooks (id, configured, created, sealed) VALUES (?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`, id, configured, s.now().UnixMilli(), sealed)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	return nil
}

func webhookIDs(ctx context.Context, tx *sql.Tx) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, configured FROM webhooks`)
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := map[string]bool{}
	for rows.Next() {
		var id string
		var configured bool
		if err := rows.Scan(&id, &configured); err != nil {
			return nil, fmt.Errorf("webhooks: %w", err)
		}
		out[id] = configured
	}
	return out, rows.Err()
}

func dropWebhook(ctx context.Context, tx *sql.Tx, id string) error {
	for _, q := range []string{`DELETE FROM callbacks WHERE webhook = ?`, `DELETE FROM webhooks WHERE id = ?`} {
		if _, err := tx.ExecContext(ctx, q, id); err != nil {
			return fmt.Errorf("webhook: %w", err)
		}
	}
	return nil
}

func (s *Server) webhookRoutes(mux *http.ServeMux) {
	const base = "/webhooks/tenant/{tenant}/community/{community}/webhooks"
	mux.HandleFunc("POST "+base, s.webhookAdd)
	mux.HandleFunc("GET "+base, s.webhookList)
	mux.HandleFunc("DELETE "+base+"/{id}", s.webhookEnd)
}

func (s *Server) webhookAdd(w http.ResponseWriter, r *http.Request) {
	if !s.ownPlace(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	var h Webhook
	if !a.openConsole(w, r, &h) {
		return
	}
	if h.Secret == "" {
		h.Secret = rand.Text()
	}
	if err := h.check(); err != nil {
		badWebhook(err.Error()).write(w)
		return
	}
	id, full := uuidOf("webhook", rand.Text()), false
	err := s.store.update(r.Context(), func(tx *sql.Tx) error {
		ids, err := webhookIDs(r.Context(), tx)
		if full = len(ids) >= maxWebhooks; err != nil || full {
			return err
		}
		return s.putWebhook(r.Context(), tx, id, false, h)
	})
	switch {
	case err != nil:
		s.internal(w, "add a webhook", err)
	case full:
		badWebhook("there are " + strconv.Itoa(maxWebhooks) + " webhooks, which is the most").write(w)
	default:
		s.told.Store(true)
		writeJSON(w, http.StatusCreated, webhookInfo{ID: id, Webhook: h})
	}
}

type webhookInfo struct {
	ID string `json:"id"`
	Webhook
}

// webhooks opens them all, by id.
func (s *Server) webhooks(ctx context.Context) (map[string]Webhook, error) {
	rows, err := s.store.db.QueryContext(ctx, `SELECT id, sealed FROM webhooks`)
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]Webhook{}
	for rows.Next() {
		var id string
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return nil, fmt.Errorf("webhooks: %w", err)
		}
		var h Webhook
		if err := s.store.openJSON("webhooks/sealed/"+id, sealed, &h); err != nil {
			return nil, err
		}
		all[id] = h
	}
	return all, rows.Err()
}

func (s *Server) webhookList(w http.ResponseWriter, r *http.Request) {
	if !s.ownPlace(w, r) {
		return
	}
	if _, ok := s.admit(w, r, svcCommunity); !ok {
		return
	}
	all, err := s.webhooks(r.Context())
	if err != nil {
		s.internal(w, "list webhooks", err)
		return
	}
	out := []map[string]any{}
	for id, h := range all {
		out = append(out, map[string]any{"id": id, "url": h.URL, "events": h.Events})
	}
	slices.SortFunc(out, func(a, b map[string]any) int {
		return bytes.Compare([]byte(a["id"].(string)), []byte(b["id"].(string)))
	})
	writeJSON(w, http.StatusOK, map[string]any{"data": out})
}

func (s *Server) webhookEnd(w http.ResponseWriter, r *http.Request) {
	if !s.ownPlace(w, r) {
		return
	}
	if _, ok := s.admit(w, r, svcCommunity); !ok {
		return
	}
	found := false
	err := s.store.update(r.Context(), func(tx *sql.Tx) error {
		ids, err := webhookIDs(r.Context(), tx)
		if err != nil {
			return err
		}
		var configured bool
		if configured, found = ids[r.PathValue("id")]; !found || configured {
			found = false // one of the configuration would be back with the next start
			return nil
		}
		s.told.Store(len(ids) > 1)
		return dropWebhook(r.Context(), tx, r.PathValue("id"))
	})
	switch {
	case err != nil:
		s.internal(w, "end a webhook", err)
	case !found:
		guessUnknownWebhook.write(w)
	default:
		writeJSON(w, http.StatusOK, struct{}{})
	}
}

// callback is one row that is due.
type callback struct {
	id                            int64
	webhook, kind, session, state string
	at                            int64
	tries                         int
}

// SendCallbacks sends the callbacks that are due. The server does so by itself, several
// times a second.
func (s *Server) SendCallbacks(ctx context.Context) error {
	s.callbackTurn.Lock()
	defer s.callbackTurn.Unlock()
	due, err := s.dueCallbacks(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	hooks, err := s.webhooks(ctx)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	errs := make([]error, len(due))
	for i, c := range due {
		wait.Go(func() { errs[i] = s.sendCallback(ctx, hooks[c.webhook], c) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// callbacksAtOnce are sent side by side, so that one receiver that hangs keeps few waiting.
const callbacksAtOnce = 16

func (s *Server) dueCallbacks(ctx context.Context) ([]callback, error) {
	rows, err := s.store.db.QueryContext(ctx, `SELECT id, webhook, kind, session, state, at, tries FROM callbacks
		WHERE done = 0 AND due <= ? ORDER BY due, id LIMIT ?`, s.now().UnixMilli(), callbacksAtOnce)
	if err != nil {
		return nil, fmt.Errorf("callbacks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []callback
	for rows.Next() {
		var c callback
		if err := rows.Scan(&c.id, &c.webhook, &c.kind, &c.session, &c.state, &c.at, &c.tries); err != nil {
			return nil, fmt.Errorf("callbacks: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

func (s *Server) sendCallback(ctx context.Context, h Webhook, c callback) error {
	body := s.callbackBody(c)
	status, over := 0, true
	if len(h.Events) == 0 || slices.Contains(h.Events, body.EventName) {
		var err error
		if status, err = s.postCallback(ctx, h, body); err != nil {
			if ctx.Err() != nil {
				return nil // it was cut off, and will be due at the next start
			}
			s.log.Warn("kosmos: a callback was not taken", "session", s.logName(c.session), "status", status, "tries", c.tries+1)
			over = c.tries >= len(guessCallbackWaits())
		}
	}
	now := s.now()
	done, due := int64(0), now.UnixMilli()
	if over {
		done = due
	} else {
		due = now.Add(guessCallbackWaits()[c.tries]).UnixMilli()
	}
	if _, err := s.store.db.ExecContext(ctx, `UPDATE callbacks SET done = ?, due = ?, status = ?, tries = tries + 1 WHERE id = ?`, done, due, status, c.id); err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	return nil
}

// callbackBody says what ended, and no more.
func (s *Server) callbackBody(c callback) *callbackBody {
	name, category := guessCallbackEvent(c.kind, c.state)
	b := &callbackBody{
		EventName: name, EventCategory: category, EventID: uuidOf(s.communityID, "callback", c.session), EventTS: c.at, Version: "v1",
		TenantID: s.tenantID, CommunityID: s.communityID, Status: guessCallbackStatus(c.kind, c.state),
	}
	if c.kind == callbackStepUp {
		b.LoginSession = c.session
	} else {
		b.Session = c.session
	}
	return b
}

// postCallback gives the status of the answer, 0 for none; the error says that it was no 2xx.
func (s *Server) postCallback(ctx context.Context, h Webhook, b *callbackBody) (int, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "kosmoscope-sandbox-kosmos")
	req.Header.Set(guessSignatureHeader, guessSign(h.Secret, body))
	res, err := s.callbackClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		return res.StatusCode, fmt.Errorf("kosmos: the answer is %d", res.StatusCode)
	}
	return res.StatusCode, nil
}

// callbackEvery sends what is due until Close.
func (s *Server) callbackEvery(d time.Duration) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		if s.told.Load() {
			if err := s.SendCallbacks(s.ctx); err != nil && s.ctx.Err() == nil {
				s.log.Error("kosmos: callbacks", "error", err)
			}
		}
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
	}
}

// sweepCallbacks drops those that are done, and the old.
func (s *Server) sweepCallbacks(ctx context.Context, now time.Time) error {
	if _, err := s.store.db.ExecContext(ctx, `DELETE FROM callbacks WHERE at <= ?`, now.Add(-callbacksTTL).UnixMilli()); err != nil {
		return fmt.Errorf("sweep callbacks: %w", err)
	}
	return nil
}
