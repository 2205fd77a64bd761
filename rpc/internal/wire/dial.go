package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"nhooyr.io/websocket"
)

// DialOptions configures a client's connection. The zero value is usable.
type DialOptions struct {
	Header       http.Header // sent with the handshake; default none
	Subprotocols []string    // offered to the server; default none
	TLS          *tls.Config // for wss; default the system's roots

	MaxMessage   int64         // bytes of the longest message read; default 16 MiB
	WriteTimeout time.Duration // as in Options
	PingInterval time.Duration // as in Options
	PongTimeout  time.Duration // as in Options

	// NetDial makes the connection to "tcp" HOST:PORT or "unix" PATH; default a
	// net.Dialer's DialContext. Tests put a net.Pipe here.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o DialOptions) options() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = 16 << 20
	}
	return Options{
		MaxMessage:   o.MaxMessage,
		WriteTimeout: o.WriteTimeout,
		PingInterval: o.PingInterval,
		PongTimeout:  o.PongTimeout,
	}.withDefaults()
}

// DialError is an answer of the server to the handshake that is no WebSocket.
type DialError struct {
	Status int    // HTTP status
	Body   string // the first KiB of the answer's body
}

// Error implements the error interface.
func (e *DialError) Error() string {
	return fmt.Sprintf("server refused the connection: %d %s: %s",
		e.Status, http.StatusText(e.Status), strings.TrimSpace(e.Body))
}

// Dial connects to a server at a ws, wss or ws+unix URL. Of ws+unix:///path/to/socket
// (one slash or three) the path is that of the socket; the HTTP path on it is /rpc. ctx
// bounds the handshake only. No proxy is used and no redirect followed: the token in the
// header is for the server that was named.
//
// A handshake that the server refused is a DialError.
func Dial(ctx context.Context, rawURL string, o DialOptions) (*Conn, error) {
	target, socket, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	options := o.options()
	var socketConn *netConn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { socketConn, _ = info.Conn.(*netConn) },
	})
	ws, response, err := websocket.Dial(ctx, target, &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: o.transport(socket, options), CheckRedirect: noRedirect},
		HTTPHeader:      o.Header,
		Subprotocols:    o.Subprotocols,
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, dialError(response, err)
	}
	return newConn(socketConn, ws, options), nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// parseURL returns the URL for the handshake and, for ws+unix, the path of the socket.
func parseURL(rawURL string) (target, socket string, err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", "", fmt.Errorf("wire: dial: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss":
		return rawURL, "", nil
	case "ws+unix":
		if socket = u.Path; socket == "" {
			socket = u.Opaque // ws+unix:relative.sock
		}
		if socket == "" || u.Host != "" {
			return "", "", fmt.Errorf("wire: dial: %q names no socket, write ws+unix:///path", rawURL)
		}
		return "ws://localhost/rpc", socket, nil
	}
	return "", "", fmt.Errorf("wire: dial: scheme %q is none of ws, wss, ws+unix", u.Scheme)
}

// transport makes HTTP connections that are netConns.
func (o DialOptions) transport(socket string, options Options) *http.Transport {
	dial := o.NetDial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	connect := func(ctx context.Context, network, address string) (net.Conn, error) {
		if socket != "" {
			network, address = "unix", socket
		}
		return dial(ctx, network, address)
	}
	return &http.Transport{
		DisableKeepAlives: true, // nothing is reused: a refused handshake leaves no socket
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return newNetConn(conn, true, options), nil
		},
		// TLS must be below netConn, so the transport cannot do it.
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := connect(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure, err := o.handshakeTLS(ctx, conn, address)
			if err != nil {
				_ = conn.Close()
				return nil, err
			}
			return newNetConn(secure, true, options), nil
		},
	}
}

func (o DialOptions) handshakeTLS(ctx context.Context, conn net.Conn, address string) (*tls.Conn, error) {
	config := new(tls.Config)
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	config.NextProtos = []string{"http/1.1"} // HTTP/2 has no Upgrade
	secure := tls.Client(conn, config)
	return secure, secure.HandshakeContext(ctx)
}

// dialError makes a DialError of an HTTP answer. The library has cut its body to 1 KiB.
func dialError(response *http.Response, err error) error {
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("wire: dial: %w", err)
	}
	var body bytes.Buffer
	_, _ = io.Copy(&body, response.Body)
	return &DialError{response.StatusCode, body.String()}
}
