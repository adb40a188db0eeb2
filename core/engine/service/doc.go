// Package service is what a run needs besides its input: the plugins, the events, the secrets that were met, and the heartbeats of the
// calls that are going on. It turns the answers of plugins into values and diagnostics, without secrets.
package service
