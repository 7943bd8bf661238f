// Package audit writes down who changed what: a line of JSON in a file for each
// administrative action, and for keys that were refused.
//
// It owns the form of a line, that nothing in it can be taken for another line or
// obeyed by a terminal, and what happens when a line cannot be written. It hides
// the file. It must not know how actions come or what they do; keys reach it only
// as their KeyID.
//
// Start reading at Entry, then Log.Begin.
package audit
