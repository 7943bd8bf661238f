// Package survey lets a node ask all others how they are, for people.
//
// It owns the question, and how long answers are waited for. It hides that who
// does not answer in time is simply missing, which is what people want to see. It
// must not know what the answers say.
//
// Start reading at Ask.
package survey
