// A column: a sorted list of tasks, of which only those in view are elements.

import { calm, h } from "./dom.js";
import { makeCard, writeCard } from "./card.js";
import { nameOf, priorities } from "./words.js";

export const cardHeight = 92, rowHeight = cardHeight + 8; // as in card.css
const beyond = 4; // cards that are made above and below the view

/** The order of a column: urgent first, then old first; in Done what changed last. */
function keyOf(status, task) {
  return status === "done" ? [-task.updated_at, 0] : [-priorities.indexOf(task.priority), task.created_at];
}

function compare(a, b) {
  return a.key[0] - b.key[0] || a.key[1] - b.key[1] || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

export class Column {
  items = []; // {id, key}, sorted
  cards = new Map(); // by id, those that are elements
  pinned = null; // the id of a card that stays an element, being dragged
  current = null; // the id of the card that the Tab key leads to

  #top = 0; #height = 600; // of the view, so that drawing measures nothing
  #listHeight = -1; // of all cards together, as it was drawn
  #pad = 0; // empty space above the first card, while the pointer keeps it there
  #counted = -1; // what the heading says
  #target = null; // where to scroll when it is drawn next
  #hovered = false;
  #pointer = 0; // where in the view the pointer is
  #store; #titleOf;

  constructor(status, store, titleOf, draw) {
    this.status = status;
    this.#store = store;
    this.#titleOf = titleOf;
    this.count = h("span", { className: "count" });
    this.list = h("ul", { className: "cards", role: "list", "aria-label": nameOf(status) });
    this.body = h("div", { className: "body" }, this.list);
    this.empty = h("p", { className: "empty" });
    this.element = h("section", { className: "column", "aria-labelledby": `column-${status}` },
      h("h2", { id: `column-${status}` }, h("span", { className: "name" }, nameOf(status)), " ", this.count), this.empty, this.body);
    this.element.dataset.status = status;
    this.body.addEventListener("scroll", () => { this.#top = this.body.scrollTop; draw(); }, { passive: true });
    new ResizeObserver(() => { this.#height = this.body.clientHeight; draw(); }).observe(this.body);
    this.body.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "mouse") return;
      this.#hovered = true;
      this.#pointer = event.clientY - this.body.getBoundingClientRect().top;
    }, { passive: true });
    this.body.addEventListener("pointerleave", () => {
      this.#hovered = false;
      if (this.#pad) { this.#pad = 0; draw(true); }
    });
  }

  indexOf(id) { return this.items.findIndex((item) => item.id === id); }

  /** Replaces the entries of the given tasks by those that belong here. */
  change(ids, tasks) {
    const anchor = this.#anchor();
    const items = this.items.filter((item) => !ids.has(item.id));
    const fresh = tasks.map((task) => ({ id: task.id, key: keyOf(this.status, task) })).sort(compare);
    this.items = merge(items, fresh);
    this.#hold(anchor);
  }

  // anchor is the card that must not move: the one under the pointer, the one that has the
  // focus, or, where the column is scrolled, the first one in view.
  #anchor() {
    if (!this.#hovered && this.#top === 0) return null;
    if (!this.#hovered) {
      const id = document.activeElement?.dataset?.id, index = this.cards.has(id) ? this.indexOf(id) : -1;
      const y = index * rowHeight - this.#top;
      if (index >= 0 && y > -rowHeight && y < this.#height) return { id, index };
    }
    const y = this.#top + (this.#hovered ? this.#pointer : 0) - this.#pad;
    const index = Math.min(this.items.length - 1, Math.max(0, Math.floor(y / rowHeight)));
    return this.items[index] && { id: this.items[index].id, index };
  }

  #hold(anchor) {
    const now = anchor ? this.indexOf(anchor.id) : -1;
    if (now < 0 || now === anchor.index) return;
    const top = this.#top - this.#pad + (now - anchor.index) * rowHeight;
    this.#pad = this.#hovered ? Math.max(0, -top) : 0; // what is missing above stays empty until the pointer leaves
    this.#target = Math.max(0, top);
  }

  /** Draws what is in view. glide: cards that were there move to their new place. */
  draw(glide) {
    const natural = this.#pad + this.items.length * rowHeight;
    const scrolled = this.#target === null ? 0 : this.#target - this.#top;
    const top = this.#target ?? this.#top;
    const height = this.#hovered ? Math.max(natural, top + this.#height) : natural;
    if (height !== this.#listHeight) this.list.style.height = `${this.#listHeight = height}px`;
    if (this.#target !== null) { this.body.scrollTop = this.#top = this.#target; this.#target = null; }
    const first = Math.max(0, Math.floor((this.#top - this.#pad) / rowHeight) - beyond);
    const last = Math.min(this.items.length, Math.ceil((this.#top - this.#pad + this.#height) / rowHeight) + beyond);
    const wanted = new Map();
    for (let i = first; i < last; i++) wanted.set(this.items[i].id, i);
    const focused = document.activeElement?.dataset?.id;
    for (const id of [this.pinned, focused]) { // they stay, wherever they are
      if (this.cards.has(id) && !wanted.has(id)) wanted.set(id, this.indexOf(id));
    }
    for (const id of this.cards.keys()) if (!(wanted.get(id) >= 0)) this.drop(id);
    let next = this.list.firstElementChild;
    for (const [id, index] of wanted) {
      if (index < 0) continue;
      const card = this.#place(id, index, glide && !calm.matches ? scrolled : null);
      if (card.element === next) next = next.nextElementSibling;
      else this.#insert(card, next);
    }
    const way = this.cards.has(this.current) ? this.current : this.items[Math.max(0, Math.ceil((this.#top - this.#pad) / rowHeight))]?.id;
    for (const [id, card] of this.cards) {
      const index = id === way ? 0 : -1;
      if (card.button.tabIndex !== index) card.button.tabIndex = index;
    }
    this.#write();
  }

  #place(id, index, glide) {
    let card = this.cards.get(id);
    if (!card) this.cards.set(id, card = makeCard(id));
    const task = this.#store.get(id);
    writeCard(card, task, this.#store.openDependencies(task), this.#titleOf, this.#store.unsureOf(id));
    const y = this.#pad + index * rowHeight;
    if (card.y !== y) {
      card.element.style.transform = `translateY(${y}px)`;
      if (card.y !== null && glide !== null && card.y + glide !== y) {
        card.element.animate([{ transform: `translateY(${card.y + glide}px)` }, { transform: `translateY(${y}px)` }], { duration: 220, easing: "ease-out" });
      }
      card.y = y;
    }
    if (card.place !== index || card.among !== this.items.length) {
      card.element.ariaPosInSet = (card.place = index) + 1;
      card.element.ariaSetSize = card.among = this.items.length;
    }
    return card;
  }

  #insert(card, next) {
    const focused = card.button === document.activeElement;
    this.list.insertBefore(card.element, next);
    if (focused) card.button.focus({ preventScroll: true });
  }

  #write() {
    if (this.#counted === this.items.length || !this.#store.known) return;
    this.#counted = this.items.length;
    this.count.textContent = this.items.length.toLocaleString();
    this.empty.hidden = this.items.length > 0;
  }

  drop(id) {
    this.cards.get(id)?.element.remove();
    this.cards.delete(id);
  }

  /** Scrolls as little as shows a card. */
  reveal(id) {
    const index = this.indexOf(id), y = this.#pad + index * rowHeight;
    if (index < 0) return;
    if (y < this.#top) this.body.scrollTop = this.#top = y;
    else if (y + rowHeight > this.#top + this.#height) this.body.scrollTop = this.#top = y + rowHeight - this.#height;
    this.draw(false);
  }
}

function merge(a, b) {
  if (b.length === 0) return a;
  const all = [];
  let i = 0;
  for (const item of b) {
    while (i < a.length && compare(a[i], item) < 0) all.push(a[i++]);
    all.push(item);
  }
  while (i < a.length) all.push(a[i++]);
  return all;
}
