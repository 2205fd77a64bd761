package cluster

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Times of the connection. A server that is there but does not answer (it is paused, or
// cut off) is left after two pings.
const (
	pingEvery     = time.Second
	reconnectWait = 100 * time.Millisecond
	dialTimeout   = 2 * time.Second
)

// connect begins to connect to the servers, and goes on with that whenever the
// connection is lost.
func (j *Journal) connect() error {
	c := &j.config
	options := []nats.Option{
		nats.Name("descartes " + c.Daemon),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.NoEcho(),             // who is alone is told at once that nobody else answers a question
		nats.ReconnectBufSize(-1), // what cannot be sent now is not sent later: its caller will have been told
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(j.linked),
		nats.ReconnectHandler(j.linked),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { j.unlinked(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { j.refusedBy(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { j.report("NATS", err) }),
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	if c.CA != "" {
		options = append(options, nats.RootCAs(c.CA))
	}
	if c.Cert != "" || c.Key != "" {
		options = append(options, nats.ClientCert(c.Cert, c.Key))
	}
	var err error
	if j.conn, err = nats.Connect(strings.Join(c.URLs, ","), options...); err != nil {
		return err
	}
	if j.conn.IsConnected() {
		j.linked(j.conn)
	}
	j.js, err = jetstream.New(j.conn, jetstream.WithDefaultTimeout(attempt))
	return err
}

// refusedBy notes why a server could not be connected to, and tells it once.
func (j *Journal) refusedBy(err error) {
	news := false
	j.change(func(s *state) {
		news = s.refusal == nil || s.refusal.Error() != err.Error()
		s.refusal = err
	})
	if news {
		j.report("connecting to NATS", err)
	}
}

// servers names the servers without the passwords that are in their URLs.
func (c *Config) servers() string {
	var named []string
	for _, server := range c.URLs {
		u, err := url.Parse(server)
		if err != nil {
			continue
		}
		named = append(named, u.Redacted())
	}
	return strings.Join(named, ", ")
}

const (
	// elsewhereAfter is how long the log cannot be followed or written to through a server
	// before another one is tried: most elections are over by then, and who goes elsewhere
	// may come to the server that is cut off.
	elsewhereAfter = 7 * time.Second
	// stay is how long a server is given at least.
	stay = 2 * time.Second
)

// elsewhere goes on at another server: this one answers pings, but may be cut off from
// those with which it would have to agree.
func (j *Journal) elsewhere() {
	moves := false
	j.change(func(s *state) {
		if moves = s.connected && time.Since(s.linkedAt) > stay; moves {
			s.linkedAt = time.Now()
		}
	})
	if !moves || len(j.config.URLs) < 2 {
		return
	}
	if err := j.conn.ForceReconnect(); err != nil {
		j.report("going to another NATS server", err)
	}
}

// followed notes that messages come in.
func (j *Journal) followed() { j.change(func(s *state) { s.followedAt = time.Now() }) }

// silentFor tells for how long nobody has sent messages, or would have.
func (j *Journal) silentFor(now time.Time) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	return now.Sub(j.state.followedAt)
}

// linked notes that there is a connection. NATS may call it before connect has it.
func (j *Journal) linked(conn *nats.Conn) {
	was := false
	j.change(func(s *state) {
		was, s.connected, s.refusal = s.connected, true, nil
		s.linkedAt, s.followedAt = time.Now(), time.Now()
	})
	if !was {
		j.report("connected to NATS at "+conn.ConnectedUrlRedacted(), nil)
	}
}

// unlinked notes that there is none, and ends what belonged to it.
func (j *Journal) unlinked(err error) {
	j.change(func(s *state) {
		if s.connected {
			s.connected, s.lostAt = false, time.Now()
		}
		if s.link != nil {
			s.link()
		}
	})
	if err != nil {
		j.report("lost the connection to NATS", err)
	}
}

// overLink gives a context that ends with the present connection.
func (j *Journal) overLink(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	j.change(func(s *state) {
		s.link = cancel
		if !s.connected {
			cancel()
		}
	})
	return ctx, cancel
}
