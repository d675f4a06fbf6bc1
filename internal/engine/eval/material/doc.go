// Package material renders a labelled folder for package eval from specimens: test
// faces of an npm package, documents of no state with photographs of them at four
// levels, licences, attacks on active liveness, and rendered heads in the place of
// people.
//
//	test faces -> varied pictures, pairs.csv                           faces/
//	          '-> printed on random documents -> photographed -> truth documents/
//	          '-> mesh -> head -> played before the engine, frame by frame,
//	               '-> flat, bent, on a screen, swapped, recorded      attacks/, bona_fide/
//
// Nothing in it is a person who was there. The genuine pairs are one photograph
// varied (one identity has two), the impostors come from six group photographs, and
// the bona fide are renderings: an engine that takes them for people was deceived.
// Figures on this folder tell one version of the engine from another; they are no
// claim about people, documents or cameras.
//
// The same options give the same folder with the same version of the engine, which
// decides which frames of a sequence are kept.
package material
