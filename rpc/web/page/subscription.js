// A subscription of client.js: the cursor, and what is done when it cannot be continued.

const cursorExpired = -32005;
const passing = new Set([-32603, -32009, -32010]); // refusals that time may mend
const tombstones = 10_000; // deleted tasks whose last seq is kept

export class Subscription {
  live = false;
  cursor = null; // where to resume
  caughtUp = 0; // changes that came late, after the last interruption; null: the view began anew
  ended; // set by the client

  #client; #params; #handlers; #settle; #ask;
  #seqs = new Map(); // the newest seq by task
  #snapshot = null; // the tasks of a snapshot that is not complete yet
  #dead = new Set(); // deleted tasks that are still in seqs, oldest first
  #running = 0; // the attempt that counts; -1: it is closed
  #refused = null; // since when and how often the cursor was refused
  #renews = false; // the daemon sends a new snapshot by itself after a resync

  constructor(client, params, handlers, settle, ask) {
    this.#client = client;
    this.#params = { ...params };
    if (params.since === undefined && params.snapshot === undefined) this.#params.snapshot = true;
    this.#handlers = handlers;
    this.#settle = settle;
    this.#ask = ask;
  }

  close() {
    this.#running = -1;
    this.live = false;
    this.ended();
  }

  interrupt() {
    if (this.#running >= 0) this.#running++;
    this.live = false;
    this.#snapshot = null;
  }

  /** Subscribes on the present connection. */
  async begin() {
    if (this.#running < 0) return;
    const attempt = ++this.#running;
    this.live = false;
    this.caughtUp = 0;
    const params = { ...this.#params };
    if (this.cursor) {
      params.since = this.cursor;
      delete params.snapshot;
    }
    this.#renews = params.snapshot === true;
    this.#snapshot = this.#renews ? [] : null;
    try {
      await this.#ask(params, () => attempt === this.#running);
      if (attempt === this.#running) this.#refused = null;
    } catch (error) {
      if (attempt !== this.#running || error.name === "ConnectionError") return;
      if (error.code === cursorExpired) this.#expired(error.data.reason_detail);
      else if (passing.has(error.code)) setTimeout(() => attempt === this.#running && this.begin(), 1000);
      else this.#handlers.error?.(error);
    }
  }

  // expired tries the other daemons, which may have more of the journal, before it gives
  // the cursor up.
  #expired(detail) {
    this.#refused ??= { since: this.#client.tries, times: 0 };
    this.#refused.times++;
    if (detail !== "epoch" && this.#client.elsewhere(this.#refused, detail)) return;
    this.#refused = null;
    this.#startOver();
  }

  // startOver gives the cursor up: from now on the view is that of a snapshot, or, for who
  // wanted the whole journal, of what is left of it.
  #startOver() {
    this.cursor = null;
    if (this.#params.since === "start") {
      this.#seqs.clear();
      this.#handlers.reset?.();
    } else {
      delete this.#params.since;
      this.#params.snapshot = true;
    }
    this.begin();
  }

  receive(event) {
    if (this.#running < 0) return;
    switch (event.change_type) {
      case "snapshot":
        this.#snapshot?.push(event.task ?? { id: event.task_id, version: event.seq });
        return;
      case "resync":
        this.live = false;
        if (this.#renews) this.#snapshot = [];
        else this.#startOver();
        this.#settle();
        return;
      case "bookmark":
        this.#bookmark(event);
        return;
    }
    if (event.cursor) this.cursor = event.cursor;
    if (event.seq <= (this.#seqs.get(event.task_id) ?? 0)) return;
    this.#seqs.set(event.task_id, event.seq);
    this.#bury(event);
    if (!this.live && this.caughtUp !== null) this.caughtUp++;
    this.#handlers.event?.(event);
  }

  #bookmark(event) {
    this.cursor = event.cursor;
    if (this.#snapshot) {
      const tasks = this.#snapshot;
      this.#snapshot = null;
      this.#seqs = new Map(tasks.map((task) => [task.id, task.version]));
      this.#dead.clear();
      this.caughtUp = null;
      this.#handlers.snapshot?.(tasks);
    }
    if (event.live && !this.live) {
      this.live = true;
      this.#handlers.live?.(this.caughtUp);
      this.#settle();
    }
  }

  // bury bounds how many deleted tasks are remembered. They have to be for a while: a
  // resumed subscription may repeat what came before a change that was held back.
  #bury({ task_id: id, change_type: change }) {
    this.#dead.delete(id);
    if (change !== "deleted") return;
    this.#dead.add(id);
    if (this.#dead.size <= tombstones) return;
    const [oldest] = this.#dead;
    this.#dead.delete(oldest);
    this.#seqs.delete(oldest);
  }
}
