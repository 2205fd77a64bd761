package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// followPage is a page that is given several daemons, and notes what it is told.
func followPage(host string, urls ...string) string {
	list, _ := json.Marshal(urls)
	return fmt.Sprintf(`<title>page</title><script type="module">
		import { connect } from "http://%s/client.js";
		window.whole = []; window.snapshots = 0; window.failed = [];
		const shown = () => { document.body.dataset.at = [whole.length, snapshots, client.state, client.url]; };
		window.client = connect(%s, { silence: 1500, backoff: () => 20 });
		client.subscribe({ since: "start", debounce_ms: 0 }, {
			event(e) {
				whole.push({ seq: e.seq, url: client.url, at: Date.now() });
				client.call("task.list", { limit: 1 }).catch((error) => failed.push(error.message));
				shown();
			},
			reset() { snapshots++; shown(); },
		});
		client.subscribe({ filter: { status: ["todo"] } }, { snapshot() { snapshots++; shown(); } });
		client.addEventListener("state", shown);
	</script>`, host, list)
}

// told is an event as a page got it.
type told struct {
	Seq int64
	URL string
	At  int64 // Unix milliseconds
}

func (w *window) told() (all []told) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.eval(`JSON.stringify(whole)`)), &all); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// A page that is given several daemons goes on at the next one when that which it is on
// is killed, or says nothing any more, without a gap or a duplicate.
func boardDaemons(t *testing.T, b *boardTest) {
	const kills = 10
	var daemons [2]*daemon
	page := otherPage(t, b, func(host string) string { return followPage(host, daemons[0].url, daemons[1].url) })
	db, flags := b.daemon.db, []string{"--allow-origin", page, "--log-level", "error"}
	daemons = [2]*daemon{b.daemon, serve(t, db, flags...)}
	w := openWindow(t, b.browser, page)
	crew := startCrew(t, daemons[0].url+","+daemons[1].url, 4)
	var killed []told
	for i := range kills {
		d := daemons[i%2]
		w.until(fmt.Sprintf(`client.url === %q && whole.length > 0 && whole.at(-1).url === client.url`, d.url))
		d.kill()
		killed = append(killed, told{URL: d.url, At: time.Now().UnixMilli()})
		w.until(fmt.Sprintf(`whole.at(-1).url !== %q`, d.url))
		daemons[i%2] = serve(t, db, append(flags, "--listen", d.host())...)
	}
	crew.stop()

	here, there := daemons[0], daemons[1]
	w.until(fmt.Sprintf(`client.url === %q && client.state === "live"`, here.url))
	if err := here.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer here.kill()
	paused := time.Now().UnixMilli()
	c := there.dial()
	last := create(t, c, "last").Version
	w.until(fmt.Sprintf(`whole.at(-1).seq === %d`, last))
	if got := w.eval(`client.call("server.ping").then(pong => pong + " of " + client.url)`); got != "pong of "+there.url {
		t.Errorf("a call gives %s, want it of %s", got, there.url)
	}

	all := w.told()
	var seqs, want []int64
	for _, e := range all {
		seqs = append(seqs, e.Seq)
	}
	for _, e := range journal(t, c) {
		want = append(want, e.Seq)
	}
	if !slices.Equal(seqs, want) {
		t.Errorf("the page was told\n%v\nthe journal has\n%v", seqs, want)
	}
	if failed := w.eval(`failed.join()`); failed != "" {
		t.Errorf("calls that only read failed: %s", failed)
	}
	if n := w.eval(`String(snapshots)`); n != "1" {
		t.Errorf("there were %s snapshots, or resets", n)
	}
	var took []int64
	for _, k := range killed {
		i := slices.IndexFunc(all, func(e told) bool { return e.At >= k.At && e.URL != k.URL })
		took = append(took, all[i].At-k.At)
	}
	slices.Sort(took)
	silent := all[len(all)-1].At - paused
	t.Logf("%d kills, %d events: from the kill to the next event %d ms in the median, %d ms at most; %d ms after it fell silent another daemon is used, where 1500 ms are bearable",
		kills, len(all), took[kills/2], took[kills-1], silent)
	if took[kills-1] > 1000 || silent > 5000 {
		t.Error("that is too long")
	}
}

// The example of docs/clients.md works as it is written there: the first daemon may go.
func boardSeveral(t *testing.T, b *boardTest) {
	text, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Several daemons\n")
	_, example, shown := strings.Cut(section, "\n```js\n")
	example, _, _ = strings.Cut(example, "```")
	if !shown {
		t.Fatal("there is no example")
	}
	var names *strings.Replacer
	page := otherPage(t, b, func(string) string {
		return `<body><script type="module">` + names.Replace(example) + `</script>`
	})
	other := serve(t, b.daemon.db, "--allow-origin", page)
	names = strings.NewReplacer("a.example:7420", b.daemon.host(), "b.example:7420", other.host(), "c.example:7420", "127.0.0.1:1")
	w := openWindow(t, b.browser, page)
	w.until(fmt.Sprintf(`document.body.dataset.daemon === %q`, b.daemon.url))
	b.daemon.kill()
	w.until(fmt.Sprintf(`document.body.dataset.daemon === %q`, other.url))
	createWith(t, other.dial(), schema.Draft{ID: "report", Title: "Write the report"})
	w.until(`document.title === "report created"`)
}

// Past a daemon of another journal, one that is behind and one that is away a page finds
// the one that continues; where nothing but another journal is left, it begins anew.
func boardStrangers(t *testing.T, b *boardTest) {
	var urls []string
	page := otherPage(t, b, func(host string) string { return followPage(host, urls...) })
	flags := []string{"--allow-origin", page, "--log-level", "error"}
	create(t, b.c, "one")
	old := database(t)
	mustRun(t, "backup", "--db", b.daemon.db, old)
	create(t, b.c, "two")
	stranger, behind, same := serve(t, database(t), flags...), serve(t, old, flags...), serve(t, b.daemon.db, flags...)
	urls = []string{b.daemon.url, stranger.url, "ws://127.0.0.1:1/rpc", behind.url, same.url}
	foreign := create(t, stranger.dial(), "foreign")
	w := openWindow(t, b.browser, page)
	w.until(`client.state === "live" && whole.length === 2`)
	b.daemon.kill()
	w.until(fmt.Sprintf(`client.state === "live" && client.url === %q`, same.url))
	create(t, same.dial(), "three")
	w.until(`whole.map(e => e.seq).join() === "1,2,3" && snapshots === 1`)
	behind.kill() // before the one that is used, or it would be found, and begin anew with it
	same.kill()
	w.until(fmt.Sprintf(`snapshots === 3 && client.state === "live" && client.url === %q && whole.at(-1).seq === 1`, stranger.url))
	if got := w.eval(`client.call("task.list").then(page => page.tasks.map(t => t.id).join())`); got != foreign.ID {
		t.Errorf("the list has %s, want %s", got, foreign.ID)
	}
	w.mu.Lock() // a page of another origin may not ask why there is no connection, which is told in its console
	w.violations = slices.DeleteFunc(w.violations, func(what string) bool { return strings.Contains(what, "blocked by CORS policy") })
	w.mu.Unlock()
}
