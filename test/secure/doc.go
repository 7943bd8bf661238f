// Package secure attacks the built server the way the open internet does — from
// other sites' pages, through proxies, with guessed passwords, without certificates
// — and checks that what secures it can be changed while it runs.
//
// It holds tests only. It must not know the server's code. Start reading at
// secure_test.go.
package secure
