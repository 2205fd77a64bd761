// What happened to one task, from the journal, in the editor; and how an event is drawn.

import { $, h } from "./dom.js";
import { nobodyKnown, quoted, refusalOf, timeOf, whatOf, whenOf, whoOf } from "./words.js";

/** Draws an event as an item of a list. */
export function eventItem(event, titleOf) {
  const folded = event.coalesced > 1 ? ` (${event.coalesced} changes)` : "";
  const time = h("time", { dateTime: new Date(event.timestamp).toISOString(), title: timeOf(event.timestamp) }, whenOf(event.timestamp));
  const what = h("span", { className: "what" }, h(whoOf(event) === nobodyKnown ? "span" : "b", {}, whoOf(event)), " ", titleOf ? titleOf(event) : null, titleOf ? " " : null, whatOf(event) + folded);
  const item = h("li", {}, time, what);
  item.dataset.change = event.change_type;
  item.dataset.to = event.previous && !("status" in event.previous) ? "" : event.new_status ?? "";
  return item;
}

export const titleOfEvent = (open) => (event) => {
  const title = quoted(event.task?.title ?? event.task_id);
  return event.change_type === "deleted" ? h("span", { className: "gone" }, title) : h("button", { type: "button", className: "link", onclick: () => open(event.task_id) }, title);
};

export class TaskHistory {
  #client;
  #id = null;
  #place = $("#editor .history");
  #list = $("#editor .history ol");
  #newest = 0; // the seq of the newest event that is shown

  constructor(client, store) {
    this.#client = client;
    this.#place.addEventListener("toggle", () => { if (this.#place.open) this.#load(); });
    store.addEventListener("journal", ({ detail }) => {
      if (detail.task_id === this.#id && this.#place.open) this.#add([detail]);
    });
  }

  /** Shows the history of a task, null: none. */
  show(id) {
    this.#id = id;
    this.#place.hidden = id === null;
    this.#place.open = false;
    this.#list.replaceChildren();
    this.#newest = 0;
  }

  async #load() {
    const id = this.#id;
    this.#list.replaceChildren();
    this.#newest = 0;
    try {
      let since;
      do {
        const { events, next } = await this.#client.call("task.history", since ? { id, since, limit: 1000 } : { id, limit: 1000 });
        if (id !== this.#id) return;
        this.#add(events);
        since = next;
      } while (since);
    } catch (error) {
      this.#list.replaceChildren(h("li", {}, `The history cannot be read: ${refusalOf(error)}.`));
    }
  }

  #add(events) {
    for (const event of events) {
      if (event.seq <= this.#newest) continue;
      this.#newest = event.seq;
      this.#list.prepend(eventItem(event));
    }
  }
}
