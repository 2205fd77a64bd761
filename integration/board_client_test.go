package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// otherPage serves a page of another origin, which a daemon of its own lets in.
func otherPage(t *testing.T, b *boardTest, html func(host string) string) (url string) {
	t.Helper()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, html(strings.Trim(b.daemon.board()[len("http:"):], "/")))
	}))
	t.Cleanup(page.Close)
	b.daemon = serve(t, database(t), "--allow-origin", page.URL)
	b.c = b.daemon.dial()
	return page.URL
}

// The example of docs/board.md works as it is written there, in a page of another origin.
func boardExample(t *testing.T, b *boardTest) {
	text, err := os.ReadFile("../docs/board.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```html\n(.*?)```").FindSubmatch(text)
	if example == nil {
		t.Fatal("there is no example")
	}
	url := otherPage(t, b, func(host string) string {
		return strings.ReplaceAll(string(example[1]), "127.0.0.1:7420", host)
	})
	w := openWindow(t, b.browser, url)
	w.until(`document.title === "live" && document.querySelector("#ready").textContent === "From a page"`)
	task := create(t, b.c, "From elsewhere")
	w.until(`document.querySelector("#ready").textContent === "From a pageFrom elsewhere"`)
	b.update(task.ID, map[string]any{"status": "done"})
	w.until(`document.querySelector("#ready").textContent === "From a page"`)
}

// However often its connection breaks, a subscription of client.js tells every change once.
func boardClient(t *testing.T, b *boardTest) {
	const changes, breaks = 600, 50
	url := otherPage(t, b, func(host string) string {
		return fmt.Sprintf(`<title>page</title><script type="module">
			import { connect } from "http://%s/client.js";
			const sockets = [];
			window.WebSocket = class extends WebSocket { constructor(...a) { super(...a); sockets.push(this); } };
			const options = { backoff: () => 1 };
			const client = connect("ws://%s/rpc", options);
			window.whole = []; window.view = new Map(); window.broken = 0; window.late = 0;
			client.subscribe({ since: "start", debounce_ms: 0 }, {
				event(e) {
					whole.push(e.seq);
					if (e.task.title === "last") document.title = "over";
					if (whole.length %% %d === 0 && broken < %d) { broken++; sockets.at(-1).close(); }
				},
				live(late) { window.late += late; },
			});
			client.subscribe({ filter: { status: ["todo"] }, debounce_ms: 30 }, {
				snapshot(tasks) { view.clear(); for (const t of tasks) view.set(t.id, t.title); },
				event(e) { if (e.left || e.change_type === "deleted") view.delete(e.task_id); else view.set(e.task_id, e.task.title); document.body.dataset.size = view.size; },
			});
			client.addEventListener("state", () => { document.body.dataset.state = client.state; });
		</script>`, host, host, changes/breaks/2, breaks)
	})
	w := openWindow(t, b.browser, url)
	w.until(`document.body.dataset.state === "live"`)
	for i := range changes {
		switch id := fmt.Sprintf("t%d", i/3); i % 3 {
		case 0:
			if _, err := b.c.Create(t.Context(), schema.Draft{ID: id, Title: fmt.Sprint("New ", i)}); err != nil {
				t.Fatal(err)
			}
		case 1:
			b.update(id, map[string]any{"title": fmt.Sprint("Changed ", i)})
		case 2:
			b.update(id, map[string]any{"status": []string{"done", "todo"}[i%2]})
		}
	}
	b.update("t0", map[string]any{"title": "last", "status": "todo"})
	w.until(`document.title === "over" && document.body.dataset.state === "live"`)
	var seqs, want []int64
	if err := json.Unmarshal([]byte(w.eval(`JSON.stringify(whole)`)), &seqs); err != nil {
		t.Fatal(err)
	}
	for _, event := range journal(t, b.c) {
		want = append(want, event.Seq)
	}
	if fmt.Sprint(seqs) != fmt.Sprint(want) {
		t.Errorf("the page was told %d changes, the journal has %d:\n%v\n%v", len(seqs), len(want), seqs, want)
	}
	page, err := b.c.List(t.Context(), schema.ListParams{Filter: &schema.Filter{Status: []schema.Status{schema.Todo}}, Limit: new(int64(1000))})
	if err != nil {
		t.Fatal(err)
	}
	titles := make(map[string]string)
	for _, task := range page.Tasks {
		titles[task.ID] = task.Title
	}
	encoded, _ := json.Marshal(titles)
	w.until(fmt.Sprintf(`(() => { const want = %s; return view.size === %d && [...view].every(([id, title]) => want[id] === title); })()`, encoded, len(titles)))
	t.Logf("client.js was told %d changes once each, over %s broken connections, %s of them late", len(seqs), w.eval(`String(broken)`), w.eval(`String(late)`))
}

// journal is everything that the journal retains.
func journal(t *testing.T, c *client.Client) (all []schema.Event) {
	t.Helper()
	for params := (schema.HistoryParams{Limit: new(int64(1000))}); ; {
		page, err := c.History(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if page.Next == nil {
			return all
		}
		params.Since = page.Next
	}
}

// What is under the pointer stays there, whatever others do.
func boardHold(t *testing.T, b *boardTest) {
	for i := range 30 {
		create(t, b.c, fmt.Sprintf("Task %d", i))
	}
	w := b.open("")
	id := w.until(`document.querySelectorAll(".column[data-status=todo] .card")[3].dataset.id`)
	p := w.center(cardOf(id))
	w.hover(p)
	first := w.eval(`document.querySelectorAll(".column[data-status=todo] .card")[0].dataset.id`)
	place := func(when string) {
		t.Helper()
		if now := w.center(cardOf(id)); now != p {
			t.Errorf("%s: the card under the pointer went from %v to %v", when, p, now)
		}
	}
	if _, err := b.c.Create(t.Context(), schema.Draft{Title: "Urgent", Priority: "critical"}); err != nil {
		t.Fatal(err)
	}
	w.until(`document.querySelector(".column[data-status=todo] .count").textContent === "31"`)
	place("one more above")
	b.update(first, map[string]any{"status": "done"})
	w.until(`document.querySelector(".column[data-status=todo] .count").textContent === "30"`)
	place("one less above")
	for range 2 {
		first = w.eval(`[...document.querySelectorAll(".column[data-status=todo] .card")].at(0).dataset.id`)
		b.update(first, map[string]any{"status": "blocked"})
		w.until(fmt.Sprintf(`statusOf(%q) === "blocked"`, first))
		place("less than there is above")
	}
	w.hover(point{5, 5}) // the empty space above closes when the pointer leaves
	w.until(`document.querySelector(".column[data-status=todo] .slot").style.transform === "translateY(0px)"`)
}
