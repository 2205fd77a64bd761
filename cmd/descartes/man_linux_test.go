package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// The manual has every command and flag, and groff finds nothing to warn of.
func TestManual(t *testing.T) {
	page := descartes(t, "man")
	if page.code != 0 {
		t.Fatalf("%+v", page)
	}
	for _, line := range []string{"'line", ".line"} {
		m := new(manual)
		m.line(line)
		if got := m.text.String(); !strings.HasPrefix(got, `\&`) {
			t.Errorf("%q is written %q", line, got)
		}
	}
	needTool(t, "groff")
	format := exec.Command("groff", "-man", "-ww", "-Tascii", "-P-cbou")
	format.Stdin = strings.NewReader(page.out)
	var warnings strings.Builder
	format.Stderr = &warnings
	text, err := format.Output()
	if err != nil || warnings.Len() > 0 {
		t.Fatalf("%v\n%s", err, &warnings)
	}
	err = command(nil, nil, nil).Walk(func(c *cli.Command) error {
		if c.Hidden {
			return nil
		}
		if !strings.Contains(string(text), c.FullName()+" ") && !strings.Contains(string(text), c.FullName()+"\n") {
			t.Errorf("%s is not there", c.FullName())
		}
		for _, f := range c.Flags {
			if !strings.Contains(string(text), "--"+f.Names()[0]) {
				t.Errorf("%s: --%s is not there", c.FullName(), f.Names()[0])
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
