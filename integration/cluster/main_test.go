package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // the files are read with plain SQL

	"github.com/descartes-tasks/descartes/integration/kit"
)

// The built commands.
var binary, natsBinary string

func TestMain(m *testing.M) {
	if setting := os.Getenv(kit.WorkerProcess); setting != "" {
		os.Exit(kit.WorkAsProcess(setting))
	}
	directory, err := os.MkdirTemp("", "descartes-cluster")
	if err == nil {
		binary, natsBinary = filepath.Join(directory, "descartes"), filepath.Join(directory, "nats-server")
		err = errors.Join(watch(directory), buildDaemon(directory), goBuild(".", "-o", natsBinary, "github.com/nats-io/nats-server/v2"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the binaries:", err)
		os.Exit(1)
	}
	code := m.Run()
	err = races(directory)
	os.RemoveAll(directory)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// clockVariable has the time of a daemon run ahead, or behind if it is negative.
const clockVariable = "DESCARTES_TEST_CLOCK"

// setClock replaces cmd/descartes/clock.go in the daemon that is tested.
const setClock = `package main

import (
	"os"
	"time"
)

func now() time.Time {
	ahead, err := time.ParseDuration(os.Getenv("` + clockVariable + `"))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}
`

// buildDaemon builds the daemon, with a clock that can be set.
func buildDaemon(directory string) error {
	clock, overlay := filepath.Join(directory, "clock.go"), filepath.Join(directory, "overlay.json")
	replaced, err := filepath.Abs("../../cmd/descartes/clock.go")
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {replaced: clock}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(clock, []byte(setClock), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		return err
	}
	return goBuild("../..", append(slices.Clone(watched), "-overlay", overlay, "-o", binary, "./cmd/descartes")...)
}

func goBuild(directory string, arguments ...string) error {
	command := exec.Command("go", append([]string{"build"}, arguments...)...)
	command.Dir, command.Stderr = directory, os.Stderr
	return command.Run()
}
