package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a task's fields. The CHECK constraints under sql/ hold the same.
const (
	MaxIDLength       = 128       // characters of a task id
	MaxTitle          = 500       // characters of a title
	MaxDescription    = 64 << 10  // bytes of a description
	MaxAssignedTo     = 128       // characters of an assignee's name
	MaxDependencies   = 256       // dependencies of one task
	MaxMetadata       = 64 << 10  // bytes of metadata, encoded without white space
	MaxMetadataDepth  = 100       // levels of nesting in metadata
	MaxOperations     = 1000      // operations in one task.apply
	MaxSeq            = 1<<53 - 1 // largest Seq: every JSON reader holds it exactly
	emptyMetadata     = "{}"
	titleRule         = "must be 1 to 500 characters, not only white space"
	idRule            = "must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"
	descriptionRule   = "must be at most 65536 bytes"
	assignedToRule    = "must be 1 to 128 characters"
	noNULRule         = "must not contain U+0000"
	dependenciesRule  = "must be at most 256 ids"
	metadataSizeRule  = "must be at most 65536 bytes when encoded"
	metadataDepthRule = "must be nested at most 100 levels deep"
	noDuplicatesRule  = "must not contain duplicates"
)

// Status is the column of the board that a task is in.
type Status string

// The statuses. None ("") stands for null: no task, before a creation and after
// a deletion.
const (
	None       Status = ""
	Todo       Status = "todo"
	InProgress Status = "in_progress"
	Blocked    Status = "blocked"
	Done       Status = "done"
)

// Statuses lists every status in the order of the board.
func Statuses() []Status { return []Status{Todo, InProgress, Blocked, Done} }

// Priority says how urgent a task is. Priorities are ordered: see [Priority.Rank].
type Priority string

// The priorities, lowest first.
const (
	Low      Priority = "low"
	Medium   Priority = "medium"
	High     Priority = "high"
	Critical Priority = "critical"
)

// Priorities lists every priority, lowest first.
func Priorities() []Priority { return []Priority{Low, Medium, High, Critical} }

// Rank gives the place of p in the order of priorities, 0 for the lowest, -1 for
// a word that is no priority.
func (p Priority) Rank() int { return indexOf(Priorities(), p) }

// Complexity says how much work a task is. Complexities are ordered.
type Complexity string

// The complexities, least first.
const (
	Trivial  Complexity = "trivial"
	Simple   Complexity = "simple"
	Moderate Complexity = "moderate"
	Complex  Complexity = "complex"
	Epic     Complexity = "epic"
)

// Complexities lists every complexity, least first.
func Complexities() []Complexity {
	return []Complexity{Trivial, Simple, Moderate, Complex, Epic}
}

// Task is one task as everybody sees it. Version, Ready, LeasedBy and the two
// times are the server's.
type Task struct {
	ID           string          `json:"id"`
	Title        string          `json:"title"`
	Description  *string         `json:"description"`
	Status       Status          `json:"status"`
	Priority     Priority        `json:"priority"`
	Complexity   Complexity      `json:"complexity"`
	AssignedTo   *string         `json:"assigned_to"`
	Dependencies []string        `json:"dependencies"`
	Metadata     json.RawMessage `json:"metadata"`   // always an object; key order and numbers as sent
	CreatedAt    int64           `json:"created_at"` // Unix milliseconds
	UpdatedAt    int64           `json:"updated_at"` // Unix milliseconds
	Version      int64           `json:"version"`    // Seq of the event that made this state
	Ready        bool            `json:"ready"`      // todo, every dependency done, no lease
	LeasedBy     *string         `json:"leased_by"`  // who holds the claim
}

// Draft is what a client gives to create a task. Field order is the order of
// positional parameters.
type Draft struct {
	Title        string          `json:"title"`
	Description  *string         `json:"description,omitempty"`
	Status       Status          `json:"status,omitempty"`
	Priority     Priority        `json:"priority,omitempty"`
	Complexity   Complexity      `json:"complexity,omitempty"`
	AssignedTo   *string         `json:"assigned_to,omitempty"`
	Dependencies []string        `json:"dependencies,omitempty"`
	Metadata     json.RawMessage `json:"metadata,omitempty"`
	ID           string          `json:"id,omitempty"`

	// CreatedAt is for an import, which keeps the time that it is given (Unix
	// milliseconds). No client can set it; nil is the time of the change.
	CreatedAt *int64 `json:"-"`
}

// Normalize validates d, fills in the defaults of what is absent (but the id,
// which only the daemon can make) and brings metadata into its stored form.
// The error is an [Error] with code [CodeInvalidParams].
func (d *Draft) Normalize() error {
	if d.ID != "" {
		if err := checkID("id", d.ID); err != nil {
			return err
		}
	}
	d.Status = orDefault(d.Status, Todo)
	d.Priority = orDefault(d.Priority, Medium)
	d.Complexity = orDefault(d.Complexity, Moderate)
	if d.Dependencies == nil {
		d.Dependencies = []string{}
	}
	metadata, err := normalizeMetadata(d.Metadata)
	if err != nil {
		return err
	}
	d.Metadata = metadata
	return firstError(
		checkTitle(d.Title),
		checkDescription(d.Description),
		checkEnum("status", d.Status, Statuses()),
		checkEnum("priority", d.Priority, Priorities()),
		checkEnum("complexity", d.Complexity, Complexities()),
		checkAssignedTo(d.AssignedTo),
		checkDependencies(d.Dependencies),
	)
}

// Task gives the task that d describes, created at the given time (Unix
// milliseconds) unless d has one of its own. Version and Ready are left to
// whoever applies the change. d must be normalized and have an id.
func (d *Draft) Task(at int64) Task {
	created := at
	if d.CreatedAt != nil {
		created = *d.CreatedAt
	}
	return Task{
		ID: d.ID, Title: d.Title, Description: d.Description,
		Status: d.Status, Priority: d.Priority, Complexity: d.Complexity,
		AssignedTo: d.AssignedTo, Dependencies: d.Dependencies, Metadata: d.Metadata,
		CreatedAt: created, UpdatedAt: at,
	}
}

// IsID tells whether id can be the id of a task: 1 to 128 characters of A-Z a-z 0-9 . _
// : and -. It says nothing about whether there is such a task.
func IsID(id string) bool { return checkID("id", id) == nil }

// checkID tells whether id can be the id of a task. The error names field.
func checkID(field, id string) error {
	if len(id) < 1 || len(id) > MaxIDLength || strings.ContainsFunc(id, notInID) {
		return Invalid(field, idRule)
	}
	return nil
}

func notInID(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("._:-", r)
}

func checkTitle(title string) error {
	if n := utf8.RuneCountInString(title); n < 1 || n > MaxTitle || strings.TrimSpace(title) == "" {
		return Invalid("title", titleRule)
	}
	return checkNoNUL("title", title)
}

func checkDescription(description *string) error {
	if description == nil {
		return nil
	}
	if len(*description) > MaxDescription {
		return Invalid("description", descriptionRule)
	}
	return checkNoNUL("description", *description)
}

func checkAssignedTo(name *string) error {
	if name == nil {
		return nil
	}
	if n := utf8.RuneCountInString(*name); n < 1 || n > MaxAssignedTo {
		return Invalid("assigned_to", assignedToRule)
	}
	return checkNoNUL("assigned_to", *name)
}

func checkDependencies(ids []string) error {
	if len(ids) > MaxDependencies {
		return Invalid("dependencies", dependenciesRule)
	}
	seen := make(map[string]bool, len(ids))
	for i, id := range ids {
		if err := checkID(fmt.Sprintf("dependencies[%d]", i), id); err != nil {
			return err
		}
		if seen[id] {
			return Invalid(fmt.Sprintf("dependencies[%d]", i), noDuplicatesRule)
		}
		seen[id] = true
	}
	return nil
}

func checkNoNUL(field, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return Invalid(field, noNULRule)
	}
	return nil
}

func checkEnum[T ~string](field string, value T, all []T) error {
	if indexOf(all, value) >= 0 {
		return nil
	}
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = string(v)
	}
	return Invalid(field, "must be one of "+strings.Join(words, ", ")+DidYouMean(string(value), words))
}

func indexOf[T comparable](all []T, value T) int {
	for i, v := range all {
		if v == value {
			return i
		}
	}
	return -1
}

func orDefault[T ~string](value, otherwise T) T {
	if value == "" {
		return otherwise
	}
	return value
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
