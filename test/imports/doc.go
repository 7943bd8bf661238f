// Package imports checks who imports whom.
//
// It owns the table of forbidden edges, each with its reason, and the rule that a
// third-party module has one owner package, named in ARCHITECTURE.md. Start
// reading at edges.
package imports
