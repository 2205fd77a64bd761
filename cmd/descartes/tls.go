package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// serverTLS is how the daemon speaks TLS with the certificate and key of two PEM
// files: version 1.2 and up. Without files it is nil, for none.
func serverTLS(certFile, keyFile string, log zerolog.Logger) (*tls.Config, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "" || keyFile == "":
		return nil, usageError("--tls-cert and --tls-key must be given together")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	if isOpenTo(keyFile, 0o004) {
		log.Warn().Str("file", keyFile).Msg("everybody on this machine can read the TLS key: chmod o-r it")
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // HTTP/2 has no Upgrade
		GetCertificate: c.get,
	}, nil
}

// isOpenTo tells whether a file is there that others than its owner may use as the
// bits of mode say.
func isOpenTo(file string, mode fs.FileMode) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().Perm()&mode != 0 && runtime.GOOS != "windows"
}

// certificate follows its files: they are renewed while the daemon runs. A pair
// that cannot be used, because it is half written or only one of the two is new,
// leaves the last good one in place.
type certificate struct {
	certFile, keyFile string
	log               zerolog.Logger

	mu        sync.Mutex
	current   *tls.Certificate
	cert, key []byte    // the files that current is made of
	looked    time.Time // when the files were last looked at
	complaint string    // what was last said of files that cannot be used
}

// certificateAge is how long the files are not looked at again.
const certificateAge = time.Second

// get gives the certificate of a handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateAge {
		return c.current, nil
	}
	c.looked = time.Now()
	changed, err := c.load()
	switch {
	case err != nil && err.Error() != c.complaint:
		c.complaint = err.Error()
		c.log.Warn().Err(err).Msg("the TLS certificate stays as it was")
	case changed:
		c.log.Info().Str("file", c.certFile).Time("expires", c.current.Leaf.NotAfter).Msg("the TLS certificate is renewed")
	}
	return c.current, nil
}

// load reads the files and tells whether they have changed. They are compared
// whole: the times of two writes may be the same, and so may the lengths.
func (c *certificate) load() (changed bool, err error) {
	cert, err := os.ReadFile(c.certFile)
	if err != nil {
		return false, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := os.ReadFile(c.keyFile)
	if err != nil {
		return false, fmt.Errorf("--tls-key: %w", err)
	}
	if changed = !bytes.Equal(cert, c.cert) || !bytes.Equal(key, c.key); changed {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return false, fmt.Errorf("--tls-cert %s and --tls-key %s: %w", c.certFile, c.keyFile, err)
		}
		c.current, c.cert, c.key = &pair, cert, key
	}
	c.complaint = ""
	return changed, nil
}

// clientTLS is how a client speaks TLS that trusts the authorities of a PEM file
// instead of the system's. Without a file it is nil, for the system's.
func clientTLS(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("--tls-ca " + caFile + " has no certificate in PEM form")
	}
	return &tls.Config{RootCAs: roots}, nil
}
