package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// What goes to one daemon goes to several: when one is lost, the next one continues.
func ExampleDial_several() {
	urls, loseFirst, stop := runDaemons()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, urls, client.Options{Reconnect: true})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	changes, err := c.Subscribe(ctx, schema.SubscribeParams{Since: new(schema.SinceStart)})
	if err != nil {
		log.Fatal(err)
	}
	loseFirst()

	draft := schema.Draft{ID: "report", Title: "Write the report"}
	_, err = c.Create(ctx, draft)
	for errors.Is(err, client.ErrDisconnected) || errors.Is(err, schema.CodeOutcomeUnknown) {
		_, err = c.Create(ctx, draft) // it may have been made: with an id of its own it is made once
	}
	if err != nil && !errors.Is(err, schema.CodeTaskExists) {
		log.Fatal(err)
	}
	for event, err := range changes.Events(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if event.ChangeType == schema.Created {
			fmt.Println(event.TaskID, "was made") // by whichever daemon
			break
		}
	}
	// Output: report was made
}

// runDaemons runs two daemons of an example, on one file, which have urls.
func runDaemons() (urls string, loseFirst, stop func()) {
	folder, err := os.MkdirTemp("", "descartes")
	if err != nil {
		panic(err)
	}
	one, stopOne, err := run(filepath.Join(folder, "tasks.db"), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	two, stopTwo, err := run(filepath.Join(folder, "tasks.db"), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	loseFirst = func() {
		if err := stopOne(); err != nil {
			panic(err)
		}
	}
	stop = func() {
		if err := errors.Join(stopTwo(), os.RemoveAll(folder)); err != nil {
			panic(err)
		}
	}
	return "ws://" + one + ",ws://" + two, loseFirst, stop
}

// What docs/clients.md shows of several daemons is the example that is run here.
func TestDocsShowTheExample(t *testing.T) {
	code, err := os.ReadFile("example_several_test.go")
	must(t, err)
	page, err := os.ReadFile("../../docs/clients.md")
	must(t, err)
	_, shown, found := strings.Cut(string(page), "\n## Several daemons\n")
	_, shown, block := strings.Cut(shown, "\n```go\n")
	shown, _, ended := strings.Cut(shown, "```\n")
	if !found || !block || !ended {
		t.Fatal("docs/clients.md shows no Go for several daemons")
	}
	_, example, _ := strings.Cut(string(code), "ctx := context.Background()\n")
	example, _, _ = strings.Cut(example, "\t// Output:")
	example = strings.ReplaceAll(strings.ReplaceAll("\n"+example, "\n\t", "\n"), "loseFirst()\n", "")[1:]
	example = strings.ReplaceAll(example, "urls,", `"ws://a.example:7420,ws://b.example:7420,ws://c.example:7420",`)
	if example != shown {
		t.Errorf("docs/clients.md shows\n%s\nand the example is\n%s", shown, example)
	}
}
