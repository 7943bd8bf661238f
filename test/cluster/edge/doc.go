// Package edge has an edge node join three core nodes, come and go: what is published
// on either arrives on the other, and clients go on from where they stood.
package edge
