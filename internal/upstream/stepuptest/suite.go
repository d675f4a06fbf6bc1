package stepuptest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Face is somebody's face. Equal ones are the same person's.
type Face string

// Harness is a backend and the 1Kosmos that it talks to, with the people in
// front of it. Functions that cannot do what they say end the test.
type Harness struct {
	Backend   journey.StepUp
	Wire      *Wire
	ReturnURL string           // for Open
	Now       func() time.Time // the clock of both sides

	// Enrol makes the user known, with this face as LiveID.
	Enrol func(t *testing.T, user string, face Face)
	// Know makes the user known, without a LiveID.
	Know func(t *testing.T, user string)
	// Disable switches the user off.
	Disable func(t *testing.T, user string)
	// Answer has somebody with this face go where the session leads and show it,
	// as this user where that can be said there, until 1Kosmos takes it or takes no
	// more. It returns the session with what the browser brought back, if it is
	// sent back with something.
	Answer func(t *testing.T, s proof.StepUpSession, user string, face Face) proof.StepUpSession
	// Decline has the person say no.
	Decline func(t *testing.T, s proof.StepUpSession) proof.StepUpSession
	// Advance lets time pass.
	Advance func(d time.Duration)

	Lifetime      time.Duration // after which a session has ended by itself
	Attempts      int           // comparisons with one user that may fail before 1Kosmos takes no more for a while
	PerSession    int           // of them, in one session
	Scan          bool          // sessions are for the app
	NamesUser     bool          // a session is for one user's face only
	LinkNamesUser bool          // the protocol puts the user's name into the link
	OnceOnly      bool          // an answer can be read once
	EndsHere      bool          // no session exists at 1Kosmos that could end: whoever polls holds to the deadline
}

// suite is one run of it.
type suite struct {
	*Harness
	t     *testing.T
	users int
}

// Suite holds a backend to the contract. start makes a harness of its own for
// every part, so that none sees another's users, limits or time.
func Suite(t *testing.T, start func(t *testing.T) *Harness) {
	for name, part := range map[string]func(*suite){
		"Pending":            (*suite).pending,
		"Match":              (*suite).match,
		"NoMatch":            (*suite).noMatch,
		"AnotherPerson":      (*suite).anotherPerson,
		"Declined":           (*suite).declined,
		"Expiry":             (*suite).expiry,
		"WhoCannotBeAsked":   (*suite).whoCannotBeAsked,
		"DisabledMeanwhile":  (*suite).disabledMeanwhile,
		"TooManyAttempts":    (*suite).tooManyAttempts,
		"Replay":             (*suite).replay,
		"Garbage":            (*suite).garbage,
		"UnknownSession":     (*suite).unknownSession,
		"Canceled":           (*suite).canceled,
		"Concurrency":        (*suite).concurrency,
		"OpenFailsTyped":     (*suite).openFailsTyped,
		"NothingOfThePerson": (*suite).nothingOfThePerson,
	} {
		t.Run(name, func(t *testing.T) { part(&suite{Harness: start(t), t: t}) })
	}
}

// user invents a name that no other test has.
func (s *suite) user() string {
	s.users++
	return fmt.Sprintf("person%d.%s@example.test", s.users, strings.ToLower(s.t.Name()[strings.LastIndexByte(s.t.Name(), '/')+1:]))
}

func (s *suite) enrolled(face Face) string {
	s.t.Helper()
	user := s.user()
	s.Enrol(s.t, user, face)
	return user
}

func (s *suite) request(user string) journey.OpenStepUp {
	return journey.OpenStepUp{
		Challenge: uuid.Must(uuid.NewV7()).String(), Deadline: s.Now().Add(5 * time.Minute), PageURL: s.ReturnURL, ReturnURL: s.ReturnURL,
		Application: "Example Shop", MaskedAccount: "p•••@example.test",
		Request: proof.ChallengeRequest{UserIdentifier: user, ReasonCode: "new_device", Transaction: "Send 20 EUR"},
	}
}

func (s *suite) open(user string) journey.OpenedStepUp {
	s.t.Helper()
	o, err := s.Backend.Open(s.t.Context(), s.request(user))
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func (s *suite) poll(session proof.StepUpSession, user string) (journey.StepUpProgress, error) {
	return s.Backend.Poll(s.t.Context(), journey.PollStepUp{StepUpSession: session, UserIdentifier: user})
}

// want polls and compares.
func (s *suite) want(session proof.StepUpSession, user string, status proof.ChallengeStatus, reason proof.Reason) journey.StepUpProgress {
	s.t.Helper()
	p, err := s.poll(session, user)
	if err != nil || p.Status != status || p.Reason != reason {
		s.t.Errorf("got %s %s %v, want %s %s", p.Status, p.Reason, err, status, reason)
	}
	s.wellFormed(p, err, user, session.ID)
	return p
}

// wellFormed holds a result to the words of the interface. The secrets must not
// be in an error's text.
func (s *suite) wellFormed(p journey.StepUpProgress, err error, secrets ...string) {
	s.t.Helper()
	if err != nil {
		var e *proof.Error
		switch {
		case !errors.As(err, &e) || !e.Reason.Known() || e.Code == "" || e.Message == "":
			s.t.Errorf("an error without code, reason or message: %v", err)
		case p != (journey.StepUpProgress{}):
			s.t.Errorf("an error with a verdict: %s %v", p.Status, err)
		}
		for _, secret := range secrets {
			if secret != "" && strings.Contains(err.Error(), secret) {
				s.t.Errorf("an error that tells: %v", err)
			}
		}
		return
	}
	switch p.Status {
	case proof.ChallengePending, proof.ChallengeMatch:
		if p.Reason != "" {
			s.t.Errorf("%s with a reason, %s", p.Status, p.Reason)
		}
	case proof.ChallengeNoMatch, proof.ChallengeExpired, proof.ChallengeFailed:
		if !p.Reason.Known() {
			s.t.Errorf("%s with the reason %q", p.Status, p.Reason)
		}
	default:
		s.t.Errorf("unheard of: %q", p.Status)
	}
	if p.Confidence != nil && !(*p.Confidence >= 0 && *p.Confidence <= 1) {
		s.t.Errorf("confidence %v", *p.Confidence)
	}
	if p.Confidence != nil && p.Status != proof.ChallengeMatch && p.Status != proof.ChallengeNoMatch {
		s.t.Errorf("%s with a confidence", p.Status)
	}
	if p.Liveness != "" && !p.Liveness.Valid() {
		s.t.Errorf("liveness %q", p.Liveness)
	}
}

func (s *suite) pending() {
	user := s.enrolled("ann")
	o := s.open(user)
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || o.ID == "" || o.Scan != s.Scan {
		s.t.Errorf("session %q at %q, scan %v, %v", o.ID, o.URL, o.Scan, err)
	}
	if !o.Ends.IsZero() && (!o.Ends.After(s.Now()) || o.Ends.After(s.Now().Add(s.Lifetime))) {
		s.t.Errorf("ends in %s, lives for %s", o.Ends.Sub(s.Now()), s.Lifetime)
	}
	s.want(o.StepUpSession, user, proof.ChallengePending, "")
	s.want(o.StepUpSession, user, proof.ChallengePending, "")
	if again := s.open(user); again.ID == o.ID || again.URL == o.URL {
		s.t.Error("two sessions are one")
	}
}

func (s *suite) match() {
	user := s.enrolled("ann")
	o := s.open(user)
	back := s.Answer(s.t, o.StepUpSession, user, "ann")
	p := s.want(back, user, proof.ChallengeMatch, "")
	if p.Confidence == nil || *p.Confidence != Score || p.Liveness != proof.LivenessNone {
		s.t.Errorf("confidence %v, liveness %q", p.Confidence, p.Liveness)
	}
	if !s.OnceOnly {
		s.want(back, user, proof.ChallengeMatch, "") // it stays
	}
}

// Score is the score of a match that a harness' engine must give.
const Score = 0.93

func (s *suite) noMatch() {
	user := s.enrolled("ann")
	back := s.Answer(s.t, s.open(user).StepUpSession, user, "mallory")
	p := s.want(back, user, proof.ChallengeNoMatch, proof.ReasonFaceMismatch)
	if p.Confidence != nil && *p.Confidence == Score {
		s.t.Error("no match, with the score of a match")
	}
	s.want(back, user, proof.ChallengeNoMatch, proof.ReasonFaceMismatch)
	// It was that session, not the user.
	s.want(s.Answer(s.t, s.open(user).StepUpSession, user, "ann"), user, proof.ChallengeMatch, "")
}

// anotherPerson has somebody with a LiveID of their own answer in the user's place.
func (s *suite) anotherPerson() {
	user, other := s.enrolled("ann"), s.enrolled("bob")
	back := s.Answer(s.t, s.open(user).StepUpSession, other, "bob")
	reason := proof.ReasonSubjectMismatch
	if s.NamesUser {
		reason = proof.ReasonFaceMismatch
	}
	s.want(back, user, proof.ChallengeNoMatch, reason)
}

// declined: no is no verdict on a face.
func (s *suite) declined() {
	user := s.enrolled("ann")
	s.want(s.Decline(s.t, s.open(user).StepUpSession), user, proof.ChallengeFailed, proof.ReasonDeclined)
}

func (s *suite) expiry() {
	user := s.enrolled("ann")
	o := s.open(user)
	s.Advance(s.Lifetime + time.Second)
	s.want(o.StepUpSession, user, proof.ChallengeExpired, proof.ReasonTimeLimit)
	// Who comes too late gets nowhere, with whatever face.
	p, err := s.poll(s.Answer(s.t, o.StepUpSession, user, "ann"), user)
	s.wellFormed(p, err, user, o.ID)
	if p.Status == proof.ChallengePending || p.Status == proof.ChallengeMatch && !s.EndsHere {
		s.t.Errorf("too late, and %s", p.Status)
	}
	// The next session is as good as the first.
	s.want(s.Answer(s.t, s.open(user).StepUpSession, user, "ann"), user, proof.ChallengeMatch, "")
}

// refused opens and expects a refusal.
func (s *suite) refused(user string, reason proof.Reason) {
	s.t.Helper()
	o, err := s.Backend.Open(s.t.Context(), s.request(user))
	s.wellFormed(journey.StepUpProgress{}, err, user)
	var e *proof.Error
	if !errors.As(err, &e) || e.Reason != reason || e.Temporary || o.URL != "" {
		s.t.Errorf("%s: got %v", reason, err)
	}
}

func (s *suite) whoCannotBeAsked() {
	s.refused(s.user(), proof.ReasonUserUnknown)
	known := s.user()
	s.Know(s.t, known)
	s.refused(known, proof.ReasonUserNotEnrolled)
	off := s.enrolled("ann")
	s.Disable(s.t, off)
	s.refused(off, proof.ReasonUserDisabled)
}

func (s *suite) disabledMeanwhile() {
	user := s.enrolled("ann")
	o := s.open(user)
	s.Disable(s.t, user)
	p, err := s.poll(s.Answer(s.t, o.StepUpSession, user, "ann"), user)
	s.wellFormed(p, err, user, o.ID)
	if p.Status == proof.ChallengeMatch {
		s.t.Error("a disabled user's face matches")
	}
}

// tooManyAttempts: once 1Kosmos takes no more, either Open says so, or the
// session ends without a verdict; not even with the right face.
func (s *suite) tooManyAttempts() {
	user := s.enrolled("ann")
	for range (s.Attempts + s.PerSession - 1) / s.PerSession {
		o, err := s.Backend.Open(s.t.Context(), s.request(user))
		if err != nil {
			break
		}
		s.Answer(s.t, o.StepUpSession, user, "mallory")
	}
	o, err := s.Backend.Open(s.t.Context(), s.request(user))
	if err != nil {
		s.refused(user, proof.ReasonTooManyAttempts)
		return
	}
	s.want(s.Answer(s.t, o.StepUpSession, user, "ann"), user, proof.ChallengeFailed, proof.ReasonTooManyAttempts)
}

// replay gives the answer of one session to another one of the same user.
func (s *suite) replay() {
	user := s.enrolled("ann")
	first := s.open(user).StepUpSession
	back := s.Answer(s.t, first, user, "ann")
	heard := map[string]string{}
	var mu sync.Mutex
	s.Wire.set(nil, func(r *http.Request, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard[strings.ReplaceAll(r.URL.Path, first.ID, "ID")] = string(body)
	})
	s.want(back, user, proof.ChallengeMatch, "")
	s.Wire.clear()

	second := s.open(user).StepUpSession
	second.Returned = back.Returned
	for _, rename := range []bool{false, true} {
		s.Wire.set(func(r *http.Request) (*http.Response, error) {
			body, ok := heard[strings.ReplaceAll(r.URL.Path, second.ID, "ID")]
			if !ok || !strings.Contains(r.URL.Path, second.ID) {
				return nil, nil
			}
			if rename { // whoever only relays cannot do better than to change what is in clear
				body = strings.ReplaceAll(body, first.ID, second.ID)
			}
			return reply(r, http.StatusOK, body, "Content-Type", "application/json"), nil
		}, nil)
		p, err := s.poll(second, user)
		s.wellFormed(p, err, user, second.ID)
		// In the V1 profile nothing is sealed or signed. There, TLS alone keeps an
		// answer that names the session from being made up.
		if p.Status == proof.ChallengeMatch && !(rename && s.Backend.Backend() == "v1") {
			s.t.Errorf("replayed, and a match (renamed: %v)", rename)
		}
	}
	s.Wire.clear()

	if s.OnceOnly { // what the browser brought back is good for one poll
		p, err := s.poll(back, user)
		s.wellFormed(p, err, user)
		if p.Status == proof.ChallengeMatch {
			s.t.Error("read twice")
		}
	}
	// The answer of one user is no answer about another.
	other := s.enrolled("bob")
	p, err := s.poll(s.Answer(s.t, s.open(user).StepUpSession, user, "ann"), other)
	s.wellFormed(p, err, user, other)
	if err == nil && (p.Status != proof.ChallengeNoMatch || p.Reason != proof.ReasonSubjectMismatch) && s.Backend.Backend() != "v1" {
		s.t.Errorf("asked for another user: %s %s", p.Status, p.Reason)
	}
}

// garbage puts all kinds of answers in the place of a match.
func (s *suite) garbage() {
	user := s.enrolled("ann")
	json := []string{"Content-Type", "application/json"}
	html := []string{"Content-Type", "text/html"}
	is := func(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) { return reply(r, status, body, header...), nil }
	}
	back := s.Answer(s.t, s.open(user).StepUpSession, user, "ann")
	for name, c := range map[string]struct {
		answer    func(*http.Request) (*http.Response, error)
		reason    proof.Reason // empty: any that is an error's
		temporary bool
		wait      time.Duration
	}{
		"a page":              {is(200, "<html>match</html>", html...), "", false, 0},
		"an empty object":     {is(200, `{}`, json...), "", false, 0},
		"a list":              {is(200, `[{"match_result":"match"}]`, json...), "", false, 0},
		"null":                {is(200, `null`, json...), "", false, 0},
		"nothing":             {is(200, ``, json...), "", false, 0},
		"cut short":           {is(200, `{"data":"AAAA`, json...), "", false, 0},
		"a broken seal":       {is(200, `{"data":"`+strings.Repeat("QUJD", 32)+`"}`, json...), "", false, 0},
		"no base64":           {is(200, `{"data":"%%%"}`, json...), "", false, 0},
		"an unheard of state": {is(200, `{"status":"splendid","match_result":"splendid"}`, json...), "", false, 0},
		"of another type":     {is(200, `{"status":7,"match_result":true,"confidence":"1"}`, json...), "", false, 0},
		"both at once":        {is(200, `{"match_result":"no_match","match_result":"match","status":"completed"}`, json...), "", false, 0},
		"an error inside":     {is(200, `{"code":403,"message":"no"}`, json...), "", false, 0},
		"a redirect":          {is(302, ``, "Location", "https://example.test/"), "", false, 0},
		"unauthorized":        {is(401, `{"code":401,"message":"Unauthorized"}`, json...), proof.ReasonUpstreamAuth, false, 0},
		"forbidden":           {is(403, `{"code":403,"message":"Forbidden"}`, json...), "", false, 0},
		"a gateway's 404":     {is(404, "<html>", html...), "", false, 0},
		"a gateway's 400":     {is(400, "<html>", html...), "", false, 0},
		"slow down":           {is(429, `{}`, append([]string{"Retry-After", "7"}, json...)...), proof.ReasonUpstreamRateLimited, true, 7 * time.Second},
		"down":                {is(503, "<html>", html...), proof.ReasonUpstreamUnavailable, true, 0},
		"broken":              {is(500, `{"message":"x"}`, json...), proof.ReasonUpstreamUnavailable, true, 0},
		"unreachable":         {func(*http.Request) (*http.Response, error) { return nil, errors.New("no route") }, proof.ReasonUpstreamUnavailable, true, 0},
	} {
		s.Wire.set(c.answer, nil)
		p, err := s.poll(back, user)
		s.Wire.clear()
		s.wellFormed(p, err, user, back.ID)
		var e *proof.Error
		if !errors.As(err, &e) {
			s.t.Errorf("%s: %s %s, no error", name, p.Status, p.Reason)
			continue
		}
		if c.reason != "" && e.Reason != c.reason || e.Temporary != c.temporary || e.RetryAfter != c.wait {
			s.t.Errorf("%s: %v (temporary %v, wait %s)", name, e, e.Temporary, e.RetryAfter)
		}
	}
	// Nothing of all that was a verdict, so the true one is still there to be read.
	s.want(back, user, proof.ChallengeMatch, "")
}

// unknownSession polls for what is not there.
func (s *suite) unknownSession() {
	user := s.enrolled("ann")
	o := s.open(user).StepUpSession
	for name, bad := range map[string]proof.StepUpSession{
		"another id": {ID: uuid.NewString(), Secret: o.Secret}, "no id": {Secret: o.Secret},
		"no secret": {ID: o.ID}, "a broken secret": {ID: o.ID, Secret: []byte("{")}, "a path": {ID: "..", Secret: o.Secret},
	} {
		p, err := s.poll(bad, user)
		s.wellFormed(p, err, user, o.ID)
		if p.Status == proof.ChallengeMatch || p.Status == proof.ChallengeNoMatch {
			s.t.Errorf("%s: %s", name, p.Status)
		}
	}
}

func (s *suite) canceled() {
	user := s.enrolled("ann")
	back := s.Answer(s.t, s.open(user).StepUpSession, user, "ann")
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	p, err := s.Backend.Poll(ctx, journey.PollStepUp{StepUpSession: back, UserIdentifier: user})
	var e *proof.Error
	if s.wellFormed(p, err, user); !errors.As(err, &e) || !e.Temporary {
		s.t.Errorf("poll: %v", err)
	}
	if s.Backend.Backend() != "oidc" { // which may open without asking anybody
		_, err = s.Backend.Open(ctx, s.request(user))
		if s.wellFormed(journey.StepUpProgress{}, err, user); !errors.As(err, &e) || !e.Temporary {
			s.t.Errorf("open: %v", err)
		}
	}
	s.want(back, user, proof.ChallengeMatch, "")
}

func (s *suite) concurrency() {
	user := s.enrolled("ann")
	open := make([]proof.StepUpSession, 4)
	var wg sync.WaitGroup
	for i := range open {
		wg.Go(func() {
			o, err := s.Backend.Open(s.t.Context(), s.request(user))
			if err != nil {
				s.t.Error(err)
			}
			open[i] = o.StepUpSession
		})
	}
	wg.Wait()
	for i, session := range open {
		if i%2 == 0 {
			open[i] = s.Answer(s.t, session, user, "ann")
		}
	}
	matches := make([]int, len(open))
	var mu sync.Mutex
	for i, session := range open {
		for range 4 {
			wg.Go(func() {
				p, err := s.poll(session, user)
				s.wellFormed(p, err, user, session.ID)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case p.Status == proof.ChallengeMatch:
					matches[i]++
				case i%2 == 0 && !s.OnceOnly || i%2 == 1 && (err != nil || p.Status != proof.ChallengePending):
					s.t.Errorf("session %d: %s %s %v", i, p.Status, p.Reason, err)
				}
			})
		}
	}
	wg.Wait()
	for i, n := range matches {
		if want := i%2 == 0; (n > 0) != want || s.OnceOnly && n > 1 {
			s.t.Errorf("session %d: %d matches", i, n)
		}
	}
}

// openFailsTyped: whatever is wrong while a session is opened is an error with a
// reason, and no session.
func (s *suite) openFailsTyped() {
	user := s.enrolled("ann")
	s.open(user) // so that all there is to discover was discovered
	s.Advance(20 * time.Minute)
	for _, status := range []int{400, 401, 404, 429, 500} {
		s.Wire.set(func(r *http.Request) (*http.Response, error) {
			return reply(r, status, `{"message":"private words"}`, "Content-Type", "application/json"), nil
		}, nil)
		o, err := s.Backend.Open(s.t.Context(), s.request(user))
		s.wellFormed(journey.StepUpProgress{}, err, user, "private words")
		var e *proof.Error
		if !errors.As(err, &e) || e.Temporary != (status == 429 || status == 500) || o.URL != "" {
			s.t.Errorf("%d: %v", status, err)
		}
	}
	s.Wire.clear()
	s.open(user)
}

// nothingOfThePerson: the link and what whoever has it can read name the account
// only masked, unless the protocol leaves no choice.
func (s *suite) nothingOfThePerson() {
	user := s.enrolled("ann")
	o := s.open(user)
	if link, err := url.QueryUnescape(o.URL); err != nil || strings.Contains(link, user) != s.LinkNamesUser {
		s.t.Errorf("the link names the user: %v, %v", strings.Contains(link, user), err)
	}
	res, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, o.URL, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.LinkNamesUser {
		return
	}
	res.Header.Set("Accept", "application/json")
	got, err := s.Wire.Next.RoundTrip(res)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	body := make([]byte, 64<<10)
	n, _ := got.Body.Read(body)
	if got.StatusCode != http.StatusOK || strings.Contains(string(body[:n]), user) {
		s.t.Errorf("%d, and tells who it is", got.StatusCode)
	}
}
