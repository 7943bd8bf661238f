// Package keys remembers idempotency keys in RAM, for publications that are not
// stored on disk.
//
// It owns the window and the bound of their number. It hides how they are found
// and forgotten. It must not know what a publication is.
//
// Start reading at Keys.
package keys
