//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeBrowser is a program that writes down what it is to open.
func fakeBrowser(t *testing.T, script string) (opened string) {
	t.Helper()
	folder := t.TempDir()
	opened = filepath.Join(folder, "opened")
	program := filepath.Join(folder, "browser")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENED", opened)
	t.Setenv("BROWSER", "/nowhere/browser:"+program+" --new")
	return opened
}

func TestBoard(t *testing.T) {
	opened := fakeBrowser(t, `echo "$@" > "$OPENED"`)
	db, socket := filepath.Join(t.TempDir(), "tasks.db"), filepath.Join(t.TempDir(), "s")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0", "--socket", socket)
	page := strings.Replace(strings.TrimSuffix(d.urls[0], "rpc"), "ws://", "http://", 1)
	token := strings.TrimSpace(descartes(t, "token", "add", "me", "--db", db).out)
	for _, args := range [][]string{{}, {"--token", token}, {"--token", "wrong"}} { // the page asks for it
		os.Remove(opened)
		if r := descartes(t, append([]string{"board", "--url", d.urls[0]}, args...)...); r != (result{0, page + "\n", ""}) {
			t.Errorf("board %s: %+v", args, r)
		}
		if got, err := os.ReadFile(opened); string(got) != "--new "+page+"\n" {
			t.Errorf("board %s: the browser opens %q, %v", args, got, err)
		}
	}
	os.Remove(opened)
	if r := descartes(t, "board", "--url", d.urls[0], "--print"); r != (result{0, page + "\n", ""}) {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(opened); err == nil {
		t.Error("--print opens the browser")
	}
	if r := descartes(t, "board", "--url", "ws+unix://"+socket, "--token", token); r.code != 2 || !strings.Contains(r.errors, "a browser cannot open the Unix socket") {
		t.Errorf("%+v", r)
	}
	t.Setenv("BROWSER", os.Getenv("BROWSER")+" --app=%s --quiet")
	if r := descartes(t, "board", "--url", d.urls[0]); r != (result{0, page + "\n", ""}) {
		t.Errorf("%+v", r)
	}
	if got, err := os.ReadFile(opened); string(got) != "--new --app="+page+" --quiet\n" {
		t.Errorf("the browser opens %q, %v", got, err)
	}
	fakeBrowser(t, "exit 3")
	if r := descartes(t, "board", "--url", d.urls[0]); r.code != 1 || r.out != page+"\n" || !strings.Contains(r.errors, "open the address yourself, or name one in BROWSER") {
		t.Errorf("%+v", r)
	}
	d.stop(0)
	if r := descartes(t, "board", "--url", d.urls[0]); r.code != 1 || r.out != "" || !strings.Contains(r.errors, "descartes serve") {
		t.Errorf("%+v", r)
	}
}

func TestBoardURL(t *testing.T) {
	for daemon, want := range map[string]string{
		"ws://127.0.0.1:7420/rpc":          "http://127.0.0.1:7420/",
		"wss://tasks.example/rpc":          "https://tasks.example/",
		"ws://[::1]:7420/rpc":              "http://[::1]:7420/",
		"wss://example.org/team/rpc?x=1#y": "https://example.org/team/",
	} {
		if got, err := boardURL(daemon); got != want || err != nil {
			t.Errorf("%s: %s, %v", daemon, got, err)
		}
	}
}
