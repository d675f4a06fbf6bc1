// Package shipped defines the flows that we ship and writes their files: the
// documents of integrations/flows and the pictures of docs/flows.md. All names come
// from flow.Names, so that one corrected table makes every file anew.
//
// Two parts make up all flows. A main flow is a sign-in, a part and an end; a subflow
// is the part alone, whose ways out its host continues.
//
//	Proofing (proof.go)                         Step-up (stepup.go)
//
//	Verified before? --yes--> no session        What is new? --place, device...-+
//	      | no                                        | nothing                 |
//	      v                                           v                         |
//	 1Kosmos IDV <-----------again--+           Is it known? --no--------------+|
//	      v                         |                 | yes                    vv
//	 the person's page              |                 |       1Kosmos LiveID Step-Up <-again-+
//	      v                         |                 |              v                       |
//	 1Kosmos IDV Result <--pending  |                 |       the person's page              |
//	      |        |                |                 |              v                       |
//	 verified   anything else: a screen               |       1Kosmos Step-Up Result -expired+
//	      v                                           |          |            |
//	 attributes, claims                               |        match    anything else: a screen
//	      v                                           v          v
//	     End                                         End <-- Step Up, new sign-in
//
// No task that fails leads towards an end: what a connector does not answer, and
// every answer that is not the one good word, ends on a screen without a session.
package shipped
