package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/descartes-tasks/descartes/emitter"
	"github.com/descartes-tasks/descartes/rpc/internal/wire"
	"github.com/descartes-tasks/descartes/schema"
)

var update = flag.Bool("update", false, "write what the server answers into testdata/*.txt; then read the difference")

// overPost lists the transcripts that are also true of POST requests.
var overPost = []string{
	"jsonrpc", "create", "get", "list", "update", "delete", "apply", "info", "ping", "discover", "errors", "token",
	"renew", "release",
}

// TestTranscripts replays testdata/*.txt: see README.md there.
func TestTranscripts(t *testing.T) {
	files := must(filepath.Glob("testdata/*.txt"))
	if len(files) < 10 {
		t.Fatalf("found only %d transcripts", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, file)
			s.replay(s.overWebSocket)
			if *update {
				check(t, os.WriteFile(file, []byte(strings.Join(s.lines, "\n")), 0o644))
			}
		})
		if slices.Contains(overPost, name) && !*update {
			t.Run(name+"/post", func(t *testing.T) {
				t.Parallel()
				s := newScript(t, file)
				s.replay(s.overPost)
			})
		}
	}
}

// script is one transcript and the daemon that it is played to.
type script struct {
	t      *testing.T
	daemon *daemon
	file   string
	lines  []string
	meant  bool // messages are compared by what they mean, without the data of errors
	peers  map[string]*peer
	page   string              // the page token that came last
	secret string              // the token that connections and POST requests come in by
	posted map[string][]string // answers to POST requests, not yet expected
}

func newScript(t *testing.T, file string) *script {
	s := &script{
		t: t, file: file, lines: strings.Split(string(must(os.ReadFile(file))), "\n"),
		meant: filepath.Base(file) == "jsonrpc.txt",
		peers: make(map[string]*peer), posted: make(map[string][]string),
	}
	s.daemon = start(t, func(s *setup) {
		s.store = func(store Store) Store { return faulty{store} }
		if filepath.Base(file) == "cluster.txt" {
			s.rpc.Cluster = new(fakeCluster)
			s.journal = func(journal emitter.Journal) emitter.Journal { return vague{journal} }
		}
	})
	addSpecificationMethods(s.daemon)
	return s
}

// addSpecificationMethods adds what the examples of the JSON-RPC 2.0
// specification call.
func addSpecificationMethods(d *daemon) {
	number := func(raw json.RawMessage) (n int) {
		_ = json.Unmarshal(raw, &n)
		return n
	}
	arguments := func(r *wire.Request) (list []json.RawMessage) {
		var named struct{ Minuend, Subtrahend json.RawMessage }
		if json.Unmarshal(r.Params, &list) != nil && json.Unmarshal(r.Params, &named) == nil {
			list = []json.RawMessage{named.Minuend, named.Subtrahend}
		}
		return list
	}
	add := func(name string, run func(args []json.RawMessage) any) {
		d.methods[name] = &method{name: name, read: func(_ *session, r *wire.Request) (json.RawMessage, error) {
			return schema.Encode(run(arguments(r)))
		}}
	}
	add("subtract", func(args []json.RawMessage) any { return number(args[0]) - number(args[1]) })
	add("sum", func(args []json.RawMessage) any {
		sum := 0
		for _, a := range args {
			sum += number(a)
		}
		return sum
	})
	add("get_data", func([]json.RawMessage) any { return []any{"hello", 5} })
	for _, name := range []string{"update", "notify_hello", "notify_sum"} {
		add(name, func([]json.RawMessage) any { return nil })
	}
}

// faulty is a Store in which some tasks cannot be read.
type faulty struct{ Store }

func (f faulty) Get(ctx context.Context, id string) (json.RawMessage, error) {
	switch id {
	case "full-disk":
		return nil, errors.Join(schema.StorageUnavailable("the disk is full"), errors.New("write /secret/path: no space"))
	case "bug":
		return nil, errors.New("the secret of the inside")
	case "panic":
		panic("the secret of the inside")
	}
	return f.Store.Get(ctx, id)
}

// line tells what is on a line: on which connection, whether it is sent or
// expected, and the message.
var line = regexp.MustCompile(`^(\w*)(-->q|-->|<--|<~~) (.*)$`)

// message is a line of a transcript that is expected.
type message struct {
	number int // of its first line, from 0
	peer   string
	any    bool // any order
	text   string
}

// replay plays the script; exchange sends (expected == nil) or compares.
func (s *script) replay(exchange func(sent *message, expected []message)) {
	var open []message // in any order
	for i := 0; i < len(s.lines); i++ {
		m := line.FindStringSubmatch(s.lines[i])
		if len(open) > 0 && (m == nil || m[2] != "<~~") {
			exchange(nil, open)
			open = nil
		}
		if m == nil {
			s.directive(i)
			continue
		}
		text, first := m[3], i
		for i+1 < len(s.lines) && strings.HasPrefix(s.lines[i+1], " ") {
			i++
			text += "\n" + s.lines[i]
		}
		switch m[2] {
		case "-->q":
			text = must(strconv.Unquote(text))
			fallthrough
		case "-->":
			exchange(&message{first, m[1], false, text}, nil)
		case "<--":
			exchange(nil, []message{{first, m[1], false, text}})
		case "<~~":
			open = append(open, message{first, m[1], true, text})
		}
	}
	for name, p := range s.peers { // nothing else has come
		p.send(`{"jsonrpc":"2.0","id":"the end","method":"server.ping"}`)
		if got := p.next(); got != `{"jsonrpc":"2.0","id":"the end","result":"pong"}` {
			s.t.Fatalf("%s: also came: %s", s.file, got)
		}
		delete(s.peers, name)
	}
	for _, rest := range s.posted {
		if len(rest) > 0 {
			s.t.Errorf("%s: also answered: %q", s.file, rest)
		}
	}
}

// directive does what a line that begins with ! says. Others are comments.
func (s *script) directive(number int) {
	command, isCommand := strings.CutPrefix(s.lines[number], "! ")
	switch {
	case !isCommand:
		if l := s.lines[number]; l != "" && !strings.HasPrefix(l, "//") {
			s.t.Fatalf("%s:%d: no line of a transcript: %s", s.file, number+1, l)
		}
	case command == "no more writes":
		s.daemon.emitter.Close()
	case strings.HasPrefix(command, "prune "):
		s.daemon.exec("DELETE FROM journal WHERE seq <= ?", strings.TrimPrefix(command, "prune "))
	case strings.HasPrefix(command, "token "):
		scope := strings.TrimPrefix(command, "token ")
		s.secret = s.daemon.addToken(scope, schema.Scope(scope))
	case strings.HasPrefix(command, "sql "):
		s.daemon.exec(strings.TrimPrefix(command, "sql "))
	default:
		s.t.Fatalf("%s:%d: unknown directive %s", s.file, number+1, command)
	}
}

func (s *script) overWebSocket(sent *message, expected []message) {
	s.t.Helper()
	if sent != nil {
		if s.peers[sent.peer] == nil {
			s.peers[sent.peer] = s.daemon.connectAs(s.secret)
		}
		s.peers[sent.peer].send(s.filledIn(sent.text))
		return
	}
	s.match(expected, func(name string) string { return s.peers[name].next() })
}

func (s *script) overPost(sent *message, expected []message) {
	s.t.Helper()
	if sent != nil {
		status, body := s.daemon.do("POST", "/rpc", s.filledIn(sent.text), holding(s.secret))
		switch {
		case status == 200:
			s.posted[sent.peer] = append(s.posted[sent.peer], strings.TrimSuffix(body, "\n"))
		case status != 204 || body != "":
			s.t.Fatalf("%s:%d: status %d, %s", s.file, sent.number+1, status, body)
		}
		return
	}
	s.match(expected, func(name string) (body string) {
		if len(s.posted[name]) == 0 {
			s.t.Fatalf("%s:%d: nothing was answered", s.file, expected[0].number+1)
		}
		body, s.posted[name] = s.posted[name][0], s.posted[name][1:]
		return body
	})
}

// match compares the next messages with the expected ones, in any order.
func (s *script) match(expected []message, next func(peer string) string) {
	s.t.Helper()
	came := make(map[string][]string)
	for _, m := range expected {
		came[m.peer] = append(came[m.peer], s.named(next(m.peer)))
	}
	for _, m := range expected {
		i := slices.IndexFunc(came[m.peer], func(text string) bool { return s.same(text, m.text) })
		i = max(i, 0)
		s.compare(m.number, came[m.peer][i], m.text)
		came[m.peer] = slices.Delete(came[m.peer], i, i+1)
	}
}

func (s *script) compare(number int, got, want string) {
	s.t.Helper()
	if s.same(got, want) {
		return
	}
	if *update {
		m := line.FindStringSubmatch(s.lines[number])
		s.lines[number] = m[1] + m[2] + " " + got
		return
	}
	s.t.Fatalf("%s:%d:\n got %s\nwant %s", s.file, number+1, got, want)
}

func (s *script) same(got, want string) bool {
	if start, cut := strings.CutSuffix(want, "…"); cut {
		return strings.HasPrefix(got, start)
	}
	if s.meant {
		return reflect.DeepEqual(meaning(got), meaning(want))
	}
	return got == want
}

// meaning decodes a message, without the data of errors, which the specification
// leaves to the server.
func meaning(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		if object, ok := item.(map[string]any); ok {
			if e, ok := object["error"].(map[string]any); ok {
				delete(e, "data")
			}
		}
	}
	return value
}

// What is different every time has a name in transcripts.
var (
	fileSize  = regexp.MustCompile(`"bytes":\d+`)
	pageToken = regexp.MustCompile(`"next_page_token":"([^"]+)"`)
	otherTime = regexp.MustCompile(`\b1[789]\d{11}\b`)
)

func (s *script) named(text string) string {
	text = strings.ReplaceAll(text, s.daemon.emitter.Epoch(), "EPOCH")
	text = fileSize.ReplaceAllString(text, `"bytes":0`)
	if token := pageToken.FindStringSubmatch(text); token != nil {
		s.page = token[1]
		text = strings.ReplaceAll(text, s.page, "PAGE")
	}
	return otherTime.ReplaceAllStringFunc(text, func(digits string) string {
		if digits == strconv.FormatInt(clock().UnixMilli(), 10) {
			return digits
		}
		return "NOW"
	})
}

func (s *script) filledIn(text string) string {
	return strings.NewReplacer("EPOCH", s.daemon.emitter.Epoch(), `"PAGE"`, `"`+s.page+`"`).Replace(text)
}
