package integration

import (
	"fmt"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// inFront puts a server of a cluster's daemon between the page and its daemon: it answers
// the calls of which front.answers has a word (method or params), and passes the others
// on; it says what front.ready is to who asks whether the daemon is ready. The functions
// in held send the calls that were not passed on.
const inFront = `(() => {
	window.front = {answers: {}, held: [], ready: ""};
	const send = WebSocket.prototype.send, get = window.fetch;
	WebSocket.prototype.send = function (text) {
		const word = Object.keys(front.answers).find(word => text.includes(word));
		if (!word) return send.call(this, text);
		const {id} = JSON.parse(text), answer = front.answers[word];
		front.held.push(() => send.call(this, text));
		if (answer) this.dispatchEvent(new MessageEvent("message", {data: JSON.stringify({jsonrpc: "2.0", id, ...answer})}));
	};
	window.fetch = (what, ...rest) => {
		if (what !== "/readyz") return get(what, ...rest);
		return Promise.resolve(front.ready ? new Response(front.ready + "\n", {status: 503}) : new Response("ok\n"));
	};
	return "";
})()`

const (
	answerUnknown  = `{error: {code: -32012, message: "?", data: {reason: "outcome_unknown"}}}`
	answerNoLog    = `{error: {code: -32010, message: "?", data: {reason: "storage_unavailable"}}}`
	whatWasRefused = "The cluster has not answered in time whether “Unsure” was changed. Its card says “not confirmed” until that is known."
)

// A card does not show as made what is not answered yet, nor as not made what may have
// been: it says so, until the journal or a fresh read tells.
func boardDoubt(t *testing.T, b *boardTest) {
	id := create(t, b.c, "Unsure").ID
	w := b.open("")
	w.eval(inFront)
	mark := func(want string) { t.Helper(); w.until(fmt.Sprintf(`textOf(card(%q), "mark") === %q`, id, want)) }
	drag := func(to, from schema.Status) {
		t.Helper()
		w.eval(`(front.answers = {"task.update": ` + answerUnknown + `, '"fresh"': ` + answerNoLog + `}, front.held = [], "")`)
		w.drag(id, to)
		w.refused(whatWasRefused)
		w.awaitStatus(id, string(from))
		mark("not confirmed")
	}

	w.eval(`(front.answers = {"task.update": null}, "")`)
	w.drag(id, schema.Done)
	w.awaitStatus(id, "done")
	mark("saving…")
	w.eval(`(front.answers = {}, front.held[0](), "")`)
	mark("")
	w.awaitTruth()

	drag(schema.Blocked, schema.Done) // it is made, later
	w.eval(`(front.held[0](), "")`)
	w.awaitStatus(id, "blocked")
	mark("")
	w.awaitTruth()

	drag(schema.Todo, schema.Blocked) // it is not made
	w.eval(`(front.answers = {}, "")`)
	w.until(`[...document.querySelectorAll(".toast:not(.bad) span")].some(e => e.textContent === "“Unsure” has not been changed. It is in Blocked.")`)
	mark("")
	w.awaitTruth()
}

// A board whose daemon is cut off from its cluster is not live, though its connection is.
func boardCutOff(t *testing.T, b *boardTest) {
	create(t, b.c, "One")
	w := b.open("")
	w.eval(inFront)
	w.eval(`(front.answers = {"server.info": {result: {cluster: {name: "tasks", daemon: "one"}}}}, front.ready = "it has no connection", "")`)
	b.daemon.kill()
	w.until(`connected() === "away"`)
	b.again()
	w.click("#banner button")
	w.until(`connected() === "behind" && !document.querySelector("#banner").hidden`)
	if got := w.eval(`document.querySelector("#banner").innerText.replace(/since .*? (AM|PM)/, "since …")`); got !=
		"This daemon is out of step with its cluster since …. What others change may be missing, and nothing can be saved here, until it is back." {
		t.Errorf("the banner says %q", got)
	}
	w.click("#connection")
	w.until(`document.querySelector("#connection-details").textContent.startsWith("Behindit has no connection")`)
	w.eval(`(front.ready = "", "")`)
	w.until(`connected() === "live" && document.querySelector("#banner").hidden`)
	w.until(`[...document.querySelectorAll(".toast span")].some(e => e.textContent.startsWith("The daemon is back in its cluster."))`)
	w.awaitTruth()
}
