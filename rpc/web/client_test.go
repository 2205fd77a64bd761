package web

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// burst has a daemon whose answer to task.subscribe and first event come in one read of
// the socket: both are dispatched before anything that waits for the answer runs.
const burst = `
globalThis.WebSocket = class {
	static OPEN = 1;
	readyState = 1;
	constructor() { queueMicrotask(() => this.onopen()); }
	close() {}
	send(text) {
		const { id } = JSON.parse(text);
		queueMicrotask(() => {
			this.onmessage({ data: JSON.stringify({ jsonrpc: "2.0", id, result: "s1" }) });
			this.onmessage({ data: JSON.stringify({ jsonrpc: "2.0", method: "task.event", params: { subscription: "s1",
				result: { seq: 1, cursor: "e-1", change_type: "created", task_id: "a", task: { id: "a" } } } }) });
			setTimeout(() => process.exit(3), 1000); // it was not heard of
		});
	}
};
const { Client } = await import("./page/client.js");
new Client("ws://daemon/rpc").subscribe({ since: "start" }, { event: (e) => { console.log(e.task_id); process.exit(0); } });
`

// An event that comes right behind the answer that names its subscription is not lost,
// wherever the client runs.
func TestClientHearsWhatFollowsTheAnswer(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs node")
	}
	script := exec.Command(node, "--input-type=module", "--no-warnings")
	script.Stdin = strings.NewReader(burst)
	if out, err := script.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "a" {
		t.Errorf("%v: %s", err, out)
	}
}
