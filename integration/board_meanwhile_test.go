package integration

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/schema"
)

// overtake lets a change of a task reach the daemon just before the next call of a method
// by the page, which has been written by then: nobody who looks at the page can know. It is
// an update, or what by says.
func (w *window) overtake(method, change string, by ...string) {
	w.t.Helper()
	w.eval(fmt.Sprintf(`(() => {
		const send = WebSocket.prototype.send;
		WebSocket.prototype.send = function (text) {
			if (!text.includes(%q)) return send.call(this, text);
			WebSocket.prototype.send = send;
			const body = JSON.stringify({jsonrpc: "2.0", id: 1, method: %q, params: %s});
			fetch("/rpc", {method: "POST", headers: {"Content-Type": "application/json"}, body}).then(() => send.call(this, text));
		};
		return "";
	})()`, method, append(by, "task.update")[0], change))
}

// refused waits for the notice that says why something was not done, and takes it away.
func (w *window) refused(want string) {
	w.t.Helper()
	if got := w.until(`document.querySelector(".toast.bad span")?.textContent`); got != want {
		w.t.Errorf("the notice is %q, want %q", got, want)
	}
	w.click(".toast.bad .quiet")
	w.until(`!document.querySelector(".toast.bad")`)
}

// Two people move, edit, delete and undo the same task at once: nobody overwrites what they
// have not seen, and who is refused is told by whom. What does not touch what they do stands
// in nobody's way.
func boardMeanwhile(t *testing.T, b *boardTest) {
	task := create(t, b.c, "Ours")
	id := task.ID
	change := func(fields string) string { return fmt.Sprintf(`{"id":%q,%s}`, id, fields) }
	w := b.open("")

	drop := w.hold(id, schema.InProgress)
	b.update(id, map[string]any{"status": "done"}) // while the card is held
	w.awaitStatus(id, "done")
	drop()
	w.until(`document.querySelector(".toast.bad span")?.textContent === "“Ours” stays in Done. Somebody changed it meanwhile: To do → Done."`)
	w.awaitStatus(id, "done")
	w.click(".toast.bad .link") // to In progress anyway
	w.awaitStatus(id, "in_progress")
	w.awaitTruth()

	w.overtake("task.update", change(`"status":"blocked"`))
	w.drag(id, schema.Todo)
	w.refused("“Ours” stays in Blocked. Somebody changed it meanwhile: In progress → Blocked.")
	w.awaitStatus(id, "blocked")
	w.overtake("task.update", change(`"status":"done"`))
	w.drag(id, schema.Done) // both want the same
	w.awaitStatus(id, "done")
	w.overtake("task.update", change(`"title":"Theirs","metadata":{"theirs":1}`))
	w.drag(id, schema.Todo) // does not touch the title
	w.until(`cards().includes("|todo|Theirs|")`)
	w.awaitTruth()
	if bad := w.eval(`document.querySelector(".toast.bad")?.textContent ?? ""`); bad != "" {
		t.Errorf("nobody was in the way, but %s", bad)
	}
	b.update(id, map[string]any{"status": "blocked"})
	w.awaitStatus(id, "blocked")
	w.press("u")
	w.refused("“Theirs” stays in Blocked. Somebody changed it meanwhile: To do → Blocked.")

	w.edit(id, func() {
		w.fill("title", "Mine")
		w.fill("metadata", `{"mine":1152921504606846977}`)
	})
	w.until(`cards().includes("|blocked|Mine|")`)
	b.update(id, map[string]any{"status": "todo", "priority": "low"})
	w.until(`cards().includes("|todo|Mine|low|")`)
	w.press("u")
	w.until(`cards().includes("|todo|Theirs|low|")`)
	w.awaitTruth() // the page shows it before it is answered
	if now, err := b.c.Get(t.Context(), id); err != nil || string(now.Metadata) != `{"theirs":1}` {
		t.Errorf("undone to %+v, %v", now, err)
	}
	w.edit(id, func() { w.fill("title", "Mine again") })
	w.until(`cards().includes("|Mine again|")`)
	w.overtake("task.update", change(`"title":"Theirs again"`))
	w.press("u")
	w.refused("The edit of “Mine again” is not undone. Somebody changed it meanwhile: title was “Mine again”.")
	w.until(`cards().includes("|Theirs again|")`)

	w.overtake("task.delete", change(`"description":"Do not delete this"`))
	w.press(kb.Delete)
	w.refused("“Theirs again” was not deleted. Somebody changed it meanwhile: description changed.")
	w.awaitTruth()

	w.press("n")
	w.until(`document.activeElement.name === "title"`)
	w.press("By mistake" + kb.Enter)
	w.until(`!document.querySelector("#editor").open && textOf(document.activeElement, "title") === "By mistake"`)
	w.press("u")
	w.until(`!cards().includes("By mistake")`)
	w.awaitTruth()
}

// edit opens a task, and saves what is done in the dialog.
func (w *window) edit(id string, do func()) {
	w.t.Helper()
	w.click(cardOf(id))
	w.until(`document.querySelector("#editor").open`)
	do()
	w.click("#editor .save")
	w.until(fmt.Sprintf(`!document.querySelector("#editor").open && document.activeElement === card(%q)`, id))
}
