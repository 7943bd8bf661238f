// Package channel is the pure part of what a channel is: its name, the options
// of its namespace, who is asking (Identity) and what they may do (Decide).
//
// It hides the grammar of names and the order of the permission rules. It does
// no I/O, keeps no state that changes, and must not know hub, engine, protocol
// or transport. Start reading at ID, then Namespaces, then Decide.
package channel
