package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// docs/command.md has every command, every method and every exit code.
func TestCommandPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, c := range command(nil, nil, nil).Commands {
		if !strings.Contains(page, "`"+c.Name+"`") && !strings.Contains(page, "`"+c.Name+" ") && !strings.Contains(page, "descartes "+c.Name+"`") {
			t.Errorf("%s is not there", c.Name)
		}
	}
	_, methods, _ := strings.Cut(page, "## Which command calls which method")
	for _, method := range schema.Methods() {
		if !strings.Contains(methods, "`"+method+"`") {
			t.Errorf("%s is not there", method)
		}
	}
	for _, exit := range exitCodes {
		if row := fmt.Sprintf("| %d | %s |\n", exit.code, exit.says); !strings.Contains(page, row) {
			t.Errorf("%s is not there", row)
		}
	}
}
