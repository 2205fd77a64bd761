package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
)

// endpoints brings several addresses, with commas between them, into the form that the
// wire knows.
func endpoints(addresses string) ([]string, error) {
	var urls []string
	for address := range strings.SplitSeq(addresses, ",") {
		url, err := endpoint(strings.TrimSpace(address))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
	}
	return urls, nil
}

// endpoint brings the ways to write the address of a daemon into the one that the
// wire knows.
func endpoint(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("%q is no URL of a daemon: write it like ws://127.0.0.1:7420/rpc", address)
	}
	if u.User != nil { // not repeated: it would be in every error and log
		return "", errors.New("the URL of a daemon has no user or password: a token is given separately")
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "unix":
		u.Scheme = "ws+unix"
	}
	switch u.Scheme {
	case "ws", "wss":
		if u.Host == "" {
			return "", fmt.Errorf("%q names no host: write it like ws://127.0.0.1:7420/rpc", address)
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/rpc"
		}
	case "ws+unix":
		if u.Host != "" || u.Path == "" && u.Opaque == "" {
			return "", fmt.Errorf("%q names no socket: write it like ws+unix:///path/to/socket", address)
		}
	default:
		return "", fmt.Errorf("the scheme of %q is none of ws, wss, ws+unix, http, https", address)
	}
	return u.String(), nil
}

// checkToken refuses what no HTTP header can carry, which the library would call an
// error of the network.
func checkToken(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token has a character that no token has: perhaps a space or the end of a line")
	}
	return nil
}

// dial makes one connection, to the daemon at a place. Its life does not depend on ctx.
func (c *Client) dial(ctx context.Context, at int, notify func(method string, params json.RawMessage)) (*wire.Client, error) {
	attempt, cancel := context.WithTimeout(ctx, c.options.DialTimeout)
	defer cancel()
	header := c.options.Header.Clone()
	if c.options.Token != "" {
		header.Set("Authorization", "Bearer "+c.options.Token)
	}
	conn, err := wire.Dial(attempt, c.urls[at], wire.DialOptions{
		Header: header, TLS: c.options.TLS, MaxMessage: c.options.MaxMessage,
		PingInterval: c.options.Silence * 2 / 5, PongTimeout: c.options.Silence * 3 / 5,
	})
	if err != nil {
		err = dialError(c.urls[at], c.options.Token, err)
	} else {
		calls := conn.Client(context.WithoutCancel(ctx), notify)
		if err = c.recognize(attempt, c.urls[at], calls); err == nil {
			return calls, nil
		}
		_ = calls.Close() // the error is that of recognize
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, err
}
