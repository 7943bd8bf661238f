// Package apps has two tenants on one binary and tries, through every API and
// transport, to see or do something in one by means of the other.
package apps
