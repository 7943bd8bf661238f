// Package password makes and checks hashes of passwords.
//
// It owns the algorithm, argon2id (RFC 9106), its cost, and the text that a hash
// is written as (the PHC string format). It hides both: a hash says itself what it
// was made with, so that the cost can be raised and old hashes stay good. It must
// not know who has a password, or where hashes are kept.
//
// Start reading at Make and Parse.
package password
