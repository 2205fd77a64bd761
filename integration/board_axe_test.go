package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/descartes-tasks/descartes/schema"
)

// axeSource is the script of axe-core, which looks for what keeps people out.
func axeSource(t *testing.T) string {
	t.Helper()
	root, err := exec.Command(need(t, "npm"), "root", "--global").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("axe-core is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// axe-core finds nothing on any page, in light and dark.
func boardAxe(t *testing.T, b *boardTest) {
	source := axeSource(t)
	first, err := b.c.Create(t.Context(), schema.Draft{Title: "First", Description: new("Words."), Priority: "critical", AssignedTo: new("ada")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.c.Create(t.Context(), schema.Draft{Title: "Second", Priority: "high", Dependencies: []string{first.ID}, Metadata: []byte(`{"a":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.c.Create(t.Context(), schema.Draft{Title: "Third", Status: schema.Done}); err != nil {
		t.Fatal(err)
	}
	w := b.open("")
	load := func() { w.eval(`(() => { ` + source + `; return "" })()`) }
	load()
	check := func(what string) {
		t.Helper()
		for scheme, rules := range map[string]string{"light": `{}`, "dark": `{runOnly: ["color-contrast"]}`} { // the rest is the same
			w.do(emulate(scheme, "none"))
			found := w.eval(`still().then(() => axe.run(` + rules + `)).then(r => r.violations.map(v => v.id + ": " + v.help + ": " +
				v.nodes.map(n => n.html + " " + n.failureSummary).join("; ")).join("\n"))`)
			if found != "" {
				t.Errorf("%s, %s: %s", what, scheme, found)
			}
		}
	}
	check("board")
	b.update(first.ID, map[string]any{"status": "in_progress"})
	w.until(fmt.Sprintf(`card(%q).classList.contains("told")`, first.ID))
	w.until(fmt.Sprintf(`!card(%q).classList.contains("changed")`, first.ID))
	check("board with news")
	w.click("#connection")
	check("connection")
	w.press(kb.Escape)
	w.click(cardOf(second.ID))
	w.click("#editor .history summary")
	w.until(`document.querySelector("#editor .history li")`)
	w.click("#dependency-search")
	w.press("thi")
	w.until(`document.querySelector("#dependency-options [role=option]")`)
	check("editor")
	w.do(emulate("dark", "active")) // all have one colour there
	if outline := w.eval(`getComputedStyle(document.querySelector("#dependency-options [aria-selected=true]")).outlineStyle`); outline != "solid" {
		t.Errorf("with forced colours the suggestion that Enter takes has an outline that is %s", outline)
	}
	w.press(kb.Escape) // of the suggestions
	w.fill("title", "Mine")
	b.update(second.ID, map[string]any{"title": "Theirs"})
	w.until(`!document.querySelector("#editor .problem").hidden`)
	w.click("#editor .save")
	w.until(`!document.querySelector(".conflict").hidden`)
	check("conflict")
	w.leave()
	w.press("?")
	check("help")
	w.leave()
	w.press("a")
	w.until(`document.querySelectorAll("#activity-list li").length >= 5`)
	check("activity")
	w.press("f")
	w.until(`document.querySelectorAll("#flow-charts svg").length === 3`)
	w.eval(`(document.querySelectorAll("#flow details").forEach(d => { d.open = true }), "")`)
	check("flow")
	w.press("b")
	w.press(kb.End)
	w.eval(fmt.Sprintf(`(card(%q).focus(), "")`, second.ID))
	w.press(kb.Delete)
	w.until(`document.querySelector(".toast")`)
	b.daemon.kill()
	w.until(`!document.querySelector("#banner").hidden`)
	check("away")
	g := openGate(t)
	w.visit(g.board())
	load()
	w.until(`document.querySelector("#token").open`)
	check("token")
}

// emulate has the browser prefer a colour scheme, and no motion, and, where forced is active,
// use the colours of the system alone.
func emulate(scheme, forced string) chromedp.Action[chromedp.Void] {
	features := []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, {Name: "forced-colors", Value: forced},
	}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	})
}
