// Package roster is the presence of one channel as a node sees it.
//
// It owns when a user comes and goes: with the first of their sessions and the
// last. It hides how that is counted. It must not know how nodes tell each other,
// nor whom it is told to; it locks nothing.
package roster
