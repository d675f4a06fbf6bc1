// Package liveness judges whether a living person did, in front of one camera,
// what a challenge drawn a moment ago asked for. Everything it says rests on the
// pixels of the frames; it knows no networks (package face finds the face and its
// mesh) and compares no faces (package engine does).
//
//	Draw -> look straight, three actions, look straight        one of 18, crypto/rand
//	           |
//	frame -> face, mesh -> Measure -> track ---------> hint, done, keep, over   Next
//	           |                        |
//	           |   begin: two straight frames that agree
//	           |   turn:  the way there in steps -> peak -> back to the front
//	           |   closer: the same with the distance; blink: open, shut, open
//	           |   anything that was not asked for, or too late -> over
//	           |
//	the frames that were kept, all again -> Judge
//	           frames:  distinct, of one size, in time, of no known virtual camera
//	           actions: the same track once more
//	           depth:   every turn and every coming closer moved a solid head
//
// # Depth
//
// The mesh network sees a solid face in every picture of one: on flat pictures that are
// turned, its own points move as much against each other as on a head. So
// its points only start a search. The frontal frame is laid over each turned one
// twice: as a sheet, flat or bent, and as a sheet with the depth of a face added
// (see compare). What counts is how much depth brings the pixels together best.
// The limits lie between the two sides of these tables; every number is of
// material that package specimen rendered from 11 of the 14 test faces (three look
// aside too far): 640 x 480, noise of 2 or 6 grey levels, a lens at one half and
// at the whole of 44 cm.
//
// Single frames turned by 30 to 60 degrees (heads 15 to 30) and tilted by -15, 0, 15,
// depth for each unit of asymmetry off the front, where it could be read:
//
//	                  read  not   smallest  5 %    middle  95 %   largest  >= 0.35  < 0.15
//	heads             280   78     0.00     0.29   0.90    1.94   3.35     259      8
//	flat              145    1    -0.12     0.00   0.02    0.11   0.97       2      141
//	bent by 120       263   16    -0.49    -0.04   0.00    0.07   0.35       1      258
//	bent across, 100  139    5    -0.64    -0.02   0.03    0.11   0.13       0      139
//	screen            150    1    -0.05    -0.01   0.01    0.10   0.52       1      147
//
// 108 of those pictures met the limits of pose, which therefore prove nothing by
// themselves. A turn passes on the middle of two frames or more and fails on one that
// is surely flat, so that the few stray frames of either side do not decide.
//
//	                                     heads             pictures           limit
//	spread of coming closer per growth   0.10 to 0.3       below 0.06         0.085, flat below 0.06
//	  (growth 1.3 to 1.55; only pictures bent by 140 reach 0.03 and more)
//	eyes: Measure.shut, frontal          open to 1.1       shut 1.9 to 4      1.3 and 1.6
//	mean difference of small pictures    1.4 and up, 1 s   same picture 0.18  0.6
//	                                     apart, swaying    (JPEG 95) to 0.55 (JPEG 40)
//
// # What it does not show
//
// Nobody's real head was measured: there is no such material that may be used.
// Genuine pass rates are unknown. The heads above are renderings, and where they
// pass, an injection has succeeded: a program that makes such pictures for the
// challenge at hand and feeds them in as a camera's is not told from a camera. Nor
// is somebody who plays the right recorded piece for each action as it is asked,
// nor a mask. A recording of one fixed sequence fits one challenge in 18.
package liveness
