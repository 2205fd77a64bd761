package rpc

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// guard refuses requests that a browser was tricked into making, before anything
// looks at them. It is the whole protection of a daemon on loopback: any page
// that a person opens can make their browser connect to it.
type guard struct {
	hosts   []string // further names that the server is reached by
	origins []string // further origins whose pages may connect
}

// check gives the reason why a request is refused, or "".
//
// The name in Host must be a loopback name or a listed one, compared whole:
// otherwise a page could reach the server under a name of its own that resolves
// to 127.0.0.1 (DNS rebinding). Origin, which browsers always send with a
// WebSocket handshake, must be the server's own or a listed one (cross-site
// WebSocket hijacking). On a Unix socket, which no browser opens, Host means
// nothing.
func (g guard) check(r *http.Request) string {
	host := hostname(r.Host)
	if !onUnixSocket(r) && !isLoopbackName(host) && !containsFold(g.hosts, host) && !containsFold(g.hosts, r.Host) {
		return "host " + r.Host + " is not allowed"
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return ""
	}
	if len(origins) == 1 && (isOwnOrigin(origins[0], r) || containsFold(g.origins, origins[0])) {
		return ""
	}
	return "origin " + strings.Join(origins, ", ") + " is not allowed"
}

// isOwnOrigin tells whether a page of this very server made the request. Host is
// already known to be the server's.
func isOwnOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, r.Host) &&
		strings.EqualFold(origin, u.Scheme+"://"+u.Host)
}

func onUnixSocket(r *http.Request) bool {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return address != nil && address.Network() == "unix"
}

// hostname cuts the port off a Host header.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func isLoopbackName(name string) bool {
	if strings.EqualFold(name, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(name)
	return err == nil && address.IsLoopback()
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(item string) bool { return strings.EqualFold(item, s) })
}
