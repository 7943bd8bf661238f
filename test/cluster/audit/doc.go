// Command audit disturbs a cluster of three processes in every way that it knows,
// at random, under load, and proves from outside that nothing it had promised was
// lost.
//
//	go run ./test/cluster/audit -faults 40            # prints its seed
//	go run ./test/cluster/audit -faults 40 -seed 7    # the same faults again
//	go run ./test/cluster/audit -only kill,freeze     # of these kinds only
//	go run ./test/cluster/audit -check record.json    # checks a record that a failed run kept
//	go run ./test/cluster/audit -mount                # as root: one node has a small disk, which is filled
//	go run ./test/cluster/audit -namespaces           # as root: cuts lose packets
//
// Nodes are killed, frozen, stopped, cut off, slowed, and run out of disk; see
// the table in faults.go. Publishers and subscribers of test/audit/crowd, over
// every kind of protocol, are on all nodes and move between them. Afterwards
// test/audit/check compares what everybody was told with what each node holds:
// nothing acknowledged may be lost, doubled, or out of order, and no subscriber
// may have missed anything in silence. How long nothing was acknowledged, and how
// long presence was wrong, is printed for each fault, and decides nothing.
//
// Not among the faults: clocks that differ, as the clock of one process cannot be
// set; a node that comes back with nothing at all of what it had promised.
//
// It owns the faults and the run. It must not know the server's code. Start
// reading at run.
package main
