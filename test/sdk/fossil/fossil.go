// Package fdelta stands in for the module by which the SDK applies changes, which
// has no release. It has what the SDK calls of it, done by the module that the
// server makes changes with.
package fdelta

import "github.com/centrifugal/fdelta"

// Apply makes the target of a delta.
func Apply(origin, delta []byte) ([]byte, error) { return fdelta.Apply(origin, delta) }
