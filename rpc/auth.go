package rpc

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// guard refuses requests that a browser was tricked into making, before anything
// looks at them. It is the whole protection of a daemon on loopback: any page
// that a person opens can make their browser connect to it.
type guard struct {
	hosts   []string // further names that the server is reached by
	origins []string // further origins whose pages may connect
}

// check gives the reason why a request is refused, or nil.
//
// The name in Host must be a loopback name, the address that the connection came
// in on, or a listed one, compared whole: otherwise a page could reach the server
// under a name of its own that resolves to 127.0.0.1 (DNS rebinding). Origin,
// which browsers always send with a WebSocket handshake, must be the server's own
// or a listed one (cross-site WebSocket hijacking). On a Unix socket, which no
// browser opens, Host means nothing.
func (g guard) check(r *http.Request) *refusal {
	if !onUnixSocket(r) && !g.isOwnHost(r) {
		return &refusal{
			status: http.StatusForbidden, reason: refusedHost,
			answer: "host " + shorten(r.Host) + " is not allowed", detail: r.Host,
		}
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 || len(origins) == 1 && (isOwnOrigin(origins[0], r) || containsFold(g.origins, origins[0])) {
		return nil
	}
	all := strings.Join(origins, ", ")
	return &refusal{
		status: http.StatusForbidden, reason: refusedOrigin,
		answer: "origin " + shorten(all) + " is not allowed", detail: all,
	}
}

// isOwnHost tells whether a request was made to a name of this server.
func (g guard) isOwnHost(r *http.Request) bool {
	name, ok := hostname(r.Host)
	if !ok {
		return false
	}
	if containsFold(g.hosts, name) || containsFold(g.hosts, r.Host) || equalFold(name, "localhost") {
		return true
	}
	// An address is no name that somebody could make resolve to another one.
	address, err := netip.ParseAddr(name)
	return err == nil && address.Zone() == "" && (address.IsLoopback() || address.Unmap() == localAddress(r))
}

// isOwnOrigin tells whether a page of this very server made the request. Host is
// already known to be the server's. Where TLS ends in front of this server, its
// pages have the scheme https all the same.
func isOwnOrigin(origin string, r *http.Request) bool {
	return equalFold(origin, "https://"+r.Host) || r.TLS == nil && equalFold(origin, "http://"+r.Host)
}

func onUnixSocket(r *http.Request) bool {
	address, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return address != nil && address.Network() == "unix"
}

// localAddress is the address that the connection came in on; it is not valid if
// that is none of TCP.
func localAddress(r *http.Request) netip.Addr {
	if tcp, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// hostname cuts the port off a Host header (RFC 9110, section 7.2), and the
// brackets off an IPv6 address. What is no host, or has no name, is not ok.
func hostname(host string) (name string, ok bool) {
	name, port := host, ""
	if end := strings.LastIndexByte(host, ':'); end > strings.LastIndexByte(host, ']') {
		name, port = host[:end], host[end+1:]
	}
	if port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", false
		}
	}
	if inside, bracketed := strings.CutPrefix(name, "["); bracketed {
		inside, closed := strings.CutSuffix(inside, "]")
		address, err := netip.ParseAddr(inside)
		return inside, closed && err == nil && address.Is6()
	}
	return name, name != "" && !strings.ContainsAny(name, ":[]@/")
}

// equalFold is strings.EqualFold for ASCII: the other letters that Unicode counts as
// a k or an s are longer.
func equalFold(a, b string) bool {
	return len(a) == len(b) && strings.EqualFold(a, b)
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(item string) bool { return equalFold(item, s) })
}
