// Package shipped defines the flows that we ship and writes their files: the
// documents of integrations/flows and the pictures of docs/flows.md. All names come
// from flow.Names, so that one corrected table makes every file anew.
//
// Two parts make up all flows. A main flow is a sign-in, a part and an end; a subflow
// is the part alone, whose ways out its host continues.
//
//	Proofing (proof.go)                       Step-up (stepup.go)
//
//	Verified before? --yes--> no session      Risk Evaluation --deny--> no session
//	      | no                                   |   |   | step_up, no answer, ...
//	      v                                allow |   |   v
//	 1Kosmos IDV <-----------again--+            |   |  1Kosmos LiveID Step-Up <--again--+
//	      v                         |            |   |   v                               |
//	 the person's page              |            |   |  the person's page                |
//	      v                         |            |   |   v                               |
//	 1Kosmos IDV Result <--pending  |            |   |  1Kosmos Step-Up Result --expired-+
//	      |        |                |            |   |   |          |
//	 verified   anything else: a screen          |   | match    anything else: a screen
//	      v                                      v       v
//	 attributes, claims                       Risk Outcome: success
//	      v                                      |       v
//	     End                                     |   Step Up, new sign-in
//	                                             v       v
//	                                            End     End
//
// Two flows ask a hook first (hooks.go), and use the parts from their nodes on:
//
//	Pre-login                                 Post-registration
//
//	Hook --deny--> no session                 E-mail code
//	 |  | step_up, no answer, ...              v
//	 |  v                                     Hook --continue--> End, if they are new
//	 | E-mail code                             | verify, no answer, ...
//	 |  v                                      v
//	 | the hook's challenge, or the           the hook's verification, or the
//	 | step-up from its node on               proofing from its node on
//	 v continue
//	E-mail code --> End
//
// No task that fails leads towards an end: what a connector does not answer, and
// every answer that is not the one good word, ends on a screen without a session, or,
// if it is the risk that is not answered, asks for the face. Only how a login ended may
// stay unsaid.
package shipped
