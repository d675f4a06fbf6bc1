// Package signal is the signals: each reads one kind of fact out of an observation and
// says fired, clear or cannot tell, with the evidence in words. One file and one test
// table each; All lists them.
package signal
