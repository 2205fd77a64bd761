package clients

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/rpc"
	"github.com/gorilla/websocket"
)

// token makes a token for a database that is served, or will be.
func token(t *testing.T, db string) string {
	t.Helper()
	out, err := exec.Command(binary, "token", "add", "clients", "--scope", "write", "--db", db).Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// Each client can send a token, as docs/clients.md says.
func TestTokens(t *testing.T) {
	db := filepath.Join(t.TempDir(), "descartes.db")
	secret := token(t, db)
	host := serveFile(t, db)
	for name, ping := range map[string]func(ctx context.Context, url, token string) error{
		"go-ethereum": pingGoEthereum, "sourcegraph/jsonrpc2": openGorilla,
	} {
		if err := ping(t.Context(), "ws://"+host+"/rpc", secret); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := ping(t.Context(), "ws://"+host+"/rpc", "wrong"); err == nil {
			t.Errorf("%s comes in with a wrong token", name)
		}
	}
	installPackages(t)
	script, err := os.ReadFile("tokens.mjs")
	must(t, err)
	runNode(t, strings.NewReplacer(address, host, "TOKEN", secret).Replace(string(script)))
}

func pingGoEthereum(ctx context.Context, url, token string) error {
	client, err := rpc.DialOptions(ctx, url, rpc.WithHeader("Authorization", "Bearer "+token))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.CallContext(ctx, nil, "server.ping")
}

func openGorilla(ctx context.Context, url, token string) error {
	socket, _, err := websocket.DefaultDialer.DialContext(ctx, url, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return err
	}
	return socket.Close()
}

// The expressions of the table of tokens are those that are run.
func TestDocsShowTokens(t *testing.T) {
	text, err := os.ReadFile("../../docs/clients.md")
	must(t, err)
	_, table, _ := strings.Cut(string(text), "\n## Tokens\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var run strings.Builder
	for _, file := range []string{"tokens.mjs", "tokens_test.go"} {
		code, err := os.ReadFile(file)
		must(t, err)
		run.Write(code)
	}
	shown := regexp.MustCompile("`([^`]*\\([^`]*)`").FindAllStringSubmatch(table, -1)
	if len(shown) < 6 {
		t.Errorf("only %d expressions are shown", len(shown))
	}
	for _, code := range shown {
		if !strings.Contains(run.String(), code[1]) {
			t.Errorf("docs/clients.md shows %s, which is not run", code[1])
		}
	}
}
