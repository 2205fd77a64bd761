// Package cluster tests daemons of which each has its own file, and all have one log of
// record: real NATS servers and real daemons as processes of this machine, which are
// killed, stopped for a while, cut off from each other and set to different times. It is
// a module of its own, so that what a NATS server needs is not what Descartes needs.
//
// Every link between a daemon and a NATS server, and between two NATS servers, goes
// through a proxy of the test. A run prints a seed; DESCARTES_SEED=N makes its random
// choices again, and DESCARTES_CLUSTER_FAULTS=N has more of them. A test that fails shows
// the end of what each process has logged, and writes all of it to files that
// go test -artifacts keeps.
package cluster
