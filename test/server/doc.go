// Package server runs the built binary as a process, as a user does, and stops it
// in every way a process can end.
//
// It owns the life of the process and calls of the server API. It hides how the
// binary is built and how its address is found. It must not import the server's
// own packages: what it knows is what the documentation says. Start reading at
// Start.
package server
