// Package hooks runs a real backend beside the built binary: one that answers, says
// no, is slow, is dead, lies, or sends the server elsewhere.
//
// It owns the backend and what clients see of it. It must not import the server's own
// packages: what it knows is what docs/hooks.md says. Start reading at Backend.
package hooks
