package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// listen opens the TCP address and, if there is one, the socket.
func listen(address, socket string) ([]net.Listener, error) {
	if err := checkLoopback(address); err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the address %s is in use: another daemon may be running; choose another with --listen", address)
	}
	if err != nil {
		return nil, err
	}
	if socket == "" {
		return []net.Listener{tcp}, nil
	}
	unix, err := listenUnix(socket)
	if err != nil {
		tcp.Close()
		return nil, err
	}
	return []net.Listener{tcp, unix}, nil
}

// checkLoopback refuses an address that other machines can reach: nobody would
// ask them who they are.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usageError("--listen must be HOST:PORT, not %q", address)
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--listen %s can be reached from other machines, which needs tokens, and this version has none: "+
		"listen on a loopback address or on --socket, and let a reverse proxy with authentication connect to that", address)
}

// listenUnix listens on a socket that only its owner may use. The file of a daemon
// that is gone is replaced; one that answers is not.
func listenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("--socket %s %w", path, err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	defer private()() // a mode set after the socket is there would come too late
	return net.Listen("unix", path)
}

// removeStale removes a socket that nobody listens on any more. The error goes
// after the name of the file.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot be used: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("is a file that is no socket: choose another path")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return errors.New("is in use: another daemon may be running")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot be replaced: %w", err)
	}
	return os.Remove(path)
}

// addresses tells where the listeners can be reached, as --url takes it.
func addresses(listeners []net.Listener) string {
	urls := make([]string, len(listeners))
	for i, l := range listeners {
		if urls[i] = "ws://" + l.Addr().String() + "/rpc"; l.Addr().Network() == "unix" {
			urls[i] = "ws+unix://" + l.Addr().String()
		}
	}
	return strings.Join(urls, " ")
}
