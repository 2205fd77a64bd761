package schema

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf8"
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
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++ // what is escaped may be a quote
		}
	}
	return i + 1
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

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string, escaping only what RFC 8259 section 7
// demands. What is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = utf8.AppendRune(append(dst, s[start:i]...), utf8.RuneError)
				start = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = appendEscape(append(dst, s[start:i]...), c)
			start = i + 1
		}
		i++
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

func appendNullable(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, "null"...)
	}
	return AppendString(dst, *s)
}

// AppendStrings appends list as a JSON array of strings.
func AppendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func appendBool(dst []byte, b bool) []byte { return strconv.AppendBool(dst, b) }
