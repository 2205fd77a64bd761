// A small client of the daemon for pages, without dependencies:
//
//   import { connect } from "/client.js";
//   const client = connect("ws://127.0.0.1:7420/rpc", { token });
//   const task = await client.call("task.create", { title: "Hello" });
//   client.subscribe({ filter: { ready: true } }, {
//     snapshot(tasks) { … },   // the whole view, again after a gap that cannot be filled
//     event(event) { … },      // each later change, in order, once
//   });
//
// A subscription survives the connection: it resumes by its cursor, and takes a snapshot
// where that is refused. See client.d.ts for the types.

import { Subscription } from "./subscription.js";

/** An error that the daemon answered. `code` and `reason` are those of the protocol. */
export class RpcError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.name = "RpcError";
    this.code = code;
    this.data = data ?? {};
    this.reason = this.data.reason;
  }
}

/** The connection was not there, or was lost before the answer: then nobody here knows
 *  whether a write was made, and `sent` is true. */
export class ConnectionError extends Error {
  constructor(message, sent) {
    super(message);
    this.name = "ConnectionError";
    this.sent = sent;
  }
}

export function connect(url = ownUrl(), options = {}) {
  return new Client(url, options);
}

function ownUrl() {
  const url = new URL("/rpc", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// The daemon sends a bookmark after 15 s of silence. Silence past that is asked about,
// and then no longer called live; in the end the connection is given up.
const askAfter = 16_000, doubtAfter = 19_000, giveUpAfter = 25_000;

/** Equal jitter: between half of and all of 0.25 s, 0.5 s, … 10 s. */
function defaultBackoff(attempt) {
  const longest = Math.min(10_000, 250 * 2 ** attempt);
  return longest / 2 + Math.random() * longest / 2;
}

export class Client extends EventTarget {
  state = "away"; // or "catching up", "live"
  reason = "connecting"; // why it is away: connecting, unreachable, unauthorized, closed
  since = Date.now(); // when the state began
  retryAt = 0; // when the next attempt is made; 0: none is planned
  heardAt = 0; // when the daemon last said anything

  #url; #token; #parse; #backoff;
  #socket = null;
  #opened = false; // the present socket has been open
  #attempt = 0;
  #calls = new Map(); // by request id
  #lastId = 0;
  #subscriptions = new Set();
  #routes = new Map(); // the subscription for an id that this connection gave it
  #timer; #watch;
  #askedAt = 0; // when an answer to a ping began to be waited for
  #check = () => this.#lookAlive(true);

  constructor(url, { token = "", parse = JSON.parse, backoff = defaultBackoff } = {}) {
    super();
    this.#url = url;
    this.#token = token;
    this.#parse = parse;
    this.#backoff = backoff;
    this.#watch = setInterval(() => this.#lookAlive(false), 1000);
    for (const what of ["online", "offline"]) globalThis.addEventListener?.(what, this.#check);
    globalThis.document?.addEventListener("visibilitychange", this.#check);
    this.#open();
  }

  get url() { return this.#url; }

  /** Calls a method. While the connection is being made the call waits for it. */
  call(method, params) {
    const socket = this.#socket;
    if (!socket || socket.readyState > WebSocket.OPEN) {
      return Promise.reject(new ConnectionError("the daemon is away", false));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const message = JSON.stringify({ jsonrpc: "2.0", id, method, params });
      const call = { resolve, reject, message, sent: false };
      this.#calls.set(id, call);
      if (socket.readyState === WebSocket.OPEN) this.#send(call);
    });
  }

  /** Subscribes, now and after every reconnect. See client.d.ts. */
  subscribe(params = {}, handlers = {}) {
    const subscription = new Subscription(this, params, handlers, () => this.#settle(), (wireId) => this.#routes.set(wireId, subscription));
    subscription.ended = () => {
      this.#subscriptions.delete(subscription);
      for (const [wireId, other] of this.#routes) {
        if (other !== subscription) continue;
        this.#routes.delete(wireId);
        this.call("task.unsubscribe", { subscription: wireId }).catch(() => {});
      }
      this.#settle();
    };
    this.#subscriptions.add(subscription);
    if (this.#opened) subscription.begin();
    this.#settle();
    return subscription;
  }

  /** Connects at once, where an attempt was planned for later. */
  retry() {
    if (!this.#socket && this.reason !== "closed") this.#open();
  }

  /** Connects again with another token. */
  setToken(token) {
    this.#token = token;
    this.#drop();
    this.#open();
  }

  close() {
    clearInterval(this.#watch);
    for (const what of ["online", "offline"]) globalThis.removeEventListener?.(what, this.#check);
    globalThis.document?.removeEventListener("visibilitychange", this.#check);
    this.#drop();
    clearTimeout(this.#timer);
    this.#become("away", "closed", 0);
  }

  #open() {
    clearTimeout(this.#timer);
    let socket;
    try {
      socket = new WebSocket(this.#url, this.#token ? ["jsonrpc", "bearer." + this.#token] : ["jsonrpc"]);
    } catch { // a token that cannot be one
      this.#become("away", "unauthorized", 0);
      return;
    }
    this.#socket = socket;
    this.#opened = false;
    this.heardAt = Date.now();
    this.#become("away", "connecting", 0);
    const ours = (handle) => (event) => { if (this.#socket === socket) handle(event); };
    socket.onopen = ours(() => this.#ready());
    socket.onmessage = ours((event) => this.#receive(event.data));
    socket.onclose = ours(() => this.#lost());
  }

  #ready() {
    this.#opened = true;
    this.heardAt = Date.now();
    this.#askedAt = 0;
    for (const call of this.#calls.values()) this.#send(call);
    for (const subscription of this.#subscriptions) subscription.begin();
    this.#settle();
  }

  #send(call) {
    call.sent = true;
    this.#socket.send(call.message);
  }

  #receive(text) {
    this.heardAt = Date.now();
    const message = this.#parse(text);
    if (message.method) {
      const { subscription, result } = message.params;
      const route = this.#routes.get(subscription);
      for (const event of result.events ?? [result]) route?.receive(event);
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (!call) return;
    if (message.error) call.reject(new RpcError(message.error));
    else call.resolve(message.result);
  }

  // drop ends the present connection, if there is one, and whoever waits for it.
  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    this.#routes.clear();
    socket?.close();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const subscription of this.#subscriptions) subscription.interrupt();
    for (const call of calls) call.reject(new ConnectionError("the connection was lost", call.sent));
  }

  async #lost() {
    const was = this.#opened;
    this.#drop();
    this.#plan("unreachable");
    // A browser does not tell why a handshake failed; a POST does.
    if (!was && await this.#isUnauthorized() && !this.#socket && this.reason === "unreachable") {
      clearTimeout(this.#timer);
      this.#become("away", "unauthorized", 0);
    }
  }

  #plan(reason) {
    const wait = this.#backoff(this.#attempt++);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
    this.#become("away", reason, Date.now() + wait);
  }

  async #isUnauthorized() {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = "Bearer " + this.#token;
    const body = '{"jsonrpc":"2.0","id":1,"method":"server.ping"}';
    try {
      const answer = await fetch(this.#url.replace(/^ws/, "http"), { method: "POST", headers, body });
      return answer.status === 401;
    } catch {
      return false;
    }
  }

  // lookAlive doubts a connection that is silent, and one of a machine that slept.
  #lookAlive(now) {
    if (!this.#socket) {
      if (this.retryAt && (now || Date.now() > this.retryAt + 1000)) this.#open();
      return;
    }
    const silence = Date.now() - this.heardAt;
    if (silence > giveUpAfter || this.#askedAt && Date.now() - this.#askedAt > giveUpAfter - askAfter) {
      this.#drop();
      this.#plan("unreachable");
      return;
    }
    if (this.#opened && !this.#askedAt && (silence > askAfter || now)) {
      this.#askedAt = Date.now();
      this.call("server.ping").then(() => { this.#askedAt = 0; this.#settle(); }, () => {});
    }
    if (this.#opened) this.#settle();
  }

  #settle() {
    if (!this.#opened) return;
    const current = [...this.#subscriptions].every((s) => s.live) && Date.now() - this.heardAt < doubtAfter;
    if (current) this.#attempt = 0;
    this.#become(current ? "live" : "catching up", "", 0);
  }

  #become(state, reason, retryAt) {
    if (state === this.state && reason === this.reason && retryAt === this.retryAt) return;
    if (state !== this.state) this.since = Date.now();
    Object.assign(this, { state, reason, retryAt });
    this.dispatchEvent(new Event("state"));
  }
}
