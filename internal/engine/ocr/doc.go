// Package ocr reads printed Latin text on a straightened card: PP-OCRv4's networks
// for finding lines of text and for reading one, through ONNX Runtime.
//
//	card -> 640 pixels wide -> net "det": is this pixel text?
//	     -> connected parts -> rectangles, grown by what the net shrinks them
//	     -> each cut out of the card, 48 pixels high -> net "rec": a letter or nothing, at every step
//	     -> Latin letters, digits and signs only -> repeats merged -> lines with confidence
//
// Work is bounded: at most [MaxLines] lines, the largest, each at most 640 pixels
// wide. Text that is turned is not found; the card is to be upright.
package ocr
