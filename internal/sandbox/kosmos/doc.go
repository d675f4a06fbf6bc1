// Package kosmos is a local 1Kosmos: a TLS server that speaks the 1Kosmos wire
// protocol for identity verification and for face checks of enrolled people, and whose verdicts come from an engine
// that really reads the document and really compares the faces. It has no
// switch that makes a verdict.
//
// It is not 1Kosmos and is not affiliated with it. What 1Kosmos documents is
// followed; what it leaves open is decided in guesses.go and its neighbours
// (guesses_stepup.go, guesses_oauth2.go, guesses_events.go, guesses_messaging.go,
// guesses_webhooks.go) and nowhere else.
//
// One session, from creation to its end:
//
//	      create (document_share_session/create, or POST /v1/verify/sessions)
//	         |
//	      created ------------------------------+-----------+
//	         | consent                          |           |
//	      started <--+ photo, guidance          |           |
//	         |       | (at most MaxAttempts     |           |
//	         |-------+  of each side)           | decline   | time
//	         | all photos are there             |           |
//	      captured <-+ retake                   |           |
//	         |-------+                          |           |
//	         | submit                        abandoned   expired
//	      judging   <- resumed here when the process restarts
//	      |     |
//	success     failed
//
// Where liveness active is asked for, the selfie is a sequence of frames, taken
// while the person does what the page shows: live.go draws that. Step-ups take the
// same.
//
// A started session also goes to failed when every attempt at a photo was used
// up by files that are no photos, or every attempt at a sequence by what was none;
// and to judging by itself when the last attempt at a sequence leaves one that the
// engine has something to say against. Only judging leads to success, and only by
// an engine report in which every check that the session asked for passed.
//
// A session in created, started or captured expires by time; one in judging
// does not, because its verdict is on its way and ends by itself: the engine is
// asked a bounded number of times and then the session is failed, with the last
// thing that was in the way as its reason. One whose photos do not open is
// failed too.
//
// A session that names a user may enrol that user: enrolment.go draws when, and
// when a proofing is refused because it is not the person who is enrolled. Users
// and their wallets are in users.go; Directory is how an operator sees and changes
// them, also from another process. What is kept of an enrolled face ends with the
// wallet, not with the session. stepup.go draws how a face is checked later on.
//
// A session's id opens its page. No line of the log holds it: there a session
// has a short name that is a keyed hash of the id.
//
// It takes the events that callers report, and reports them and its own (reports.go);
// tells webhooks when a session or a step-up ends (webhooks.go); and keeps the mail and
// text messages that it is asked to send in an inbox, which only this machine can see
// (messaging.go, inbox.go).
//
// Everything that must survive kill -9 (keys, users and wallets, sessions, photos
// and frames of running sessions, outcomes, callbacks, messages) is in SQLite with synchronous=FULL, its values sealed
// under a key file next to it. Photos and frames go when the session ends; the outcome,
// which carries what the wire result must carry, goes PIITTL later. What is kept
// of a user is sealed under a key per user, which is itself sealed.
package kosmos
