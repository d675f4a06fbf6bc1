// Package runner runs Descope's flow documents: it takes in what Descope exports
// and imports, and answers the browser's calls start and next as Descope does.
//
// One run of a flow is an execution:
//
//	          start                        next(button), next(polling)
//	            |                              |
//	            v            screen            v
//	        +-------+ -----------------> +---------+
//	        | tasks |                    | waiting |---- no call in time ---> gone
//	        |  run  | <----------------- |         |     (E103205)
//	        +-------+   an edge of the   +---------+
//	         |  |  ^    current screen
//	redirect |  |  |
//	         |  |  +-- next(submit, code) -- +----------+  External Authentication, OAuth,
//	         +--|--------------------------> |   away   |  SAML; CompleteExternal or
//	            |                            +----------+  Returned makes the code
//	     End    v
//	       +----------+  polls and repeats of the last call get the same
//	       | finished |  answer for some minutes, then it is gone
//	       +----------+
//
// Tasks run one after the other until one needs the browser. A task that fails goes
// by its error handling: back to the last screen with a message (automatic), on as
// if all were well (ignore), or along an edge of its own (custom).
//
// A management flow runs from start to End in one go (RunManagement): it has no browser,
// no screens and nobody who signs in.
//
// Whatever is not public about Descope stands in guesses.go and in
// internal/descope/flow/names.yaml, and in the README of the sandbox.
package runner
