package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// boardTest is what the parts of TestBoard have.
type boardTest struct {
	t       *testing.T
	daemon  *daemon
	browser context.Context
	c       *client.Client
}

func (b *boardTest) open(query string) *window {
	b.t.Helper()
	return openBoard(b.t, b.browser, b.daemon, query)
}

// update changes a task from elsewhere.
func (b *boardTest) update(id string, patch map[string]any) {
	b.t.Helper()
	patch["id"] = id
	if err := b.c.Call(b.t.Context(), schema.MethodUpdate, patch, nil); err != nil {
		b.t.Fatal(err)
	}
}

// touch drags a card with a finger, which has to rest on it for a moment.
func (b *boardTest) touch(w *window, id string, to schema.Status) {
	b.t.Helper()
	from, over := w.center(cardOf(id)), w.center(columnOf(to))
	finger := func(kind input.DispatchTouchEventType, at ...point) {
		points := make([]*input.TouchPoint, 0, 1)
		for _, p := range at {
			points = append(points, &input.TouchPoint{X: p.X, Y: p.Y})
		}
		w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind, TouchPoints: points})
			return err
		}))
	}
	finger(input.DispatchTouchEventTypeTouchStart, from)
	w.until(`document.querySelector(".ghost")`)
	finger(input.DispatchTouchEventTypeTouchMove, point{from.X + 20, from.Y + 5})
	finger(input.DispatchTouchEventTypeTouchMove, over)
	w.until(`document.querySelector(".column.target")?.dataset.status === ` + quote(string(to)))
	finger(input.DispatchTouchEventTypeTouchEnd)
	w.awaitStatus(id, string(to))
}

// A conflict shows mine and theirs of each field that both have changed. The fields of the
// dialog are what is saved: what was chosen, what only one of them has changed, and what is
// written after all.
func boardConflict(t *testing.T, b *boardTest) {
	task := create(t, b.c, "The title")
	w := b.open("")
	w.click(cardOf(task.ID))
	w.until(`document.querySelector("#editor").open`)
	w.fill("title", "todo") // a word like any other, as toString is
	w.fill("description", "Mine")
	w.fill("assigned_to", "me")
	w.choose("priority", "high")
	b.update(task.ID, map[string]any{"title": "toString", "description": "Theirs", "assigned_to": "them", "complexity": "epic"})
	w.until(`document.querySelector("#editor .problem").textContent.includes("has changed this task just now")`)
	w.click("#editor .save")
	w.until(`!document.querySelector(".conflict").hidden`)
	got := w.eval(`[...document.querySelectorAll(".conflict fieldset")].map(f => f.querySelector("legend").textContent + ": " +
		[...f.querySelectorAll(".choice")].map(c => c.textContent + (c.querySelector("input").checked ? "*" : "")).join(", ")).join("; ")`)
	if want := "title: minetodo*, theirstoString; description: mineMine*, theirsTheirs; assignee: mineme*, theirsthem"; got != want {
		t.Errorf("the conflict shows %s, want %s", got, want)
	}
	w.press(kb.Escape)
	w.until(`document.querySelector("#editor .problem").textContent.startsWith("There are changes")`)
	w.click(`.conflict [name="choose-title"][value="theirs"]`)
	w.fill("assigned_to", "both")
	fields := w.eval(`["title", "description", "assigned_to", "priority", "complexity"].map(f => document.querySelector("#editor form")[f].value).join(", ") +
		" " + document.querySelectorAll(".conflict [name=choose-assigned_to]:checked").length`)
	if want := "toString, Mine, both, high, epic 0"; fields != want {
		t.Errorf("the fields are %s, want %s", fields, want)
	}
	w.click("#editor .save")
	w.until(`!document.querySelector("#editor").open`)
	now, err := b.c.Get(t.Context(), task.ID)
	if err != nil || now.Title != "toString" || *now.Description != "Mine" || *now.AssignedTo != "both" || now.Priority != "high" || now.Complexity != "epic" {
		t.Errorf("saved %+v, %v", now, err)
	}
	w.awaitTruth()
}

// What is refused is taken back, and said.
func boardRefused(t *testing.T, b *boardTest) {
	one, two := create(t, b.c, "One"), create(t, b.c, "Two")
	b.update(two.ID, map[string]any{"dependencies": []string{one.ID}})
	w := b.open("")
	w.click(cardOf(one.ID))
	w.click("#dependency-search")
	w.press("two")
	w.until(`document.querySelector("#dependency-options [role=option]")`)
	w.press(kb.Enter)
	w.click("#editor .save")
	w.until(`document.querySelector("#editor .problem").textContent.startsWith("Not saved: ")`)
	w.leave()
	w.until(`!document.querySelector("#editor").open`)
	w.awaitTruth()
	three := create(t, b.c, "Three").ID
	remove := func() {
		t.Helper()
		w.eval(fmt.Sprintf(`until(() => card(%q), "drawn").then(() => (card(%[1]q).focus(), ""))`, three))
		w.press(kb.Delete)
		w.until(fmt.Sprintf(`!card(%q)`, three))
		w.awaitTruth()
	}
	remove()
	b.daemon.kill()
	w.until(`connected() === "away"`)
	w.drag(two.ID, schema.Done)
	w.refused("“Two” stays in To do: the daemon is away.")
	w.awaitStatus(two.ID, "todo")
	w.until(`!document.querySelector("#banner").hidden && document.querySelector("#banner").textContent.includes("what changed since is missing")`)
	w.press("u") // can be tried again
	w.refused("“Three” could not be brought back: the daemon is away.")
	b.again()
	w.until(`connected() === "live"`)
	w.press("u")
	w.until(`cards().includes("|Three|")`)
	remove()
	if _, err := b.c.Create(t.Context(), schema.Draft{ID: three, Title: "Another"}); err != nil {
		t.Fatal(err)
	}
	w.until(`cards().includes("|Another|")`)
	w.press("u")
	w.refused("“Three” could not be brought back: “Another” has its id.")
}

// What a task says is text wherever it is shown.
func boardText(t *testing.T, b *boardTest) {
	const attack = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"><svg onload=window.hacked=1>{{7*7}}javascript:window.hacked=1`
	metadata, _ := json.Marshal(map[string]string{attack: attack})
	first, err := b.c.Create(t.Context(), schema.Draft{
		Title: attack, Description: new(attack), AssignedTo: new(attack[:120]), Metadata: metadata,
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.c.Create(t.Context(), schema.Draft{Title: attack + "2", Dependencies: []string{first.ID}})
	if err != nil {
		t.Fatal(err)
	}
	w := b.open("?text=img&assigned_to=" + "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E")
	w.click("#filter [type=reset]")
	w.until(fmt.Sprintf(`textOf(card(%q), "title") === %s`, first.ID, quote(attack)))
	w.eval(`(document.querySelector("#filter [name=assigned_to]").focus(), "")`)
	w.click(cardOf(second.ID))
	w.until(`document.querySelector("#editor .chip span").textContent === ` + quote(attack))
	w.click("#editor .history summary")
	w.until(`document.querySelector("#editor .history li")`)
	w.leave()
	w.click(cardOf(first.ID))
	w.until(`document.querySelector("#editor [name=metadata]").value.includes("onerror")`)
	b.update(first.ID, map[string]any{"title": attack + "3", "status": "done"})
	w.until(`document.querySelector("#editor [name=title]").value.endsWith("3")`)
	w.leave()
	w.press("a")
	w.until(`[...document.querySelectorAll("#activity-list .what")].some(e => e.textContent.includes("title was"))`)
	w.press("f")
	w.until(`document.querySelector("#flow-charts svg")`)
	w.press("b")
	w.drag(second.ID, schema.Blocked)
	w.press(kb.Delete)
	w.until(`document.querySelector(".toast")`)
	found := w.eval(`JSON.stringify([window.hacked ?? 0, document.querySelectorAll("main img, main script, dialog img, dialog script, .toast img, main svg:not(.chart)").length])`)
	if found != "[0,0]" {
		t.Errorf("markup of a task came to life: %s", found)
	}
	if html := w.eval(`document.querySelector("#announcer").innerHTML`); strings.Contains(html, "<img") {
		t.Error(html)
	}
	w.awaitTruth()
}

// Activity and Flow tell what the journal has, also of what is deleted, and go on live.
func boardPages(t *testing.T, b *boardTest) {
	var ids []string
	for _, title := range []string{"A", "B", "C", "D"} {
		ids = append(ids, create(t, b.c, title).ID)
	}
	for _, change := range []struct{ id, status string }{{ids[0], "in_progress"}, {ids[0], "done"}, {ids[1], "in_progress"}, {ids[2], "blocked"}} {
		b.update(change.id, map[string]any{"status": change.status})
	}
	if err := b.c.Call(t.Context(), schema.MethodDelete, []string{ids[3]}, nil); err != nil {
		t.Fatal(err)
	}
	w := b.open("?view=flow")
	figures := `[...document.querySelectorAll("#flow .summary")].map(e => e.textContent).join(" ")`
	w.until(figures + `.startsWith("Now 0 to do, 1 in progress, 1 blocked, 1 done. One task took 0 s. 1 done in 1 day")`)
	b.update(ids[1], map[string]any{"status": "done"})
	w.until(figures + `.startsWith("Now 0 to do, 0 in progress, 1 blocked, 2 done. Half of 2 tasks took")`)
	if areas := w.eval(`[...document.querySelectorAll("#flow .area")].map(e => e.classList[1]).join(" ")`); areas != "done blocked in_progress todo" {
		t.Errorf("the areas are %s", areas)
	}

	w.eval(`(() => { const first = document.querySelector("#flow summary"); first.click(); first.focus(); return "" })()`)
	b.update(ids[1], map[string]any{"status": "blocked"})
	w.until(figures + `.startsWith("Now 0 to do, 0 in progress, 2 blocked, 1 done.")`)
	w.until(`document.querySelector("#flow details").open && document.activeElement === document.querySelector("#flow summary")`) // it is drawn anew
	b.update(ids[1], map[string]any{"status": "done"})
	w.until(figures + `.startsWith("Now 0 to do, 0 in progress, 1 blocked, 2 done.")`)

	w.do(chromedp.EmulateViewport(380, 800)) // the text of a chart is as large there
	w.until(`[...document.querySelectorAll("#flow svg")].every(e => Math.abs(e.clientWidth / e.viewBox.baseVal.width - 1) < 0.06)`)
	w.do(chromedp.EmulateViewport(1400, 1600))

	w.eval(`(document.activeElement.blur(), "")`)
	w.press("a")
	const told = `[...document.querySelectorAll("#activity-list .what")].map(e => e.textContent.replace("Somebody ", "")).join("; ")`
	const past = "“B” Blocked → Done; “B” Done → Blocked; “B” In progress → Done; “D” deleted from To do; “C” To do → Blocked; “B” To do → In progress; " +
		"“A” In progress → Done; “A” To do → In progress; “D” created in To do; “C” created in To do; “B” created in To do; “A” created in To do"
	w.until(told + ` === ` + quote(past))
	b.update(ids[2], map[string]any{"priority": "critical", "assigned_to": "ada"})
	w.until(told + ` === ` + quote("“C” priority medium → critical, assignee nobody → ada; "+past))
	if seen := len(journal(t, b.c)); seen != 13 {
		t.Errorf("the journal has %d events", seen)
	}
	w.click("#activity-list li:first-child button")
	w.until(`document.querySelector("#editor [name=title]").value === "C"`)
	w.leave()
	w.press("f")
	b.daemon.stop() // what was seen stays
	w.until(`connected() === "away"`)
	w.set("#flow-range", "1")
	w.until(figures + `.startsWith("Now 0 to do, 0 in progress, 1 blocked, 2 done.")`)
}
