// Package tenant keeps the Apps of a server: their keys, namespaces and settings,
// those of the settings and those that were made while it ran.
//
// What is changed at run time is an entry of a log, the history of one channel in an
// App that no client can name. A Registry is the fold of that log over what the
// settings say; every node that reads the same log with the same settings has the
// same Apps. A change is answered once it is stored and folded, with what the fold
// says of it, so that two nodes that change the same thing at once agree on who was
// first.
package tenant
