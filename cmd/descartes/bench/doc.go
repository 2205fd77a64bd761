// Package bench is a load generator for the daemon: "descartes bench".
//
// A row is one measurement. It puts a load of its own on the daemon, for
// Settings.Duration after a warm-up, and gives figures: rates, latencies, memory. The
// daemon is a process of its own on a temporary file, a new one for each row, or the one
// at Options.URL. There a row creates tasks whose ids begin with [IDPrefix], that are
// assigned to [Assignee], and deletes them in the end; it changes no other.
//
// Latencies are kept in HDR histograms, exact to three digits. Callers in a closed loop,
// who ask again when they are answered, record the time of each answer. What is paced is
// sent on time whether answers come or not, and a write that had to wait for its turn
// counts from when it was due: coordinated omission is corrected at its source.
//
// Generator and daemon share the machine, so what the generator costs matters; the
// processor time of both is told with every rate. Its connections (conn.go) are as lean
// as can be: about 11 microseconds a call, nearly all of it in the kernel, and one for
// an event. Package client, which checks and decodes everything, takes four times that.
package bench
