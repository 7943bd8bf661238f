// Package house checks the tree against the rules of the house that no linter
// knows: sizes, sleeps in tests, things left over, and documentation that names
// what no longer exists.
//
// It owns those rules and the list of exceptions, each with its reason. It must
// not know what the code does. Start reading at house_test.go.
package house
