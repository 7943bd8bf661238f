// Package move takes a node that was alone to a cluster, on built binaries, as
// docs/cluster-move.md says it: what clients, backends and operators had there they
// find here.
package move
