// Command run measures the built server and writes a page to bench/results:
// publishes over HTTP and, where the load generator pushbench stands beside the
// project, connections and fan-out next to the least that a server can do, in the
// same run; fan-out by every transport and encoding next to JSON over WebSocket;
// then the Go benchmarks of the module.
//
//	go run ./bench/run                  # everything, about fifteen minutes
//	go run ./bench/run -runs 1 -dur 1s  # a look
//
// Numbers are medians of several runs, per second of the server's CPU where that
// makes them comparable. It measures and asserts nothing. Start reading at main.
package main
