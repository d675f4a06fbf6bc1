// Package outline finds the outline of a document in a photo of it: four straight
// edges, all of them in the picture, that make the shape of an ID-1 card
// (85.6 x 54 mm, ISO/IEC 7810) or of an ID-3 page (125 x 88 mm) as a camera sees
// it. It straightens what it found.
//
// It is what ties a portrait to a card where no machine-readable zone does: the
// front of a TD1 card has none. It knows edges and nothing else, so it cannot
// tell a card from a sheet of paper, or from a screen, of the same shape.
//
//	photo -> small (about 480 pixels) -> gradients -> lines (Hough)
//	      -> two and two lines that cross at about right angles -> shape, size
//	      -> edge all along every side? -> cards, best first -> straightened
//
// Everything follows from the pixels; the work is bounded by the size of the
// small picture and the number of lines.
package outline
