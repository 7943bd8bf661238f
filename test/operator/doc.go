// Package operator looks at the built binary as the one who runs it does: what the
// audit log holds, what a signal does to it, and which secrets are refused.
//
// It owns no server code and knows what the documentation says.
package operator
