// Package hubtest makes hubs for the tests of what is around a hub.
//
// It owns a hub without an engine: sessions open, are heard and are sent what their
// protocol has to say, and nothing is published or kept. It must not be imported but by
// tests. Start reading at New.
package hubtest
