// Command hooks measures door C: how many events a second the built program stores before
// it answers, how long it is from there to the first thing that a rule does, and how its
// jobs compare with those of River on the same database. Load and everything measured
// share the machine.
package main
