package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/descartes-tasks/descartes/rpc/client"
)

// Options configures a benchmark.
type Options struct {
	Serve    func(arguments ...string) *exec.Cmd // makes "descartes serve"; required unless URL is set
	URL      string                              // of a daemon to measure instead, which is left as it was
	Client   client.Options                      // to connect to that one; default none
	Repeat   int                                 // how often each row is measured; default 1
	Progress func(row string, done, total int64) // is told of progress, in milliseconds; default nobody
}

// Settings is the size of a row. What a row does not use is ignored.
type Settings struct {
	Writers     int           // connections that write, or list
	InFlight    int           // unanswered calls of each
	Subscribers int           // connections that get every change
	Tasks       int           // tasks that are stored before
	Events      int           // events in the journal before, at least as many as tasks
	Rate        float64       // writes in a second; 0: as many as go
	Duration    time.Duration // of measuring, without the warm-up before it
}

// bench is a benchmark under way.
type bench struct {
	options   Options
	directory string
	files     int
	stores    map[store]string // files with tasks, by what is in them
	row       string           // that is being measured
}

// Run measures rows, one after the other, and gives them in their order, with medians
// where each is measured several times. A row that needs a daemon of its own is skipped
// where there is a URL. The error is that of the row that failed, or ctx's; what was
// measured before comes with it.
func Run(ctx context.Context, plan []Planned, options Options) (rows []Row, err error) {
	if options.Progress == nil {
		options.Progress = func(string, int64, int64) {}
	}
	b := &bench{options: options, stores: make(map[store]string)}
	if b.directory, err = os.MkdirTemp("", "descartes-bench"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.directory)) }()
	for _, p := range plan {
		row, err := b.repeat(ctx, p)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", row.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (b *bench) repeat(ctx context.Context, p Planned) (Row, error) {
	row := Row{Name: p.name()}
	b.row = row.Name
	if p.Scenario.ownDaemon && b.options.URL != "" {
		row.Skipped = "needs a daemon of its own"
		return row, nil
	}
	var runs []Row
	for range max(1, b.options.Repeat) {
		figures, err := p.Scenario.run(ctx, b, p.Settings)
		if err != nil {
			return row, err
		}
		runs = append(runs, Row{Name: row.Name, Figures: figures})
	}
	return median(runs), nil
}

// newFile gives the name of a file that is not there yet.
func (b *bench) newFile() string {
	b.files++
	return filepath.Join(b.directory, fmt.Sprintf("%d.db", b.files))
}

// with runs a row on a daemon that has so many tasks and events, under a load of its own.
// What the row writes is not there for the next one.
func (b *bench) with(ctx context.Context, s store, row func(l *load) ([]Figure, error)) (figures []Figure, err error) {
	path, err := b.stored(ctx, s)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if path, err = b.copyFile(path); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.Remove(path)) }()
	}
	return b.on(ctx, path, s, row)
}

// on runs a row on a daemon with this file, or on that of somebody else, which is filled
// first.
func (b *bench) on(ctx context.Context, path string, s store, row func(l *load) ([]Figure, error)) (figures []Figure, err error) {
	t, err := b.target(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	if t.own == nil {
		if err := b.fill(ctx, t, s); err != nil {
			return nil, err
		}
	}
	l := newLoad(ctx, t)
	figures, err = row(l)
	if first := l.stop(); first != nil {
		err = first
	}
	return figures, err
}

// copyFile copies a file that no daemon has open.
func (b *bench) copyFile(path string) (string, error) {
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.Create(b.newFile())
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return to.Name(), errors.Join(err, to.Close())
}
