package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/descartes-tasks/descartes/schema"
)

// frames counts the frames of a page and the longest time between two of them, until
// stop() is called, which gives both.
const frames = `(() => {
	let n = 0, worst = 0, running = true;
	const begin = performance.now();
	let last = begin;
	const tick = now => { n++; worst = Math.max(worst, now - last); last = now; if (running) requestAnimationFrame(tick); };
	requestAnimationFrame(tick);
	window.stop = () => { running = false; const took = performance.now() - begin;
		return JSON.stringify({PerSecond: n / took * 1000, Worst: worst, Took: took}); };
	return "";
})()`

type frameFigures struct{ PerSecond, Worst, Took, Busy float64 }

// String tells them; the processor time of the page's thread is the same on a busy machine.
func (f frameFigures) String() string {
	return fmt.Sprintf("%.0f frames per second, the longest %.0f ms; %.1f ms of processor time for each", f.PerSecond, f.Worst, f.Busy*1e6/(f.PerSecond*f.Took))
}

func (w *window) framesDuring(do func()) (f frameFigures) {
	w.t.Helper()
	before := w.busy()
	w.eval(frames)
	do()
	if err := json.Unmarshal([]byte(w.eval(`stop()`)), &f); err != nil {
		w.t.Fatal(err)
	}
	f.Busy = w.busy() - before
	return f
}

// busy gives the processor time, in seconds, of the page's thread.
func (w *window) busy() (seconds float64) {
	w.t.Helper()
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
			return err
		}
		found, err := cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, m := range found.Metrics {
			if m.Name == "TaskDuration" {
				seconds = m.Value
			}
		}
		return nil
	}))
	return seconds
}

// With 5,000 tasks the board stays fluent.
func boardLarge(t *testing.T, b *boardTest) {
	const tasks, changes, perSecond = 5000, 400, 200
	ids := fillBoard(t, b, tasks)
	w := openWindow(t, b.browser, b.daemon.board()+"?text=nothing-yet")
	w.visit(b.daemon.board())
	w.until(`connected() === "live" && document.querySelectorAll(".card[data-id]").length > 20`)
	t.Logf("5,000 tasks: %s", w.eval(`(() => {
		const paint = performance.getEntriesByName("first-contentful-paint")[0];
		return "first paint after " + Math.round(paint.startTime) + " ms, cards after " + Math.round(performance.getEntriesByName("first-cards")[0]?.startTime ?? -1) +
			" ms, " + document.querySelectorAll(".card[data-id]").length + " cards are elements";
	})()`))
	if n := w.eval(`[...document.querySelectorAll(".count")].reduce((n, e) => n + Number(e.textContent.replace(/\D/g, "")), 0) + ""`); n != fmt.Sprint(tasks) {
		t.Errorf("the columns count %s tasks", n)
	}

	id := w.eval(`document.querySelector(".column[data-status=todo] .card").dataset.id`)
	from, over := w.center(cardOf(id)), w.center(columnOf(schema.Done))
	figures := w.framesDuring(func() {
		w.do(chromedp.MouseEvent(chromedp.MousePressed, from.X, from.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
		for i := range 60 {
			share := float64(i+1) / 60
			w.do(chromedp.MouseEvent(chromedp.MouseMoved, from.X+share*(over.X-from.X), from.Y+share*(over.Y-from.Y), chromedp.ButtonLeft))
		}
		w.do(chromedp.MouseEvent(chromedp.MouseReleased, over.X, over.Y, chromedp.ButtonLeft, chromedp.ClickCount(1)))
		w.until(fmt.Sprintf(`statusOf(%q) === "done"`, id))
	})
	t.Logf("5,000 tasks, a drag: %v", figures)

	figures = w.framesDuring(func() {
		statuses := []schema.Status{schema.Todo, schema.InProgress, schema.Blocked, schema.Done}
		ticker := time.NewTicker(time.Second / perSecond)
		defer ticker.Stop()
		answers := make(chan error, changes)
		for i := range changes {
			<-ticker.C // the rate is what is tested
			go func() {
				answers <- b.c.Call(context.WithoutCancel(t.Context()), schema.MethodUpdate, map[string]any{"id": ids[i*7%tasks], "status": statuses[i%4], "title": fmt.Sprint("Burst ", i)}, nil)
			}()
		}
		for range changes {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
	})
	t.Logf("5,000 tasks, %d changes at %d a second: %v", changes, perSecond, figures)
	stats, err := b.c.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.until(fmt.Sprintf(`["todo", "in_progress", "blocked", "done"].every((s, i) =>
		document.querySelector(".column[data-status=" + s + "] .count").textContent.replace(/\D/g, "") === ["%d", "%d", "%d", "%d"][i])`,
		stats.Tasks["todo"], stats.Tasks["in_progress"], stats.Tasks["blocked"], stats.Tasks["done"]))
	w.set("#filter [name=text]", "burst")
	w.until(fmt.Sprintf(`document.querySelector("#filter .shown").textContent === "%d of 5,000"`, changes))
	w.do(chromedp.MouseEvent(chromedp.MouseMoved, 5, 5))
}

// fillBoard makes tasks in all columns, some of which wait for others.
func fillBoard(t *testing.T, b *boardTest, n int) []string {
	t.Helper()
	ids := make([]string, n)
	statuses := []schema.Status{schema.Todo, schema.InProgress, schema.Blocked, schema.Done}
	for done := 0; done < n; done += 1000 {
		operations := make([]map[string]any, 1000)
		for i := range operations {
			k := done + i
			ids[k] = fmt.Sprintf("task-%d", k)
			operations[i] = map[string]any{
				"op": "create", "id": ids[k], "title": fmt.Sprintf("Task %d of the many that there are on this board", k), "status": statuses[k%4],
				"priority": []string{"low", "medium", "high", "critical"}[k/4%4], "description": "Some words that say what is to be done.",
			}
			if k%4 == 0 && k > 8 {
				operations[i]["dependencies"] = []string{ids[k-3]}
			}
		}
		if err := b.c.Call(t.Context(), schema.MethodApply, map[string]any{"operations": operations}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}
