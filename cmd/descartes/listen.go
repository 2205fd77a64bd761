package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/rpc"
	"github.com/descartes-tasks/descartes/schema"
	"github.com/descartes-tasks/descartes/storage"
)

// listen opens the TCP address and, if there is one, the socket.
func listen(address, socket string) ([]net.Listener, error) {
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

// isLoopback tells whether no other machine can reach an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || notIP == nil && ip.IsLoopback())
}

// checkAccess refuses an address that other machines can reach, "" for none, while there
// is nobody who may come in: no token that is not revoked. It warns of tokens that
// anybody on the way could read.
func checkAccess(ctx context.Context, address string, db *storage.DB, secure *tls.Config, log zerolog.Logger) error {
	if address == "" {
		return nil
	}
	tokens, err := db.Tokens(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tokens, func(t schema.Token) bool { return !t.Revoked() }) {
		return fmt.Errorf("the address %s can be reached from other machines, but there is no token that lets anybody in: "+
			"make one with \"descartes token add NAME\" for this --db, and keep it secret on the way with --tls-cert and --tls-key", address)
	}
	if secure == nil {
		log.Warn().Str("listen", address).Msg("tokens and tasks travel unencrypted: use --tls-cert and --tls-key")
	}
	return nil
}

// warnOfProxy warns of a daemon that has further names, as behind a proxy, while it asks
// nobody for a token: it takes all who come through the proxy for people of its machine.
func warnOfProxy(ctx context.Context, names []string, db *storage.DB, log zerolog.Logger) error {
	if len(names) == 0 {
		return nil
	}
	tokens, err := db.Tokens(ctx)
	if err == nil && len(tokens) == 0 {
		log.Warn().Strs("allow-host", names).
			Msg("whoever reaches a proxy in front of this daemon may read and write everything: make a token with \"descartes token add NAME\"")
	}
	return err
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

// otherFiles is about how many files the daemon has open besides connections.
const otherFiles = 50

// checkOpenFiles warns where the system would end connections long before the limit
// of the daemon does.
func checkOpenFiles(limits rpc.Limits, log zerolog.Logger) {
	need := uint64(limits.OpenConnections() + otherFiles)
	if most, known := maxOpenFiles(); known && most < need {
		log.Warn().Uint64("limit", most).Uint64("needed", need).
			Msg("the system allows fewer open files than --max-connections needs: raise it (ulimit -n), or lower that")
	}
}

// addresses tells where the listeners can be reached, as --url takes it. A listener
// on every address of the machine is named by a loopback one.
func addresses(listeners []net.Listener) string {
	urls := make([]string, len(listeners))
	for i, l := range listeners {
		switch address := l.Addr().(type) {
		case *net.TCPAddr:
			scheme := "wss"
			if _, plain := l.(*net.TCPListener); plain {
				scheme = "ws"
			}
			host := address.String()
			if address.IP.IsUnspecified() {
				host = fmt.Sprintf("127.0.0.1:%d", address.Port)
			}
			urls[i] = scheme + "://" + host + "/rpc"
		default:
			urls[i] = "ws+unix://" + address.String()
		}
	}
	return strings.Join(urls, " ")
}
