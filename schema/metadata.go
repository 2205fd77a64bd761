package schema

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// normalizeMetadata validates a JSON object given as metadata and brings it into
// its stored form: no white space between tokens, key order and the text of
// numbers as sent, a lone surrogate escape as U+FFFD. Absent and null are {}.
func normalizeMetadata(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return json.RawMessage(emptyMetadata), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil || raw[0] != '{' {
		return nil, Invalid("metadata", "must be a JSON object")
	}
	metadata := compact.Bytes()
	if depth(metadata) > MaxMetadataDepth {
		return nil, Invalid("metadata", metadataDepthRule)
	}
	if bytes.Contains(metadata, []byte(`\u`)) {
		var ok bool
		if metadata, ok = replaceLoneSurrogates(metadata); !ok {
			return nil, Invalid("metadata", noNULRule)
		}
	}
	if len(metadata) > MaxMetadata {
		return nil, Invalid("metadata", metadataSizeRule)
	}
	return metadata, nil
}

// depth gives the deepest nesting of arrays and objects in valid JSON.
func depth(valid []byte) (deepest int) {
	level := 0
	for i := 0; i < len(valid); i++ {
		switch valid[i] {
		case '"':
			i = stringEnd(valid, i) - 1
		case '{', '[':
			level++
			deepest = max(deepest, level)
		case '}', ']':
			level--
		}
	}
	return deepest
}

// replaceLoneSurrogates writes U+FFFD for every \u escape of half a surrogate
// pair, as encoding/json does when it decodes a string. It is not ok when there
// is an escape of U+0000.
func replaceLoneSurrogates(valid []byte) (replaced []byte, ok bool) {
	replaced = make([]byte, 0, len(valid))
	for i := 0; i < len(valid); {
		if valid[i] != '\\' {
			replaced = append(replaced, valid[i])
			i++
			continue
		}
		if valid[i+1] != 'u' {
			replaced = append(replaced, valid[i:i+2]...)
			i += 2
			continue
		}
		r := hex4(valid[i+2:])
		switch {
		case r == 0:
			return nil, false
		case !utf16.IsSurrogate(r):
			replaced = append(replaced, valid[i:i+6]...)
			i += 6
		case i+12 <= len(valid) && valid[i+6] == '\\' && valid[i+7] == 'u' &&
			utf16.DecodeRune(r, hex4(valid[i+8:])) != utf8.RuneError:
			replaced = append(replaced, valid[i:i+12]...)
			i += 12
		default:
			replaced = utf8.AppendRune(replaced, utf8.RuneError)
			i += 6
		}
	}
	return replaced, true
}

// hex4 reads the four hexadecimal digits of a \u escape in valid JSON.
func hex4(digits []byte) (r rune) {
	for _, c := range digits[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// mergePatch applies a JSON Merge Patch (RFC 7396) to an object, both valid and
// without white space. Members keep their order; new ones come after them in
// the order of the patch. Numbers keep their text. Of several members with one
// name the last counts, as everywhere in JSON; those that the patch does not
// name stay as they are. The time is linear in the sizes.
func mergePatch(target, patch []byte) []byte {
	if patch[0] != '{' {
		return patch
	}
	if len(target) == 0 || target[0] != '{' {
		target = []byte(emptyMetadata)
	}
	old, wanted := valuesOf(target), valuesOf(patch)
	merged := []byte{'{'}
	for m := range Members(target) {
		if value, named := wanted[string(m.Name)]; named {
			if old[string(m.Name)] == nil {
				continue // written already
			}
			m.Value = mergeValue(old[string(m.Name)], value)
			old[string(m.Name)] = nil
		}
		merged = appendMember(merged, m)
	}
	for m := range Members(patch) {
		if _, there := old[string(m.Name)]; !there {
			m.Value = mergeValue(nil, wanted[string(m.Name)])
			old[string(m.Name)] = nil
			merged = appendMember(merged, m)
		}
	}
	return append(merged, '}')
}

// mergeValue gives the new value of a member, nil for none.
func mergeValue(target, patch []byte) []byte {
	if string(patch) == "null" {
		return nil
	}
	return mergePatch(target, patch)
}

// appendMember appends a member to an object that is not closed yet, unless it
// has no value.
func appendMember(dst []byte, m Member) []byte {
	if m.Value == nil {
		return dst
	}
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	return append(append(append(dst, m.Quoted...), ':'), m.Value...)
}

// valuesOf gives the members of an object by name.
func valuesOf(object []byte) map[string][]byte {
	values := make(map[string][]byte)
	for m := range Members(object) {
		values[string(m.Name)] = m.Value
	}
	return values
}
