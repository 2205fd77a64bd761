package integration

import (
	"os"
	"strings"
	"testing"
)

// What docs/clients.md shows for a browser's console works there, on any page of the
// daemon.
func TestBrowserConsole(t *testing.T) {
	text, err := os.ReadFile("../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## A browser's console\n")
	_, code, found := strings.Cut(section, "\n```js\n")
	code, _, ended := strings.Cut(code, "\n```")
	if !found || !ended {
		t.Fatal("docs/clients.md shows nothing for a browser's console")
	}
	tab, d := startBrowser(t), serve(t, database(t))
	visitPage(t, tab, "http://"+d.host()+"/healthz")
	got := evaluate(t, tab, `new Promise(done => {
		const seen = []
		console.log = shown => {
			seen.push(shown.change_type ?? shown.result.title ?? shown.result)
			if (seen.length === 4) done(seen.sort().join(", "))
		}
		`+code+`
	})`)
	if want := "Write the report, bookmark, created, s1"; got != want {
		t.Errorf("shown are %s, want %s", got, want)
	}
}
