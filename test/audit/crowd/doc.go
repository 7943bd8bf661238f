// Package crowd is everybody who uses the servers of an audit: publishers that
// repeat a publication with its idempotency key until it is acknowledged,
// subscribers of several protocols that come back with their position, and a
// reader of history. It notes what each of them was told, for test/audit/check.
//
// It owns the clients and the order in which they begin and end. It must not know
// which servers there are or what happens to them: a Crowd asks its Find where to
// go. Start reading at Crowd.Run.
package crowd
