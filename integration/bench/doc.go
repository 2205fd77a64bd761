// Package bench compares the daemon with its floors, in one run, so that the ratios hold
// on any machine: bare SQLite that writes the same rows in the same groups, and a bare
// echo and a bare broadcast on the same WebSocket library. The load is that of "descartes
// bench", for the daemon and for the bare servers.
//
//	DESCARTES_BENCH=5s go test -run '^$' -bench . -count 5 ./integration/bench | tee new.txt
//	benchstat new.txt
//
// DESCARTES_BENCH is how long each figure is measured; default 200 ms, and fewer
// figures, which shows only that it works.
package bench
