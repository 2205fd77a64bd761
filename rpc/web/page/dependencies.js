// The field "waits for": chips, and a search that adds to them.

import { $, h } from "./dom.js";
import { nameOf } from "./words.js";

const most = 8; // suggestions

export class Dependencies {
  ids = [];
  #store; #changed; #self = "";
  #chips = $("#editor .chips");
  #search = $("#dependency-search");
  #options = $("#dependency-options");
  #active = -1; // the suggestion that Enter takes

  constructor(store, changed) {
    this.#store = store;
    this.#changed = changed;
    this.#search.addEventListener("input", () => this.#suggest());
    this.#search.addEventListener("keydown", (event) => this.#key(event));
    this.#search.addEventListener("blur", () => this.#close());
    this.#options.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the search keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.#add(option.dataset.task);
    });
  }

  /** Shows the dependencies of the task self. */
  set(ids, self) {
    this.ids = [...ids];
    this.#self = self;
    this.#search.value = "";
    this.#close();
    this.#draw();
  }

  /** Somebody is looking for one more. */
  get searching() { return this.#search.value !== ""; }

  #draw() {
    this.#chips.replaceChildren(...this.ids.map((id) => {
      const task = this.#store.get(id), title = task?.title ?? id;
      return h("li", { className: task?.status === "done" ? "chip done" : "chip" },
        h("span", { dir: "auto" }, title), task ? h("small", {}, nameOf(task.status)) : null,
        h("button", { type: "button", className: "quiet", ariaLabel: `Do not wait for ${title}`, onclick: () => this.#remove(id) }, "✕"));
    }));
  }

  #remove(id) {
    this.ids = this.ids.filter((other) => other !== id);
    this.#draw();
    this.#search.focus();
    this.#changed();
  }

  #add(id) {
    this.ids.push(id);
    this.#search.value = "";
    this.#close();
    this.#draw();
    this.#changed();
  }

  #suggest() {
    const wanted = this.#search.value.trim().toLowerCase();
    const open = [], done = [];
    if (wanted) {
      for (const task of this.#store.shown.values()) {
        if (task.id === this.#self || this.ids.includes(task.id)) continue;
        if (task.id.toLowerCase() === wanted || task.title.toLowerCase().includes(wanted)) (task.status === "done" ? done : open).push(task);
        if (open.length === most) break;
      }
    }
    const found = [...open, ...done].slice(0, most);
    this.#active = found.length ? 0 : -1;
    this.#options.replaceChildren(...found.map((task, i) => {
      const option = h("li", { role: "option", id: `dependency-${i}` }, h("span", { dir: "auto" }, task.title), h("small", {}, nameOf(task.status)));
      option.dataset.task = task.id;
      return option;
    }));
    this.#mark(found.length > 0);
  }

  #mark(open) {
    this.#options.hidden = !open;
    this.#search.ariaExpanded = String(open);
    [...this.#options.children].forEach((option, i) => { option.ariaSelected = String(i === this.#active); });
    if (open) this.#search.setAttribute("aria-activedescendant", `dependency-${this.#active}`);
    else this.#search.removeAttribute("aria-activedescendant");
  }

  #close() {
    this.#options.replaceChildren();
    this.#mark(false);
  }

  #key(event) {
    const count = this.#options.children.length;
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const option = this.#options.children[this.#active];
      if (option) this.#add(option.dataset.task);
    } else if (count && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      this.#active = (this.#active + (event.key === "ArrowDown" ? 1 : count - 1)) % count;
      this.#mark(true);
    } else if (event.key === "Escape" && count) {
      event.preventDefault();
      event.stopPropagation();
      this.#close();
    } else if (event.key === "Backspace" && !this.#search.value && this.ids.length) this.#remove(this.ids.at(-1));
  }
}
