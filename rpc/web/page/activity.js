// The Activity page: every change, as it comes, and back as far as the journal is retained.

import { $ } from "./dom.js";
import { EventList, titleOfEvent } from "./events.js";

export class Activity {
  #events; #visible = false;

  constructor(client, store, open) {
    this.#events = new EventList(client, store, $("#activity"), titleOfEvent(open));
  }

  show(visible) {
    if (visible === this.#visible) return;
    this.#visible = visible;
    if (visible) this.#events.open();
    else this.#events.close();
  }
}
