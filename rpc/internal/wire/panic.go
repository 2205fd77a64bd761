package wire

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// PanicError is a panic that was recovered. Its text is one line without a stack:
// logs are read by more people than the source is, and get around.
type PanicError struct {
	Value any
	At    string // file:line of the panic, the file without its folder; "" if unknown
}

// Error implements the error interface.
func (e *PanicError) Error() string {
	text, _, _ := strings.Cut(fmt.Sprint(e.Value), "\n")
	return fmt.Sprintf("panic at %s: %s", e.At, text)
}

// Recovered makes an error of what recover returned. It is to be called by the
// deferred function that has recovered, or by one that this calls.
func Recovered(value any) *PanicError {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		switch {
		case strings.HasPrefix(frame.Function, "runtime."): // gopanic, and what leads there from a bad pointer
			panicking = true
		case panicking:
			return &PanicError{value, fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)}
		}
		if !more {
			return &PanicError{Value: value}
		}
	}
}
