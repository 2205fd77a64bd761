// The dialog in which a task is made or edited. It saves what was changed in it, on the
// condition that nobody else has changed the task since it was opened.

import { $, h } from "./dom.js";
import { contested, leaveChoice, showConflict } from "./conflict.js";
import { Dependencies } from "./dependencies.js";
import { parseExactly } from "./exact.js";
import { peopleOf } from "./filter.js";
import { TaskHistory } from "./history.js";
import { newId } from "./store.js";
import { draftOf, newNull, patchOf, same } from "./patch.js";
import { toast } from "./toast.js";
import { complexities, isInDoubt, nameOf, nobodyKnown, priorities, quoted, refusalOf, statuses, timeOf, whatOf, whoOf } from "./words.js";

const fresh = { title: "", description: null, status: "todo", priority: "medium", complexity: "moderate", assigned_to: null, dependencies: [], metadata: {} };

export class Editor {
  #store; #actions; #board; #client;
  #dialog = $("#editor");
  #form = $("#editor form");
  #task = null; // as it was opened; null for a new one
  #base = fresh; // the fields as they were opened, or as they are since a conflict
  #id; // of the task, also of one that is not made yet
  #round = 0; // how often the dialog was opened
  #version; // the version that base is of
  #gone = false; // the task was deleted meanwhile
  #conflict = $("#editor .conflict"); // hidden while there is none
  #dependencies; #history;
  #opener = null;
  #pristine = ""; // what was in the dialog before somebody wrote there
  #warned = false; // Esc has been pressed over changes

  constructor(store, actions, board, client) {
    this.#store = store;
    this.#actions = actions;
    this.#board = board;
    this.#client = client;
    this.#dependencies = new Dependencies(store, () => leaveChoice(this.#conflict, "dependencies"));
    this.#history = new TaskHistory(client, store);
    const form = this.#form;
    for (const [name, values] of [["status", statuses], ["priority", priorities], ["complexity", complexities]]) {
      form[name].append(...values.map((value) => h("option", { value }, nameOf(value))));
    }
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    form.addEventListener("input", ({ target }) => leaveChoice(this.#conflict, target.name));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.#save(); }
    });
    $(".close", form).addEventListener("click", () => this.#close());
    $(".cancel", form).addEventListener("click", () => this.#close());
    $(".delete", form).addEventListener("click", () => { const { id } = this.#task; this.#close(); this.#actions.remove(id); });
    this.#dialog.addEventListener("cancel", (event) => this.#cancel(event));
    this.#dialog.addEventListener("close", () => this.#closed());
    store.addEventListener("journal", ({ detail }) => this.#heard(detail));
  }

  /** Opens a task, or a new one in a status. */
  open(id, status = "todo") {
    const task = id === null ? null : this.#store.get(id);
    if (task === undefined) return toast("This task was deleted.");
    if (this.#dialog.open) return;
    this.#opener = document.activeElement;
    this.#task = task;
    this.#base = task ? draftOf(task) : { ...fresh, status };
    this.#version = task?.version;
    this.#id = task?.id ?? newId();
    this.#round++;
    $(".save", this.#form).disabled = false;
    $("#editor-title").textContent = task ? "Edit task" : "New task";
    this.#found();
    if (!task) $(".save", this.#form).textContent = "Create";
    $(".delete", this.#form).hidden = !task;
    this.#warned = false;
    this.#problem("");
    this.#dropConflict();
    this.#write(this.#base);
    this.#facts();
    this.#history.show(task?.id ?? null);
    $("#people").replaceChildren(...peopleOf(this.#store).map((value) => h("option", { value })));
    this.#dialog.showModal();
    this.#form.elements.title.focus();
  }

  #write(draft) {
    for (const [field, value] of Object.entries(draft)) this.#put(field, value);
    this.#pristine = this.#raw();
  }

  #put(field, value) {
    if (field === "dependencies") this.#dependencies.set(value, this.#task?.id ?? "");
    else if (field !== "metadata") this.#form.elements[field].value = value ?? "";
    else this.#form.elements.metadata.value = Object.keys(value).length ? JSON.stringify(value, null, 2) : "";
  }

  // raw is what is in the dialog, as it is.
  #raw() {
    const { elements: fields } = this.#form;
    const names = ["title", "description", "status", "priority", "complexity", "assigned_to", "metadata"];
    return JSON.stringify([...names.map((name) => fields[name].value), this.#dependencies.ids]);
  }

  // isMade tells whether saving makes a task, rather than changes one.
  get #isMade() { return !this.#task || this.#gone; }

  #isDirty() { return this.#raw() !== this.#pristine; }

  // cancel is Esc: it leaves at once only if there is nothing to lose.
  #cancel(event) {
    if (!this.#isDirty() || this.#warned) return;
    event.preventDefault();
    this.#warned = true;
    this.#problem("There are changes that are not saved. Esc once more leaves without them.");
  }

  // read gives the fields as they are in the dialog; it throws what is wrong with them.
  #read() {
    const fields = this.#form.elements;
    if (!fields.title.value.trim()) throw new Wrong("A task needs a title.", fields.title);
    let metadata = {};
    if (fields.metadata.value.trim()) {
      try { metadata = parseExactly(fields.metadata.value); } catch (error) { throw new Wrong(`The metadata is no JSON: ${error.message}.`, fields.metadata); }
      if (metadata === null || typeof metadata !== "object" || Array.isArray(metadata)) throw new Wrong("The metadata has to be a JSON object, like {\"key\": 1}.", fields.metadata);
    }
    const lost = this.#isMade ? undefined : newNull(this.#base.metadata, metadata);
    if (lost !== undefined) throw new Wrong(`“${lost}” in the metadata cannot be null: changing a task, null takes a member away.`, fields.metadata);
    const text = (name) => this.#text(fields[name].value, this.#base[name]);
    return {
      title: fields.title.value, description: text("description"), status: fields.status.value, priority: fields.priority.value,
      complexity: fields.complexity.value, assigned_to: text("assigned_to"), dependencies: this.#dependencies.ids, metadata,
    };
  }

  // text keeps what a field of a page cannot: empty text, and line ends of another system.
  #text(value, before) {
    if (before !== null && value === before.replace(/\r\n?/g, "\n")) return before;
    return value === "" ? null : value;
  }

  async #save() {
    const save = $(".save", this.#form);
    if (save.disabled) return; // it is being saved
    let draft;
    try { draft = this.#read(); } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      this.#problem(error.message);
      return error.field.focus();
    }
    const patch = patchOf(this.#base, draft);
    if (!this.#isMade && Object.keys(patch).length === 0) return this.#close();
    await this.#send(draft, patch);
  }

  // send saves; the dialog may be left, or be another task's, before it is answered.
  async #send(draft, patch) {
    const round = this.#round, base = this.#base, made = this.#isMade, fields = Object.keys(made ? draft : patch);
    const save = $(".save", this.#form), isOpen = () => this.#dialog.open && round === this.#round;
    let task, refused;
    save.disabled = true;
    try {
      task = made ? await this.#store.create({ ...draft, id: this.#id }) :
        await this.#store.update(this.#id, patch, { version: this.#version }, (now) => !same(fields, now, base));
    } catch (error) {
      const now = error.data?.task; // it may be what was sent before, when the connection was lost
      if (now && same(fields, now, draft)) task = now;
      else refused = error;
    }
    if (isOpen()) save.disabled = false;
    if (refused && isOpen()) return this.#refused(refused, draft);
    if (refused) return toast(`${quoted(draft.title)} was not saved: ${refusalOf(refused)}.`, { bad: true });
    if (made) this.#actions.created(task);
    else this.#actions.edited(base, task, fields);
    if (isOpen()) this.#close();
    if (this.#board.shows(task.id)) this.#board.follow(task.id);
    else toast(`${quoted(task.title)} is saved; the filter hides it.`);
  }

  #refused(error, draft) {
    const now = error.data?.task;
    if (error.reason === "task_exists" && !this.#task) { // made before, and then written on
      this.#take(now);
      return this.#save();
    }
    if (now) return this.#merge(draft, now);
    if (error.reason === "task_not_found" && this.#task) return this.#lose("Somebody");
    this.#problem(error.sent ? "The connection was lost while this was saved. Once it is back, save again: nothing is made twice." :
      isInDoubt(error) ? "The cluster has not answered in time. Save again: nothing is made twice." : `Not saved: ${refusalOf(error)}.`);
    this.#form.elements[error.data?.field]?.focus();
  }

  // merge puts what both have written into the dialog, and lets the person choose where it
  // is the same field. What is in the dialog is what is saved.
  async #merge(mine, task) {
    const theirs = draftOf(task), base = this.#base;
    const latest = await this.#actions.latest(task.id, Object.keys(patchOf(base, theirs)));
    if (this.#task?.id !== task.id) return; // the dialog was left meanwhile
    this.#found();
    this.#take(task);
    this.#write(theirs);
    for (const field of Object.keys(patchOf(base, mine))) this.#put(field, mine[field]);
    showConflict(this.#conflict, contested(base, mine, theirs), mine, theirs, {
      choose: (field, value) => this.#put(field, value),
      titleOf: (id) => this.#store.get(id)?.title ?? id,
      who: latest ? whoOf(latest) : nobodyKnown,
    });
    this.#warned = false;
    this.#problem("");
    $("input", this.#conflict)?.focus();
  }

  #dropConflict() {
    this.#conflict.hidden = true;
    this.#conflict.replaceChildren();
  }

  // heard tells at once that somebody else changes the task that is open.
  #heard(event) {
    if (!this.#dialog.open || event.task_id !== this.#task?.id || event.own) return;
    this.#facts();
    if (!this.#conflict.hidden) return;
    if (this.#gone && event.change_type !== "deleted") this.#found();
    if (event.change_type === "deleted") this.#lose(whoOf(event));
    else if (this.#isDirty() || this.#dependencies.searching) this.#problem(`${whoOf(event)} has changed this task just now: ${whatOf(event)}.`);
    else { // nothing was written here: show theirs
      this.#take(event.task);
      this.#write(this.#base);
    }
  }

  // lose goes on without the task: what is in the dialog can be made a task again.
  #lose(who) {
    this.#gone = true;
    this.#problem(`${who} has deleted this task. It can be created again as it is here.`);
    $(".save", this.#form).textContent = "Create again";
    $(".delete", this.#form).hidden = true;
  }

  #found() {
    this.#gone = false;
    $(".save", this.#form).textContent = "Save";
    $(".delete", this.#form).hidden = false;
  }

  #take(task) {
    this.#task = task;
    this.#base = draftOf(task);
    this.#version = task.version;
  }

  #facts() {
    const task = this.#task && this.#store.get(this.#task.id);
    const waiting = task ? this.#store.dependentsOf(task.id).map((id) => quoted(this.#store.get(id).title)) : [];
    const facts = !task ? [] : [
      ["Id", task.id], ["Version", String(task.version)], ["Created", timeOf(task.created_at)], ["Changed", timeOf(task.updated_at)],
      ["Ready", task.ready ? "yes" : "no"], ["Claimed by", task.leased_by ?? "nobody"],
      ["Needed by", waiting.slice(0, 5).join(", ") + (waiting.length > 5 ? ` and ${waiting.length - 5} more` : "") || "nothing"],
    ];
    $(".facts", this.#form).replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  #problem(text) {
    const problem = $(".problem", this.#form);
    problem.textContent = text;
    problem.hidden = !text;
  }

  #close() { this.#dialog.close(); }

  #closed() {
    if (this.#dialog.open) return; // it was opened again before this event came
    this.#history.show(null);
    if (this.#task && this.#board.shows(this.#task.id)) this.#board.follow(this.#task.id);
    else this.#opener?.focus?.();
    this.#task = null;
  }
}

class Wrong extends Error {
  constructor(message, field) { super(message); this.field = field; }
}
