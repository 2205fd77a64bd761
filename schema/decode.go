package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Decode reads params, valid JSON or nothing, into dst, a pointer to a struct of
// parameters. By name (an object) the members are the JSON names of the struct's
// fields, compared exactly; by position (an array) they are its fields in order,
// but one object alone is taken as the named params. The error is an [Error]
// with code [CodeInvalidParams] that names the member and the rule; for a member
// that is not known, also the one that was probably meant.
//
// Decode does not check rules that concern values; that is for the Normalize and
// Validate methods.
func Decode(params []byte, dst any) error {
	params = params[skipSpace(params, 0):]
	switch {
	case len(params) == 0:
		return nil
	case params[0] == '{':
		return decodeObject(params, dst, "")
	case params[0] != '[':
		return Invalid("params", "must be an object or an array")
	}
	var values [][]byte
	for value := range Elements(params) {
		values = append(values, value)
	}
	if len(values) == 1 && values[0][0] == '{' {
		return decodeObject(values[0], dst, "")
	}
	target := reflect.ValueOf(dst).Elem()
	fields := fieldsOf(target.Type())
	if len(values) > len(fields) {
		return Invalid("params", fmt.Sprintf("must be at most %d by position", len(fields)))
	}
	for i, value := range values {
		if string(value) == "null" && !fields[i].nullable {
			continue // the only way to leave one out
		}
		if err := fields[i].decode(value, target, fields[i].name); err != nil {
			return err
		}
	}
	return nil
}

// ParamNames lists the names of the parameters that params, a struct, is made of,
// in their order by position.
func ParamNames(params any) []string {
	var names []string
	for _, f := range fieldsOf(reflect.TypeOf(params)) {
		names = append(names, f.name)
	}
	return names
}

// decoder is implemented by types that read themselves. field is their path.
type decoder interface {
	decodeJSON(raw []byte, field string) error
}

// field is one named parameter.
type field struct {
	name     string
	index    []int
	nullable bool
	notEmpty bool // "" stands for absent, so that it cannot be given
}

// decode reads raw into this field of target, a struct.
func (f *field) decode(raw []byte, target reflect.Value, path string) error {
	if f.notEmpty && string(raw) == `""` {
		return Invalid(path, "must not be empty")
	}
	return decodeValue(raw, target.FieldByIndex(f.index).Addr().Interface(), path)
}

var fieldCache sync.Map // reflect.Type of a struct -> []field

// fieldsOf lists the fields of a struct type, those of embedded structs too.
func fieldsOf(t reflect.Type) []field {
	if cached, ok := fieldCache.Load(t); ok {
		return cached.([]field)
	}
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		_, decodes := reflect.New(f.Type).Interface().(decoder)
		fields = append(fields, field{
			name: name, index: f.Index,
			nullable: decodes || f.Type.Kind() == reflect.Pointer,
			notEmpty: option == "omitempty" && f.Type.Kind() == reflect.String,
		})
	}
	fieldCache.Store(t, fields)
	return fields
}

func decodeObject(raw []byte, dst any, path string) error {
	if raw[0] != '{' {
		return Invalid(path, "must be an object")
	}
	return decodeMembers(raw, dst, path, "")
}

// decodeMembers reads an object into dst, but for one member that somebody else
// reads.
func decodeMembers(raw []byte, dst any, path, except string) error {
	target := reflect.ValueOf(dst).Elem()
	fields := fieldsOf(target.Type())
next:
	for m := range Members(raw) {
		if except != "" && string(m.Name) == except {
			continue
		}
		for i := range fields {
			if fields[i].name == string(m.Name) {
				if err := fields[i].decode(m.Value, target, join(path, fields[i].name)); err != nil {
					return err
				}
				continue next
			}
		}
		return unknownMember(path, string(m.Name), fields, except)
	}
	return nil
}

// maxNameTold is how many bytes of the name of an unknown member an error tells.
const maxNameTold = 100

func unknownMember(path, name string, fields []field, except string) *Error {
	if len(name) > maxNameTold {
		name = strings.ToValidUTF8(name[:maxNameTold], "") + "…"
	}
	names := []string{except}
	for _, f := range fields {
		names = append(names, f.name)
	}
	return Invalid(join(path, name), "is not known"+DidYouMean(name, names))
}

// decodeValue reads raw into dst, a pointer to one of the types that parameters
// are made of.
func decodeValue(raw []byte, dst any, path string) error {
	switch d := dst.(type) {
	case decoder:
		return d.decodeJSON(raw, path)
	case *json.RawMessage:
		*d = bytes.Clone(raw)
		return nil
	case **string: // by far the most, and reflection takes three times as long
		if string(raw) == "null" {
			*d = nil
			return nil
		}
		*d = new(string)
		return decodeValue(raw, *d, path)
	case *string:
		if raw[0] != '"' {
			return Invalid(path, "must be a string")
		}
		*d = string(Unquote(raw))
		return nil
	}
	target := reflect.ValueOf(dst).Elem()
	switch target.Kind() {
	case reflect.String:
		if raw[0] != '"' {
			return Invalid(path, "must be a string")
		}
		target.SetString(string(Unquote(raw)))
	case reflect.Bool:
		if raw[0] != 't' && raw[0] != 'f' {
			return Invalid(path, "must be true or false")
		}
		target.SetBool(raw[0] == 't')
	case reflect.Int64:
		n, ok := integer(raw)
		if !ok {
			return Invalid(path, "must be an integer")
		}
		target.SetInt(n)
	case reflect.Pointer:
		if string(raw) == "null" {
			target.SetZero()
			return nil
		}
		target.Set(reflect.New(target.Type().Elem()))
		return decodeValue(raw, target.Interface(), path)
	case reflect.Slice:
		return decodeSlice(raw, target, path)
	case reflect.Struct:
		return decodeObject(raw, dst, path)
	default:
		panic("schema: no parameter can be a " + target.Type().String())
	}
	return nil
}

func decodeSlice(raw []byte, target reflect.Value, path string) error {
	if string(raw) == "null" {
		target.SetZero()
		return nil
	}
	if raw[0] != '[' {
		return Invalid(path, "must be an array")
	}
	items := reflect.MakeSlice(target.Type(), 0, 4)
	for value := range Elements(raw) {
		item := reflect.New(target.Type().Elem())
		if decodeValue(value, item.Interface(), path) != nil { // tell it again, with the place
			return decodeValue(value, item.Interface(), fmt.Sprintf("%s[%d]", path, items.Len()))
		}
		items = reflect.Append(items, item.Elem())
	}
	target.Set(items)
	return nil
}

// integer reads a JSON number that is an integer, however it is written: 5, 5.0
// and 5e0 are the same number (RFC 8259, section 6).
func integer(raw []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, true
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	n := int64(f)
	return n, err == nil && f >= -MaxSeq && f <= MaxSeq && float64(n) == f
}

func join(path, name string) string {
	if name == "" {
		name = `""` // so that a path always says something
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// DidYouMean names the word that is nearest to the given one, as the end of a
// sentence ("; did you mean todo?"); "" if none is near: more than two mistakes, or two
// where both have at most four letters, make another word.
func DidYouMean(given string, words []string) string {
	best, least := "", 3
	for _, word := range words {
		n := edits(strings.ToLower(given), word)
		if n < least && n < len(word) && (n < 2 || max(len(given), len(word)) > 4) {
			best, least = word, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// edits gives the least number of mistakes that make one word of another: a letter
// more, less or other, or two neighbours that have changed places.
func edits(a, b string) int {
	if len(a) > 64 {
		return len(a) // no word of ours is near, and the time is bounded
	}
	var before []int // the row before the last one
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			next[j+1] = row[j]
			if a[i] != b[j] {
				next[j+1] = 1 + min(row[j], next[j], row[j+1])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
