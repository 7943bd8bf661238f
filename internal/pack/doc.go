// Package pack turns values into bytes and back, for the store and for what nodes
// say to each other: unsigned varints, and strings that begin with their length.
//
// It hides how bytes are taken apart without trusting them. It must not know what
// they mean: whoever owns a format says so in a page of its own.
package pack
