package wire

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// answering reads frames and answers pings until the connection ends; it reports the
// times at which pings came.
func answering(far net.Conn, answer func(ping int) bool) <-chan []time.Duration {
	pings := make(chan []time.Duration, 1)
	start := time.Now()
	go func() {
		var times []time.Duration
		in := bufio.NewReader(far)
		for {
			opcode, _, err := readFrame(in)
			if err != nil {
				pings <- times
				return
			}
			if opcode == opPing {
				times = append(times, time.Since(start))
				if answer(len(times)) {
					_, _ = far.Write(frame(0x80, opPong, ""))
				}
			}
		}
	}()
	return pings
}

func TestAPeerThatAnswersPingsLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{})
		pings := answering(far, func(int) bool { return true })
		go func() { _, _ = c.Read() }()
		time.Sleep(time.Hour + time.Second)
		if err := c.CloseNow(); err != nil {
			t.Error(err)
		}
		if got := <-pings; len(got) != 180 || got[179] != time.Hour {
			t.Errorf("%d pings", len(got))
		}
	})
}

func TestASilentPeerIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{})
		pings := answering(far, func(ping int) bool { return ping < 3 })
		start := time.Now()
		_, err := c.Read()
		if !errors.Is(err, ErrSilent) || errors.Is(err, io.EOF) {
			t.Error(err)
		}
		// The third ping, after 60 s, is the first without an answer. 30 s for the pong,
		// one for the peer's close frame.
		if took := time.Since(start); took != 91*time.Second {
			t.Errorf("closed after %v", took)
		}
		<-pings
	})
}

func TestSilenceCountsOnlyWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{})
		pings := answering(far, func(int) bool { return false })
		time.Sleep(time.Hour) // the server is busy
		select {
		case <-c.Done():
			t.Fatal("closed without having listened")
		default:
		}
		start := time.Now()
		if _, err := c.Read(); !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
		if took := time.Since(start); took != 31*time.Second {
			t.Errorf("closed after %v", took)
		}
		<-pings
	})
}

func TestAnyMessageProvesLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := pipe(t, Options{})
		pings := answering(far, func(int) bool { return false })
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				time.Sleep(25 * time.Second)
				if _, err := far.Write(frame(0x80, opText, "alive")); err != nil {
					return
				}
			}
		})
		for range 100 {
			expectMessage(t, c, "alive")
		}
		_ = c.CloseNow()
		<-pings
		wg.Wait()
	})
}
