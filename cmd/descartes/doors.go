package main

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"
)

// doors are where the daemon is to be reached: on sockets that a service manager has
// opened for it, else on those that the flags name.
type doors struct {
	inherited       []net.Listener
	address, socket string
	secure          *tls.Config // nil: without TLS
}

// findDoors looks for sockets that were handed over as sd_listen_fds(3) says. They take
// the place of --listen and --socket: to be told both is refused, because one of the two
// would not be listened on.
func findDoors(cmd *cli.Command, log zerolog.Logger) (d doors, err error) {
	d = doors{address: cmd.String("listen"), socket: cmd.String("socket")}
	if d.secure, err = serverTLS(cmd.String("tls-cert"), cmd.String("tls-key"), log); err != nil {
		return d, err
	}
	for _, file := range activation.Files(true) {
		listener, err := net.FileListener(file)
		if err != nil {
			return d, fmt.Errorf("the service manager has handed over %s, on which nobody can listen: %w", file.Name(), err)
		}
		file.Close() // the listener has a descriptor of its own
		d.inherited = append(d.inherited, listener)
	}
	if d.inherited != nil && (cmd.IsSet("listen") || cmd.IsSet("socket")) {
		return d, usageError("the service manager has handed over sockets (descartes.socket): " +
			"take --listen and --socket out, or disable that unit")
	}
	return d, nil
}

// public gives an address that other machines can reach, "" if there is none.
func (d doors) public() string {
	if d.inherited == nil && !isLoopback(d.address) {
		return d.address
	}
	for _, l := range d.inherited {
		if address := l.Addr(); address.Network() != "unix" && !isLoopback(address.String()) {
			return address.String()
		}
	}
	return ""
}

// open listens, with TLS on TCP if there is a certificate. A Unix socket stays plain:
// nobody is between its two ends.
func (d doors) open(log zerolog.Logger) (listeners []net.Listener, err error) {
	if listeners = d.inherited; listeners == nil {
		if listeners, err = listen(d.address, d.socket); err != nil {
			return nil, err
		}
	}
	for i, l := range listeners {
		switch file := l.Addr().String(); {
		case l.Addr().Network() != "unix":
			if d.secure != nil {
				listeners[i] = tls.NewListener(l, d.secure)
			}
		case isOpenTo(file, 0o002):
			log.Warn().Str("file", file).Msg("everybody on this machine can connect to the socket: set SocketMode=0660 in its unit, or turn tokens on")
		}
	}
	return listeners, nil
}
