package clients

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each script creates, updates, subscribes, gets events, sees errors with their codes and
// unsubscribes, in batches where its client can, and checks what it gets.
func TestNodeClients(t *testing.T) {
	installPackages(t)
	for _, script := range []string{"json-rpc-2.0.mjs", "open-rpc.mjs", "polkadot.mjs", "rpc-websockets.mjs", "vscode-ws-jsonrpc.mjs"} {
		t.Run(script, func(t *testing.T) {
			text, err := os.ReadFile(script)
			must(t, err)
			out := runNode(t, strings.ReplaceAll(string(text), address, serve(t)))
			for _, want := range []string{"bookmark undefined", "created Write the report", "-32001 "} {
				if !strings.Contains("\n"+out, "\n"+want) {
					t.Errorf("printed %q, without %q", out, want)
				}
			}
		})
	}
}

// Packages are installed from wherever this machine gets its packages.
func TestLockNamesNoHosts(t *testing.T) {
	lock, err := os.ReadFile("package-lock.json")
	must(t, err)
	if strings.Contains(string(lock), `"resolved"`) {
		t.Error("package-lock.json says where packages come from: use npm install --omit-lockfile-registry-resolved")
	}
}

// wscat sends what its command line says and shows what comes.
func TestWscat(t *testing.T) {
	installPackages(t)
	command := block(t, "wscat", "console")
	words, ok := strings.CutPrefix(command, "$ wscat ")
	shown := strings.Split(words, "\n")
	if !ok || len(shown) < 2 {
		t.Fatalf("the example is %q", command)
	}
	wscat := exec.Command("sh", "-c", "exec node node_modules/.bin/wscat --wait -1 "+strings.ReplaceAll(shown[0], address, serve(t)))
	stdin, err := wscat.StdinPipe() // it ends with its input
	must(t, err)
	out, err := wscat.StdoutPipe()
	must(t, err)
	must(t, wscat.Start())
	lines := bufio.NewReader(out)
	var got, want []string // answers and events may overtake each other
	for _, line := range shown[1:] {
		want = append(want, normal(line))
		line, err := lines.ReadString('\n')
		must(t, err)
		got = append(got, normal(strings.TrimSuffix(line, "\n")))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	must(t, wscat.Process.Kill())
	stdin.Close()
	_ = wscat.Wait() // it was killed
}

// installPackages installs what package-lock.json pins, if it is not there.
func installPackages(t *testing.T) {
	t.Helper()
	need(t, "node")
	npm := need(t, "npm")
	if exec.Command(npm, "ls").Run() == nil {
		return
	}
	if out, err := exec.Command(npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit").CombinedOutput(); err != nil {
		skip(t, "npm ci: "+err.Error()+": "+string(out))
	}
}

// runNode runs a script as if it were in this folder, and gives what it prints.
func runNode(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "--input-type=module", "-")
	node.Stdin = strings.NewReader(script)
	var out, errors strings.Builder
	node.Stdout, node.Stderr = &out, io.MultiWriter(&errors, &out)
	if err := node.Run(); err != nil {
		t.Fatalf("%v:\n%s", err, &out)
	}
	if errors.Len() > 0 {
		t.Errorf("complains: %s", &errors)
	}
	return out.String()
}
