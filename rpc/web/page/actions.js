// What a person does to a task, and how it is undone. Everything shows at once. What the
// daemon refuses is taken back by the store, and told here; so is what would overwrite what
// somebody else has done meanwhile. Changes of other fields stand in nobody's way.

import { announce } from "./dom.js";
import { draftOf, patchOf, same } from "./patch.js";
import { toast } from "./toast.js";
import { isInDoubt, nameOf, quoted, refusalOf, statuses, whatOf, whoOf } from "./words.js";

const remembered = 100; // steps that can be undone
const looked = 50; // changes among which the one that stands in the way is looked for

export class Actions {
  #undo = []; // functions that give the error that stood in their way, the latest last
  #client;

  constructor(store, client) {
    this.store = store;
    this.#client = client;
    store.addEventListener("settled", ({ detail: task }) => toast(`${quoted(task.title)} has not been changed. It is in ${nameOf(task.status)}.`));
  }

  /** Moves a task to a status, from the one in which it was seen. */
  async move(id, status, seen = this.store.get(id), undoable = true) {
    if (!seen || seen.status === status) return;
    announce(`${seen.title}: ${nameOf(seen.status)} → ${nameOf(status)}`);
    const moved = { ...seen, status };
    const back = () => this.move(id, seen.status, moved, false);
    if (undoable) this.#remember(back);
    try {
      Object.assign(moved, await this.store.update(id, { status }, seen, (task) => task.status !== seen.status));
    } catch (error) {
      this.#forget(back);
      const where = error.data?.task?.status;
      if (where === status) return; // somebody has done the same
      const stays = `${quoted(seen.title)} stays in ${nameOf(where ?? seen.status)}`;
      const anyway = { name: `Move to ${nameOf(status)}`, run: () => this.move(id, status) };
      this.#refused(error, seen, ["status"], stays, where && anyway);
      return error;
    }
  }

  /** Moves a card by columns, to the left or right. */
  shift(id, by) {
    const status = statuses[statuses.indexOf(this.store.get(id)?.status) + by];
    if (status) this.move(id, status);
  }

  /** Lets undo take an edit of some fields back, to what they were before. */
  edited(before, after, edited) {
    const only = (task) => Object.fromEntries(edited.map((field) => [field, task[field]]));
    const patch = patchOf(only(after), only(before)), fields = Object.keys(patch);
    if (fields.length === 0) return;
    this.#remember(async () => {
      try {
        await this.store.update(after.id, patch, after, (task) => !same(fields, task, after));
        toast(`${quoted(before.title)} is as it was before the edit.`);
      } catch (error) {
        this.#refused(error, after, fields, `The edit of ${quoted(after.title)} is not undone`);
        return error;
      }
    });
  }

  /** Lets undo delete a task that was made. */
  created(task) { this.#remember(() => this.remove(task.id, task, false)); }

  /** Deletes a task, as it was seen. */
  async remove(id, seen = this.store.get(id), undoable = true) {
    if (!seen) return;
    const restore = () => this.#restore(seen, dismiss);
    const fields = [...Object.keys(draftOf(seen)), "leased_by"];
    let dismiss = () => {};
    try {
      const deleted = this.store.delete(id, seen, (task) => !same(fields, task, seen));
      dismiss = toast(`${quoted(seen.title)} was deleted.`, { action: { name: "Undo", run: () => (undoable ? this.#run(restore) : restore()) } });
      if (undoable) this.#remember(restore);
      await deleted;
    } catch (error) {
      dismiss();
      this.#forget(restore);
      if (error.reason === "task_not_found") return; // it is gone
      const anyway = error.data?.task && { name: "Delete", run: () => this.remove(id) };
      this.#refused(error, seen, fields, `${quoted(seen.title)} was not deleted`, anyway);
      return error;
    }
  }

  async #restore(task, dismiss) {
    dismiss();
    try {
      await this.store.create({ ...draftOf(task), id: task.id });
      announce(`${task.title} is back`);
    } catch (error) {
      const now = error.reason === "task_exists" && error.data.task;
      if (now && same(Object.keys(draftOf(task)), now, task)) return; // it has come back already
      const why = now ? `${quoted(now.title)} has its id` : refusalOf(error);
      toast(`${quoted(task.title)} could not be brought back: ${why}.`, { bad: true });
      return error;
    }
  }

  /** Undoes the latest step: a move, an edit, a new task, a deletion. */
  undo() {
    const latest = this.#undo.at(-1);
    if (latest) this.#run(latest);
    else toast("There is nothing to undo.");
  }

  // refused tells what was not done, why, and, where it is because of somebody, who did what.
  async #refused(error, { id, title }, fields, what, anyway) {
    if (error.told) return; // a change that waited for this one
    error.told = true;
    if (error.sent) return toast(`The connection was lost while ${quoted(title)} was changed. Once it is back, the board shows whether it was.`, { bad: true });
    if (isInDoubt(error)) return toast(`The cluster has not answered in time whether ${quoted(title)} was changed. Its card says “not confirmed” until that is known.`, { bad: true });
    if (error.reason === "task_not_found") return this.#tellGone(id, title);
    const event = error.reason === "version_conflict" ? await this.latest(id, fields) : null;
    const why = event ? `. ${whoOf(event)} changed it meanwhile: ${whatOf(event)}` : `: ${this.#whyKept(error) ?? refusalOf(error)}`;
    toast(`${what}${why}.`, { bad: true, action: anyway || undefined });
  }

  async #tellGone(id, title) {
    const event = await this.latest(id, []);
    toast(event ? `${whoOf(event)} has deleted ${quoted(title)}.` : `${quoted(title)} is gone.`, { bad: true });
  }

  /** The newest change of one of the fields of a task, or its deletion, null if it is not known. */
  async latest(id, fields) {
    try {
      const { events } = await this.#client.call("task.history", { id, before: "end", limit: looked });
      return events.find(({ change_type: change, previous }) =>
        change === "deleted" || previous && fields.some((field) => field in previous)) ?? null;
    } catch {
      return null;
    }
  }

  #whyKept(error) {
    const waiting = error.data?.dependents;
    if (!waiting?.length) return null;
    const titles = waiting.slice(0, 3).map((id) => quoted(this.store.get(id)?.title ?? id));
    return `${titles.join(", ")}${waiting.length > 3 ? ` and ${waiting.length - 3} more` : ""} ${waiting.length === 1 ? "waits" : "wait"} for it`;
  }

  #remember(undo) {
    this.#undo.push(undo);
    if (this.#undo.length > remembered) this.#undo.shift();
  }

  #forget(undo) { this.#undo = this.#undo.filter((other) => other !== undo); }

  // run undoes a step. It can be tried again where the daemon was not there.
  async #run(undo) {
    if (!this.#undo.includes(undo)) return;
    this.#forget(undo);
    const error = await undo();
    if (error?.name === "ConnectionError" && !error.sent) this.#remember(undo);
  }
}
