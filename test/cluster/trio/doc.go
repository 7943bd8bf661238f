// Package trio runs three processes of the built binary as one cluster, whose
// nodes reach each other only over what a test can cut: proxies on loopback, or a
// bridge between network namespaces.
//
// It owns the processes, their settings and the links. It must not know what is
// published. Start reading at New.
package trio
