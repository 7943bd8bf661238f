// Package deploy reads the samples in deploy/ as those would who run them, and asks
// the built binary whether it takes the settings in them.
//
// It owns how a sample becomes arguments, environment and files of a node. It must
// not know the server's code. Start reading at node.check.
package deploy
