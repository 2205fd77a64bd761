package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/schema"
)

// boardTools are what the tests use inside the page: until waits for a condition without
// polling, cards tells what the board shows, one line a card.
const boardTools = `
window.until = (condition, what) => new Promise((done, fail) => {
	let watching;
	const check = () => {
		let value;
		try { value = condition(); } catch { return; }
		if (!value) return;
		watching.disconnect(); clearTimeout(timer);
		done(String(value));
	};
	const timer = setTimeout(() => { watching.disconnect(); fail(new Error("never: " + what + "\n" + cards() + "\n" + where())); }, 12000);
	watching = new MutationObserver(check);
	watching.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
	check();
});
window.where = () => location.search + " dialogs " + [...document.querySelectorAll("dialog[open]")].map(d => d.id + d.querySelector(".problem")?.textContent) +
	" focus " + document.activeElement.outerHTML.slice(0, 100) + " note " + document.querySelector("main section:not([hidden]) .note")?.textContent;
window.still = () => Promise.all(document.getAnimations().filter(a => !(a instanceof CSSAnimation)).map(a => a.finished.catch(() => {})));
window.textOf = (element, part) => element.querySelector("." + part).textContent;
window.cards = () => [...document.querySelectorAll(".card[data-id]")].map(card =>
	[card.dataset.id, card.closest(".column").dataset.status, ...["title", "priority", "complexity", "mark", "who"].map(part => textOf(card, part))].join("|")).sort().join("\n");
window.card = id => document.querySelector('.card[data-id="' + id + '"]');
window.statusOf = id => card(id)?.closest(".column").dataset.status;
window.truth = async () => { // at each frame: what is listed may be about to change
	const headers = {"Content-Type": "application/json", ...(sessionStorage.length && {Authorization: "Bearer " + sessionStorage.getItem("descartes-token")})};
	const body = '{"jsonrpc":"2.0","id":1,"method":"task.list","params":{"limit":1000}}';
	for (const end = Date.now() + 10000;; await new Promise(requestAnimationFrame)) {
		const {result} = await (await fetch("/rpc", {method: "POST", headers, body})).json();
		const listed = result.tasks.map(t => [t.id, t.status, t.title, t.priority, t.complexity,
			t.leased_by !== null ? "claimed" : t.ready ? "ready" : "", t.leased_by ?? t.assigned_to ?? ""].join("|")).sort().join("\n");
		if (connected() === "live" && cards() === listed) return "true";
		if (Date.now() > end) throw new Error("the board shows\n" + cards() + "\nthe daemon has\n" + listed + "\n" + where());
	}
};
window.connected = () => document.documentElement.dataset.connection;
true`

// window is a window of the browser that shows the board.
type window struct {
	t   *testing.T
	tab context.Context

	mu         sync.Mutex
	violations []string // of the page's policy, and errors of its scripts
}

// openWindow opens a page of the board in a window of its own.
func openWindow(t *testing.T, browser context.Context, url string) *window {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	w := &window{t: t, tab: tab}
	w.do(chromedp.EmulateViewport(1400, 1600))
	err := chromedp.Listen(tab, func(event any) {
		switch event := event.(type) {
		case *log.EventEntryAdded:
			if event.Entry.Source != log.EntrySourceNetwork { // as of a daemon that is away
				w.complain(event.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			w.complain(fmt.Sprint(event.ExceptionDetails))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.visit(url)
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.violations) > 0 {
			t.Errorf("the browser complains: %q", w.violations)
		}
	})
	return w
}

func (w *window) complain(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, what)
}

// openBoard opens the board of a daemon and waits until it is live.
func openBoard(t *testing.T, browser context.Context, d *daemon, query string) *window {
	t.Helper()
	w := openWindow(t, browser, d.board()+query)
	w.until(`connected() === "live"`)
	return w
}

// board is the address of the page.
func (d *daemon) board() string {
	return strings.TrimSuffix(strings.Replace(d.url, "ws://", "http://", 1), "rpc")
}

func (w *window) visit(url string) {
	w.t.Helper()
	visitPage(w.t, w.tab, url)
	w.eval(`(() => { ` + boardTools + `; return "" })()`)
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.tab, steps...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *window) eval(script string) string {
	w.t.Helper()
	return evaluate(w.t, w.tab, script)
}

// until waits until a condition holds in the page, and gives its value.
func (w *window) until(condition string) string {
	w.t.Helper()
	return w.eval(fmt.Sprintf(`until(() => %s, %s)`, condition, quote(condition)))
}

// press presses keys one after the other, as a keyboard does: what a page prevents is not
// typed.
func (w *window) press(keys string, modifiers ...chromedp.Modifier) {
	w.t.Helper()
	for _, r := range keys {
		var down, up *input.DispatchKeyEventParams
		for _, event := range kb.Encode(r) {
			chromedp.KeyModifiers(modifiers...)(event)
			switch event.Type {
			case kb.KeyDown, input.DispatchKeyEventTypeRawKeyDown:
				down = event
			case kb.KeyChar:
				down.Text, down.Type = event.Text, input.DispatchKeyEventTypeKeyDown
			default:
				up = event
			}
		}
		w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *down); err != nil {
				return err
			}
			_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *up)
			return err
		}))
	}
}

// leave closes the dialog that is open, with Esc twice where there is something to lose.
func (w *window) leave() {
	w.t.Helper()
	const open = `document.querySelector("dialog[open]")`
	w.press(kb.Escape)
	if w.until(`!`+open+` ? "left" : `+open+`.querySelector(".problem")?.textContent.startsWith("There are changes") && "warned"`) == "warned" {
		w.press(kb.Escape)
		w.until(`!` + open)
	}
}

// point is a place in the window.
type point struct{ X, Y float64 }

// center gives the middle of an element.
func (w *window) center(selector string) (p point) {
	w.t.Helper()
	w.until(fmt.Sprintf(`document.querySelector(%s)`, quote(selector)))
	where := w.eval(fmt.Sprintf(`still().then(() => { // what glides is where it will be
		const r = document.querySelector(%s).getBoundingClientRect();
		return JSON.stringify({X: r.x + r.width / 2, Y: r.y + r.height / 2});
	})`, quote(selector)))
	if err := json.Unmarshal([]byte(where), &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *window) hover(p point) {
	w.t.Helper()
	w.do(chromedp.MouseEvent(chromedp.MouseMoved, p.X, p.Y))
}

func (w *window) click(selector string) {
	w.t.Helper()
	p := w.center(selector)
	w.do(chromedp.MouseClickXY(p.X, p.Y))
}

func cardOf(id string) string              { return fmt.Sprintf(`.card[data-id=%q]`, id) }
func columnOf(status schema.Status) string { return fmt.Sprintf(`.column[data-status=%q]`, status) }

func (w *window) awaitStatus(id, to string) {
	w.t.Helper()
	w.until(fmt.Sprintf(`statusOf(%q) === %q`, id, to))
}

func (w *window) fill(field, text string) {
	w.t.Helper()
	w.click("#editor [name=" + field + "]")
	w.press(kb.Home)
	w.selectAll()
	w.press(text)
}

func (w *window) selectAll() { w.t.Helper(); w.eval(`(document.activeElement.select?.(), "")`) }

func (w *window) choose(field, value string) { w.t.Helper(); w.set("#editor [name="+field+"]", value) }

// set gives a field a value as a person does who picks it.
func (w *window) set(selector, value string) {
	w.t.Helper()
	w.eval(fmt.Sprintf(`(() => { const f = document.querySelector(%s); f.focus(); f.value = %s;
		for (const e of ["input", "change"]) f.dispatchEvent(new Event(e, {bubbles: true})); return f.value })()`, quote(selector), quote(value)))
}

// drag takes a card with the mouse and lets it go over a column.
func (w *window) drag(id string, to schema.Status) {
	w.t.Helper()
	w.dragWith(input.DispatchMouseEventPointerTypeMouse, id, to)
}

func (w *window) dragWith(pointer input.DispatchMouseEventPointerType, id string, to schema.Status) {
	w.t.Helper()
	kind := func(p *input.DispatchMouseEventParams) { p.PointerType = pointer }
	from, over := w.center(cardOf(id)), w.center(columnOf(to))
	w.do(
		chromedp.MouseEvent(chromedp.MouseMoved, from.X, from.Y, kind),
		chromedp.MouseEvent(chromedp.MousePressed, from.X, from.Y, chromedp.ButtonLeft, chromedp.ClickCount(1), kind),
		chromedp.MouseEvent(chromedp.MouseMoved, from.X+10, from.Y+10, chromedp.ButtonLeft, kind),
		chromedp.MouseEvent(chromedp.MouseMoved, over.X, over.Y, chromedp.ButtonLeft, kind),
		chromedp.MouseEvent(chromedp.MouseReleased, over.X, over.Y, chromedp.ButtonLeft, chromedp.ClickCount(1), kind),
	)
}

// awaitTruth waits until the board shows exactly what task.list gives.
func (w *window) awaitTruth() {
	w.t.Helper()
	w.eval(`truth()`)
}

// quote gives a text as JavaScript.
func quote(text string) string {
	encoded, _ := json.Marshal(text)
	return string(encoded)
}
