// Package trio runs three processes of the built binary as one cluster, whose
// nodes reach each other only over links that a test can cut.
//
// It owns the processes, their settings and the links. It must not know what is
// published. Start reading at New.
package trio
