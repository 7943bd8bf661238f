// Package survey lets a node ask all others how they are, for people.
//
// It owns the question, and how long answers are waited for. It must not know
// what they say.
//
// Start reading at Ask.
package survey
