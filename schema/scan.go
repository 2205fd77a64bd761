package schema

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions of this file walk JSON that is already known to be valid, so
// they need no errors: a frame is checked once, when it is read. What they do
// with anything else is undefined. What they give shares memory with what they
// are given.

// Member is one member of a JSON object.
type Member struct {
	Name   []byte // decoded
	Quoted []byte // the name as it was sent
	Value  []byte // as it was sent, without white space around it
}

// Members yields the members of a valid JSON object in their order.
func Members(object []byte) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for i := skipSpace(object, 1); object[i] != '}'; {
			nameEnd := stringEnd(object, i)
			quoted := object[i:nameEnd]
			start := skipSpace(object, skipSpace(object, nameEnd)+1) // past the colon
			end := valueEnd(object, start)
			if !yield(Member{Unquote(quoted), quoted, object[start:end]}) {
				return
			}
			i = nextItem(object, end)
		}
	}
}

// Elements yields the elements of a valid JSON array in their order.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := skipSpace(array, 1); array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end]) {
				return
			}
			i = nextItem(array, end)
		}
	}
}

// Unquote decodes a valid JSON string. A lone surrogate escape becomes U+FFFD.
func Unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // cannot fail: the string is valid
	return []byte(s)
}

// nextItem gives the index of the item after the one that ends at i, or of the
// bracket that ends the list.
func nextItem(data []byte, i int) int {
	if i = skipSpace(data, i); data[i] == ',' {
		i = skipSpace(data, i+1)
	}
	return i
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// stringEnd gives the index after the string that starts at i.
func stringEnd(data []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(data[i+1:], '"')
		escapes := i
		for data[escapes-1] == '\\' {
			escapes--
		}
		if (i-escapes)%2 == 0 { // else the quote is escaped
			return i + 1
		}
	}
}

// valueEnd gives the index after the value that starts at i. It counts brackets
// without telling the two kinds apart: valid JSON pairs them.
func valueEnd(data []byte, i int) int {
	switch data[i] {
	case '"':
		return stringEnd(data, i)
	case '{', '[':
		for level := 0; ; i++ {
			switch data[i] {
			case '"':
				i = stringEnd(data, i) - 1
			case '{', '[':
				level++
			case '}', ']':
				if level--; level == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(data) && data[i] != ',' && data[i] != '}' && data[i] != ']' && data[i] > ' ' {
		i++
	}
	return i
}
