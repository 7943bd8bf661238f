// Package link is the wire between two servers, which a test can cut, slow and
// heal in each direction: a TCP proxy.
//
// It owns the connections through it and what happens to their bytes. It must not
// know what they mean. Start reading at Listen.
package link
