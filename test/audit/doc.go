// Command audit kills a real server with kill -9 at random moments under load and
// proves from outside that nothing it had promised was lost.
//
//	go run ./test/audit -kills 20            # prints its seed
//	go run ./test/audit -seed 7 -kills 200   # the same decisions again, and more of them
//	go run ./test/audit -check record.json   # checks a record that a failed run kept
//
// Publishers repeat each publication with its idempotency key until it is
// acknowledged; subscribers come back with their position; readers read the
// history meanwhile. Afterwards test/audit/check compares what everybody was told.
//
// It owns the run; who publishes and subscribes is test/audit/crowd. It must not
// know the server's code. Start reading at run.
package main
