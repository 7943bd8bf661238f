// Command report runs every suite — Go tests under the race detector, the Node
// suites of the npm clients and of the page, beside each other — and prints a line
// for each package, the output of what failed, and at the end, alone on its line,
// the count.
//
// It owns what `make test` runs and how it reads. It must not know what is tested.
// Start reading at main.
package main
