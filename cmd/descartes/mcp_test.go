package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// mcpSession is "descartes mcp" in this process, and an agent that talks to it.
type mcpSession struct {
	*sdk.ClientSession
	errors *buffer
	done   chan int
}

func startMCP(t *testing.T, args ...string) *mcpSession {
	t.Helper()
	in, toIn := io.Pipe()
	out, toOut := io.Pipe()
	s := &mcpSession{errors: new(buffer), done: make(chan int, 1)}
	go func() {
		s.done <- run(context.Background(), append([]string{"descartes", "mcp"}, args...), in, toOut, s.errors)
		toOut.Close()
	}()
	client := sdk.NewClient(&sdk.Implementation{Name: "agent"}, nil)
	var err error
	if s.ClientSession, err = client.Connect(t.Context(), &sdk.IOTransport{Reader: out, Writer: toIn}, nil); err != nil {
		t.Fatal(err, s.errors)
	}
	return s
}

// says calls a tool and gives its first text.
func (s *mcpSession) says(t *testing.T, tool, arguments string) string {
	t.Helper()
	result, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: json.RawMessage(arguments)})
	if err != nil {
		t.Fatal(err)
	}
	return result.Content[0].(*sdk.TextContent).Text
}

func TestMCP(t *testing.T) {
	d := tempDaemon(t)
	s := startMCP(t, "--url", d.urls[0], "--name", "Ada")
	s.says(t, "create_tasks", `{"tasks":[{"id":"a","title":"one"}]}`)
	s.says(t, "claim_task", `{}`)
	if says := s.says(t, "claim_task", `{"id":"a"}`); !strings.HasPrefix(says, "You have claimed a already") {
		t.Error(says)
	}
	if r := descartes(t, "call", "--url", d.urls[0], "task.get", `{"id":"a"}`); !strings.Contains(r.out, `"leased_by":"Ada"`) {
		t.Errorf("%+v", r)
	}
	s.Close()
	if code := <-s.done; code != 0 || s.errors.String() != "" {
		t.Errorf("exit code %d: %s", code, s.errors)
	}
	if r := descartes(t, "call", "--url", d.urls[0], "task.get", `{"id":"a"}`); !strings.Contains(r.out, `"status":"todo"`) {
		t.Errorf("not released: %+v", r)
	}
}

// An agent whose token may only read is told so; one whose token is wrong does not
// begin. Neither is shown the token.
func TestMCPTokens(t *testing.T) {
	db := filepath.Join(t.TempDir(), "tasks.db")
	d := serveDaemon(t, "--db", db, "--listen", "127.0.0.1:0")
	added := descartes(t, "token", "add", "reader", "--db", db, "--scope", "read")
	token := strings.TrimSpace(added.out)
	s := startMCP(t, "--url", d.urls[0], "--token", token)
	s.says(t, "list_tasks", `{}`)
	const want = `the token may only read; nothing was changed. Tell a person: "descartes mcp" needs a token with the scope write to do this.`
	if says := s.says(t, "create_tasks", `{"tasks":[{"title":"one"}]}`); says != want {
		t.Error(says)
	}
	s.Close()
	if code := <-s.done; code != 0 {
		t.Errorf("exit code %d: %s", code, s.errors)
	}
	r := descartes(t, "mcp", "--url", d.urls[0], "--token", token+"x")
	if r.code != 1 || r.out != "" || !strings.Contains(r.errors, "does not accept this token") || strings.Contains(r.errors, token) {
		t.Errorf("%+v", r)
	}
}

func TestMCPCommandLine(t *testing.T) {
	for args, says := range map[string]string{
		"now":                 `descartes: mcp takes no argument, but got "now"`,
		"--lease 1ms":         "descartes: --lease must be 1s to 24h, not 1ms",
		"--lease 25h":         "descartes: --lease must be 1s to 24h, not 25h0m0s",
		"--assigned":          "did you mean --assigned-to?",
		"--url 127.0.0.1:1":   "write it like ws://",
		"--url ws://x:y@h/":   "the URL of a daemon has no user or password",
		"--tls-ca /not/there": "no such file",
	} {
		if r := descartes(t, append([]string{"mcp"}, strings.Fields(args)...)...); r.code == 0 || r.out != "" || !strings.Contains(r.errors, says) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %+v", args, r)
		}
	}
	// Without a daemon it begins, says so on standard error, and ends with its input.
	if r := descartes(t, "mcp", "--url", "ws://127.0.0.1:1/rpc"); r.code != 0 || r.out != "" || !strings.HasPrefix(r.errors, "descartes: no daemon answers (dial tcp 127.0.0.1:1: ") {
		t.Errorf("%+v", r)
	}
	if r := descartesIn(t, "hello\n", "mcp", "--url", "ws://127.0.0.1:1/rpc"); r.code != 1 || r.out != "" || !strings.Contains(r.errors, "serve the agent") {
		t.Errorf("%+v", r)
	}
}
