// Package move brings the channels of a node that was alone to a cluster.
//
// It owns the way from an old data directory to pieces of channels, and what is
// counted, tried again or left on it. It hides how the directory is read and what a
// piece looks like; what becomes of one is written down at store.Adoption. It must not
// know how pieces travel: its caller sends them.
//
// Start reading at Run.
package move
