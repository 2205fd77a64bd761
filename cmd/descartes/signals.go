package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// signaled is the cause of the end of a context that a signal has ended.
type signaled struct{ os.Signal }

// Error implements the error interface.
func (s signaled) Error() string { return "stopped by signal: " + s.String() }

// Is makes it a kind of context.Canceled.
func (s signaled) Is(target error) bool { return target == context.Canceled }

// untilSignal gives a context that the first signal to end ends. With the handler
// gone the second one ends the process.
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		first := <-signals
		signal.Stop(signals)
		cancel(signaled{first})
	}()
	return ctx
}

// twoSignals gives a context that the first signal to end ends, or the end of its
// parent, and one that the second signal ends; the third one ends the process. The terminal going away is such a
// signal, too, unless this process was started to survive that. stop gives back
// what they hold.
func twoSignals(parent context.Context) (first, second context.Context, stop func()) {
	first, endFirst := context.WithCancelCause(parent)
	second, endSecond := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	over, listening := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(listening)
		for _, end := range []context.CancelCauseFunc{endFirst, endSecond} {
			select {
			case s := <-signals:
				end(signaled{s})
			case <-over:
				return
			}
		}
		signal.Stop(signals) // a third one ends the process
	}()
	return first, second, func() {
		signal.Stop(signals)
		close(over)
		<-listening
		endFirst(nil)
		endSecond(nil)
	}
}
