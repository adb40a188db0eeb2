// Package tell tells notifications what is going to be done, what was done, and what has failed. What is to be told is an open operation in
// state until it was told.
package tell
