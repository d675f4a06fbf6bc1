package pages

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Challenges is what the challenge page needs of the core. There is nothing in
// it that could answer a challenge. Errors are *proof.Error, whose reason
// decides what a person reads.
type Challenges interface {
	// OpenChallenge lets a browser in by the secret of the link. browser is the
	// value of its cookie, "" if it has none, and from the address that the
	// request came from; the returned value is what the cookie is to have from
	// now on. request is as of Open.
	OpenChallenge(ctx context.Context, id, secret, browser, request string, from netip.Addr) (journey.ChallengeView, string, error)
	// ViewChallenge is what a browser that was let in may know now. It renews an
	// upstream session that has ended.
	ViewChallenge(ctx context.Context, id, browser string) (journey.ChallengeView, error)
	// DeclineChallenge ends the challenge because the person says that the
	// sign-in is not theirs.
	DeclineChallenge(ctx context.Context, id, browser string) (journey.ChallengeView, error)
	// HandoverChallenge makes the secret of a short link by which one phone can
	// take over: 26 of the characters 0-9 and a-z without i, l, o and u.
	HandoverChallenge(ctx context.Context, id, browser string) (secret string, expires time.Time, err error)
	// OpenChallengeHandover lets that phone in. The view says into which challenge.
	// A browser that is in already keeps its own cookie, and the link stays good.
	OpenChallengeHandover(ctx context.Context, secret, browser string, from netip.Addr) (journey.ChallengeView, string, error)
	// ReturnedToChallenge takes what the browser brought back from 1Kosmos: code,
	// state, iss, error, error_description, each only if it is there.
	ReturnedToChallenge(ctx context.Context, id, browser string, returned map[string]string) (journey.ChallengeView, error)
	// ReturnChallenge is Return of a challenge.
	ReturnChallenge(ctx context.Context, id, browser string) (redirectURL string, err error)
}

// stepAnswer is the step of a challenge page while the challenge waits.
const stepAnswer = "answer"

//go:embed challenge.html
var challengeHTML string

// challenge is the page at /c/{id}.
type challenge struct{ *door }

func (s *site) challenge(mux *http.ServeMux) {
	d := &door{
		site: s, prefix: "/c/", object: "challenge", tmpl: parse(challengeHTML), title: say("challenge.title.error"),
		noEntry: Sentence{say("challenge.cookie"), say("cookie.2")}, explain: ExplainChallenge,
	}
	c := challenge{d}
	d.room = c
	mux.HandleFunc("GET /p/{secret}", c.short)
	mux.HandleFunc("GET /c/{id}/phone/{secret}", c.short)
	mux.HandleFunc("/p/", d.nothing)
	mux.HandleFunc("GET /c/return", c.from)
	mux.HandleFunc("GET /c/{id}/returned", c.returned)
	d.serve(mux, nil)
}

func (c challenge) open(r *http.Request, id, secret string) (cookie string, err error) {
	_, cookie, err = c.Challenges.OpenChallenge(r.Context(), id, secret, browser(r), externalRequest(r), c.ClientIP(r))
	return cookie, err
}

func (c challenge) decline(ctx context.Context, id, browser string) error {
	_, err := c.Challenges.DeclineChallenge(ctx, id, browser)
	return err
}

func (c challenge) back(ctx context.Context, id, browser string) (string, error) {
	return c.Challenges.ReturnChallenge(ctx, id, browser)
}

func (c challenge) phone(w http.ResponseWriter, r *http.Request, id, browser string) (path string, expires time.Time, err error) {
	secret, expires, err := c.Challenges.HandoverChallenge(r.Context(), id, browser)
	if err != nil {
		return "", time.Time{}, err
	}
	if left := expires.Sub(c.Now()); left > 0 {
		c.setCookie(w, &http.Cookie{Name: shownHere(secret), Value: id, Path: "/p/", MaxAge: int(math.Ceil(left.Seconds()))})
	}
	return "/p/" + spaced(secret), expires, nil
}

// shownHere names the cookie of a browser to which a short link was shown. Its
// value is the id of the challenge, at whose address the browser is recognised:
// the link itself is too short for an id, and whoever opens it elsewhere is a
// phone. It grants nothing.
func shownHere(secret string) string {
	sum := sha256.Sum256([]byte("kosmoscope short link 1\x00" + secret))
	return "kosmoscope_shown_" + hex.EncodeToString(sum[:8])
}

func (c challenge) look(ctx context.Context, id, browser string) (shown, error) {
	v, err := c.Challenges.ViewChallenge(ctx, id, browser)
	if err != nil {
		return nil, err
	}
	if v.Status != proof.ChallengePending && !v.Status.Terminal() {
		return nil, &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Err: fmt.Errorf("unknown status %q", v.Status)}
	}
	return c.content(v, browser), nil
}

// short opens the short link on the phone that takes over. A browser that the
// link was shown to is first sent to where its own cookie counts: it is in
// already, stays what it is, and the link stays good.
func (c challenge) short(w http.ResponseWriter, r *http.Request) {
	if merelyLooking(w, r) {
		return
	}
	secret, ok := typed(r.PathValue("secret"))
	if !ok {
		c.fail(w, r, errLinkEnded)
		return
	}
	if r.PathValue("id") == "" {
		if k, err := r.Cookie(shownHere(secret)); err == nil && token(k.Value) {
			w.Header().Set("Location", "/c/"+k.Value+"/phone/"+secret) // http.Redirect would write a body with the link
			w.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	v, cookie, err := c.Challenges.OpenChallengeHandover(r.Context(), secret, browser(r), c.ClientIP(r))
	c.letIn(w, r, v.ID, cookie, err)
}

const (
	shortLength = 26 // characters of a short link's secret
	shortGroup  = 4  // of them are shown together
)

// typed reads a short link's secret as people type it: in either case, with
// spaces and hyphens or without, with the letters that it never has for the
// digits that look like them.
func typed(s string) (secret string, ok bool) {
	if len(s) > 4*shortLength {
		return "", false
	}
	var b []byte
	for _, r := range strings.ToLower(s) {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Dash, r):
			continue
		case r == 'o':
			r = '0'
		case r == 'i' || r == 'l':
			r = '1'
		case r == 'u' || r < '0' || '9' < r && r < 'a' || r > 'z':
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), len(b) == shortLength
}

// spaced shows a short link's secret so that it can be read and typed.
func spaced(secret string) string {
	var groups []string
	for ; len(secret) > shortGroup; secret = secret[shortGroup:] {
		groups = append(groups, secret[:shortGroup])
	}
	return strings.Join(append(groups, secret), "-")
}

// bringable is what a browser can bring back from 1Kosmos, and how many bytes
// each may have.
var bringable = map[string]int{"code": 4096, "state": 512, "iss": 512, "error": 128, "error_description": 1024}

// brought reads what the browser brings back; false for what no authorisation
// server sends (RFC 6749, 3.1: nothing twice) and no challenge of ours is named by.
func (c challenge) brought(r *http.Request) (id string, q url.Values, ok bool) {
	all, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", nil, false
	}
	q = url.Values{}
	for name, limit := range bringable {
		values := all[name]
		if len(values) > 1 || len(values) == 1 && (len(values[0]) > limit || !utf8.ValidString(values[0])) {
			return "", nil, false
		}
		if len(values) == 1 {
			q[name] = values
		}
	}
	if q.Get("state") == "" {
		return "", nil, false
	}
	id, ok = c.ChallengeOfState(q.Get("state"))
	return id, q, ok && token(id)
}

// from is the one address to which 1Kosmos returns browsers. It sends them on
// to their challenge's own, where their cookie comes along.
func (c challenge) from(w http.ResponseWriter, r *http.Request) {
	if merelyLooking(w, r) {
		return
	}
	id, q, ok := c.brought(r)
	if !ok {
		c.fail(w, r, errLinkEnded)
		return
	}
	w.Header().Set("Location", "/c/"+id+"/returned?"+q.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func (c challenge) returned(w http.ResponseWriter, r *http.Request) {
	if merelyLooking(w, r) {
		return
	}
	id, browser, ok := c.who(w, r)
	if !ok {
		return
	}
	of, q, ok := c.brought(r)
	if !ok || of != id {
		c.fail(w, r, errLinkEnded)
		return
	}
	returned := map[string]string{}
	for name := range q {
		returned[name] = q.Get(name)
	}
	if _, err := c.Challenges.ReturnedToChallenge(r.Context(), id, browser, returned); err != nil && proof.CodeOf(err) != proof.CodeConflict {
		c.fail(w, r, err)
		return
	}
	c.toPage(w, r, id)
}

// challengeContent is what the template shows.
type challengeContent struct {
	frame
	Why     string // why the application asks; may be empty
	Words   string // of the caller; may be empty
	Cut     bool   // and there were more of them
	Scan    bool   // UpstreamURL is for the 1Kosmos app
	Returns bool   // the page there sends the browser back here
	Left    int    // seconds until UpstreamURL is replaced; 0: it stays
	LeftIs  string // the same in words
}

func (c challenge) content(v journey.ChallengeView, browser string) *challengeContent {
	p := &challengeContent{
		frame: frame{
			Step: stepAnswer, Home: "/c/" + v.ID, Token: formToken(v.ID, browser),
			Application: v.Application, MaskedAccount: v.MaskedAccount,
			Status: string(v.Status), Reason: told(v.Reason), Processor: c.Processor, Phone: v.Phone, TypeOnly: v.Scan,
		},
		Scan: v.Scan, Returns: v.Returns,
	}
	if p.Application == "" {
		p.Application = say("application")
	}
	p.Title = say("challenge.title", p.Application)
	if v.Status.Terminal() {
		p.Step = stepDone
		heading, s := challengeEnd(v)
		p.Message = s.String()
		p.end(heading, s, v.Status == proof.ChallengeMatch, v.ReturnURL)
		p.wayBack(v.WayBack, v.Lost)
		return p
	}
	if v.HandedOver && !v.Phone {
		p.Step = stepElsewhere
	}
	if why, err := tell("why." + v.ReasonCode); err == nil {
		p.Why = why
	}
	p.Words, p.Cut = words(v.Transaction)
	refresh := refreshEvery
	left := v.SessionEnds.Sub(c.Now())
	if web(v.UpstreamURL) && (v.SessionEnds.IsZero() || left > 0) {
		p.UpstreamURL = v.UpstreamURL
		if !v.SessionEnds.IsZero() {
			p.Left = int(math.Ceil(left.Seconds()))
			p.LeftIs = seconds(p.Left)
			refresh = min(refresh, p.Left)
		}
	}
	p.Follow, p.Refresh = true, strconv.Itoa(refresh)
	p.Session = "none"
	if p.UpstreamURL != "" {
		p.Session = strconv.Itoa(v.Session)
	}
	switch {
	case v.Reason != "":
		p.Message = say("challenge.trouble")
	case p.Step == stepElsewhere:
		p.Message = say("status.phone")
	case p.UpstreamURL == "":
		p.Message = say("status.renewing")
	default:
		p.Message = say("status.face")
	}
	return p
}

// challengeEnd says how a challenge ended.
func challengeEnd(v journey.ChallengeView) (heading string, s Sentence) {
	switch {
	case v.Status == proof.ChallengeMatch:
		return say("challenge.match"), matched
	case v.Reason == proof.ReasonDeclined:
		heading = say("challenge.declined")
	default:
		heading = say("challenge." + string(v.Status))
	}
	s, _ = ExplainChallenge(v.Reason)
	return heading, s
}

// told is the reason as the page gives it away: how close a face came would
// help whoever tries with somebody else's.
func told(r proof.Reason) proof.Reason {
	if r == proof.ReasonFaceUncertain {
		return proof.ReasonFaceMismatch
	}
	return r
}

const (
	maxWords = 512 // bytes of the caller's words that are shown
	maxLines = 12
)

// words is the caller's text as it may be shown: as much of it as leaves the
// warning in sight, and without what would show it otherwise than it is written.
func words(text string) (shown string, cut bool) {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, strings.ReplaceAll(text, "\r\n", "\n"))
	var b strings.Builder
	empty, lines := true, 0
	for line := range strings.Lines(strings.TrimSpace(clean)) {
		if line = strings.TrimSpace(line); line == "" && empty {
			continue // one empty line in a row, none at first
		}
		empty = line == ""
		if lines++; lines > maxLines {
			cut = true
			break
		}
		b.WriteString(line + "\n")
	}
	shown = strings.TrimSpace(b.String())
	if len(shown) > maxWords {
		end := maxWords
		for !utf8.RuneStart(shown[end]) {
			end--
		}
		shown, cut = strings.TrimSpace(shown[:end]), true
	}
	return shown, cut
}
