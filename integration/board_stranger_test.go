package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/schema"
)

// hold takes a card up and carries it over a column; the function that it gives lets go.
func (w *window) hold(id string, over schema.Status) (drop func()) {
	w.t.Helper()
	from, to := w.center(cardOf(id)), w.center(columnOf(over))
	w.do(
		chromedp.MouseEvent(chromedp.MousePressed, from.X, from.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent(chromedp.MouseMoved, to.X, to.Y, chromedp.ButtonLeft),
	)
	w.until(`document.querySelector(".ghost") && document.querySelector(".column.target")`)
	return func() {
		w.t.Helper()
		w.do(chromedp.MouseEvent(chromedp.MouseReleased, to.X, to.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
	}
}

// What happens while a card is held: keys do nothing, a filter may hide it, the daemon may
// go and come back.
func boardHeld(t *testing.T, b *boardTest) {
	id := create(t, b.c, "Held").ID
	w := b.open("")
	drop := w.hold(id, schema.Done)
	w.press("n")
	if open := w.eval(`String(document.querySelector("#editor").open)`); open != "false" {
		t.Error("a key opens a dialog under a card that is held")
	}
	w.set("#filter [name=text]", "something else")
	w.until(fmt.Sprintf(`!card(%q)`, id))
	drop()
	w.set("#filter [name=text]", "")
	w.awaitStatus(id, "done")

	drop = w.hold(id, schema.Todo)
	b.daemon.kill()
	w.until(`connected() === "away"`)
	b.again()
	w.until(`connected() === "live"`)
	drop()
	w.awaitStatus(id, "todo")
	w.awaitTruth()

	w.cutAfter("task.update")
	w.drag(id, schema.Blocked)
	w.refused("The connection was lost while “Held” was changed. Once it is back, the board shows whether it was.")
	w.awaitTruth()
}

// cutAfter lets the connection be lost as soon as the next call of a method is on its way.
func (w *window) cutAfter(method string) {
	w.t.Helper()
	w.eval(fmt.Sprintf(`(() => {
		const send = WebSocket.prototype.send;
		WebSocket.prototype.send = function (text) {
			send.call(this, text);
			if (text.includes(%q)) { WebSocket.prototype.send = send; this.close(); }
		};
		return "";
	})()`, method))
}

// What is saved again, because nobody knows whether it was, is made once.
func boardAgain(t *testing.T, b *boardTest) {
	w := b.open("")
	lost := func(step string) {
		t.Helper()
		w.press(kb.Enter, chromedp.ModifierCtrl)
		w.until(`document.querySelector("#editor .problem").textContent.startsWith("The connection was lost while this was saved.")`)
		w.until(`connected() === "live"`)
		w.until(step)
	}
	w.press("n")
	w.until(`document.activeElement.name === "title"`)
	w.press("Once")
	w.cutAfter("task.create")
	lost(`cards().includes("|Once|")`)
	w.press("!")
	w.press(kb.Enter, chromedp.ModifierCtrl)
	w.until(`!document.querySelector("#editor").open && cards().includes("|Once!|")`)
	id := w.eval(`document.querySelector(".card").dataset.id`)
	w.click(cardOf(id))
	w.until(`document.querySelector("#editor").open`)
	w.fill("title", "Changed")
	w.cutAfter("task.update")
	lost(`cards().includes("|Changed|")`)
	w.press(kb.Enter, chromedp.ModifierCtrl)
	w.until(`!document.querySelector("#editor").open`)
	if seen := len(journal(t, b.c)); seen != 3 {
		t.Errorf("%d changes were made", seen)
	}
	w.awaitTruth()

	w.eval(`(() => { // the answer takes its time
		const send = WebSocket.prototype.send;
		WebSocket.prototype.send = function (text) {
			if (!text.includes('"task.update"')) return send.call(this, text);
			WebSocket.prototype.send = send;
			window.goOn = () => send.call(this, text);
		};
		return "";
	})()`)
	other := create(t, b.c, "Another")
	w.click(cardOf(id))
	w.fill("title", "Saved late")
	w.press(kb.Enter, chromedp.ModifierCtrl)
	w.leave()
	w.click(cardOf(other.ID))
	w.fill("title", "Not saved yet")
	w.eval(`(goOn(), "")`)
	w.until(`cards().includes("|Saved late|")`)
	if title := w.eval(`document.querySelector("#editor").open && document.querySelector("#editor [name=title]").value`); title != "Not saved yet" {
		t.Errorf("the dialog of another task has %s", title)
	}
	w.leave()
}

// What happens to a task that is open in the dialog.
func boardOpen(t *testing.T, b *boardTest) {
	id := create(t, b.c, "Open").ID
	w := b.open("")
	w.edit(id, func() { // of the title does not touch what others do elsewhere
		w.fill("title", "Mine")
		b.update(id, map[string]any{"status": "blocked", "metadata": map[string]any{"theirs": 1}})
		w.until(`document.querySelector("#editor .problem").textContent.startsWith("Somebody has changed this task just now: To do → Blocked")`)
	})
	w.until(`cards().includes("|blocked|Mine|")`)
	w.press("u")
	w.until(`cards().includes("|blocked|Open|")`)
	if now, err := b.c.Get(t.Context(), id); err != nil || string(now.Metadata) != `{"theirs":1}` {
		t.Errorf("after the undo %+v, %v", now, err)
	}

	w.edit(id, func() { w.fill("metadata", `{"__proto__":{"a":1},"constructor":2,"theirs":1}`) }) // names like any other
	if now, err := b.c.Get(t.Context(), id); err != nil || string(now.Metadata) != `{"theirs":1,"__proto__":{"a":1},"constructor":2}` {
		t.Errorf("saved %+v, %v", now, err)
	}

	write := func(field, what string) {
		w.click("#editor [name=" + field + "]")
		w.selectAll()
		w.eval(`(document.execCommand("insertText", false, ` + what + `), "")`)
	}
	w.edit(id, func() { write("title", `"😀".repeat(300)`) }) // characters are counted as the daemon does
	w.until(`[...textOf(document.querySelector(".card"), "title")].length === 300`)
	w.press("u")
	w.until(`cards().includes("|blocked|Open|")`)
	w.click(cardOf(id))
	write("assigned_to", `"x".repeat(129)`)
	w.click("#editor .save")
	w.until(`document.querySelector("#editor .problem").textContent.startsWith("Not saved: assigned_to must be") && document.activeElement.name === "assigned_to"`)
	w.leave()

	w.click(cardOf(id))
	w.until(`document.querySelector("#editor").open`)
	w.fill("metadata", `{"theirs":1,"deep":{"er":null}}`) // a merge patch cannot say that
	w.click("#editor .save")
	w.until(`document.querySelector("#editor .problem").textContent.startsWith("“er” in the metadata cannot be null: ")`)
	w.leave()

	w.click(cardOf(id))
	w.until(`document.querySelector("#editor").open`)
	w.fill("title", "Written for an hour")
	if err := b.c.Call(t.Context(), schema.MethodDelete, []string{id}, nil); err != nil {
		t.Fatal(err)
	}
	w.until(`document.querySelector("#editor .problem").textContent === "Somebody has deleted this task. It can be created again as it is here."`)
	w.click("#editor .save")
	w.until(`!document.querySelector("#editor").open && cards().includes("|blocked|Written for an hour|")`)
	w.awaitTruth()

	w.overtake("task.update", fmt.Sprintf(`{"id":%q}`, id), "task.delete")
	w.drag(id, schema.Done)
	w.refused("Somebody has deleted “Written for an hour”.")
	w.press("a")
	w.until(`document.querySelectorAll("#activity-list button").length > 3`)
	w.click("#activity-list button")
	w.until(`[...document.querySelectorAll(".toast span")].some(e => e.textContent === "This task was deleted.")`)
	w.press("b")

	many := make([]string, schema.MaxDependencies)
	operations := make([]map[string]any, len(many))
	for i := range many {
		many[i] = fmt.Sprint("needed-", i)
		operations[i] = map[string]any{"op": "create", "id": many[i], "title": "One of the many that it waits for", "status": "done"}
	}
	operations = append(operations, map[string]any{
		"op": "create", "id": "rtl", "title": "مهمة", "status": "in_progress",
		"dependencies": many, "metadata": map[string]string{"long": strings.Repeat("x", 65_000)},
	})
	if err := b.c.Call(t.Context(), schema.MethodApply, map[string]any{"operations": operations}, nil); err != nil {
		t.Fatal(err)
	}
	w.until(`card("rtl") && getComputedStyle(card("rtl").querySelector(".title")).direction === "rtl"`)
	w.click(cardOf("rtl"))
	w.until(`document.querySelectorAll("#editor .chip").length === 256 && document.querySelector("#editor .chips").offsetHeight < 200`)
	w.leave()
}

// The clock of the browser's machine is an hour behind the daemon's: nothing is in another
// place or missing because of that.
func boardSkew(t *testing.T, b *boardTest) {
	for _, title := range []string{"A", "B"} {
		b.update(create(t, b.c, title).ID, map[string]any{"status": "done"})
	}
	id := create(t, b.c, "Late").ID
	w := b.open("")
	w.eval(`(() => { const now = Date.now; Date.now = () => now() - 3600000; return "" })()`)
	w.eval(fmt.Sprintf(`(window.first = until(() => statusOf(%q) === "done" && card(%[1]q).parentElement.ariaPosInSet, "done"), "")`, id))
	w.drag(id, schema.Done)
	if first := w.eval(`window.first`); first != "1" {
		t.Errorf("what was done last is in place %s", first)
	}
	w.awaitTruth()
	w.eval(`(document.activeElement.blur(), "")`)
	w.press("f")
	w.until(`document.querySelector("#flow .summary")?.textContent === "Now 0 to do, 0 in progress, 0 blocked, 3 done."`)
}
