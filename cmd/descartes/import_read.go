package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/descartes-tasks/descartes/schema"
)

// maxLine bounds a line of an import, in bytes, as a message to the daemon is.
const maxLine = 1 << 20

// byteOrderMark is what some programs put before UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// input is the lines of an import in a file that is read twice: once to see what
// there is, and, when the order is known, task by task.
type input struct {
	file *os.File
	size int64
	left bool // made here, and still to be removed
	line []byte
}

// openInput opens a file, or copies standard input to one. So it does with
// anything else that can be read only once.
func openInput(name string, stdin io.Reader) (*input, error) {
	in := new(input)
	if name != "" && name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		info, err := file.Stat()
		if err == nil && info.Mode().IsRegular() {
			in.file, in.size = file, info.Size()
			return in, nil
		}
		defer file.Close()
		if err != nil {
			return nil, err
		}
		stdin = file
	}
	return in, in.copy(stdin)
}

func (in *input) copy(from io.Reader) (err error) {
	if in.file, err = os.CreateTemp("", "descartes-import"); err != nil {
		return err
	}
	in.left = os.Remove(in.file.Name()) != nil // where a file that is open cannot be
	if in.size, err = io.Copy(in.file, from); err == nil {
		_, err = in.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		in.close()
	}
	return err
}

func (in *input) close() {
	in.file.Close()
	if in.left {
		os.Remove(in.file.Name())
	}
}

// draft reads a task again.
func (in *input) draft(n *node) (*schema.Draft, error) {
	if cap(in.line) < n.length {
		in.line = make([]byte, n.length)
	}
	line := in.line[:n.length]
	if _, err := in.file.ReadAt(line, n.offset); err != nil {
		return nil, err
	}
	draft, err := decodeLine(line)
	if err != nil || draft.ID != "" && draft.ID != n.id {
		return nil, fmt.Errorf("line %d is not what it was: the file was changed while it was read", n.line)
	}
	draft.ID = n.id
	return draft, nil
}

// decodeLine reads a line that is not blank. The error says what is wrong with it,
// and names the field.
func decodeLine(line []byte) (*schema.Draft, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("must be UTF-8")
	}
	var valid json.RawMessage
	if err := json.Unmarshal(line, &valid); err != nil {
		return nil, fmt.Errorf("must be JSON: %w", err)
	}
	draft, err := schema.DecodeExported(line)
	if invalid, ok := errors.AsType[*schema.Error](err); ok {
		return nil, fmt.Errorf("%s: %s", invalid.Data.Field, invalid.Data.Rule)
	}
	return draft, err
}

// read reads every line once and notes the tasks.
func (im *importer) read(ctx context.Context) error {
	im.bar = newProgress(im.stderr, "reading")
	defer im.bar.close()
	lines := bufio.NewReaderSize(im.input.file, maxLine+1)
	var offset int64
	for number := int64(1); ; number++ {
		line, length, err := readLine(lines)
		if err != nil && err != io.EOF {
			return err
		}
		last := err == io.EOF
		if err := ctx.Err(); err != nil {
			return err
		}
		im.note(number, offset, line, length, last)
		offset += length
		im.bar.show(offset, im.input.size)
		if last {
			return nil
		}
	}
}

// readLine gives the next line, with its end, and its length: of one that is longer
// than r can hold only that. The error is io.EOF for the last line, which has no end
// and may be empty.
func readLine(r *bufio.Reader) (line []byte, length int64, err error) {
	line, err = r.ReadSlice('\n')
	length = int64(len(line))
	for errors.Is(err, bufio.ErrBufferFull) {
		var rest []byte
		rest, err = r.ReadSlice('\n')
		length += int64(len(rest))
		line = nil
	}
	return line, length, err
}

// note makes a node of a line, or refuses it.
func (im *importer) note(number, offset int64, line []byte, length int64, last bool) {
	if length > maxLine {
		im.refuse(number, fmt.Sprintf("must be at most %d bytes long", maxLine))
		return
	}
	if number == 1 && bytes.HasPrefix(line, []byte(byteOrderMark)) {
		line = line[len(byteOrderMark):]
		offset += int64(len(byteOrderMark))
	}
	if line = bytes.TrimRight(line, " \t\r\n"); len(line) == 0 {
		return
	}
	draft, err := decodeLine(line)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && last && syntax.Offset >= int64(len(line)) {
		err = fmt.Errorf("is cut short, or %w", err)
	}
	if err != nil {
		im.refuse(number, err.Error())
		return
	}
	if draft.ID == "" {
		draft.ID = uuid.Must(uuid.NewV7()).String()
	}
	n := im.node(draft.ID)
	if n.line != 0 {
		im.refuse(number, fmt.Sprintf("id: must not be that of line %d, too: %s", n.line, n.id))
		return
	}
	n.line, n.offset, n.length = number, offset, len(line)
	for _, id := range draft.Dependencies {
		n.dependencies = append(n.dependencies, im.node(id))
	}
	im.tasks = append(im.tasks, n)
}
