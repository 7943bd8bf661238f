// Package fdelta stands in for the module by which the Go SDK applies changes,
// which has no release: it has what the SDK calls of it, and hides that the module
// the server makes changes with does it. It must not know anything else. Start
// reading at Apply.
package fdelta
