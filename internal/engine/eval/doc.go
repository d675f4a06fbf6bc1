// Package eval measures the engine on a labelled folder of pictures, says how sure
// each figure is, and holds the figures against bounds.
//
//	DIR -> Load: what is there, whose it is, what must be read
//	        |
//	       Run, a few at a time, through the engine as a request would go
//	        |-- faces/      pictures -> faces -> every pair that pairs.csv knows -> FMR, FNMR
//	        |-- documents/  photos -> what was read against the truth; portraits -> pairs as well
//	        |-- attacks/    sequences -> liveness -> APCER of each species
//	        '-- bona_fide/  sequences -> liveness -> BPCER
//	        |
//	       Report -> JSON, HTML -> Gate: pass, or what broke
//
// [Layout] says how the folder is laid out. A run that is ended early gives the
// report of what it measured until then, marked partial; no gate passes on it.
//
// The report holds figures and nothing of a picture: no file names, no images,
// nothing that was read.
//
// Package material renders such a folder from specimens.
package eval

// Layout describes the folder, for people.
const Layout = `  dataset.json                       optional: {"name": "...", "material": "genuine", "note": "...", "today": "2026-03-01"}
  faces/IDENTITY/*.jpg               pictures of one person
  faces/pairs.csv                    optional: a,b,same with a line for each pair; a and b are pictures (anna/1.jpg)
                                     or identities (anna: all of that person's pictures). Without it, pairs inside
                                     an identity are genuine and all others are impostors.
  documents/LEVEL/NAME.jpg           the front; NAME-back.jpg the back; NAME-more-1.jpg ... NAME-more-4.jpg further photos
                                     of the side with the zone or barcode
  documents/LEVEL/NAME.json          its truth: {"document": {"type": "passport", "number": "...", "mrz": ["...", "..."]}}
                                     Fields that are absent are not compared. Optional: "types" (asked for, instead of the
                                     document's own), "verdict" with "reason" (expected), "holder" (an IDENTITY of faces/).
  attacks/SPECIES/CASE/              one sequence: challenge.json as POST /v1/challenge gives it, the frames, and
                                     frames.json: {"camera": "...", "frames": [{"file": "frame-01.jpg", "action": 0,
                                     "received_ms": 0, "captured_ms": 0}]}
  bona_fide/CASE/                    the same, of people who are really there

Pictures are JPEG, PNG or WebP. "material" says what the pictures are: "genuine" for photos of people and documents
that exist; "rendered", which is assumed, for anything drawn by a program. "today" is the day on which documents are
judged, so that a folder does not age.`
