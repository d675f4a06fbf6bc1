// Package flow knows Descope's flow documents: what an exported flow looks like,
// what in it we rely on, and the names in it that nobody outside Descope has
// seen written down.
//
// The shape of a document is public (reference: Descope's OpenAPI schemas
// ExportedFlow* and exports that people published). The names of some actions,
// commands and arguments are not: they all stand in names.yaml, which the flows we
// ship are generated from, and which the local Descope reads too. One look at a live
// project corrects them all.
package flow
