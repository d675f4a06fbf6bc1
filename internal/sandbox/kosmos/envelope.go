package kosmos

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// maxBody bounds an API request body in bytes. The largest legitimate one is
// a few kilobytes.
const maxBody = 1 << 20

// style is one of the error envelopes of reference 1.8.
type style int

const (
	styleCode    style = iota // {"code":400,"message":".."}
	styleMessage              // {"message":".."}
	styleParam                // {"errors":[{"message":"..","param":".."}]}
	styleNewer                // {"statusCode":400,"error":"Bad Request","message":".."}
)

// problem is an answer that is not 200.
type problem struct {
	status  int
	style   style
	message string
	param   string
}

func (p problem) write(w http.ResponseWriter) {
	var body any
	switch p.style {
	case styleMessage:
		body = struct {
			Message string `json:"message"`
		}{p.message}
	case styleParam:
		type one struct {
			Message string `json:"message"`
			Param   string `json:"param"`
		}
		body = struct {
			Errors []one `json:"errors"`
		}{[]one{{p.message, p.param}}}
	case styleNewer:
		body = struct {
			StatusCode int    `json:"statusCode"`
			Error      string `json:"error"`
			Message    string `json:"message"`
		}{p.status, http.StatusText(p.status), p.message}
	default:
		body = struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{p.status, p.message}
	}
	writeJSON(w, p.status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away: nothing to do
}

// headerEmpty and headerSealed are documented texts (reference 1.8).
func headerEmpty(param string) problem {
	return problem{http.StatusBadRequest, styleParam, "This header should not be empty", param}
}

func headerSealed(param string) problem {
	return problem{http.StatusBadRequest, styleParam, "This header can't be decrypted", param}
}

// admitted is a request whose headers were found good.
type admitted struct {
	shared *blockid.SharedKey // with the caller
	public string             // the service's public key, for the answer
}

// admit checks publickey, requestid and licensekey of a request to service.
// When it returns false it has answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, service string) (*admitted, bool) {
	a, p := s.check(r, service)
	if p != nil {
		p.write(w)
		return nil, false
	}
	return a, true
}

func (s *Server) check(r *http.Request, service string) (*admitted, *problem) {
	refuse := func(p problem) (*admitted, *problem) { return nil, &p }

	key := s.keys.key(service)
	caller := r.Header.Get("publickey")
	if caller == "" {
		return refuse(headerEmpty("publickey"))
	}
	public, err := blockid.ParsePublicKey(key.Curve(), caller)
	if err != nil {
		return refuse(headerSealed("publickey"))
	}
	shared, err := key.Shared(public)
	if err != nil {
		return refuse(headerSealed("publickey"))
	}
	// Any value of noecdsa but the string "false" means headers in the clear.
	clear := r.Header.Get("noecdsa")
	header := func(name string) ([]byte, *problem) {
		v := r.Header.Get(name)
		if v == "" {
			p := headerEmpty(name)
			return nil, &p
		}
		if clear != "" && clear != "false" {
			return []byte(v), nil
		}
		plain, err := shared.Open(v)
		if err != nil {
			p := headerSealed(name)
			return nil, &p
		}
		return plain, nil
	}
	idText, p := header("requestid")
	if p != nil {
		return nil, p
	}
	id, err := blockid.ParseRequestID(idText)
	if err != nil {
		return refuse(headerSealed("requestid"))
	}
	license, p := header("licensekey")
	if p != nil {
		return nil, p
	}
	if !sameSecret(string(license), s.opt.LicenseKey) {
		return refuse(problem{http.StatusUnauthorized, errorStyleOf(service), "Invalid or Unauthorized License", ""})
	}
	// Last, so that only licensed callers fill the memory of used ids.
	if !s.replay.fresh(id, s.now(), s.opt.AllowedSkew) {
		return refuse(guessStaleRequestID)
	}
	return &admitted{shared, key.Public().String()}, nil
}

func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// openBody decrypts {"data":"<sealed JSON>"} into v. When it returns false it has answered.
func (a *admitted) openBody(w http.ResponseWriter, r *http.Request, v any) bool {
	var outer struct {
		Data string `json:"data"`
	}
	if !readJSON(w, r, &outer) {
		return false
	}
	if outer.Data == "" {
		problem{http.StatusBadRequest, styleCode, "data is required", ""}.write(w)
		return false
	}
	plain, err := a.shared.Open(outer.Data)
	if err != nil {
		guessData.write(w)
		return false
	}
	if err := json.Unmarshal(plain, v); err != nil {
		problem{http.StatusBadRequest, styleCode, "data must be a JSON object", ""}.write(w)
		return false
	}
	return true
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		guessTooLarge.write(w)
		return false
	}
	if err != nil {
		return false // the connection broke; nobody reads an answer
	}
	if err := json.Unmarshal(body, v); err != nil {
		problem{http.StatusBadRequest, styleCode, "request body must be a JSON object", ""}.write(w)
		return false
	}
	return true
}

// reply seals v to the caller. withKey adds the service's public key, as
// docuverify does and the admin console does not.
func (s *Server) reply(w http.ResponseWriter, a *admitted, v any, withKey bool) {
	plain, err := json.Marshal(v)
	var sealed string
	if err == nil {
		sealed, err = a.shared.Seal(plain)
	}
	if err != nil {
		s.internal(w, "seal an answer", err)
		return
	}
	body := struct {
		Data      string `json:"data"`
		PublicKey string `json:"publicKey,omitempty"`
	}{Data: sealed}
	if withKey {
		body.PublicKey = a.public
	}
	writeJSON(w, http.StatusOK, body)
}

// internal answers 500 without saying why, and logs why.
func (s *Server) internal(w http.ResponseWriter, doing string, err error) {
	s.log.Error("kosmos: "+doing, "error", err)
	problem{http.StatusInternalServerError, styleCode, "Internal Server Error", ""}.write(w)
}

// replayGuard refuses request ids that are out of time or were used before. It
// forgets on restart, which at worst lets a request be repeated once within
// the skew.
type replayGuard struct {
	mu    sync.Mutex
	used  map[string]int64 // uuid -> last second at which it would still be in time
	swept int64
}

func (g *replayGuard) fresh(id blockid.RequestID, now time.Time, skew time.Duration) bool {
	t, window := now.Unix(), int64(skew/time.Second)
	if id.TS < t-window || id.TS > t+window {
		return false
	}
	uuid := strings.ToLower(id.UUID)
	if len(uuid) > 64 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.used == nil {
		g.used = map[string]int64{}
	}
	if g.swept+window < t {
		for u, until := range g.used {
			if until < t {
				delete(g.used, u)
			}
		}
		g.swept = t
	}
	if _, seen := g.used[uuid]; seen {
		return false
	}
	g.used[uuid] = id.TS + window
	return true
}

// limiter bounds how often one session may be asked, in fixed windows of a
// minute: a bearer link that leaks must not become load on the engine.
type limiter struct {
	mu   sync.Mutex
	seen map[string]*window
}

type window struct {
	from  int64 // unix minute
	asked [len(perMinute)]int
}

// asking is what is counted apart.
type asking int

const (
	askRead asking = iota
	askWrite
	askFrame // of a sequence, which the page sends five of a second at most
)

var perMinute = [...]int{askRead: 240, askWrite: 40, askFrame: 400}

// allow counts one request. Call it for sessions that exist only.
func (l *limiter) allow(id string, what asking, now time.Time) bool {
	minute := now.Unix() / 60
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]*window{}
	}
	w := l.seen[id]
	if w == nil || w.from != minute {
		w = &window{from: minute}
		l.seen[id] = w
	}
	w.asked[what]++
	return w.asked[what] <= perMinute[what]
}

func (l *limiter) sweep(now time.Time) {
	minute := now.Unix() / 60
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, w := range l.seen {
		if w.from < minute {
			delete(l.seen, id)
		}
	}
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(d/time.Second)))
}
