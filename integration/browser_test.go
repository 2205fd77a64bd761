package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// startBrowser starts a headless Chromium with a profile of its own, in which
// 127.0.0.1.evil.example is a name for this machine, and gives it one tab.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(need(t, "chromium")),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP *.evil.example 127.0.0.1"),
		chromedp.WSURLReadTimeout(time.Minute),
	}
	for _, off := range []string{"background-networking", "component-update", "sync", "quic", "default-apps", "extensions", "dev-shm-usage"} {
		options = append(options, chromedp.Flag("disable-"+off, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(end)
	tab, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Log(err)
		}
		closeTab()
	})
	return tab
}

// evaluate runs a script, waits for what it promises, and gives that.
func evaluate(t *testing.T, tab context.Context, script string) string {
	t.Helper()
	result, err := chromedp.Run(tab, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%.100s…: %v", script, err)
	}
	return result
}

func visitPage(t *testing.T, tab context.Context, url string) {
	t.Helper()
	if _, err := chromedp.Run(tab, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// What a page can try. Each gives the answer, or what went wrong.
const (
	// pageSocket opens a WebSocket with subprotocols and pings.
	pageSocket = `new Promise(done => {
		const socket = new WebSocket(%q, %s);
		socket.onopen = () => socket.send('{"jsonrpc":"2.0","id":1,"method":"server.ping"}');
		socket.onmessage = m => { done(socket.protocol + " " + m.data); socket.close(); };
		socket.onclose = e => done("closed " + e.code);
	})`
	// pagePost makes a POST request.
	pagePost = `fetch(%q, {method: "POST", body: %q, mode: %q, headers: %s})
		.then(r => r.text().then(text => r.type + " " + r.status + " " + text), e => "" + e)`
)

const (
	pong       = `{"jsonrpc":"2.0","id":1,"result":"pong"}`
	pageCreate = `{"jsonrpc":"2.0","method":"task.create","params":{"title":"by a page"}}`
	jsonType   = `{"Content-Type": "application/json"}`
)

func TestPages(t *testing.T) {
	tab := startBrowser(t)
	t.Run("of other sites", func(t *testing.T) { pagesOfOtherSites(t, tab) })
	t.Run("of the daemon", func(t *testing.T) { pagesOfTheDaemon(t, tab) })
}

// A page of another site cannot use the daemon of whoever looks at it: not by a
// WebSocket, which browsers let every page open, not by a POST request, and not by a
// name of its own that leads here. A daemon without tokens has no other protection.
func pagesOfOtherSites(t *testing.T, tab context.Context) {
	g := openGate(t)
	g.token("revoke", "reader", "writer")
	g.token("remove", "reader", "writer", "revoked")
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>evil</title>")
	}))
	defer evil.Close()
	_, port, _ := strings.Cut(g.host(), ":")
	_, evilPort, _ := strings.Cut(strings.TrimPrefix(evil.URL, "http://"), ":")
	rebound := "127.0.0.1.evil.example:" + port
	for _, page := range []struct{ name, url, daemon, reason string }{
		{"another port", evil.URL, g.host(), "origin"},
		{"another name", "http://www.evil.example:" + evilPort, g.host(), "origin"},
		{"a name that leads here", "http://www.evil.example:" + evilPort, rebound, "host"},
	} {
		t.Run(page.name, func(t *testing.T) {
			visitPage(t, tab, page.url)
			known := len(g.refusals())
			if got := evaluate(t, tab, fmt.Sprintf(pageSocket, "ws://"+page.daemon+"/rpc", `[]`)); got != "closed 1006" {
				t.Errorf("WebSocket: %s", got)
			}
			url := "http://" + page.daemon + "/rpc"
			for _, try := range []struct{ mode, headers, want string }{
				{"cors", jsonType, "TypeError: Failed to fetch"},
				{"cors", `{"Content-Type": "text/plain"}`, "TypeError: Failed to fetch"},
				{"no-cors", `{}`, "opaque 0 "}, // it was sent, and refused
			} {
				if got := evaluate(t, tab, fmt.Sprintf(pagePost, url, pageCreate, try.mode, try.headers)); got != try.want {
					t.Errorf("POST %s %s: %s", try.mode, try.headers, got)
				}
			}
			logged := g.refusals()[known:]
			if len(logged) != 4 {
				t.Errorf("logged %+v", logged)
			}
			for _, line := range logged {
				if line.Reason != page.reason || line.Path != "/rpc" {
					t.Errorf("logged %+v", line)
				}
			}
		})
	}
	t.Run("a page that leads here", func(t *testing.T) {
		visitPage(t, tab, "http://"+rebound+"/")
		if got := evaluate(t, tab, `document.body.innerText`); !strings.HasPrefix(got, "host "+rebound+" is not allowed") {
			t.Errorf("the board shows %s", got)
		}
		if got := evaluate(t, tab, fmt.Sprintf(pagePost, "/rpc", pageCreate, "same-origin", jsonType)); !strings.HasPrefix(got, "basic 403 ") {
			t.Errorf("POST: %s", got)
		}
	})
	if page, err := g.dial().Stats(t.Context()); err != nil || page.Tasks["todo"] != 0 {
		t.Errorf("a page has written: %+v, %v", page, err)
	}
}

// A page of the daemon itself may use it, with a token where tokens are on.
func pagesOfTheDaemon(t *testing.T, tab context.Context) {
	g := openGate(t)
	visitPage(t, tab, "http://"+g.host()+"/")
	token := g.tokens["reader"]
	for _, test := range []struct{ subprotocols, want string }{
		{`["bearer.` + token + `"]`, "bearer." + token + " " + pong},
		{`["jsonrpc", "bearer.` + token + `"]`, "jsonrpc " + pong},
		{`["bearer.` + g.tokens["revoked"] + `"]`, "closed 1006"},
		{`["jsonrpc"]`, "closed 1006"},
		{`[]`, "closed 1006"},
	} {
		if got := evaluate(t, tab, fmt.Sprintf(pageSocket, g.url, test.subprotocols)); got != test.want {
			t.Errorf("%s: %s, want %s", test.subprotocols, got, test.want)
		}
	}
	headers := `{"Content-Type": "application/json", "Authorization": "Bearer ` + token + `"}`
	if got := evaluate(t, tab, fmt.Sprintf(pagePost, "/rpc", pingRequest, "same-origin", headers)); got != "basic 200 "+pong+"\n" {
		t.Errorf("POST: %s", got)
	}
	if got := evaluate(t, tab, fmt.Sprintf(pagePost, "/rpc", pingRequest, "same-origin", jsonType)); !strings.HasPrefix(got, "basic 401 ") {
		t.Errorf("POST without a token: %s", got)
	}
}
