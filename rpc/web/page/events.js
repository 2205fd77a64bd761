// A list of changes, newest first. It goes back through the journal a page at a time, as
// somebody scrolls or asks for more, and grows at the top by what comes.

import { h } from "./dom.js";
import { nobodyKnown, quoted, refusalOf, timeOf, whatOf, whenOf, whoOf } from "./words.js";

const page = 100, most = 1000; // events to read at once, and on the page
const gather = 500; // live ones that wait to be drawn, as in a tab that is not seen

/** Draws an event as an item of a list. */
export function eventItem(event, titleOf) {
  const folded = event.coalesced > 1 ? ` (${event.coalesced} changes)` : "";
  const time = h("time", { dateTime: new Date(event.timestamp).toISOString(), title: timeOf(event.timestamp) }, whenOf(event.timestamp));
  const who = h(whoOf(event) === nobodyKnown ? "span" : "b", {}, h("bdi", {}, whoOf(event)));
  const what = h("span", { className: "what" }, who, " ", titleOf ? titleOf(event) : null, titleOf ? " " : null, whatOf(event) + folded);
  const item = h("li", {}, time, what);
  item.dataset.seq = event.seq;
  item.dataset.change = event.change_type;
  item.dataset.to = event.previous && !("status" in event.previous) ? "" : event.new_status ?? "";
  return item;
}

export const titleOfEvent = (open) => (event) => {
  const title = quoted(event.task?.title ?? event.task_id);
  return event.change_type === "deleted" ? h("bdi", { className: "gone" }, title) : h("button", { type: "button", className: "link", onclick: () => open(event.task_id) }, h("bdi", {}, title));
};

export class EventList {
  #client; #titleOf;
  #id = null; // of the task whose changes these are; null: of all
  #round = 0; // which reading counts; 0: none, nothing is shown
  #busy = false;
  #next = null; // where the journal goes on, null: nowhere
  #shown = []; // newest first, {seq, cursor, item}
  #waiting = null; // live ones that are not drawn yet, oldest first; null: too many
  #frame = 0;
  #cut = false; // the newest ones are not on the page any more
  #failed = false;
  #list; #note; #more; #newest; #seen; #rounds = 0;

  /** place has an ol, and a .note, a .newest and a .more around it. */
  constructor(client, store, place, titleOf) {
    this.#client = client;
    this.#titleOf = titleOf;
    [this.#list, this.#note, this.#more, this.#newest] = ["ol", ".note", ".more", ".newest"].map((part) => place.querySelector(part));
    this.#more.addEventListener("click", () => this.#read());
    this.#list.tabIndex = -1;
    this.#newest.addEventListener("click", () => {
      this.open(this.#id);
      this.#list.focus(); // the button goes
    });
    this.#seen = new IntersectionObserver((entries) => { if (entries.at(-1).isIntersecting && !this.#failed) this.#read(); }, { rootMargin: "600px" });
    store.addEventListener("journal", ({ detail }) => this.#hear(detail));
    store.addEventListener("reset", () => { if (this.#round) this.open(this.#id); });
    store.addEventListener("live", () => { if (this.#failed) this.#read(); });
  }

  /** Shows the changes of a task, or all, from the newest on. */
  open(id = null) {
    this.close();
    this.#id = id;
    this.#round = ++this.#rounds;
    this.#next = "end";
    this.#read();
  }

  close() {
    this.#round = 0;
    cancelAnimationFrame(this.#frame);
    this.#busy = this.#cut = this.#failed = false;
    this.#frame = 0;
    this.#next = null;
    this.#shown = [];
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#tell("");
  }

  async #read() {
    if (this.#busy || !this.#next) return;
    const round = this.#round, params = { before: this.#next, limit: page };
    if (this.#id !== null) params.id = this.#id;
    this.#busy = true;
    if (this.#shown.length === 0) this.#tell("Reading the journal…");
    try {
      const { events, next } = await this.#client.call("task.history", params);
      if (round !== this.#round) return;
      this.#busy = this.#failed = false;
      if (this.#next === params.before) { // else the end of the list has been cut off meanwhile
        this.#next = next;
        this.#append(events);
      }
      this.#tell(this.#shown.length ? "" : "Nothing has happened yet.");
    } catch (error) {
      if (round !== this.#round) return;
      this.#busy = false;
      this.#failed = true;
      this.#tell(`The journal cannot be read: ${refusalOf(error)}.`);
    }
  }

  #tell(note) {
    this.#note.textContent = note;
    this.#newest.hidden = !this.#cut;
    this.#more.hidden = !this.#next || this.#shown.length === 0 && !this.#failed;
    this.#seen.unobserve(this.#more); // so that it is asked again whether it is in view
    if (!this.#more.hidden) this.#seen.observe(this.#more);
  }

  #append(events) {
    const last = this.#shown.at(-1)?.seq ?? Infinity;
    const fresh = events.filter((event) => event.seq < last).map((event) => this.#made(event));
    this.#shown.push(...fresh);
    this.#list.append(...fresh.map(({ item }) => item));
    this.#bound(false);
    this.#plan();
  }

  #made(event) { return { seq: event.seq, cursor: event.cursor, item: eventItem(event, this.#titleOf) }; }

  #hear(event) {
    if (!this.#round || this.#id !== null && event.task_id !== this.#id) return;
    if (this.#waiting?.push(event) > gather) this.#waiting = null;
    this.#plan();
  }

  #plan() {
    if (this.#waiting?.length === 0 || this.#shown.length === 0 && this.#busy) return;
    this.#frame ||= requestAnimationFrame(() => this.#prepend());
  }

  #prepend() {
    this.#frame = 0;
    const waiting = this.#waiting, atTop = this.#list.getBoundingClientRect().top > -page;
    this.#waiting = [];
    if (waiting === null && atTop) return this.open(this.#id);
    if (waiting === null) this.#cut = true;
    if (this.#cut) return this.#tell(this.#note.textContent);
    const newest = this.#shown[0]?.seq ?? 0;
    const fresh = waiting.filter((event) => event.seq > newest).map((event) => this.#made(event)).reverse();
    for (const { item } of fresh) item.classList.add("new");
    this.#shown.unshift(...fresh);
    this.#list.prepend(...fresh.map(({ item }) => item));
    this.#bound(atTop);
    this.#tell(this.#failed ? this.#note.textContent : "");
  }

  // bound takes away what is too much, at the end that is not looked at.
  #bound(atTop) {
    const over = this.#shown.length - most;
    if (over <= 0) return;
    const gone = atTop ? this.#shown.splice(-over) : this.#shown.splice(0, over);
    for (const { item } of gone) item.remove();
    if (atTop) this.#next = this.#shown.at(-1).cursor;
    else this.#cut = true;
  }
}
