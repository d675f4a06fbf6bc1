// Package risk holds the words of a risk evaluation: what is known about a login, what
// is known about the person's earlier ones, the flat observation that both come to, and
// the decision with its reasons. It has no I/O.
//
//	Login + History + counts ──observe──▶ Observation ──signals──▶ Readings ──policy──▶ Decision
//	                                        (recorded)                                 (recorded)
//
// Package signal reads an observation, package policy weighs the readings, package
// decide is the use cases: evaluate, learn, explain, replay, publish.
//
// What cannot be told is a value of its own everywhere (Unknown, CannotTell): it is
// neutral or raises risk, and never lowers it (design, promise 1).
package risk
