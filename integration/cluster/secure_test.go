package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Daemons come in to NATS servers that speak TLS, want a certificate and a user's
// credentials; one without them is refused, and says by whom and why.
func TestCredentialsAndTLS(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	makeCertificates(t, path)
	extra := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", path("server.pem"), path("server.key"), path("ca.pem")) +
		makeAccount(t, path("user.creds"))
	f := newFleet(t, fleetOptions{servers: 1, daemons: 2, nats: natsOptions{extra: extra}})
	trust := []string{"--cluster-ca", path("ca.pem"), "--cluster-cert", path("client.pem"), "--cluster-key", path("client.key")}
	welcome, stranger := f.members[0], f.members[1]
	welcome.flags = append(welcome.flags, append(trust, "--cluster-creds", path("user.creds"))...)
	welcome.begin()
	task := create(t, welcome.Dial(), "in private")

	for _, c := range []struct {
		what  string
		flags []string
		says  string
	}{
		{"no credentials", trust, "lets nobody in with these credentials"},
		{"no certificate", []string{"--cluster-ca", path("ca.pem"), "--cluster-creds", path("user.creds")}, "tls"},
		{"an authority that it does not know", []string{"--cluster-creds", path("user.creds")}, "certificate"},
	} {
		stranger.flags = append([]string{"--cluster-replicas", "1"}, c.flags...)
		stranger.start()
		if line := stranger.await(c.says); strings.Contains(line, "started") {
			t.Errorf("%s: %s", c.what, line)
		}
		stranger.kill()
	}
	stranger.flags = welcome.flags
	stranger.begin()
	waitFor(t, stranger.Dial(), task.Version)
	f.requireEqual()
}

// makeAccount writes the credentials of a user, and gives the configuration of a server
// that lets only that user in.
func makeAccount(t *testing.T, credentials string) string {
	t.Helper()
	operator, system, account, user := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateUser)
	of := func(k nkeys.KeyPair) string {
		public, err := k.PublicKey()
		must(t, err)
		return public
	}
	about := jwt.NewOperatorClaims(of(operator))
	about.SystemAccount = of(system)
	operatorJWT, err := about.Encode(operator)
	must(t, err)
	systemJWT, err := jwt.NewAccountClaims(of(system)).Encode(operator)
	must(t, err)
	limits := jwt.NewAccountClaims(of(account))
	limits.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := limits.Encode(operator)
	must(t, err)
	userJWT, err := jwt.NewUserClaims(of(user)).Encode(account)
	must(t, err)
	seed, err := user.Seed()
	must(t, err)
	text, err := jwt.FormatUserConfig(userJWT, seed)
	must(t, err)
	must(t, os.WriteFile(credentials, text, 0o600))
	return fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n",
		operatorJWT, of(system), of(system), systemJWT, of(account), accountJWT)
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	must(t, err)
	return key
}

// makeCertificates writes an authority, and a certificate of a server and of a client.
func makeCertificates(t *testing.T, path func(string) string) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	writeCertificate(t, path("ca.pem"), "", authority, authority, signer, signer)
	for i, name := range []string{"server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		writeCertificate(t, path(name+".pem"), path(name+".key"), &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}, authority, key, signer)
	}
}

// writeCertificate writes a certificate and its key, that nowhere if the path is empty.
func writeCertificate(t *testing.T, path, keyPath string, certificate, authority *x509.Certificate, key, signer *ecdsa.PrivateKey) {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, certificate, authority, &key.PublicKey, signer)
	must(t, err)
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600))
	if keyPath == "" {
		return
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
