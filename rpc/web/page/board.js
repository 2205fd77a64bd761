// The four columns, kept true to the store and the filter. Changes are gathered and drawn
// once a frame.

import { $, announce, calm, h } from "./dom.js";
import { shine, titleIn } from "./card.js";
import { Column } from "./column.js";
import { nameOf, quoted, statuses, whatOf, whoOf } from "./words.js";

const few = 12; // changes in a frame up to which cards move visibly

export class Board {
  columns = {}; // by status

  #store; #filter;
  #where = new Map(); // by id: the column that has the task
  #dirty = new Map(); // by id: the latest event, or null, of what changed since the last frame
  #stale = true; // everything has to be drawn anew
  #frame = 0; #glide = false;
  #from = new Map(); // by id: where a card comes from, after a drag
  #marked = null; // when there were cards first, for who measures
  #focus = null; // the id of a card that gets the focus when it is drawn

  constructor(store, filter) {
    this.#store = store;
    this.#filter = filter;
    this.element = $("#columns");
    for (const status of statuses) {
      const column = new Column(status, store, titleIn(store), (glide) => this.#plan(glide));
      this.columns[status] = column;
      this.element.append(column.element);
    }
    store.addEventListener("change", ({ detail }) => this.#note(detail));
    store.addEventListener("reset", () => this.refilter());
    filter.addEventListener("change", () => this.refilter());
  }

  refilter() {
    this.#stale = true;
    this.#plan();
  }

  /** The column and the card of a task, where they are on the page. */
  find(id) {
    const column = this.columns[this.#where.get(id)];
    return { column, card: column?.cards.get(id) };
  }

  /** Tells whether a task is on the board, and the board is the page that is shown. */
  shows(id) {
    const task = this.#store.get(id);
    return Boolean(task && this.#filter.matches(task) && this.element.checkVisibility());
  }

  /** Puts the focus on a card, and shows it. */
  focus(id) {
    const { column } = this.find(id);
    if (!column) return;
    column.current = id;
    column.reveal(id);
    column.cards.get(id)?.button.focus({ preventScroll: true });
    column.element.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }

  /** Puts the focus on a card when it is next drawn, wherever it goes. */
  follow(id) {
    this.#focus = id;
    this.#plan();
  }

  /** Lets a card that was dropped come from where it was let go. */
  comesFrom(id, rect) { this.#from.set(id, rect); }

  #note({ id, after, event }) {
    this.#dirty.set(id, event ?? this.#dirty.get(id) ?? null);
    if (event?.change_type === "updated" && "status" in (event.previous ?? {}) && !event.own && after) {
      announce(`${after.title}: ${whoOf(event)}, ${whatOf(event)}`);
    }
    this.#plan(true);
  }

  #plan(glide = false) {
    this.#glide ||= glide;
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#frame = 0;
    const glide = this.#glide && !this.#stale && this.#dirty.size <= few;
    this.#glide = false;
    const focused = this.#focus ?? document.activeElement?.dataset?.id;
    const flights = glide && !calm.matches ? this.#departures() : [];
    if (this.#stale) this.#rebuild();
    else if (this.#dirty.size > 0) this.#apply();
    for (const column of Object.values(this.columns)) column.draw(glide);
    this.#tellShown();
    if (this.#where.size > 0 && !this.#marked) this.#marked = performance.mark("first-cards");
    this.#keepFocus(focused);
    for (const flight of flights) this.#fly(flight);
    for (const [id, event] of this.#dirty) this.#light(id, event);
    this.#dirty.clear();
    this.#from.clear();
  }

  // rebuild sorts everything into the columns.
  #rebuild() {
    this.#stale = false;
    this.#where.clear();
    const groups = Object.fromEntries(statuses.map((status) => [status, []]));
    for (const task of this.#store.shown.values()) {
      if (!this.#filter.matches(task)) continue;
      groups[task.status].push(task);
      this.#where.set(task.id, task.status);
    }
    for (const status of statuses) {
      this.columns[status].items = [];
      this.columns[status].change(new Set(), groups[status]);
    }
  }

  // apply moves what has changed out of and into the columns.
  #apply() {
    const out = {}, into = {};
    for (const id of this.#dirty.keys()) {
      const task = this.#store.get(id), was = this.#where.get(id);
      const now = task && this.#filter.matches(task) ? task.status : undefined;
      if (was) (out[was] ??= new Set()).add(id);
      if (now) {
        (into[now] ??= []).push(task);
        this.#where.set(id, now);
      } else this.#where.delete(id);
    }
    for (const status of statuses) {
      if (out[status] || into[status]) this.columns[status].change(out[status] ?? new Set(), into[status] ?? []);
    }
  }

  #tellShown() {
    if (this.#store.known) this.#filter.tell(this.#where.size, this.#store.shown.size);
    const none = this.#filter.active ? "Nothing that matches" : "Nothing here", first = "No tasks yet. Press n, or New task.";
    for (const { empty, status } of Object.values(this.columns)) {
      const text = !this.#store.known ? "" : status === "todo" && !this.#filter.active && this.#store.shown.size === 0 ? first : none;
      if (empty.textContent !== text) empty.textContent = text;
    }
  }

  // departures are the cards that will be in another column, and where they are now.
  #departures() {
    const all = [];
    for (const id of this.#dirty.keys()) {
      const { column, card } = this.find(id);
      const status = this.#store.get(id)?.status;
      if (!card || !status || status === column.status) continue;
      all.push({ id, from: this.#from.get(id) ?? card.button.getBoundingClientRect(), copy: card.button.cloneNode(true) });
    }
    return all;
  }

  // fly lets a copy of a card glide to where the card is now.
  #fly({ id, from, copy }) {
    const { card } = this.find(id);
    if (!card) return;
    const to = card.button.getBoundingClientRect();
    copy.tabIndex = -1;
    copy.removeAttribute("data-id");
    copy.classList.remove("dragged", "landing");
    copy.classList.add("flying");
    Object.assign(copy.style, { left: `${to.left}px`, top: `${to.top}px`, width: `${to.width}px` });
    $("#flights").append(copy);
    card.button.classList.add("landing");
    const end = () => { copy.remove(); card.button.classList.remove("landing"); };
    const path = [{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }];
    const flight = copy.animate(path, { duration: 240, easing: "cubic-bezier(.2,.7,.3,1)" });
    flight.onfinish = flight.oncancel = end;
  }

  #keepFocus(id) {
    if (!id || document.querySelector("dialog[open]")) return;
    const lost = this.#focus || document.activeElement === document.body;
    this.#focus = this.#focus && !this.#where.has(this.#focus) && this.#store.get(id) ? this.#focus : null;
    if (lost && this.#where.has(id)) this.focus(id);
  }

  #light(id, event) {
    if (!event || event.own) return;
    const { card } = this.find(id);
    if (!card) return;
    const moved = event.previous && "status" in event.previous;
    shine(card, moved ? `${whoOf(event)}: ${nameOf(event.previous_status)} → ${nameOf(event.new_status)}` : "");
  }

  /** The id of the card that has the focus, null: none has. */
  get selected() {
    return document.activeElement?.classList.contains("card") ? document.activeElement.dataset.id : null;
  }

  /** Goes from the focused card to one beside it. */
  step(id, key) {
    const { column } = this.find(id);
    if (!column) return;
    const index = column.indexOf(id);
    if (key === "ArrowLeft" || key === "ArrowRight") return this.#stepAside(column, index, key === "ArrowLeft" ? -1 : 1);
    const to = { ArrowUp: index - 1, ArrowDown: index + 1, Home: 0, End: column.items.length - 1 }[key];
    const item = column.items[Math.max(0, Math.min(column.items.length - 1, to))];
    if (item) this.focus(item.id);
  }

  #stepAside(column, index, by) {
    for (let i = statuses.indexOf(column.status) + by; statuses[i]; i += by) {
      const beside = this.columns[statuses[i]];
      if (beside.items.length === 0) continue;
      return this.focus(beside.items[Math.min(index, beside.items.length - 1)].id);
    }
  }
}
