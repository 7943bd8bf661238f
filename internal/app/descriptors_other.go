//go:build !unix

package app

// maxDescriptors is unknown here.
func maxDescriptors() (n int, known bool) { return 0, false }
