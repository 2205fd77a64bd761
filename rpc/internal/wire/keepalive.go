package wire

import (
	"sync"
	"time"
)

// keepAlive pings the peer and ends the connection when it hears nothing back. It is one
// timer, with no goroutine while nothing is due.
//
// Silence counts only while a Read waits. A server that stopped reading because of
// back-pressure cannot hear a peer that is alive and well.
type keepAlive struct {
	conn     *Conn
	interval int64 // nanoseconds, like every time here: netConn.clock
	timeout  int64

	mu      sync.Mutex
	timer   *time.Timer // nil when it is all over
	nextAt  int64       // when to ping next
	askedAt int64       // the first ping since the peer was last heard; 0: none
	cutAt   int64       // when to close the socket, with Close under way; 0: it is not
}

func (k *keepAlive) begin(c *Conn, o Options) {
	k.mu.Lock() // the timer may fire before it is stored
	defer k.mu.Unlock()
	k.conn, k.interval, k.timeout = c, int64(o.PingInterval), int64(o.PongTimeout)
	k.nextAt = c.net.clock() + k.interval
	k.timer = time.AfterFunc(o.PingInterval, k.tick)
}

// cutIn stops the pings and closes the socket after d, unless end comes first.
func (k *keepAlive) cutIn(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.cutAt = k.conn.net.clock() + int64(d)
		k.timer.Reset(d)
	}
}

func (k *keepAlive) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}

// tick runs when something is due. It takes no lock over what may block.
func (k *keepAlive) tick() {
	cut, silent := k.advance()
	switch {
	case cut:
		_ = k.conn.CloseNow()
	case silent:
		k.conn.fail(ErrSilent)
		_ = k.conn.Close(ClosePolicy, "no answer to a ping")
	}
}

// advance pings if it is time, sets the timer to what is due next, and reports whether
// the connection has to end.
func (k *keepAlive) advance() (cut, silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return false, false
	}
	now, wake := k.conn.net.clock(), k.cutAt
	if wake == 0 {
		if k.conn.net.heard.Load() >= k.askedAt {
			k.askedAt = 0
		}
		if deadline := k.deadline(); deadline != 0 && now >= deadline {
			return false, true
		}
		if now >= k.nextAt {
			k.ping(now)
		}
		wake = k.nextAt
		if deadline := k.deadline(); deadline != 0 {
			wake = min(wake, deadline)
		}
	} else if now >= wake {
		return true, false
	}
	k.timer.Reset(time.Duration(wake - now))
	return false, false
}

func (k *keepAlive) ping(now int64) {
	k.conn.net.queue(opPing, controlFrame(opPing, nil, k.conn.net.client))
	k.nextAt = now + k.interval
	if k.askedAt == 0 {
		k.askedAt = now
	}
}

// deadline is when the peer must have been heard, or 0 if nothing is asked or nobody
// listens. In that case the next ping is early enough to look again.
func (k *keepAlive) deadline() int64 {
	listening := k.conn.waiting.Load()
	if k.askedAt == 0 || listening == 0 {
		return 0
	}
	return max(k.askedAt, listening) + k.timeout
}
