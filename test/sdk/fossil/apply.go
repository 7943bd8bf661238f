package fdelta

import "github.com/centrifugal/fdelta"

// Apply makes the target of a delta.
func Apply(origin, delta []byte) ([]byte, error) { return fdelta.Apply(origin, delta) }
