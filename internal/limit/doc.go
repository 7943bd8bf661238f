// Package limit bounds how often something may happen, and how much of it there
// may be at once: token buckets, buckets by key, counts by key, and the log line
// that says what was refused without being a flood itself.
//
// It owns that arithmetic. It hides how buckets are kept, and forgets those that
// are full, which are as good as none. It must not know what is limited, what a
// client is told, or what time it is: the caller brings the time, as what has
// passed since a moment of the caller's choice on a clock that is never set.
//
// Start reading at Rate and Bucket.
package limit
