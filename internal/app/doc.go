// Package app is the composition root: it turns settings into the parts of a
// server, starts them in order and stops them in the reverse order.
//
// It owns the listener, the HTTP server and the table of paths. It hides which
// parts there are; nobody imports it but cmd and the tests. Start reading at New.
package app
