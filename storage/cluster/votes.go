package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// ballot is how long the others have to answer what their chain is.
	ballot = 500 * time.Millisecond
	// there is after how long one that is not heard of is not waited for.
	there = 5 * greetEvery
	// maxDisputes is how often one that is behind, and is there, is asked again.
	maxDisputes = 5
)

// question asks everybody for the chain at a position.
type question struct {
	Position int64 `json:"position"`
}

// vote answers a question.
type vote struct {
	Name        string `json:"name"`
	Incarnation uint32 `json:"incarnation"` // two daemons of one name have a vote each
	Chain       string `json:"chain"`
}

// answer tells who asks what the chain is at a position, if this daemon knows.
func (j *Journal) answer(m *nats.Msg) {
	var q question
	if json.Unmarshal(m.Data, &q) != nil || m.Reply == "" {
		return
	}
	if mine, ok := j.chainAt(q.Position); ok {
		if data, err := json.Marshal(vote{j.config.Daemon, j.incarnation, mine.String()}); err == nil {
			_ = m.Respond(data)
		}
	}
}

// judge asks all daemons for their chain at a position and stops this one unless more
// than half of those that know, itself included, have the same. While one that does not
// know yet could decide that, it is asked again with the next greetings. It belongs to
// talk.
func (j *Journal) judge(ctx context.Context, position int64) {
	if _, known := j.chainAt(j.dispute.position); known && j.dispute.times > 0 {
		position = j.dispute.position // who is behind comes to where it was asked, not to where it is
	}
	found, others := j.poll(ctx, position)
	switch {
	case found == agreed:
		j.dispute.times = 0
	case found == outvoted:
		j.dispute.times = 0
		j.report("comparing journals", fmt.Errorf("%s: another journal than most daemons have, at message %d", strings.Join(others, ", "), position))
	case found == open && j.dispute.times < maxDisputes:
		j.dispute = dispute{position, j.dispute.times + 1}
	case found != unasked:
		j.fail(&Diverged{Position: position, Others: others})
	}
}

// dispute is a position at which others had another journal, and too few knew it to tell
// who is right.
type dispute struct {
	position int64
	times    int // that it was asked for in a row
}

// verdict is what the daemons say of the journal of this one.
type verdict int

// The verdicts.
const (
	unasked  verdict = iota // nobody could be asked: the next greeting raises the same doubt
	agreed                  // nobody has another one
	outvoted                // some have, fewer than have this one's
	open                    // those that are asked again could decide it
	refuted                 // at least as many have another one
)

// poll asks all daemons for their chain at a position, and names those that have another
// one.
func (j *Journal) poll(ctx context.Context, position int64) (found verdict, others []string) {
	mine, known := j.chainAt(position)
	if !known {
		return agreed, nil
	}
	votes, err := j.ask(ctx, position)
	if err != nil {
		return unasked, nil
	}
	return count(mine.String(), votes, j.waiting(votes))
}

// count counts votes, and those that are waited for.
func count(mine string, votes []vote, waiting int) (found verdict, others []string) {
	agree := 1
	for _, v := range votes {
		if v.Chain == mine {
			agree++
		} else {
			others = append(others, v.Name)
		}
	}
	switch {
	case len(others) == 0:
		return agreed, nil
	case agree > len(others):
		return outvoted, others
	case agree+waiting > len(others):
		return open, others
	}
	return refuted, others
}

// waiting counts the daemons that were heard just now, and are not among those who voted.
func (j *Journal) waiting(votes []vote) (n int) {
	j.peers.mu.Lock()
	defer j.peers.mu.Unlock()
	for _, p := range j.peers.heard {
		if time.Since(p.at) < there && !slices.ContainsFunc(votes, func(v vote) bool { return v.Name == p.Name }) {
			n++
		}
	}
	return n
}

// Diverged says that the journal of this daemon is not that of the others.
type Diverged struct {
	Position int64    // of the message where the journals were compared
	Others   []string // daemons that have another one
}

// Error implements the error interface.
func (e *Diverged) Error() string {
	return fmt.Sprintf("the journal of this daemon is not that of %s (compared at message %d): its file was changed, or is damaged; nothing more is served from it. Start once with --cluster-rebuild to begin with the newest snapshot",
		strings.Join(e.Others, ", "), e.Position)
}

// ask gathers what the chains of the other daemons are at a position.
func (j *Journal) ask(ctx context.Context, position int64) (votes []vote, err error) {
	data, err := json.Marshal(question{position})
	if err != nil {
		return nil, err
	}
	inbox := j.conn.NewInbox()
	answers, err := j.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := j.conn.PublishRequest(j.config.chainSubject(), inbox, data); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ballot)
	defer cancel()
	seen := map[uint32]bool{j.incarnation: true}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return votes, nil
		case err != nil:
			return nil, err
		}
		var v vote
		if json.Unmarshal(m.Data, &v) == nil && !seen[v.Incarnation] {
			seen[v.Incarnation] = true
			votes = append(votes, v)
		}
	}
}
