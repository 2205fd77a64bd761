package mcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/descartes-tasks/descartes/rpc/client"
	"github.com/descartes-tasks/descartes/schema"
)

// advice is an error that is already a sentence for the model.
type advice string

// Error implements the error interface.
func (a advice) Error() string { return string(a) }

func advise(format string, args ...any) error { return advice(fmt.Sprintf(format, args...)) }

// explain tells a model what is wrong and what to do next. It never shows a token.
func (s *session) explain(err error) string {
	if text, ok := errors.AsType[advice](err); ok {
		return string(text)
	}
	if coded, ok := errors.AsType[*schema.Error](err); ok {
		return s.explainAnswer(coded) // one that is in doubt, too
	}
	_, unknown := errors.AsType[lostAnswer](err)
	switch {
	case unknown:
		return "The connection to the daemon was lost before it answered: whether the change was made is not known. Look with get_task or list_tasks before you call this again."
	case errors.Is(err, client.ErrUnauthorized), errors.Is(err, client.ErrForbidden), errors.Is(err, client.ErrUntrusted), errors.Is(err, client.ErrOtherJournal):
		return fmt.Sprintf("The daemon does not let this session in: %v. Nothing was changed. Tell a person: the settings of \"descartes mcp\" (--url, --token, --tls-ca) have to be mended.", err)
	case errors.Is(err, client.ErrUnreachable), errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrDisconnected):
		return fmt.Sprintf("The daemon is away: %v. It was tried for %s; nothing was changed. Every call tries again: call this once more in a moment, or ask a person to start \"descartes serve\".", brief(err), s.options.Patience)
	case errors.Is(err, context.Canceled), errors.Is(err, client.ErrClosed):
		return "The call was cancelled."
	}
	return fmt.Sprintf("%v. Look with get_task or list_tasks how things are before you go on.", err)
}

// brief leaves out of an error of the network the layers in between.
func brief(err error) string {
	cause, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err.Error()
	}
	if errors.Is(err, client.ErrUnreachable) {
		return fmt.Sprintf("%v (%v)", client.ErrUnreachable, cause)
	}
	return fmt.Sprintf("%v (%v)", client.ErrDisconnected, cause)
}

// explainAnswer explains an error answer of the daemon.
func (s *session) explainAnswer(e *schema.Error) string {
	switch e.Code {
	case schema.CodeInvalidParams:
		return sentence(strings.TrimPrefix(e.Message, "filter.")) + " Correct it and call the tool again; nothing was changed."
	case schema.CodeTaskNotFound:
		return sentence(e.Message) + " It was deleted, or the id is wrong: list_tasks shows what there is."
	case schema.CodeVersionConflict:
		return fmt.Sprintf("%s Somebody changed it meanwhile; nothing was changed by you. It is now %s. Decide again from this, and give its version as expected_version.", sentence(e.Message), e.Data.Task)
	case schema.CodeTaskExists:
		return fmt.Sprintf("%s No task of this call was created. Leave id out to get a new one, or use update_task if you mean this one: %s", sentence(e.Message), e.Data.Task)
	case schema.CodeDependencyInvalid:
		return explainDependency(e)
	case schema.CodeLeaseLost:
		return fmt.Sprintf("Your claim of %s is lost; nothing was changed. Stop the work on it and call claim_task for another task.", e.Data.ID)
	case schema.CodeCursorExpired:
		return sentence("the history has no place "+e.Data.ReasonDetail+" any more") + " Call task_history without since and before."
	case schema.CodeLimitExceeded:
		return sentence(e.Message) + " Nothing was changed. Ask for less in one call."
	case schema.CodeForbidden, schema.CodeUnauthorized:
		return sentence(e.Message) + " Tell a person: \"descartes mcp\" needs a token with the scope write to do this."
	case schema.CodeOutcomeUnknown:
		return "The daemon does not reach the log of its cluster: whether the change was made is not known, and it may be made yet. Look with get_task or list_tasks before you call this again."
	case schema.CodeShuttingDown, schema.CodeStorageUnavailable:
		return sentence(e.Message) + " Call this again in a moment; if it stays so, tell a person."
	case schema.CodeMethodNotFound:
		return "The daemon is of an older version and cannot do this: " + sentence(e.Message) + " Tell a person to bring it up to date."
	}
	return sentence(e.Message) + " Tell a person: the log of the daemon has the reason."
}

func explainDependency(e *schema.Error) string {
	switch {
	case len(e.Data.Dependents) > 0:
		return fmt.Sprintf("%s: %s. Nothing was changed. Take it out of their dependencies with update_task first, or delete them.", e.Message, list(e.Data.Dependents))
	case len(e.Data.Path) > 1:
		return fmt.Sprintf("%s: %s. Nothing was changed. Leave one of these dependencies out.", e.Message, strings.Join(e.Data.Path, " -> "))
	}
	return sentence(e.Message) + " Nothing was changed. Correct the id (list_tasks shows what there is), or create that task in the same call."
}

// sentence gives text as a sentence.
func sentence(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return strings.TrimSuffix(text, ".") + "."
}

// list names at most ten of the ids.
func list(ids []string) string {
	const most = 10
	if len(ids) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
	}
	return strings.Join(ids, ", ")
}

// lostClaim says that a claim of the session has ended, and how things are now.
func (s *session) lostClaim(ctx context.Context, id string) error {
	text := "Your claim of " + id + " is lost: its lease ran out, or somebody changed its status. Nothing was changed. "
	switch task, err := s.get(ctx, id); {
	case schema.CodeOf(err) == schema.CodeTaskNotFound:
		text = "Your claim of " + id + " is lost: the task was deleted. "
	case err != nil:
	case task.LeasedBy != nil:
		text += fmt.Sprintf("It is now %s, claimed by %s. ", task.Status, *task.LeasedBy)
	default:
		text += fmt.Sprintf("It is now %s, claimed by nobody. ", task.Status)
	}
	return advice(text + "Stop the work on it and call claim_task for another task.")
}

// notHeld says why a task that the session has not claimed cannot be finished,
// renewed or released by it.
func (s *session) notHeld(ctx context.Context, id, tool string) error {
	task, err := s.get(ctx, id)
	switch {
	case err != nil:
		return err
	case task.Status == schema.Done:
		return advise("%s is done already; there is nothing to do. Call claim_task for another task.", id)
	case task.LeasedBy != nil:
		return advise("%s is claimed by %s, not by this session; nothing was changed. Call claim_task for another task.", id, *task.LeasedBy)
	case task.Status == schema.Todo && !task.Ready:
		return advise("This session has not claimed %s, and it waits for its dependencies: get_task names them. Nothing was changed.", id)
	case task.Status != schema.Todo:
		return advise("This session has not claimed %s, which is %s and claimed by nobody; nothing was changed. If it can be worked on, set it to todo with update_task, then call claim_task with id %s.", id, task.Status, id)
	}
	return advise("This session has not claimed %s; nothing was changed. Call claim_task with id %s first, do the work, then %s.", id, id, tool)
}
