// Package enginetest is the contract of package engine as a suite of tests that
// every engine passes, whatever it stores on and however many nodes it has.
//
// It owns what the contract means in doubt. It hides how the questions are asked;
// it must not know any engine: a Deployment opens them. Start reading at Run and
// Deployment, then recorder.go for what is checked on every single hand-over.
package enginetest
