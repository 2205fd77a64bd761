// The filter bar. It is kept in the URL, and matches as the daemon's filter does: every word
// begins a word of title or description.

import { $, announce, h } from "./dom.js";
import { priorities } from "./words.js";

const wordsIn = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

export class Filter extends EventTarget {
  #store;
  #form = $("#filter");
  #people = null; // the names that the list of assignees has
  text = ""; assignee; priority = ""; ready = false; // assignee: undefined: whoever; null: nobody
  #words = [];
  #told = ""; // what tell has written
  #asked = false; // somebody has changed the filter, and waits to hear how many match

  constructor(store) {
    super();
    this.#store = store;
    this.#form.addEventListener("input", () => this.#read());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("reset", (event) => { event.preventDefault(); this.clear(); });
    this.#form.assigned_to.addEventListener("focus", () => this.#listPeople());
    addEventListener("popstate", () => this.load());
    this.load();
  }

  get active() { return Boolean(this.#words.length || this.assignee !== undefined || this.priority || this.ready); }

  matches(task) {
    if (this.ready && !task.ready) return false;
    if (this.assignee !== undefined && task.assigned_to !== this.assignee) return false;
    if (this.priority && priorities.indexOf(task.priority) < priorities.indexOf(this.priority)) return false;
    if (this.#words.length === 0) return true;
    const words = wordsIn(`${task.title}\n${task.description ?? ""}`);
    return this.#words.every((part) => words.some((word) => word.startsWith(part)));
  }

  /** Takes the filter from the URL. */
  load() {
    const query = new URLSearchParams(location.search);
    this.text = query.get("text") ?? "";
    this.assignee = query.has("assigned_to") ? query.get("assigned_to") || null : undefined;
    this.priority = priorities.includes(query.get("priority")) ? query.get("priority") : "";
    this.ready = query.get("ready") === "1";
    this.#write();
    this.#changed();
  }

  clear() {
    Object.assign(this, { text: "", assignee: undefined, priority: "", ready: false });
    this.#write();
    this.#save();
  }

  focus() { this.#form.text.focus(); this.#form.text.select(); }

  /** Says how many tasks are shown; to screen readers only when the filter was changed. */
  tell(shown, all) {
    const text = this.active ? `${shown.toLocaleString()} of ${all.toLocaleString()}` : `${all.toLocaleString()} ${all === 1 ? "task" : "tasks"}`;
    if (this.#asked) announce(text);
    this.#asked = false;
    if (text !== this.#told) $(".shown", this.#form).textContent = this.#told = text;
  }

  #read() {
    const form = this.#form, who = form.assigned_to.value;
    this.text = form.text.value;
    this.assignee = who === "" ? undefined : JSON.parse(who);
    this.priority = form.priority.value;
    this.ready = form.ready.checked;
    this.#save();
  }

  #save() {
    const url = new URL(location.href);
    const set = (name, value) => (value === undefined ? url.searchParams.delete(name) : url.searchParams.set(name, value));
    set("text", this.text || undefined);
    set("assigned_to", this.assignee === null ? "" : this.assignee);
    set("priority", this.priority || undefined);
    set("ready", this.ready ? "1" : undefined);
    history.replaceState(history.state, "", url);
    this.#asked = true;
    this.#changed();
  }

  #changed() {
    this.#words = wordsIn(this.text);
    $("[type=reset]", this.#form).hidden = !this.active;
    this.dispatchEvent(new Event("change"));
  }

  #write() {
    const form = this.#form;
    form.text.value = this.text;
    form.priority.value = this.priority;
    form.ready.checked = this.ready;
    this.#listPeople();
    form.assigned_to.value = this.assignee === undefined ? "" : JSON.stringify(this.assignee);
  }

  #listPeople() {
    const names = new Set(peopleOf(this.#store));
    if (this.assignee) names.add(this.assignee);
    const sorted = [...names].sort((a, b) => a.localeCompare(b)), key = JSON.stringify(sorted);
    if (key === this.#people) return;
    this.#people = key;
    const select = this.#form.assigned_to, chosen = select.value;
    select.replaceChildren(h("option", { value: "" }, "Anybody"), h("option", { value: "null" }, "Nobody"),
      ...sorted.map((name) => h("option", { value: JSON.stringify(name) }, name)));
    select.value = chosen;
  }
}

/** Everybody to whom something is assigned. */
export function peopleOf(store) {
  const names = new Set();
  for (const task of store.shown.values()) if (task.assigned_to) names.add(task.assigned_to);
  return [...names];
}
