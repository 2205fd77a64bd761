package integration

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/schema"
)

// again starts the daemon on its file and its port once more.
func (b *boardTest) again() {
	b.t.Helper()
	u := b.daemon.board()
	address := u[len("http://") : len(u)-1]
	b.daemon = serve(b.t, b.daemon.db, "--listen", address)
	b.c = b.daemon.dial()
}

// awayFor is how long the daemon stays away at least, as DESCARTES_AWAY says (as 1m).
func awayFor(t *testing.T) time.Duration {
	t.Helper()
	text := cmp.Or(os.Getenv("DESCARTES_AWAY"), "0s")
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DESCARTES_AWAY: %v", err)
	}
	return length
}

// writeWhileAway has another process write, ten times a second, for a time, and gives how
// many changes it has made.
func (b *boardTest) writeWhileAway(length time.Duration) (changes int) {
	b.t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); changes += 2 {
		<-ticker.C // the time is what is tested
		status := schema.Statuses()[changes/2%4]
		statement := fmt.Sprintf(`INSERT OR REPLACE INTO tasks (id, title, status) VALUES ('away-%d', 'Change %d', '%s');
			UPDATE tasks SET title = 'Change %d' WHERE id = 'outside';`, changes/2%9, changes, status, changes+1)
		if err := shell(b.t, b.daemon.db, statement); err != nil {
			b.t.Fatal(err)
		}
	}
	return changes
}

// thousands writes a number as the board does.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// The page is right after every absence, by itself.
func boardAway(t *testing.T, b *boardTest) {
	first, second := create(t, b.c, "First"), create(t, b.c, "Second")
	w := b.open("")
	w.awaitTruth()

	b.daemon.kill()
	w.until(`connected() === "away" && !document.querySelector("#banner").hidden`)
	b.again()
	b.update(first.ID, map[string]any{"status": "done"}) // which the page hears of live, or by its cursor
	w.awaitTruth()
	w.until(`document.querySelector("#banner").hidden`)

	b.daemon.stop()
	w.until(`connected() === "away"`)
	err := shell(t, b.daemon.db, fmt.Sprintf(`UPDATE tasks SET status = 'blocked', title = 'by hand' WHERE id = '%s';
		DELETE FROM tasks WHERE id = '%s'; INSERT INTO tasks (id, title) VALUES ('outside', 'Third');`, second.ID, first.ID))
	if err != nil {
		t.Fatal(err)
	}
	other := serve(t, b.daemon.db) // another daemon on the file
	create(t, other.dial(), "Fourth")
	w.until(`/^Away\. This is how it was at .* Next try in /.test(document.querySelector("#banner .what").textContent)`)
	for _, shown := range []string{"First", "by hand"} { // what is shown stays as it was
		if cards := w.eval(`cards()`); strings.Contains(cards, shown) != (shown == "First") {
			t.Errorf("while the daemon is away the board shows %s", cards)
		}
	}
	missed := 4 + b.writeWhileAway(awayFor(t))
	b.again()
	if missed == 4 { // else it comes back by itself, within 10 s
		w.click("#banner button")
	}
	w.awaitTruth()
	w.until(fmt.Sprintf(`[...document.querySelectorAll(".toast")].some(e => /^Back after .* %s changes were caught up\./.test(e.textContent))`, thousands(missed)))
	create(t, other.dial(), "Fifth")
	w.until(`cards().includes("Fifth")`)
	other.stop()
	w.awaitTruth()

	b.daemon.stop()
	w.until(`connected() === "away"`)
	for _, suffix := range []string{"", "-wal", "-shm"} { // another database: no cursor leads there
		if err := os.Remove(b.daemon.db + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	b.again()
	create(t, b.c, "Anew")
	w.awaitTruth()
	w.until(`document.querySelectorAll(".card[data-id]").length === 1`)
	w.until(`[...document.querySelectorAll(".toast")].some(e => /^Back after .* The board was read anew\./.test(e.textContent))`)
	create(t, b.c, "Anew and live")
	w.awaitTruth()
}

// The mark does not say live when the daemon is there but says nothing.
func boardStalled(t *testing.T, b *boardTest) {
	create(t, b.c, "One")
	w := b.open("")
	w.eval(`(() => { // time passes at once; the machine may have slept
		const now = Date.now; let ahead = 0;
		Date.now = () => now() + ahead;
		window.sleep = ms => { ahead += ms };
		return "";
	})()`)
	if err := b.daemon.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.eval(`(sleep(20000), "")`)
	w.until(`connected() === "catching up"`)
	w.eval(`(sleep(3600000), "")`)
	w.until(`connected() === "away"`)
	if err := b.daemon.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.c = b.daemon.dial()
	create(t, b.c, "Two")
	w.awaitTruth()
}

// A token is asked for once, and kept for the tab.
func boardToken(t *testing.T, b *boardTest) {
	g := openGate(t)
	w := openWindow(t, b.browser, g.board())
	enter := func(w *window, name, token string) {
		t.Helper()
		w.until(`document.querySelector("#token").open`)
		w.eval(`(document.querySelector("#token input").focus(), "")`)
		w.press(token + kb.Enter)
		if name != "" {
			w.until(`connected() === "live" && !document.querySelector("#token").open`)
		}
	}
	w.until(`document.querySelector("#token").open`)
	if says := w.eval(`[...document.querySelectorAll(".column .empty, .column .count, .shown")].map(e => e.textContent).join("")`); says != "" {
		t.Errorf("before anything is known the board says %q", says)
	}
	enter(w, "", "no-such-token")
	w.until(`document.querySelector("#token").open && document.querySelector("#token .problem").textContent === "That token is not accepted."`)
	enter(w, "writer", g.tokens["writer"])
	w.press("n")
	w.until(`document.activeElement.name === "title"`)
	w.press("With a token" + kb.Enter)
	w.until(`cards().includes("With a token")`)
	w.awaitTruth()

	reader := openWindow(t, b.browser, g.board())
	enter(reader, "reader", g.tokens["reader"])
	id := reader.until(`document.querySelector(".card[data-id]").dataset.id`)
	w.drag(id, schema.InProgress)
	reader.until(fmt.Sprintf(`textOf(card(%q), "news") === "writer: To do → In progress"`, id))
	reader.drag(id, schema.Done)
	reader.until(`document.querySelector(".toast.bad")?.textContent.includes("stays in In progress: this token may only read.")`)
	reader.awaitStatus(id, "in_progress")

	w.visit(g.board()) // the tab still has it
	w.until(`connected() === "live"`)
	w.awaitTruth()
	g.token("revoke", "writer")
	w.until(`document.querySelector("#token").open && connected() === "away"`)
	w.press(kb.Escape) // to read on, and say what is wrong
	w.until(`!document.querySelector("#token").open && document.querySelector("#banner .what").textContent.endsWith("The daemon asks for a token.")`)
	w.click("#banner button")
	w.until(`document.querySelector("#token").open`)
	if got := w.eval(`location.href + JSON.stringify(localStorage)`); got != g.board()+"{}" {
		t.Errorf("the token, or something, is in %s", got)
	}
}
