//go:build !unix

package doctor

// Descriptors implements Machine: the system has no such limit, or does not tell.
func (Here) Descriptors() (n int, known bool) { return 0, false }
