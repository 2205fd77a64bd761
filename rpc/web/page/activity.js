// The activity list: changes as they come, and back through the journal as far as it is
// retained. The journal is read from its oldest event on; the newest ones are kept.

import { $ } from "./dom.js";
import { eventItem, titleOfEvent } from "./history.js";
import { refusalOf } from "./words.js";

const kept = 5000, page = 100;

export class Activity {
  #client; #titleOf;
  #events = []; // oldest first
  #shown = 0; // how many of them are on the page
  #read = false; // the past has been read
  #visible = false;
  #waiting = []; // live events that are not drawn yet
  #note = $("#activity-note"); #list = $("#activity-list"); #more = $("#activity-more");

  constructor(client, store, open) {
    this.#client = client;
    this.#titleOf = titleOfEvent(open);
    this.#more.addEventListener("click", () => this.#showMore());
    store.addEventListener("journal", ({ detail }) => this.#hear(detail));
    store.addEventListener("reset", () => { this.#read = false; this.#events = []; if (this.#visible) this.show(true); });
  }

  async show(visible) {
    this.#visible = visible;
    if (!visible) return;
    if (!this.#read) await this.#readPast();
    this.#draw();
  }

  async #readPast() {
    this.#read = true;
    let since, events = [], count = 0;
    try {
      do {
        const answer = await this.#client.call("task.history", since ? { since, limit: 1000 } : { limit: 1000 });
        count += answer.events.length;
        events = events.concat(answer.events).slice(-kept);
        since = answer.next;
        this.#note.textContent = `Reading the journal: ${count.toLocaleString()} changes`;
      } while (since);
    } catch (error) {
      this.#read = false;
      this.#note.textContent = `The journal cannot be read: ${refusalOf(error)}.`;
      return;
    }
    const newest = events.at(-1)?.seq ?? 0;
    this.#events = events.concat(this.#events.filter((event) => event.seq > newest)).slice(-kept);
    this.#note.textContent = this.#events.length === 0 ? "Nothing has happened yet." : count > kept ? `The newest ${kept.toLocaleString()} of ${count.toLocaleString()} changes.` : "";
  }

  #draw() {
    this.#list.replaceChildren();
    this.#shown = 0;
    this.#waiting = [];
    this.#showMore();
  }

  #showMore() {
    const end = this.#events.length - this.#shown, begin = Math.max(0, end - page);
    this.#list.append(...this.#events.slice(begin, end).reverse().map((event) => eventItem(event, this.#titleOf)));
    this.#shown += end - begin;
    this.#more.hidden = begin === 0;
  }

  #hear(event) {
    this.#events.push(event);
    if (this.#events.length > kept + page) this.#events.splice(0, page);
    if (!this.#visible) return;
    this.#waiting.push(event);
    if (this.#waiting.length === 1) requestAnimationFrame(() => this.#prepend());
  }

  #prepend() {
    this.#note.textContent = "";
    const items = this.#waiting.slice(-page).reverse().map((event) => eventItem(event, this.#titleOf));
    for (const item of items) item.classList.add("new");
    this.#shown += this.#waiting.length;
    this.#waiting = [];
    this.#list.prepend(...items);
    while (this.#list.children.length > 20 * page) this.#list.lastElementChild.remove();
  }
}
