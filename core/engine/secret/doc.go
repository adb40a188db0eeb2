// Package secret keeps sensitive values out of everything that leaves a run. Secrets masks texts, Fingerprints tells whether a sensitive
// value has changed without keeping it, and Refill gives a plugin the sensitive values of a record that are still the same.
package secret
