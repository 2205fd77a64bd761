package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needTool skips a test that needs a program which is not here; with CI=true it fails.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed; .ci/run installs it", name)
	}
	t.Skipf("%s is not installed", name)
}

// commandFolder gives a folder in which this binary is called descartes, and lets
// it be that.
func commandFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(folder, "descartes")); err != nil {
		t.Fatal(err)
	}
	asSelf(t)
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	return folder
}

// typing is a shell at a terminal.
type typing struct {
	t     *testing.T
	keys  io.Writer
	shown *screen
}

func startShell(t *testing.T, command ...string) *typing {
	t.Helper()
	slave, master := terminal(t)
	shell := exec.Command(command[0], command[1:]...)
	shell.Stdin, shell.Stdout, shell.Stderr = slave, slave, slave
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	shell.Env = append(os.Environ(), "TERM=xterm", "HOME="+t.TempDir())
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	s := &typing{t, master, newScreen()}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(s.shown, master) // until the terminal is gone
		s.shown.end()
	}()
	t.Cleanup(func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
		slave.Close()
		<-read
	})
	return s
}

// types types keys and waits for what is shown then.
func (s *typing) types(keys, shows string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keys, keys); err != nil {
		s.t.Fatal(err)
	}
	s.shown.await(s.t, shows)
}

// The scripts complete commands, flags, values and ids in real shells, and run nothing
// of what was typed.
func TestCompletionInShells(t *testing.T) {
	for shell, start := range map[string]struct{ command, load string }{
		"bash": {"bash --norc --noprofile -i", "source <(descartes completion bash)"},
		"zsh":  {"zsh -f -i", "autoload -U compinit; compinit -u -D; source <(descartes completion zsh)"},
		"fish": {"fish --no-config -i", "descartes completion fish | source"},
	} {
		t.Run(shell, func(t *testing.T) {
			needTool(t, shell)
			onNewDaemon(t)
			t.Setenv(patienceVariable, "1m") // a busy machine may be slower than a person is patient
			folder := commandFolder(t)
			id := made(t, "Find me")
			made(t, "Mine", "--id", "my:read.me")
			s := startShell(t, strings.Fields(start.command)...)
			s.types(start.load+"; printf '%s%s\\n' REA DY\r", "READY")
			for typed, becomes := range map[string]string{ // at its beginning: print the words of the line instead
				"lis\t--order ti\t--priority=hi\t--asc\t":      ":list:--order:title:--priority=high:--asc",
				"upd\tmy:re\t--depends-on=" + id[28:32] + "\t": ":update:my:read.me:--depends-on=" + id[28:],
			} {
				s.types("descartes "+typed+"\x01printf ':%s' \r", ":descartes"+becomes)
			}
			s.types("descartes get \t\t", "Find me")
			s.types("\x15descartes list $(touch "+folder+"/run) --js\t\x15printf '%s%s\\n' DO NE\r", "DONE")
			if _, err := os.Stat(folder + "/run"); err == nil {
				t.Error("completing runs what was typed")
			}
		})
	}
}
