// Package views looks at three processes of the built binary as one cluster: what a
// backend and clients see of sessions on other nodes, and of a node that has died.
//
// Start reading at TestViews.
package views
