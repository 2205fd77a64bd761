// What a person does to a card, and how it is undone. Everything shows at once; what the
// daemon refuses is taken back by the store, and told here.

import { announce } from "./dom.js";
import { draftOf } from "./store.js";
import { toast } from "./toast.js";
import { nameOf, quoted, refusalOf, statuses } from "./words.js";

export class Actions {
  #undo = []; // functions, the latest last

  constructor(store) { this.store = store; }

  /** Moves a card to a status. What undoes is not undone itself. */
  async move(id, status, undoable = true) {
    const task = this.store.get(id);
    if (!task || task.status === status) return;
    announce(`${task.title}: ${nameOf(task.status)} → ${nameOf(status)}`);
    const back = () => this.move(id, task.status, false);
    if (undoable) this.#undo.push(back);
    try {
      await this.store.update(id, { status });
    } catch (error) {
      this.#undo = this.#undo.filter((undo) => undo !== back);
      toast(`${quoted(task.title)} stays in ${nameOf(task.status)}: ${refusalOf(error)}.`, { bad: true });
    }
  }

  /** Moves a card by columns, to the left or right. */
  shift(id, by) {
    const status = statuses[statuses.indexOf(this.store.get(id)?.status) + by];
    if (status) this.move(id, status);
  }

  async remove(id) {
    const task = this.store.get(id);
    if (!task) return;
    const restore = () => this.#restore(task, dismiss);
    let dismiss = () => {};
    try {
      const deleted = this.store.delete(id);
      dismiss = toast(`${quoted(task.title)} was deleted.`, { action: { name: "Undo", run: () => this.#run(restore) } });
      this.#undo.push(restore);
      await deleted;
    } catch (error) {
      dismiss();
      this.#undo = this.#undo.filter((undo) => undo !== restore);
      toast(`${quoted(task.title)} was not deleted: ${this.#whyKept(error)}.`, { bad: true });
    }
  }

  #whyKept(error) {
    const waiting = error.data?.dependents;
    if (!waiting?.length) return refusalOf(error);
    const titles = waiting.slice(0, 3).map((id) => quoted(this.store.get(id)?.title ?? id));
    return `${titles.join(", ")}${waiting.length > 3 ? ` and ${waiting.length - 3} more` : ""} ${waiting.length === 1 ? "waits" : "wait"} for it`;
  }

  async #restore(task, dismiss) {
    dismiss();
    try {
      await this.store.create({ ...draftOf(task), id: task.id });
      announce(`${task.title} is back`);
    } catch (error) {
      toast(`${quoted(task.title)} could not be brought back: ${refusalOf(error)}.`, { bad: true });
    }
  }

  /** Undoes the latest move or deletion. */
  undo() {
    const latest = this.#undo.at(-1);
    if (latest) this.#run(latest);
    else announce("Nothing to undo");
  }

  #run(undo) {
    if (!this.#undo.includes(undo)) return;
    this.#undo = this.#undo.filter((other) => other !== undo);
    undo();
  }
}
