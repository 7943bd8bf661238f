// Package leave restarts three nodes one after the other under load, as a new
// version is rolled out, and looks at what users notice of it.
//
// It owns the clients that wait nowhere but at nodes. It must not know the
// server's code. Start reading at TestRollingRestart.
package leave
