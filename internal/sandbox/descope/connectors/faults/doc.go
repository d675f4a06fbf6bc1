// Package faults makes the local Descope misbehave on purpose, so that what talks to
// it can be tried against slow, broken, doubled and lost calls. It lives in the
// stand-in only: nothing else has a knob like these.
package faults
