// Package stepuptest is the contract of journey.StepUp as a test suite. Every
// way in which 1Kosmos recognises a person must pass it.
package stepuptest
