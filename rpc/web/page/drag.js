// Dragging cards with mouse, pen and finger. A mouse drags after a few pixels; a finger
// after it has rested for a moment, so that it can still scroll.

import { $, announce } from "./dom.js";
import { nameOf } from "./words.js";

const threshold = 5, rest = 280, wander = 10; // pixels, milliseconds, pixels
const edge = 60, fastest = 14; // where columns begin to scroll sideways, pixels a frame

export class Drag {
  #board; #actions; #store;
  #press = null; // {id, pointer, x, y, timer}: a card is held
  #dragged = null; // {id, ghost, dx, dy, column}: a card is on its way
  #dropped = false; // the click that follows a drop is none
  #scroll = 0; // the frame in which columns scroll next

  constructor(board, actions, store) {
    this.#board = board;
    this.#actions = actions;
    this.#store = store;
    const area = board.element;
    area.addEventListener("pointerdown", (event) => this.#down(event));
    area.addEventListener("pointermove", (event) => this.#move(event));
    area.addEventListener("pointerup", (event) => this.#up(event));
    area.addEventListener("pointercancel", () => this.cancel());
    area.addEventListener("lostpointercapture", () => this.cancel());
    area.addEventListener("click", (event) => this.#swallow(event), true);
    area.addEventListener("contextmenu", (event) => { if (this.#press?.touch) event.preventDefault(); });
    area.addEventListener("touchmove", (event) => { if (this.#dragged) event.preventDefault(); }, { passive: false });
    addEventListener("keydown", (event) => { if (event.key === "Escape" && this.#dragged) this.cancel(); });
    store.addEventListener("change", ({ detail }) => {
      if (this.#dragged?.id === detail.id && !detail.after) this.cancel();
    });
  }

  #down(event) {
    const card = event.target.closest(".card");
    this.#dropped = false;
    if (!card || !event.isPrimary || event.button !== 0 || this.#dragged) return;
    const touch = event.pointerType === "touch";
    this.#press = { id: card.dataset.id, pointer: event.pointerId, x: event.clientX, y: event.clientY, touch };
    const { x, y } = this.#press;
    if (touch) this.#press.timer = setTimeout(() => this.#lift(x, y), rest);
  }

  #move(event) {
    const press = this.#press;
    if (!press || event.pointerId !== press.pointer) return;
    if (!this.#dragged) {
      const far = Math.hypot(event.clientX - press.x, event.clientY - press.y);
      if (press.touch && far > wander) this.cancel();
      if (press.touch || far < threshold) return;
      this.#lift(press.x, press.y);
    }
    if (this.#dragged) this.#carry(event.clientX, event.clientY);
  }

  // lift takes a card up: a copy follows the pointer, the card stays behind as a shadow.
  #lift(x, y) {
    const { id, pointer } = this.#press;
    const { column, card } = this.#board.find(id);
    if (!card) return this.cancel();
    const rect = card.button.getBoundingClientRect();
    const ghost = card.button.cloneNode(true);
    ghost.removeAttribute("data-id");
    ghost.classList.remove("landing");
    ghost.classList.add("ghost");
    Object.assign(ghost.style, { width: `${rect.width}px`, left: "0", top: "0" });
    $("#flights").append(ghost);
    card.button.classList.add("dragged");
    column.pinned = id;
    this.#dragged = { id, seen: this.#store.get(id), ghost, dx: x - rect.left, dy: y - rect.top, column, over: null };
    this.#board.element.classList.add("dragging");
    this.#board.element.setPointerCapture(pointer);
    if (this.#press.touch) navigator.vibrate?.(10);
    this.#carry(x, y);
    this.#scroll = requestAnimationFrame(() => this.#creep());
  }

  #carry(x, y) {
    const dragged = this.#dragged;
    Object.assign(dragged, { x, y });
    dragged.ghost.style.transform = `translate(${x - dragged.dx}px, ${y - dragged.dy}px) rotate(1deg)`;
    const over = Object.values(this.#board.columns).find(({ element }) => {
      const rect = element.getBoundingClientRect();
      return x >= rect.left && x < rect.right;
    });
    if (over === dragged.over) return;
    dragged.over?.element.classList.remove("target");
    over?.element.classList.add("target");
    dragged.over = over;
  }

  // creep scrolls the columns while a card is held at their edge, on narrow screens.
  #creep() {
    if (!this.#dragged) return;
    const { left, right } = this.#board.element.getBoundingClientRect(), { x, y } = this.#dragged;
    const by = x < left + edge ? -(left + edge - x) : x > right - edge ? x - (right - edge) : 0;
    if (by) {
      this.#board.element.scrollLeft += Math.max(-fastest, Math.min(fastest, by / 4));
      this.#carry(x, y);
    }
    this.#scroll = requestAnimationFrame(() => this.#creep());
  }

  #swallow(event) {
    if (!this.#dropped) return;
    this.#dropped = false;
    event.stopPropagation();
    event.preventDefault();
  }

  #up(event) {
    if (!this.#dragged || event.pointerId !== this.#press?.pointer) return this.cancel();
    const { id, seen, ghost, over } = this.#dragged;
    this.#dropped = true;
    setTimeout(() => { this.#dropped = false; }, 50);
    if (over && over.status !== this.#store.get(id)?.status) {
      this.#board.comesFrom(id, ghost.getBoundingClientRect());
      this.#actions.move(id, over.status, seen);
    } else announce(`Left in ${nameOf(this.#store.get(id)?.status)}`);
    this.cancel();
  }

  /** Lets go of the card; it stays where it was. */
  cancel() {
    clearTimeout(this.#press?.timer);
    const press = this.#press, dragged = this.#dragged;
    this.#press = this.#dragged = null;
    if (!dragged) return;
    cancelAnimationFrame(this.#scroll);
    dragged.ghost.remove();
    dragged.column.pinned = null;
    dragged.column.cards.get(dragged.id)?.button.classList.remove("dragged");
    dragged.over?.element.classList.remove("target");
    this.#board.element.classList.remove("dragging");
    if (this.#board.element.hasPointerCapture(press.pointer)) this.#board.element.releasePointerCapture(press.pointer);
  }
}
