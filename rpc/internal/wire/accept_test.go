package wire

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

func TestChooseSubprotocol(t *testing.T) {
	for _, test := range []struct{ offered, want string }{
		{"", ""},
		{"graphql-ws", ""},
		{"bearer.abc", "bearer.abc"},
		{"bearer.abc, jsonrpc", "jsonrpc"},
		{"a,bearer.x,bearer.y", "bearer.x"},
	} {
		url, accepted := serve(t, Options{})
		client := dial(t, url, DialOptions{Subprotocols: strings.Split(strings.ReplaceAll(test.offered, " ", ""), ",")})
		server := receive(t, accepted)
		if got := server.Subprotocol(); got != test.want || client.Subprotocol() != test.want {
			t.Errorf("offered %q, got %q, want %q", test.offered, got, test.want)
		}
	}
}

func TestAcceptRefusesWhatIsNoHandshake(t *testing.T) {
	url, _ := serve(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http"+strings.TrimPrefix(url, "ws"), nil)
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Error(response.Status)
	}
}
