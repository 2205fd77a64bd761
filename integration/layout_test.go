package integration

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/descartes-tasks/descartes"

// mayImport says, for each room, which packages of the project it may import. A
// room may always import what is below itself.
var mayImport = map[string][]string{
	"schema":              {},
	"emitter":             {"schema"},
	"storage":             {"schema"},
	"storage/cluster":     {"schema", "storage"},
	"rpc":                 {"emitter", "schema", "rpc/internal/wire", "rpc/web"},
	"rpc/internal/wire":   {"schema"},
	"rpc/client":          {"schema", "rpc/internal/wire"},
	"rpc/web":             {},
	"integration":         {"rpc/client", "schema"},
	"integration/kit":     {"rpc/client", "schema"},
	"integration/bench":   {},
	"cmd/descartes":       {"cmd/descartes/bench", "cmd/descartes/mcp", "emitter", "rpc", "rpc/client", "schema", "storage", "storage/cluster"},
	"cmd/descartes/bench": {"rpc/client", "schema"},
	"cmd/descartes/mcp":   {"rpc/client", "schema"},
}

type goPackage struct {
	ImportPath, Dir, Doc          string
	Imports, GoFiles, TestGoFiles []string
	XTestImports, TestImports     []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json", "./...")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestRoomsImportInOneDirection(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, known := mayImport[room]
		if !known {
			if room == "emitter/journaltest" || room == "rpc/internal/wire/wiretest" { // test kits
				continue
			}
			t.Errorf("%s is no room of docs/architecture.md", room)
		}
		for _, path := range p.Imports {
			path, ours := strings.CutPrefix(path, module+"/")
			if ours && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", room, path)
			}
		}
	}
}

func TestSchemaImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"/schema" {
			continue
		}
		for _, path := range p.Imports {
			if strings.Contains(path, ".") {
				t.Errorf("schema imports %s", path)
			}
		}
	}
}

func TestOnlyWireImportsTheWebSocketLibrary(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(p.Imports, "nhooyr.io/websocket") && p.ImportPath != module+"/rpc/internal/wire" {
			t.Errorf("%s imports nhooyr.io/websocket", p.ImportPath)
		}
	}
}

// A program that imports the client gets no database with it.
func TestClientLinksNoSQLite(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../rpc/client").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		if strings.Contains(path, "sqlite") || path == module+"/storage" || path == "database/sql" {
			t.Errorf("rpc/client links %s", path)
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestSizes(t *testing.T) {
	const fileLines, functionLines, testLines = 350, 80, 150 // tests are mostly tables
	eachFile(t, func(path string, set *token.FileSet, file *ast.File) {
		if n := set.Position(file.End()).Line; n > fileLines && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s has %d lines, more than %d", path, n, fileLines)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			limit := functionLines
			if strings.HasSuffix(path, "_test.go") {
				limit = testLines
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line; n > limit {
				t.Errorf("%s: %s has %d lines, more than %d", path, f.Name.Name, n, limit)
			}
		}
	})
}

func TestEveryExportedNameHasAComment(t *testing.T) {
	eachFile(t, func(path string, set *token.FileSet, file *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		complain := func(name *ast.Ident) { t.Errorf("%s: %s has no comment", set.Position(name.Pos()), name.Name) }
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					complain(d.Name)
				}
			case *ast.GenDecl:
				undocumented(d, complain)
			}
		}
	})
}

// exportedReceiver tells whether a function is one that other packages can name.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	receiver := f.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	name, ok := receiver.(*ast.Ident)
	return !ok || name.IsExported()
}

// undocumented gives the exported names of a declaration that neither it nor their
// line explains.
func undocumented(d *ast.GenDecl, complain func(*ast.Ident)) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
				complain(spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					complain(name)
				}
			}
		}
	}
}

func eachFile(t *testing.T, do func(path string, set *token.FileSet, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "node_modules" {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err == nil {
			do(path, set, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The pages that say which test keeps a promise name tests that there are.
func TestDocsNameTestsThatExist(t *testing.T) {
	there := make(map[string]bool)
	eachFile(t, func(path string, _ *token.FileSet, file *ast.File) {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasSuffix(path, "_test.go") {
				there[f.Name.Name] = true
			}
		}
	})
	for _, page := range []string{"../docs/guarantees.md", "../docs/security.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(string(text), -1) {
			if !there[name[1]] {
				t.Errorf("%s names %s, which is no test", page, name[1])
			}
		}
	}
}
