package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/schema"
)

// running reads a file of docs/running.
func running(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "running", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exposed gives the names of all metrics of a daemon whose database has failed.
func exposed(t *testing.T) map[string]bool {
	t.Helper()
	db := filepath.Join(t.TempDir(), "data", "descartes.db")
	if err := os.Mkdir(filepath.Dir(db), 0o700); err != nil {
		t.Fatal(err)
	}
	d := serve(t, db)
	c := d.dial()
	create(t, c, "there")
	if err := os.Rename(filepath.Dir(db), filepath.Dir(db)+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), schema.Draft{Title: "lost"}); schema.CodeOf(err) != schema.CodeStorageUnavailable {
		t.Fatalf("create: %v", err)
	}
	answer, err := http.Get(d.page("/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if name := regexp.MustCompile(`^\w+`).FindString(line); name != "" {
			names[name] = true
		}
	}
	return names
}

// used gives the names of the daemon's metrics in an expression of PromQL.
func used(expression string) []string {
	return regexp.MustCompile(`\b(?:descartes|task|process|go)_[a-z_]+`).FindAllString(expression, -1)
}

// The dashboard and the alerts are about metrics that there are, and the dashboard shows
// each that is the daemon's own.
func TestDashboard(t *testing.T) {
	t.Parallel()
	names, shown := exposed(t), make(map[string]bool)
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal([]byte(running(t, "grafana.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	check := func(where, expression string) {
		found := used(expression)
		for _, name := range found {
			shown[name] = true
			if !names[name] && !strings.HasPrefix(name, "descartes_cluster_") { // which a single daemon has not: see TestClusterMetrics
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
		if len(found) == 0 && !strings.Contains(expression, "up{") {
			t.Errorf("%s: %s is about no metric", where, expression)
		}
	}
	ids := make(map[int]bool)
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q is not well defined", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Definition != "" {
			check("variable "+variable.Name, variable.Definition)
		}
	}
	for name := range names {
		own := strings.HasPrefix(name, "descartes_") || strings.HasPrefix(name, "task_")
		part := regexp.MustCompile(`_(?:bucket|sum|count)$`).ReplaceAllString(name, "")
		if own && !shown[name] && !shown[part+"_bucket"] && !shown[part+"_sum"] {
			t.Errorf("no panel shows %s", name)
		}
	}
	alerts := regexp.MustCompile(`(?m)^ +expr: (.+)$`).FindAllStringSubmatch(running(t, "alerts.yml"), -1)
	for _, alert := range alerts {
		check("alerts.yml", alert[1])
	}
	if len(ids) < 10 || len(alerts) < 5 {
		t.Errorf("%d panels and %d alerts were read", len(ids), len(alerts))
	}
}

// The units are what systemd understands.
func TestUnits(t *testing.T) {
	t.Parallel()
	systemd := need(t, "systemd-analyze")
	directory := t.TempDir()
	arguments := []string{"verify", "--man=no"}
	for _, name := range []string{"descartes.service", "descartes.socket", "descartes-backup.service", "descartes-backup.timer", "cluster/nats-server.service"} {
		path := filepath.Join(directory, filepath.Base(name))
		text := strings.NewReplacer("/usr/local/bin/descartes", binary, "/usr/local/bin/nats-server", binary).Replace(running(t, name))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, path)
	}
	if out, err := exec.Command(systemd, arguments...).CombinedOutput(); err != nil || strings.Contains(string(out), directory) {
		t.Errorf("%v: %s", err, out)
	}
}

// The backup unit makes a backup a day and keeps as many as it says; where no backup
// could be made, none is removed.
func TestBackupUnit(t *testing.T) {
	t.Parallel()
	d := serve(t, database(t))
	create(t, d.dial(), "kept")
	backups := t.TempDir()
	const old, keep = 20, 14
	for day := range old {
		if err := os.WriteFile(filepath.Join(backups, fmt.Sprintf("descartes-2025-01-%02d.db", day+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unit := running(t, "descartes-backup.service")
	// run does what the unit does: ExecStartPost only when ExecStart has succeeded.
	run := func(db string) error {
		for _, name := range []string{"ExecStart", "ExecStartPost"} {
			line := regexp.MustCompile(`(?m)^` + name + `=/bin/sh -c '(.*)'$`).FindStringSubmatch(unit)[1]
			line = strings.NewReplacer("%%", "%", "/usr/local/bin/descartes", binary).Replace(line)
			command := exec.Command("sh", "-c", line)
			command.Env = append(os.Environ(), "DESCARTES_DB="+db, "BACKUPS="+backups, fmt.Sprint("KEEP=", keep))
			if out, err := command.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
		return nil
	}
	if err := run(filepath.Join(backups, "none.db")); err == nil {
		t.Error("a backup of nothing was made")
	}
	files := func() []string {
		found, _ := filepath.Glob(filepath.Join(backups, "*"))
		return found
	}
	if n := len(files()); n != old {
		t.Errorf("%d files after a backup that failed, want %d", n, old)
	}
	for range 2 { // on one day, but at midnight
		if err := run(d.db); err != nil {
			t.Fatal(err)
		}
	}
	found := files()
	if newest := found[len(found)-1]; len(found) != keep || exec.Command(binary, "check", "--db", newest).Run() != nil {
		t.Errorf("%d files, the newest %s", len(found), newest)
	}
	if !strings.Contains(unit, fmt.Sprint(" KEEP=", keep)) {
		t.Error("the unit keeps another number")
	}
}
