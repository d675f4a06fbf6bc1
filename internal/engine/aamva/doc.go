// Package aamva parses what the PDF417 symbol on a North American driving licence
// says: a record of the AAMVA DL/ID Card Design Standard, annex D ("mandatory
// PDF417 bar code"), versions 01 (DL/ID-2000) to 11.
//
//	"@" LF RS CR | "ANSI " issuer version ... entries | DL offset length ... | DL elements CR | ZX elements CR
//	     |                      |                              |                   |
//	  a record?            known issuer, version      inside the record?     ids, one value each
//	                                                                               |
//	                   what this version wants there? <- names, dates, sex, address
//	                                  |
//	                               Record -> Contradictions(now)
//
// It is strict where it matters for who the person is: an element that the version
// wants is there and well-formed, or there is no record. It is lenient where
// issuers are known to differ and nothing hangs on it: a length in the table of
// subfiles, an offset of zero, a separator.
//
// The record is plain text without a signature. A person with a printer can write
// one, so it says what a card states and never that the card is genuine.
//
// The record of a magnetic stripe, which some issuers printed as a barcode before
// 2000, and version 00 are recognised and refused: they lack an issue date.
package aamva
