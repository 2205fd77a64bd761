package emitter

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/descartes-tasks/descartes/schema"
)

func someItems(first int64, n, size int) []*item {
	items := make([]*item, n)
	for i := range items {
		items[i] = &item{event: schema.Event{
			Seq: first + int64(i), ChangeType: schema.Created, TaskID: fmt.Sprint(i), Task: bytes.Repeat([]byte{' '}, size),
		}}
	}
	return items
}

func TestTailBounds(t *testing.T) {
	tail := newTail(10, 4, 5000)
	check := func(kept int, last int64) {
		t.Helper()
		bytes := 0
		for i, it := range tail.items {
			if bytes += it.size(); it.event.Seq != last-int64(kept)+int64(i)+1 {
				t.Errorf("item %d is event %d", i, it.event.Seq)
			}
		}
		if len(tail.items) != kept || tail.last != last || tail.bytes != bytes {
			t.Errorf("there are %d items, last %d, %d bytes of %d", len(tail.items), tail.last, tail.bytes, bytes)
		}
	}
	tail.extend(someItems(11, 3, 1))
	check(3, 13)
	tail.extend(someItems(14, 9, 1))
	check(4, 22)
	tail.extend(someItems(23, 2, 1000)) // 2512 each
	check(1, 24)
	tail.extend(someItems(25, 1, 9000)) // too large, but the newest one always stays
	check(1, 25)
	tail.extend(someItems(26, 1, 1))
	check(1, 26)
	tail.skipTo(30)
	check(0, 30)
	tail.extend(someItems(31, 2, 1))
	check(2, 32)
}

func TestTailAfter(t *testing.T) {
	tail := newTail(10, 4, 5000)
	for _, test := range []struct {
		seq  int64
		n    int
		isOK bool
	}{{9, 0, false}, {10, 0, true}, {12, 0, true}} {
		if items, last, _, ok := tail.after(test.seq); len(items) != test.n || last != 10 || ok != test.isOK {
			t.Errorf("empty, after %d: %d items, last %d, %v", test.seq, len(items), last, ok)
		}
	}
	_, _, changed, _ := tail.after(10)
	tail.extend(someItems(11, 6, 1)) // keeps 13 to 16
	select {
	case <-changed:
	default:
		t.Error("nobody was woken")
	}
	for seq, want := range map[int64]int{11: -1, 12: 4, 14: 2, 16: 0, 20: 0} {
		items, _, _, ok := tail.after(seq)
		if ok != (want >= 0) || len(items) != max(want, 0) || len(items) > 0 && items[0].event.Seq != seq+1 {
			t.Errorf("after %d: %d items, %v", seq, len(items), ok)
		}
	}
}

// What the tail has dropped is not kept in memory by the array behind it.
func TestTailForgets(t *testing.T) {
	tail := newTail(0, 4096, 4<<20)
	tail.extend(someItems(1, 4096, 1))
	var dropped []weak.Pointer[item]
	const large, kept = 500, 7 // of 0.5 MiB each
	for i := range large {
		items := someItems(int64(4097+i), 1, 256<<10)
		dropped = append(dropped, weak.Make(items[0]))
		tail.extend(items)
	}
	runtime.GC()
	alive := 0
	for _, p := range dropped {
		if p.Value() != nil {
			alive++
		}
	}
	if alive != kept || len(tail.items) != kept {
		t.Errorf("%d of %d large events are in memory, the tail has %d and may have %d", alive, large, len(tail.items), kept)
	}
	runtime.KeepAlive(tail)
}

// A batcher ends a batch early when it gets large.
func TestBatchesAreBounded(t *testing.T) {
	b := batcher{spec: BatchSpec{Max: 1000, Wait: time.Hour}}
	now := time.Now()
	for _, it := range someItems(1, 10, 200<<10) {
		b.add(now, Delivery{item: it})
	}
	var sizes []int
	for b.full() {
		sizes = append(sizes, len(b.take(0).Events))
	}
	if fmt.Sprint(sizes, len(b.waiting)) != "[3 3 3] 1" || b.due(now) || !b.due(now.Add(time.Hour)) {
		t.Errorf("batches of %v, %d wait", sizes, len(b.waiting))
	}
}
