package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

func TestCall(t *testing.T) {
	url := tempDaemon(t).urls[0]
	r := descartes(t, "call", "--url", url, "task.create", `{"id":"x","title":"one"}`)
	if r.code != 0 || !strings.HasPrefix(r.out, `{"id":"x","title":"one",`) || strings.Count(r.out, "\n") != 1 {
		t.Fatalf("create: %+v", r)
	}
	t.Setenv("DESCARTES_URL", url)
	if r = descartesIn(t, ` [{"id":"x"}] `, "call", "task.get", "-"); r.code != 0 || !strings.HasPrefix(r.out, `{"id":"x"`) {
		t.Errorf("params from standard input: %+v", r)
	}
	for name, test := range map[string]struct {
		args []string
		want result
	}{
		"error answer": {
			[]string{"task.get", `{"id":"y"}`},
			result{1, "", "error -32001 task_not_found: there is no task y {\"reason\":\"task_not_found\",\"id\":\"y\"}\n"},
		},
		"no JSON": {
			[]string{"task.get", "y"},
			result{2, "", "descartes: the params must be a JSON object or array, not y\n"},
		},
		"in one line": {[]string{"server.ping", "--json"}, result{0, "\"pong\"\n", ""}},
		"nothing":     {nil, result{2, "", "descartes: call takes a method and perhaps its params as JSON: descartes call task.get '{\"id\":\"…\"}'\n"}},
	} {
		if got := descartes(t, append([]string{"call"}, test.args...)...); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestNoDaemon(t *testing.T) {
	for _, args := range [][]string{{"call", "server.ping"}, {"watch"}} {
		r := descartes(t, append(args, "--url", "ws://127.0.0.1:1/rpc")...)
		want := `descartes: no daemon answers at ws://127.0.0.1:1/rpc (connect: connection refused): start one with "descartes serve", or name it with --url` + "\n"
		if r != (result{1, "", want}) {
			t.Errorf("%v: %+v", args, r)
		}
	}
	for _, test := range [][2]string{ // nothing was tried
		{"--url 127.0.0.1:1", "write it like ws://"},
		{"--url ftp://x", "none of ws, wss"},
		{"--token a\u00e9", "the token has a character"},
		{"--tls-ca /nowhere", "--tls-ca: open /nowhere"},
	} {
		for _, command := range []string{"ping", "watch", "board", "claim --assigned-to me", "call server.ping"} {
			if r := descartes(t, strings.Fields(command+" "+test[0])...); r.code != 2 || !strings.Contains(r.errors, test[1]) {
				t.Errorf("%s %s: %+v", command, test[0], r)
			}
		}
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"srve", 2, `there is no command "srve"; did you mean serve?`},
		{"watch --coutn 1", 2, "did you mean --count?"},
		{"watch --since", 2, "descartes watch: flag needs an argument"},
		{`watch x --filter {"ids":["y"]}`, 2, "not in both"},
		{"watch --until over", 2, "--until must be todo, in_progress, blocked or done, ready, or a filter"},
		{"watch --until {}", 2, "say what to wait for"},
		{`watch --until {"status":["open"]}`, 2, "must be one of"},
		{"watch --until done --count 1", 2, "exclude each other"},
		{"create", 2, "say what is to be done: descartes create TITLE"},
		{"create x --priority urgent", 2, "--priority must be one of low, medium, high, critical"},
		{"create x --metadata {", 2, "--metadata must be a JSON object"},
		{"create - --id x", 2, "--id is for one task"},
		{"update", 2, `say which tasks: descartes update ID…; "descartes list" shows`},
		{"update x", 2, "say what to change"},
		{"update x y --status done", 2, `"descartes done"`},
		{"update x --complexity hard", 2, "--complexity must be one of"},
		{"done", 2, "say which tasks: descartes done ID…"},
		{"delete x y --expected-version 1", 2, "--expected-version is for one task"},
		{"list --status open", 2, "--status must be one of"},
		{"list --priority urgent", 2, "--priority must be one of"},
		{"list --order name", 2, "--order must be one of"},
		{"list --limit 0", 2, "--limit must be at least 1; --all"},
		{"list --color sometimes", 2, "--color must be auto, always or never"},
		{"history x y", 2, "history takes the id of one task"},
		{"history --since x", 2, "--since must be a cursor that this server gave"},
		{"watch --count 0", 2, "--count must be at least 1"},
		{"watch --timeout -1s", 2, "--timeout must be at least 0s"},
		{"watch --debounce -1s", 2, "--debounce must be 0s to 1m"},
		{"apply", 2, "there is no operation"},
		{"info all", 2, "info takes no argument"},
		{"watch --filter {", 2, "--filter must be JSON"},
		{`watch --filter {"stats":[]}`, 2, "did you mean status?"},
		{`watch --filter {"status":["open"]}`, 2, "filter.status must be one of"},
		{"watch --snapshot --since start", 2, "snapshot must not be given together with since"},
		{"watch --debounce 2m", 2, "--debounce must be 0s to 1m"},
		{"xyzzy", 2, `there is no command "xyzzy"; "descartes --help" lists`},
		{"lsit", 2, "did you mean list?"},
		{"token ad", 2, `token has no command "ad"; did you mean add?`},
		{"completion tcsh", 2, `completion has no command "tcsh"`},
		{"help nope", 2, `there is no command "nope"; "descartes --help" lists those that there are`},
		{"completion tcsh", 2, `completion has no command "tcsh"; "descartes completion --help" lists`},
		{"help token nope", 2, `token has no command "nope"`},
		{"list --nope", 2, "descartes list has no flag --nope\n"},
		{"watch --timeout soon", 2, `--timeout must be a time such as 500ms, 30s or 24h, not "soon"`},
		{"list --limit few", 2, `--limit must be a whole number, not "few"`},
		{"work --parallel many -- true", 2, `--parallel must be a whole number, not "many"`},
		{"bench --rate fast", 2, `--rate must be a number, not "fast"`},
		{"list --ready=perhaps", 2, `--ready must be true or false, not "perhaps"`},
		{"claim --assigned-to a --lease 1ms", 2, "--lease must be 1s to 24h"},

		{"export --db /nowhere", 1, "there is no database /nowhere: name the one"},
		{"version x", 2, "version takes no argument"},
		{"help token add", 0, ""},
		{"version", 0, ""},
		{"", 0, ""},
	} {
		r := descartes(t, strings.Fields(test.args)...)
		if r.code != test.code || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != min(test.code, 1) {
			t.Errorf("%q: %+v, want %d and %q", test.args, r, test.code, test.says)
		}
	}
	// What a script has never set must not mean everything.
	for _, test := range []struct{ args, says string }{
		{"get|", `"" cannot be the id of a task: that is 1 to 128 characters`},
		{"get|a|", `"" cannot be the id`},
		{"done|", `"" cannot be the id`},
		{"done|Buy milk", `"Buy milk" cannot be the id`},
		{"update||--title|x", `"" cannot be the id`},
		{"delete|", `"" cannot be the id`},
		{"watch||--until|done", `"" cannot be the id`},
		{"watch|a|", `"" cannot be the id`},
		{"history|", `"" cannot be the id`},
		{"create|x|--depends-on|", `--depends-on: "" cannot be the id`},
		{"create|x|--id|", `--id: "" cannot be the id`},
		{"claim|--assigned-to|me|--id|", "--id must be 1 to 128 characters"},
		{"claim|--assigned-to|me|--filter|", "--filter is empty"},
		{"watch|--filter|", "--filter is empty"},
		{"list|--filter|", "--filter is empty"},
		{"export|--filter|", "--filter is empty"},
		{"watch|--since|", "--since must be a cursor"},
		{"history|--since|", "--since must be a cursor"},
		{"export|", "export takes the name of a file, but got an empty one"},
		{"import|", "import takes the name of a file, but got an empty one"},
		{"apply|", "apply takes the name of a file, but got an empty one"},
	} {
		if r := descartes(t, strings.Split(test.args, "|")...); r.code != 2 || r.out != "" || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%q: %+v, want %q", test.args, r, test.says)
		}
	}
	var about map[string]string
	if r := descartes(t, "version", "--json"); json.Unmarshal([]byte(r.out), &about) != nil || about["go"] == "" || about["version"] == "" {
		t.Errorf("version: %+v", r)
	}
}

func TestWatchCount(t *testing.T) {
	url := tempDaemon(t).urls[0]
	call := func(method, params string) {
		t.Helper()
		if r := descartes(t, "call", "--url", url, method, params); r.code != 0 {
			t.Fatalf("%s: %+v", method, r)
		}
	}
	call("task.create", `{"id":"x","title":"one\nline"}`)
	call("task.update", `{"id":"x","status":"done","priority":"high"}`)
	call("task.update", `{"id":"x","priority":"low"}`)
	call("task.delete", `{"id":"x"}`)
	r := descartes(t, "watch", "--url", url, "--since", "start", "--count", "4", "--debounce", "0s")
	want := []string{
		"created   x  todo  one line",
		"updated   x  todo -> done  one line",
		"updated   x  done  one line  (priority)",
		"deleted   x  done  one line",
	}
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if r.code != 0 || r.errors != "" || len(lines) != len(want) {
		t.Fatalf("%+v", r)
	}
	for i, line := range lines {
		at, rest, _ := strings.Cut(line, "  ")
		if _, err := time.Parse("15:04:05.000", at); err != nil || rest != want[i] {
			t.Errorf("%q, want a time and %q", line, want[i])
		}
	}
	// --json is what the daemon sends, byte by byte.
	history := descartes(t, "call", "--url", url, "task.history")
	r = descartes(t, "watch", "--url", url, "--since", "start", "--count", "4", "--debounce", "0s", "--json")
	for line := range strings.Lines(r.out) {
		if !strings.Contains(history.out, strings.TrimSuffix(line, "\n")) {
			t.Errorf("%s is not in %s", line, history.out)
		}
	}
}

func TestWatchTimeout(t *testing.T) {
	url := tempDaemon(t).urls[0]
	if r := descartes(t, "watch", "--url", url, "--timeout", "50ms"); r.code != 124 || r.out != "" {
		t.Errorf("%+v", r)
	}
	if r := descartes(t, "watch", "--url", url, "--since", "other-1"); r.code != 1 || !strings.Contains(r.errors, "; --since start begins with the oldest event") {
		t.Errorf("%+v", r)
	}
}

// A watch goes on over a restart of the daemon, and an interrupted one over its own.
func TestWatchGoesOn(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	url := d.urls[0]
	address := strings.TrimSuffix(strings.TrimPrefix(url, "ws://"), "/rpc")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, stdout := io.Pipe()
	errs, done := new(buffer), make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"descartes", "watch", "--url", url, "--json"}, nil, stdout, errs)
		stdout.Close()
	}()
	lines := bufio.NewScanner(out)
	expect := func(kind schema.ChangeType, id string) {
		t.Helper()
		for lines.Scan() {
			var e schema.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if e.ChangeType == kind {
				if e.TaskID != id {
					t.Fatalf("got %s", lines.Text())
				}
				return
			}
		}
		t.Fatalf("the watch ended: %s", errs)
	}
	create := func(id string) {
		t.Helper()
		if r := descartes(t, "call", "--url", url, "task.create", `{"title":"t","id":"`+id+`"}`); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	expect(schema.Bookmark, "")
	create("a")
	expect(schema.Created, "a")
	d.stop(0)
	serveDaemon(t, "--db", db, "--listen", address)
	create("b")
	expect(schema.Created, "b")
	expect(schema.Bookmark, "")
	cancel()
	if code := <-done; code != 0 {
		t.Fatalf("interrupted: exit code %d", code)
	}
	said := errs.String()
	for _, line := range []string{"the connection was lost", "connected again", "to go on from here: descartes watch --since "} {
		if !strings.Contains(said, line) {
			t.Errorf("%q is not in %s", line, said)
		}
	}
	create("c")
	_, cursor, _ := strings.Cut(strings.TrimSpace(said), "--since ")
	if r := descartes(t, "watch", "--url", url, "--since", cursor, "--count", "1"); r.code != 0 || !strings.Contains(r.out, "created   c") {
		t.Errorf("%+v", r)
	}
}

func TestLogFormat(t *testing.T) {
	for format, want := range map[string]string{"auto": `{"level":"warn",`, "json": `{"level":"warn",`, "console": ""} {
		out := new(buffer)
		log, err := newLogger(out, "warn", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("quiet")
		log.Warn().Str("k", "v").Msg("loud")
		if text := out.String(); !strings.HasPrefix(text, want) || strings.Contains(text, "quiet") || !strings.Contains(text, "loud") {
			t.Errorf("%s: %s", format, text)
		}
	}
}

// What is wrong with a token is one line that says what to do, and never the token.
func TestTokenErrors(t *testing.T) {
	db, socket := filepath.Join(t.TempDir(), "tasks.db"), filepath.Join(t.TempDir(), "s")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0", "--socket", socket)
	added := descartes(t, "token", "add", "me", "--db", db, "--scope", "write")
	token := strings.TrimSpace(added.out)
	if added.code != 0 || token == "" {
		t.Fatalf("%+v", added)
	}
	for _, url := range d.urls {
		if r := descartes(t, "call", "--url", url, "--token", token, "server.ping"); r.out != "\"pong\"\n" {
			t.Errorf("%s: %+v", url, r)
		}
		for wrong, want := range map[string]result{
			"":          {1, "", "wants a token: give one with --token or DESCARTES_TOKEN"},
			token + "x": {1, "", "does not accept this token: it is wrong, or was revoked"},
			token + " ": {2, "", "the token has a character that no token has"},
		} {
			for _, command := range [][]string{{"call", "server.ping"}, {"watch"}} {
				r := descartes(t, append(command, "--url", url, "--token", wrong)...)
				if r.code != want.code || !strings.Contains(r.errors, want.errors) || strings.Contains(r.errors, token) || strings.Count(r.errors, "\n") != 1 {
					t.Errorf("%s with %q: %+v", command, wrong, r)
				}
			}
		}
	}
	out, stdout := io.Pipe()
	errs, done := new(buffer), make(chan int, 1)
	go func() {
		done <- run(t.Context(), []string{"descartes", "watch", "--url", d.urls[0], "--token", token, "--json"}, nil, stdout, errs)
		stdout.Close()
	}()
	if _, err := out.Read(make([]byte, 1<<10)); err != nil {
		t.Fatal(err, errs)
	}
	go io.Copy(io.Discard, out)
	if r := descartes(t, "token", "revoke", "me", "--db", db); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	want := "descartes: the daemon at " + d.urls[0] + " does not accept this token: it is wrong, or was revoked\n"
	if code := <-done; code != 1 || errs.String() != want {
		t.Errorf("the watch ended with %d: %s", code, errs)
	}
}
