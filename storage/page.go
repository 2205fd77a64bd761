package storage

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/descartes-tasks/descartes/schema"
)

// ordering is an order of lists, as SQL has it: by key, ties by id.
type ordering struct {
	name       schema.Order
	key        string // SQL expression
	descending bool
	text       bool // the key is text, else a number
	indexed    bool // there is an index on the key
}

// priorityRank is schema.Priority.Rank in SQL.
const priorityRank = "CASE priority WHEN 'low' THEN 0 WHEN 'medium' THEN 1 WHEN 'high' THEN 2 ELSE 3 END"

func orderingOf(name schema.Order) ordering {
	column, descending := strings.CutPrefix(string(name), "-")
	o := ordering{name: name, key: column, descending: descending}
	switch schema.Order(column) {
	case schema.ByPriority:
		o.key = priorityRank
	case schema.ByTitle:
		o.text = true
	default:
		o.indexed = true
	}
	return o
}

// place is where a page ends: the key and the id of its last task.
type place struct {
	key any // int64 or string
	id  string
}

// token gives the page token for what follows p: order, id and key, with NUL
// between them, which no order and no id contains. A title that another process
// wrote may be anything, so the key is last and is not made JSON.
func (o *ordering) token(p place) string {
	key, isText := p.key.(string)
	if !isText {
		key = strconv.FormatInt(p.key.(int64), 10)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(string(o.name) + "\x00" + p.id + "\x00" + key))
}

// place reads a token. The error is a [schema.Error] with code
// [schema.CodeInvalidParams] if it is none of this order.
func (o *ordering) place(token string) (*place, error) {
	invalid := schema.Invalid("page_token", "must be the next_page_token of a list in the same order")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	parts := strings.SplitN(string(raw), "\x00", 3)
	if err != nil || len(parts) != 3 || parts[0] != string(o.name) {
		return nil, invalid
	}
	if o.text {
		return &place{key: parts[2], id: parts[1]}, nil
	}
	key, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return nil, invalid
	}
	return &place{key: key, id: parts[1]}, nil
}
