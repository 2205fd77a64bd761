// What happened to one task, in the editor.

import { $ } from "./dom.js";
import { EventList } from "./events.js";

export class TaskHistory {
  #id = null;
  #place = $("#editor .history");
  #events;

  constructor(client, store) {
    this.#events = new EventList(client, store, this.#place);
    this.#place.addEventListener("toggle", () => {
      if (this.#place.open && this.#id !== null) this.#events.open(this.#id);
      else this.#events.close();
    });
  }

  /** Shows the history of a task, null: none. */
  show(id) {
    this.#id = id;
    this.#place.hidden = id === null;
    this.#place.open = false;
    this.#events.close();
  }
}
