package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/descartes-tasks/descartes/schema"
)

// pastTools scroll a list of events back to its end, and give the seqs that were in it.
const pastTools = `
window.seqs = place => [...place.querySelectorAll(".events li")].map(li => Number(li.dataset.seq));
window.toTheEnd = async (place, scroller) => {
	const all = new Map(); let most = 0; // seq: how often it was there
	const note = new MutationObserver(changes => {
		for (const {addedNodes} of changes) for (const node of addedNodes) if (node.dataset?.seq) all.set(Number(node.dataset.seq), (all.get(Number(node.dataset.seq)) ?? 0) + 1);
		most = Math.max(most, seqs(place).length);
	});
	for (const seq of seqs(place)) all.set(seq, 1);
	note.observe(place, {subtree: true, childList: true});
	for (const end = Date.now() + 30000; !place.querySelector(".more").hidden; await new Promise(requestAnimationFrame)) {
		scroller.scrollTop = scroller.scrollHeight;
		if (Date.now() > end) throw new Error("the list does not end: " + seqs(place).length);
	}
	note.disconnect();
	const found = [...all.keys()].sort((a, b) => b - a);
	return JSON.stringify([found.length, found[0], found.at(-1), Math.max(...all.values()), most]);
};
true`

// Activity and the history of a task begin with the newest changes, however long the journal
// is, and go back to the oldest one; what comes meanwhile is there, and does not move what is
// read.
func boardPast(t *testing.T, b *boardTest) {
	const events = 1250
	id := create(t, b.c, "Much happens here").ID
	for done := 1; done < events; {
		operations := make([]map[string]any, min(1000, events-done))
		for i := range operations {
			operations[i] = map[string]any{"op": "update", "id": id, "description": fmt.Sprint("Version ", done+i)}
		}
		if err := b.c.Call(t.Context(), schema.MethodApply, map[string]any{"operations": operations}, nil); err != nil {
			t.Fatal(err)
		}
		done += len(operations)
	}
	w := b.open("")
	w.until(fmt.Sprintf(`card(%q)`, id))
	w.eval(`(() => { ` + pastTools + `; return "" })()`)
	w.eval(`(addEventListener("keydown", e => { window.took = until(() => seqs(activity).length, "activity").then(() => (performance.now() - e.timeStamp).toFixed(0)) }, {once: true}), "")`)
	w.press("a")
	t.Logf("Activity: the newest of %d changes are there after %s ms", events, w.eval(`window.took`))
	if newest := w.eval(`seqs(activity)[0] + " " + seqs(activity).length`); newest != fmt.Sprint(events, " 100") {
		t.Errorf("the first page is %s", newest)
	}
	if got, want := w.eval(`toTheEnd(activity, activity)`), fmt.Sprintf("[%d,%d,1,1,1000]", events, events); got != want {
		t.Errorf("back to the oldest: %s, want %s", got, want)
	}

	b.update(id, map[string]any{"description": "While somebody reads the past"})
	w.click("#activity .newest") // which are not on the page any more
	w.until(fmt.Sprintf(`seqs(activity)[0] === %d && activity.querySelector(".newest").hidden`, events+1))
	b.update(id, map[string]any{"description": "While somebody looks on"})
	w.until(fmt.Sprintf(`seqs(activity)[0] === %d && activity.scrollTop < 200`, events+2))
	w.eval(`(activity.scrollTop = 900, new Promise(requestAnimationFrame).then(() => { window.held = document.elementFromPoint(700, 800).closest("li"); window.at = held.getBoundingClientRect().top; return "" }))`)
	b.update(id, map[string]any{"description": "While somebody reads"})
	w.until(fmt.Sprintf(`seqs(activity)[0] === %d`, events+3))
	if moved := w.eval(`new Promise(requestAnimationFrame).then(() => held.getBoundingClientRect().top - at).then(by => Math.abs(by) < 1 ? "" : String(by))`); moved != "" {
		t.Errorf("what is read moves by %s px when something happens", moved)
	}

	w.press("b")
	w.click(cardOf(id))
	w.click("#editor .history summary")
	const history = `document.querySelector("#editor .history")`
	w.until(`seqs(` + history + `).length === 100`)
	w.eval(`(` + history + `.querySelector(".past").scrollTop = 1e6, "")`)
	w.until(fmt.Sprintf(`String(seqs(`+history+`)) === String(Array.from({length: 200}, (_, i) => %d - i))`, events+3))
	b.update(id, map[string]any{"title": "Even now"})
	w.until(fmt.Sprintf(`seqs(`+history+`)[0] === %d`, events+4))
	w.leave()
}

// The theme that was chosen is there before the page is, so that none flashes. A browser that
// keeps nothing for a page, nor lets it ask, shows the board all the same.
func boardKept(t *testing.T, b *boardTest) {
	create(t, b.c, "Seen")
	w := b.open("")
	w.press("t")
	w.press("t")
	w.press("t")
	before := func(script string) {
		w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
			return err
		}))
	}
	before(`new MutationObserver(() => { window.had = document.body ? "a page" : "nothing" }).observe(document, {subtree: true, attributeFilter: ["data-theme"]})`)
	w.visit(b.daemon.board())
	if had := w.until(`document.documentElement.dataset.theme && window.had`); had != "nothing" {
		t.Errorf("when the theme came there was %s", had)
	}
	before(`for (const name of ["localStorage", "sessionStorage"])
		Object.defineProperty(window, name, {get() { throw new DOMException("not allowed", "SecurityError") }})`)
	w.visit(b.daemon.board())
	w.until(`cards().includes("Seen")`)
	w.press("t")
	w.until(`document.documentElement.dataset.theme`)
}
