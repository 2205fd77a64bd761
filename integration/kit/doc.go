// Package kit is what the suites of one daemon, of daemons that share a file
// (integration) and of a cluster (integration/cluster) have in common: workers that die
// and what the journal tells of their claims, callers and the model of what they may be
// told, and what an error says of a write. It is for tests.
package kit
