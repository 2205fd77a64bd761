package clients

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// block gives the first block of a language in a section of docs/clients.md.
func block(t *testing.T, section, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/clients.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	_, rest, shown := strings.Cut(rest, "\n```"+language+"\n")
	code, _, ended := strings.Cut(rest, "\n```")
	if !found || !shown || !ended {
		t.Fatalf("docs/clients.md shows no %s for %s", language, section)
	}
	return code
}

// What docs/clients.md shows is the code that is run here.
func TestDocsShowWhatRuns(t *testing.T) {
	for section, file := range map[string]string{
		"rpc-websockets":         "rpc-websockets.mjs",
		"json-rpc-2.0":           "json-rpc-2.0.mjs",
		"vscode-ws-jsonrpc":      "vscode-ws-jsonrpc.mjs",
		"@open-rpc/client-js":    "open-rpc.mjs",
		"@polkadot/rpc-provider": "polkadot.mjs",
		"go-ethereum":            "geth_test.go",
		"sourcegraph/jsonrpc2":   "sourcegraph_test.go",
	} {
		text, err := os.ReadFile(file)
		must(t, err)
		_, code, found := strings.Cut(string(text), "// docs\n")
		code, _, ended := strings.Cut(code, "// end\n")
		if !found || !ended {
			t.Fatalf("%s has no marks", file)
		}
		language := "js"
		if strings.HasSuffix(file, ".go") {
			language = "go"
			code = strings.ReplaceAll(strings.ReplaceAll("\n"+code, "\n\t", "\n"), "url)", `"ws://`+address+`/rpc")`)
			code = strings.ReplaceAll(code, "url, nil)", `"ws://`+address+`/rpc", nil)`)
		}
		if got := block(t, section, language); got != strings.TrimSpace(code) {
			t.Errorf("docs/clients.md shows for %s\n%s\nand %s has\n%s", section, got, file, code)
		}
	}
}

var (
	uuid  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	milli = regexp.MustCompile(`\b\d{13}\b`)
	epoch = regexp.MustCompile(`\b[a-z0-9]{12}-(\d+)"`)
)

// normal makes a line the same at each run.
func normal(line string) string {
	line = milli.ReplaceAllString(uuid.ReplaceAllString(line, "ID"), "MS")
	return epoch.ReplaceAllString(line, `EPOCH-$1"`)
}

// The commands with curl print what docs/clients.md says.
func TestCurl(t *testing.T) {
	need(t, "curl")
	host := serve(t)
	for text := range strings.SplitSeq(block(t, "curl", "console"), "$ ") {
		command, want, _ := strings.Cut(strings.TrimSpace(text), "\n")
		if command == "" {
			continue
		}
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, address, host)).Output()
		if got := strings.TrimSpace(string(out)); err != nil || normal(got) != normal(want) {
			t.Errorf("%s (%v) prints\n%s\nwant\n%s", command, err, got, want)
		}
	}
}

// The program in Python prints what happens.
func TestPython(t *testing.T) {
	program := block(t, "Python", "python")
	python := withWebsockets(t)
	run := exec.Command(python, "-")
	run.Stdin = strings.NewReader(strings.ReplaceAll(program, address, serve(t)))
	out, err := run.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines) // answers and events may overtake each other
	if got := strings.Join(lines, ", "); err != nil || got != "-32001 there is no task nothing, bookmark None, created Write the report" {
		t.Errorf("%v: prints %s", err, got)
	}
}

// withWebsockets gives a Python that has the package websockets.
func withWebsockets(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} { // the first in PATH may not be the system's
		if exec.Command(python, "-c", "import websockets").Run() == nil {
			return python
		}
	}
	skip(t, "no python3 has the package websockets")
	return ""
}
