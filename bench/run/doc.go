// Command run measures the built server and writes a page to bench/results: idle
// sessions, connects, fan-out, publishes and what limits cost, next to the least that a
// server can do (pushbench's limit, where its source stands beside the project), in turn with
// it; then the Go benchmarks of the module.
//
//	go run ./bench/run                                     # everything: hours
//	go run ./bench/run -only fanout,rooms                  # some sections
//	go run ./bench/run -runs 1 -dur 1s -hold 5s -only idle # a look
//
// Numbers are medians of several runs, per second of the server's CPU where that
// makes them comparable; look at ratios more than at numbers. It measures and
// asserts nothing. Start reading at main, then sections.
package main
