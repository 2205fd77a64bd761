package rpc

import (
	"encoding/json"
	"time"

	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

func leaseMethods() []method {
	return []method{
		{
			name: schema.MethodClaim, summary: "Take the ready task that matches, highest priority first, then oldest; null if there is none.",
			params: schema.ClaimParams{}, result: (*schema.ClaimResult)(nil), errors: []schema.Code{schema.CodeTaskNotFound},
			write: (*session).claim, answer: onlyResult,
		},
		writing(method{
			name: schema.MethodRenew, summary: "Let a claim hold longer.", result: schema.RenewResult{},
			errors: []schema.Code{schema.CodeTaskNotFound, schema.CodeLeaseLost},
		}, func(p *schema.RenewParams) schema.Operation { return schema.Operation{Op: schema.OpRenew, Renew: p} }),
		writing(method{
			name: schema.MethodRelease, summary: "End a claim: give the task back, or leave it in another status.", result: schema.Task{},
			errors: []schema.Code{schema.CodeTaskNotFound, schema.CodeLeaseLost},
		}, func(p *schema.ReleaseParams) schema.Operation {
			return schema.Operation{Op: schema.OpRelease, Release: p}
		}),
	}
}

// claim gives the change of a task.claim.
func (s *session) claim(r *wire.Request) (schema.Change, error) {
	claim := new(schema.Claim)
	if err := schema.Decode(r.Params, &claim.ClaimParams); err != nil {
		return schema.Change{}, err
	}
	if claim.AssignedTo == "" && s.holder != nil {
		claim.AssignedTo = s.holder.Name
	}
	change := schema.Change{Operations: []schema.Operation{{Op: schema.OpClaim, Claim: claim}}}
	if err := claim.Normalize(); err != nil {
		return change, err
	}
	switch {
	case r.Notification():
		return change, schema.Invalid("id", "is required: nobody would know of the claim")
	case *claim.UntilDisconnect && s.conn == nil:
		return change, schema.Invalid("until_disconnect", "needs a WebSocket connection")
	case *claim.UntilDisconnect:
		s.binds = true
	}
	return change, nil
}

// wait submits a claim that waits where there is nothing to claim. It holds up
// nothing, and is not one of the requests in flight.
func (s *session) wait(m *method, r *wire.Request, change schema.Change, began time.Time) {
	if limit := s.server.config.Limits.MaxWaiting; s.waiting >= limit {
		s.answer(r, nil, schema.LimitExceeded("waiting", int64(limit)), began)
		return
	}
	s.free()
	s.waiting++
	patience := change.Wait() // the change is the emitter's from now on
	p := pendingWrite{r, m, s.server.config.Emitter.SubmitPatient(change), began}
	s.patient = p.write
	if s.waited == nil {
		s.waited = make(chan pendingWrite)
	}
	waited := s.waited
	go func() {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.write.Done():
		case <-timer.C:
		case <-s.ctx.Done():
		case <-s.left:
		case <-s.server.leaving:
		}
		s.server.config.Emitter.Withdraw(p.write)
		<-p.write.Done()
		waited <- p
	}()
}

// settleWaits answers every claim that waits. Who calls it knows that they end.
func (s *session) settleWaits() {
	for s.waiting > 0 {
		s.settleWait(<-s.waited)
	}
}

// settleWait answers a claim that has waited. A task that somebody got who is not there
// any more, or may not be, goes back.
func (s *session) settleWait(p pendingWrite) {
	s.waiting--
	outcome := p.write.Outcome()
	err := outcome.Err
	if err == nil {
		result := outcome.Results[0]
		found := string(result) != "null"
		stranger := s.leaves.Load() || s.server.access.recheck(s.holder) != nil
		if found && (stranger || s.ctx.Err() != nil) {
			s.giveBack(result)
		}
		switch {
		case stranger:
			err = errNotValid()
		case !found && s.server.isDraining():
			err = schema.ShuttingDown()
		default:
			s.reply(p.request, result, nil, p.began)
			return
		}
	}
	s.reply(p.request, nil, err, p.began)
}

// giveBack ends a claim that nobody will hear of.
func (s *session) giveBack(result json.RawMessage) {
	var claimed schema.ClaimResult
	err := json.Unmarshal(result, &claimed)
	var task *schema.Task
	if err == nil {
		task, err = schema.ParseTask(claimed.Task)
	}
	if err != nil { // cannot happen: the journal has encoded both
		s.line(s.server.log.Error()).Err(err).Msg("give a task back")
		return
	}
	s.server.config.Emitter.Submit(schema.Change{Origin: schema.OriginLease, Operations: []schema.Operation{{
		Op: schema.OpExpire, Expire: &schema.Expire{ID: task.ID, LeaseToken: claimed.LeaseToken},
	}}})
}

// errNotValid is told to who has come in by a token that was revoked since.
func errNotValid() *schema.Error { return schema.Unauthorized("the token is not valid any more") }
