// Package mrz finds and reads the machine-readable zone of identity documents,
// and understands it by ICAO Doc 9303: TD1 cards, TD2 documents, TD3 passports.
//
// Parse takes the lines as text. Read takes a photograph:
//
//	photograph -> dark blobs -> chains of evenly spaced blobs -> lattice of 2 or 3 lines
//	  -> homography + curve -> which format, where, which way up -> one patch per character
//	  -> network -> likeliest character permitted in that place -> Parse
//
// Each step is tried at more than one threshold and scale until the network is
// sure of every character on average; the surest attempt counts, and check
// digits have no say in which one that is. Nothing is repaired: what Result.Lines
// holds is what the picture shows, and a wrong check digit stays wrong.
//
// A read is worth believing when DigitsOK is true and Problems is empty. Even
// then the zone proves nothing about the document's authenticity: anybody can print one.
//
// The weights of the network were made by the program in train from rendered
// OCR-B print. No document of a real person was used.
package mrz
