package storage

import (
	"testing"
	"testing/synctest"
	"time"
)

// spell plays a number of looks and gives the times between them; commit tells which
// of them find one.
func (l *lookout) spell(looks int, commit func(look int) bool) (rests []time.Duration) {
	for i := range looks {
		rest, _ := l.next()
		rests = append(rests, rest)
		time.Sleep(rest)
		l.looked(commit != nil && commit(i))
	}
	return rests
}

// Others' commits are looked for every 40 ms while somebody writes and for 2 s
// afterwards, and each second then; soon after a write that ends such a time.
func TestLookout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{writes: make(chan struct{}, 1)}
		l := newLookout(w)
		for _, rest := range l.spell(int(attentive/pollEvery), nil) {
			if rest != pollEvery {
				t.Fatalf("a look after %v", rest)
			}
		}
		same(t, "quiet", l.spell(3, nil), []time.Duration{time.Second, time.Second, time.Second})
		if _, writes := l.next(); writes != w.writes {
			t.Fatal("nobody listens")
		}
		l.written()
		const ms = time.Millisecond
		same(t, "after a write", l.spell(8, nil), []time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 40 * ms, 40 * ms})
		l.spell(int((attentive-time.Second)/pollEvery), nil)
		w.writes <- struct{}{} // while it looks often anyway
		l.spell(int((attentive-time.Second)/pollEvery), nil)
		same(t, "after another", l.spell(1, nil), []time.Duration{pollEvery})
	})
}

// Where the kernel does not tell of writes they are looked for all the time, from
// the second commit on of which it did not.
func TestLookoutThatIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{writes: make(chan struct{}, 1)}
		l := newLookout(w)
		time.Sleep(attentive)
		l.spell(2, func(look int) bool { return look == 0 }) // the disk was slow, once
		if l.watch != nil {
			t.Fatal("told of nothing for a second, and no longer believed")
		}
		same(t, "after that", l.spell(2, nil), []time.Duration{pollEvery, pollEvery})

		l = newLookout(w)
		time.Sleep(attentive)
		l.spell(1, func(int) bool { return true })
		l.written() // late
		time.Sleep(attentive)
		l.spell(3, nil)
		if l.watch == nil {
			t.Error("told late, and no longer believed")
		}
	})
}
