package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/descartes-tasks/descartes/integration/kit"
	"github.com/descartes-tasks/descartes/schema"
)

// pipeliner sends many creations over one connection before it reads an answer.
type pipeliner struct {
	t      *testing.T
	name   string
	daemon *member
	sent   int
	told   []told
}

// told is an acknowledged creation: the how manieth that was sent, and its seq.
type told struct {
	number int
	seq    int64
}

// burst is how many creations are sent at once.
const burst = 20

func (p *pipeliner) work(ctx context.Context) {
	for ctx.Err() == nil {
		p.daemon.Running()
		if err := p.overOne(ctx); err != nil && ctx.Err() == nil {
			p.t.Errorf("%s: %v", p.name, err)
			return
		}
	}
}

// overOne works until the connection is lost.
func (p *pipeliner) overOne(ctx context.Context) error {
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.daemon.socket)
	}}
	conn, _, err := dialer.DialContext(ctx, "ws://localhost/rpc", nil)
	if err != nil {
		return nil // it was killed
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for ctx.Err() == nil {
		first := p.sent
		for range burst {
			name := fmt.Sprintf("%s-%d", p.name, p.sent)
			request := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"task.create","params":{"id":%q,"title":%q}}`, p.sent, name, name)
			p.sent++
			if conn.WriteMessage(websocket.TextMessage, []byte(request)) != nil {
				return nil
			}
		}
		for number := first; number < p.sent; number++ {
			_, raw, err := conn.ReadMessage()
			if err != nil {
				return nil
			}
			if err := p.answered(raw); err != nil {
				return err
			}
		}
		select { // there are writers, too
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

func (p *pipeliner) answered(raw []byte) error {
	var answer struct {
		ID     int
		Result struct{ Version int64 }
		Error  *schema.Error
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return fmt.Errorf("%s: %w", raw, err)
	}
	if answer.Error == nil {
		p.told = append(p.told, told{answer.ID, answer.Result.Version})
		return nil
	}
	if again, _ := kit.Unanswered(answer.Error); !again {
		return answer.Error
	}
	return nil
}

// check checks that what was acknowledged is in the journal once, in the order in which it
// was sent, and gives how much that is.
func (p *pipeliner) check(f *kit.File) int {
	p.t.Helper()
	last := told{-1, 0}
	for _, a := range p.told {
		if seqs := f.Seqs[fmt.Sprintf("%s-%d", p.name, a.number)]; len(seqs) != 1 || seqs[0] != a.seq {
			p.t.Errorf("%s was told that its creation %d is event %d, and it is in the journal at %v", p.name, a.number, a.seq, seqs)
		}
		if a.number <= last.number || a.seq <= last.seq {
			p.t.Errorf("%s: creation %d became event %d, after creation %d had become event %d", p.name, a.number, a.seq, last.number, last.seq)
		}
		last = a
	}
	return len(p.told)
}
