// Package face finds faces in pictures, says how good they are for comparing,
// and scores how alike two of them are. It decides nothing: thresholds are the
// caller's, and documented starting points are given beside the numbers.
//
//	picture -> detector (whole, 256 x 256)            Detect, Portrait
//	        -> detector (level crop, 2.5 boxes)       confirmed, or dropped
//	        -> mesh (1.5 boxes, eyes level), twice    recognised, or dropped
//	        -> quality on the aligned face
//	face    -> aligned 150 x 150 -> dlib ResNet       Describe
//	        -> aligned 112 x 112 -> MobileFaceNet     (model set "full" only)
//	two templates -> cosine, distance, fused score    Compare
//	template <-> bytes, with the models' fingerprint  MarshalBinary, Engine.Template
//
// A template that is kept says which models made it, and only templates of the
// same models are compared; whoever changes a model enrols people again.
//
// Without the networks nothing is found and nothing compared: Open fails with
// [ErrUnavailable] and there is no engine to ask.
//
// The pre- and post-processing, the alignment points and the operating point
// come from reference/idv-engine.md sections 1 and 2, where they were measured.
package face
