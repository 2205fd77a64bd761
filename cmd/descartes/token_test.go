package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// inProcess runs a command in a process of its own: one process has a database open
// once.
func inProcess(t *testing.T, args ...string) (r result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a daemon that should not have started
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // how it ended is in the exit code
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// A token from its making to its end, on a daemon that runs meanwhile.
func TestToken(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	create := func(token string) result {
		t.Helper()
		return inProcess(t, "call", "--url", d.urls[0], "--token", token, "task.create", `{"title":"x"}`)
	}
	token := func(args ...string) result {
		t.Helper()
		return inProcess(t, append(append([]string{"token"}, args...), "--db", db)...)
	}
	if r := create(""); r.code != 0 {
		t.Fatalf("before there are tokens: %+v", r)
	}
	added := token("add", "ann", "--scope", "write")
	secret := strings.TrimSuffix(added.out, "\n")
	if added.code != 0 || !regexp.MustCompile(`^descartes_[\w-]{43}$`).MatchString(secret) || strings.Contains(added.errors, secret) {
		t.Fatalf("add: %+v", added)
	}
	reader := strings.TrimSpace(token("add", "bob").out)
	for what, test := range map[string]struct {
		token string
		code  int
		says  string
	}{
		"write":    {secret, 0, ""},
		"read":     {reader, 1, "-32008 forbidden"},
		"no token": {"", 1, "token"},
		"wrong":    {"descartes_x", 1, "token"},
	} {
		if r := create(test.token); r.code != test.code || !strings.Contains(r.errors, test.says) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	var tokens []schema.Token
	listed := token("list", "--json")
	if err := json.Unmarshal([]byte(listed.out), &tokens); err != nil || len(tokens) != 2 || tokens[0].Name != "ann" ||
		tokens[0].Scope != schema.ScopeWrite || tokens[1].Scope != schema.ScopeRead || tokens[1].Revoked() {
		t.Errorf("list: %v, %+v", err, listed)
	}
	if r := token("revoke", "ann", "bob"); r.code != 0 || r.out != "revoked ann\nrevoked bob\n" {
		t.Errorf("revoke: %+v", r)
	}
	if r := create(secret); r.code != 1 {
		t.Errorf("revoked: %+v", r)
	}
	if r := create(""); r.code != 1 {
		t.Errorf("with all tokens revoked: %+v", r)
	}
	if r := token("list"); r.code != 0 || !regexp.MustCompile(`(?m)^ann +write +\S+ \S+  \d{4}-\S+ \S+$`).MatchString(r.out) {
		t.Errorf("list: %+v", r)
	}
	if r := token("remove", "ann", "bob"); r.code != 0 || r.out != "removed ann\nremoved bob\n" {
		t.Errorf("remove: %+v", r)
	}
	if r := create(""); r.code != 0 {
		t.Errorf("with all tokens removed: %+v", r)
	}
}

// A token opens the daemons of two files, each by its own list; of a hash that is there
// nobody else is made the owner.
func TestTokenOfAnotherFile(t *testing.T) {
	folder := t.TempDir()
	first, second := filepath.Join(folder, "first.db"), filepath.Join(folder, "second.db")
	secret := strings.TrimSpace(descartes(t, "token", "add", "ann", "--scope", "write", "--db", first).out)
	listed := run1(t, "token", "list", "--hashes", "--db", first)
	_, hash, _ := strings.Cut(strings.TrimSpace(listed), "  -        ")
	var tokens []struct{ Hash string }
	if err := json.Unmarshal([]byte(run1(t, "token", "list", "--hashes", "--json", "--db", first)), &tokens); err != nil || len(tokens) != 1 || tokens[0].Hash != hash {
		t.Fatalf("%v: %+v, not the hash of\n%s", err, tokens, listed)
	}
	if r := descartes(t, "token", "add", "ann", "--hash", hash, "--scope", "write", "--db", second); r.code != 0 || r.out != "added ann\n" ||
		r.errors != "Whoever has the token is ann in "+second+" and may read and write.\n" {
		t.Errorf("%+v", r)
	}
	d := serveDaemon(t, "--db", second, "--listen", "127.0.0.1:0")
	run1(t, "create", "x", "--url", d.urls[0], "--token", secret)
	for name, says := range map[string]string{"bob": "there is already a token of this hash, that of ann", "ann": "there is already a token ann"} {
		if r := inProcess(t, "token", "add", name, "--hash", hash, "--db", second); r.code != 1 || !strings.Contains(r.errors, says) || r.out != "" {
			t.Errorf("%s again: %+v", name, r)
		}
	}
	if r := descartes(t, "token", "list", "--json", "--db", first); strings.Contains(r.out, hash) {
		t.Errorf("nobody has asked for the hash: %s", r.out)
	}
}

func TestTokenMistakes(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	for _, name := range []string{"ann", "gone"} {
		if r := descartes(t, "token", "add", name, "--db", db); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	if r := descartes(t, "token", "revoke", "gone", "--db", db); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no name":          {[]string{"add"}, 2, "say who the token is for"},
		"two names":        {[]string{"add", "a", "b"}, 2, "one name"},
		"bad name":         {[]string{"add", "a b"}, 2, "letters, digits"},
		"bad scope":        {[]string{"add", "a", "--scope", "wirte"}, 2, "must be one of read, write; did you mean write?"},
		"twice":            {[]string{"add", "ann"}, 1, "already a token ann"},
		"name of a former": {[]string{"add", "gone"}, 1, "token remove gone"},
		"revoke nothing":   {[]string{"revoke"}, 2, "say whose"},
		"revoke unknown":   {[]string{"revoke", "ann", "nobody"}, 1, `token "nobody": there is no token`},
		"remove in use":    {[]string{"remove", "ann"}, 1, "revoke it first"},
		"list something":   {[]string{"list", "ann"}, 2, `"ann"`},
		"bad hash":         {[]string{"add", "a", "--hash", "descartes_secret"}, 2, "--hash must be 64 hexadecimal digits"},
		"long hash":        {[]string{"add", "a", "--hash", strings.Repeat("0", 66)}, 2, "--hash must be 64 hexadecimal digits"},
		"empty hash":       {[]string{"add", "a", "--hash", ""}, 2, "--hash must be 64 hexadecimal digits"},
		"no such command":  {[]string{"delete", "ann"}, 2, `no command "delete"`},
		"no file":          {[]string{"list", "--db", db + ".none"}, 1, "there is no database"},
		"no file either":   {[]string{"revoke", "ann", "--db", db + ".none"}, 1, "there is no database"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"token"}, test.args...)
			if test.says != "there is no database" && name != "no such command" {
				args = append(args, "--db", db)
			}
			r := descartes(t, args...)
			if r.code != test.code || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 || r.out != "" {
				t.Errorf("%+v, want %d and %q", r, test.code, test.says)
			}
		})
	}
	if r := descartes(t, "token", "list", "--db", db, "--json"); strings.Count(r.out, "revoked_at") != 1 {
		t.Errorf("a mistake has changed something: %+v", r)
	}
}

// Beyond loopback a daemon starts only where somebody could come in, and warns of
// tokens that travel unencrypted.
func TestServeBeyondLoopback(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	refused := func(what string) {
		t.Helper()
		r := inProcess(t, "serve", "--db", db, "--listen", "0.0.0.0:0")
		if r.code != 1 || !strings.Contains(r.errors, "descartes token add NAME") || !strings.Contains(r.errors, "--tls-cert") ||
			strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	refused("no tokens")
	secret := strings.TrimSpace(inProcess(t, "token", "add", "ann", "--db", db).out)
	d := serveDaemon(t, "--db", db, "--listen", "0.0.0.0:0", "--log-format", "json")
	if !strings.Contains(d.errors.String(), "travel unencrypted") {
		t.Errorf("no warning: %s", d.errors)
	}
	if r := inProcess(t, "call", "--url", d.urls[0], "--token", secret, "server.ping"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	inProcess(t, "token", "revoke", "ann", "--db", db)
	inProcess(t, "token", "remove", "ann", "--db", db)
	if r := inProcess(t, "call", "--url", d.urls[0], "server.ping"); r.code != 1 {
		t.Errorf("without any token left somebody comes in: %+v", r)
	}
	d.stop(0)
	inProcess(t, "token", "add", "bob", "--db", db)
	inProcess(t, "token", "revoke", "bob", "--db", db)
	refused("all revoked")
}
