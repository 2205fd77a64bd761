package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/descartes-tasks/descartes/rpc"
)

// pemPair makes a certificate for 127.0.0.1 that signs itself, and its key.
func pemPair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// tlsFiles is a certificate and its key in files.
type tlsFiles struct {
	t         *testing.T
	cert, key string
}

func newTLSFiles(t *testing.T) *tlsFiles {
	t.Helper()
	dir := t.TempDir()
	f := &tlsFiles{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	f.renew("first")
	return f
}

func (f *tlsFiles) renew(name string) {
	f.t.Helper()
	cert, key := pemPair(f.t, name)
	f.write(f.cert, cert)
	f.write(f.key, key)
}

func (f *tlsFiles) write(path string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// connect makes a handshake that trusts anybody, and gives the name in the
// certificate.
func connect(t *testing.T, url string, config *tls.Config) (name string, state tls.ConnectionState, err error) {
	t.Helper()
	config.InsecureSkipVerify = true
	address := strings.TrimSuffix(strings.TrimPrefix(url, "wss://"), "/rpc")
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return "", state, err
	}
	defer conn.Close()
	state = conn.ConnectionState()
	return state.PeerCertificates[0].Subject.CommonName, state, nil
}

func TestServeTLS(t *testing.T) {
	files, socket := newTLSFiles(t), filepath.Join(t.TempDir(), "s")
	d := tempDaemon(t, "--tls-cert", files.cert, "--tls-key", files.key, "--socket", socket)
	if !strings.HasPrefix(d.urls[0], "wss://127.0.0.1:") || d.urls[1] != "ws+unix://"+socket {
		t.Fatalf("ready %v", d.urls)
	}
	pong := result{0, "\"pong\"\n", ""}
	if r := descartes(t, "call", "--url", d.urls[0], "--tls-ca", files.cert, "server.ping"); r != pong {
		t.Errorf("trusted: %+v", r)
	}
	if r := descartes(t, "call", "--url", d.urls[1], "server.ping"); r != pong {
		t.Errorf("socket: %+v", r)
	}
	if r := descartes(t, "watch", "--url", d.urls[0], "--tls-ca", files.cert, "--timeout", "1ms"); r.code != exitTimeout {
		t.Errorf("watch: %+v", r)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a private authority": {[]string{"--url", d.urls[0]}, "the certificate is not trusted: " + d.urls[0] + ": x509: "},
		"what to do about it": {[]string{"--url", d.urls[0]}, ": name the authority that signed it with --tls-ca\n"},
		"another name":        {[]string{"--url", strings.Replace(d.urls[0], "127.0.0.1", "localhost", 1), "--tls-ca", files.cert}, "x509: "},
		"plain to TLS":        {[]string{"--url", strings.Replace(d.urls[0], "wss", "ws", 1)}, "HTTP request to an HTTPS server"},
		"TLS to plain":        {[]string{"--url", strings.Replace(tempDaemon(t).urls[0], "ws", "wss", 1)}, "it speaks no TLS: write ws://"},
	} {
		r := descartes(t, append(append([]string{"call"}, test.args...), "server.ping")...)
		if r.code != 1 || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 {
			t.Errorf("%s: %+v, want %q", name, r, test.says)
		}
	}
	if r := descartes(t, "ping", "--url", d.urls[0], "--tls-ca", files.key); r.code != 2 || !strings.Contains(r.errors, "--tls-ca "+files.key+" has no certificate") {
		t.Errorf("no authority: %+v", r)
	}
	if _, _, err := connect(t, d.urls[0], &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		_, state, err := connect(t, d.urls[0], &tls.Config{MaxVersion: version, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil || state.Version != version || state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("%s: %+v, %v", tls.VersionName(version), state, err)
		}
	}
}

func TestTLSRefusals(t *testing.T) {
	files, other := newTLSFiles(t), newTLSFiles(t)
	broken := filepath.Join(t.TempDir(), "broken.pem")
	files.write(broken, []byte("-----BEGIN CERTIFICATE-----\nAAAA"))
	for name, test := range map[string]struct {
		cert, key string
		code      int
		says      string
	}{
		"no key":          {files.cert, "", 2, "--tls-cert and --tls-key must be given together"},
		"no certificate":  {"", files.key, 2, "--tls-cert and --tls-key must be given together"},
		"no such file":    {"/none", files.key, 1, "--tls-cert: open /none: no such file"},
		"no such key":     {files.cert, "/none", 1, "--tls-key: open /none: no such file"},
		"broken":          {broken, files.key, 1, "--tls-cert " + broken},
		"another's key":   {files.cert, other.key, 1, "private key does not match"},
		"the wrong order": {files.key, files.cert, 1, "--tls-key " + files.cert},
	} {
		t.Run(name, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "tasks.db")
			r := descartes(t, "serve", "--listen", "127.0.0.1:0", "--db", db, "--tls-cert", test.cert, "--tls-key", test.key)
			if r.code != test.code || !strings.Contains(r.errors, test.says) || strings.Count(r.errors, "\n") != 1 || r.out != "" {
				t.Errorf("%+v, want %d and %q", r, test.code, test.says)
			}
			if _, err := os.Stat(db); err == nil {
				t.Error("there is a database nevertheless")
			}
		})
	}
}

// The first handshake after the files have changed has the new certificate.
func TestCertificateIsRenewed(t *testing.T) {
	files := newTLSFiles(t)
	d := tempDaemon(t, "--tls-cert", files.cert, "--tls-key", files.key)
	files.renew("second")
	if name, _, err := connect(t, d.urls[0], &tls.Config{}); name != "second" {
		t.Errorf("got %q, %v: %s", name, err, d.errors)
	}
}

// What cannot be used leaves the certificate as it was, with one warning for each
// state of the files; they are looked at once a second.
func TestCertificateFollowsItsFiles(t *testing.T) {
	files := newTLSFiles(t)
	second, secondKey := pemPair(t, "second")
	third, thirdKey := pemPair(t, "third")
	synctest.Test(t, func(t *testing.T) {
		log := new(buffer)
		config, err := serverTLS(files.cert, files.key, zerolog.New(log))
		if err != nil {
			t.Fatal(err)
		}
		get := func() string {
			pair, err := config.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf.Subject.CommonName
		}
		expect := func(step, want string, warnings int) {
			t.Helper()
			time.Sleep(certificateAge)
			for range 3 {
				if got := get(); got != want {
					t.Errorf("%s: got %s, want %s", step, got, want)
				}
				time.Sleep(certificateAge)
			}
			if n := strings.Count(log.String(), "stays as it was"); n != warnings {
				t.Errorf("%s: %d warnings, want %d: %s", step, n, warnings, log)
			}
		}
		expect("nothing happened", "first", 0)
		files.write(files.cert, second[:len(second)/2])
		expect("half a certificate", "first", 1)
		files.write(files.cert, second)
		expect("without its key", "first", 2)
		files.write(files.key, secondKey)
		expect("with its key", "second", 2)
		if err := os.Remove(files.cert); err != nil {
			t.Fatal(err)
		}
		expect("gone", "second", 3)
		files.write(files.cert, third)
		files.write(files.key, thirdKey)
		if got := get(); got != "third" {
			t.Errorf("back: %s", got)
		}
		files.write(files.cert, second)
		files.write(files.key, secondKey)
		if got := get(); got != "third" {
			t.Errorf("within a second: %s", got)
		}
		expect("after it", "second", 3)
	})
}

func TestReadableKeyIsWarnedOf(t *testing.T) {
	files := newTLSFiles(t)
	for mode, warnings := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o644: 1} {
		if err := os.Chmod(files.key, mode); err != nil {
			t.Fatal(err)
		}
		log := new(buffer)
		if _, err := serverTLS(files.cert, files.key, zerolog.New(log)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "can read the TLS key"); n != warnings {
			t.Errorf("mode %o: %s", mode, log)
		}
	}
}

func TestReadableDatabaseIsWarnedOf(t *testing.T) {
	path := newPath(t)
	for mode, warnings := range map[os.FileMode]int{0o600: 0, 0o640: 1, 0o602: 1} {
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		log := new(buffer)
		warnOfDatabase(path, zerolog.New(log))
		if n := strings.Count(log.String(), "can read or write the database"); n != warnings {
			t.Errorf("mode %o: %s", mode, log)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:0": "127.0.0.1:", "0.0.0.0:0": "127.0.0.1:", ":0": "127.0.0.1:", "[::1]:0": "[::1]:",
	} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skip(err) // no IPv6 here
		}
		plain, secure := addresses([]net.Listener{l}), addresses([]net.Listener{tls.NewListener(l, &tls.Config{})})
		if !strings.HasPrefix(plain, "ws://"+want) || !strings.HasPrefix(secure, "wss://"+want) || !strings.HasSuffix(secure, "/rpc") {
			t.Errorf("%s: %s and %s", address, plain, secure)
		}
		l.Close()
	}
}

func TestTooFewOpenFilesAreWarnedOf(t *testing.T) {
	for connections, warnings := range map[int]int{1: 0, 1 << 40: 1} {
		log := new(buffer)
		checkOpenFiles(rpc.Limits{MaxConnections: connections}, zerolog.New(log))
		if n := strings.Count(log.String(), "--max-connections"); n != warnings {
			t.Errorf("%d connections: %s", connections, log)
		}
	}
}
