// Package doctor says what is unsafe or odd in the settings of a server that would
// start all the same.
//
// It owns the rules, one small function each, and their words. It hides how the
// machine is asked. It must not know how settings are read, nor change or refuse
// any: what no server may start with is config's to say. A secret is looked at and
// never shown.
//
// Start reading at Check, then the table in rules.go.
package doctor
