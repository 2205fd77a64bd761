package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// completed gives what the last word can become, its descriptions left out.
func completed(t *testing.T, words ...string) string {
	t.Helper()
	r := descartes(t, append([]string{"completion", "words"}, words...)...)
	if r.code != 0 || r.errors != "" {
		t.Fatalf("%q: %+v", words, r)
	}
	var all []string
	for line := range strings.Lines(r.out) {
		word, _, _ := strings.Cut(line, "\t")
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

func TestComplete(t *testing.T) {
	url := tempDaemon(t).urls[0]
	t.Setenv("DESCARTES_URL", url)
	t.Setenv(patienceVariable, "1m")
	made(t, "One", "--id", "one")
	made(t, "Two", "--id", "two", "--status", "done")
	id := made(t, "Three")
	for _, test := range []struct{ line, want string }{
		{"re", "reopen renew release restore"},
		{"token re", "revoke remove"},
		{"--color a", "auto always"},
		{"--color never li", "list"},
		{"ls --st", "--status"},
		{"list --status ", "todo in_progress blocked done"},
		{"list --status=b", "--status=blocked"},
		{"list --order -t", "-title"},
		{"watch --until r", "ready"},
		{"serve --log-level w", "warn"},
		{"import --on-conflict r", "refuse replace"},
		{"help cl", "cluster claim"},
		{"cluster l", "leave"},
		{"bench f", "fanout"},
		{"call task.c", "task.create task.claim"},
		{"call task.get t", ""},
		{"get ", id[28:] + " two one"}, // the newest first
		{"get " + id[:9], id},
		{"done ", id[28:] + " one"},
		{"reopen t", "two"},
		{"watch one t", ""},
		{"update one t", ""},
		{"done --json one t", ""},
		{"done one o", "one"},
		{"claim --id o", "one"},
		{"create --id o", ""},
		{"create x --depends-on o", "one"},
		{"create o", ""},
		{"work -- o", ""},
		{"get --url ws://127.0.0.1:1 o", ""},
		{"get --url='ws://127.0.0.1:1' o", ""},
		{"backup o", ""},
		{"nothing o", ""},
	} {
		if got := completed(t, strings.Split(test.line, " ")...); got != test.want && !(test.line == "watch one t" && got == "two") {
			t.Errorf("%q becomes %q, want %q", test.line, got, test.want)
		}
	}
	t.Setenv("DESCARTES_URL", "ws://127.0.0.1:1")
	if got := completed(t, "get", "--url", url, "o"); got != "one" {
		t.Errorf("--url of the line is not asked: %q", got)
	}
}

// A daemon that takes the connection and says nothing is not waited for.
func TestCompleteIsQuick(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begun := time.Now()
	if got := completed(t, "get", "--url", "ws://"+silent.Addr().String(), ""); got != "" {
		t.Errorf("%q", got)
	}
	if took := time.Since(begun); took > 10*time.Second { // without a bound it would be for ever
		t.Errorf("it takes %s", took)
	}
}
