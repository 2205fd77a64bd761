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
// where that is refused. Of several daemons with one journal, connect([url, url]), the
// next one continues when one is lost. See client.d.ts for the types.

import { ConnectionError, RpcError } from "./errors.js";
import { Subscription } from "./subscription.js";

export { ConnectionError, RpcError };

export function connect(url = ownUrl(), options = {}) {
  return new Client(url, options);
}

function ownUrl() {
  const url = new URL("/rpc", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// The daemon sends a bookmark after 15 s of silence. Silence past that is asked about,
// and then no longer called live; in the end the connection is given up. Where there is
// another daemon all of it goes faster.
const giveUpAfter = 25_000, giveUpOneOfSeveralAfter = 10_000;
const askAt = 0.64, doubtAt = 0.76; // parts of that
const connectOneOfSeveralIn = 2000;

// What changes nothing may be asked of the next daemon, too.
const reads = new Set(["task.get", "task.list", "task.history", "server.info", "server.stats", "server.ping", "rpc.discover"]);
const ofOneConnection = new Set(["task.subscribe", "task.unsubscribe", "task.flush"]);
const shuttingDown = -32009; // and it was not done

const patience = 4; // pauses, about 3 s, in which daemons that do not answer are waited for before a view begins anew

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

  tries = 0; // how often a connection was begun

  #urls; #token; #parse; #backoff; #silence;
  #at = 0; // the daemon that is used, by its place in urls
  #left; // daemons to try before the next pause
  #epoch = null; // of the journal of several daemons
  #strangers = 0; // daemons of this round that have another one
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

  constructor(url, { token = "", parse = JSON.parse, backoff = defaultBackoff, silence } = {}) {
    super();
    this.#urls = [url].flat();
    if (!this.#urls.length) throw new TypeError("there is no URL");
    this.#left = this.#urls.length - 1;
    this.#silence = silence ?? (this.#left ? giveUpOneOfSeveralAfter : giveUpAfter);
    this.#token = token;
    this.#parse = parse;
    this.#backoff = backoff;
    this.#watch = setInterval(() => this.#lookAlive(false), 1000);
    for (const what of ["online", "offline"]) globalThis.addEventListener?.(what, this.#check);
    globalThis.document?.addEventListener("visibilitychange", this.#check);
    this.#open();
  }

  get url() { return this.#urls[this.#at]; }

  /** Calls a method. While the connection is being made the call waits for it. */
  call(method, params) { return this.#request(method, params); }

  // request is call; answered is told of the result before whatever comes after it on the
  // connection, which who awaits the result is not.
  #request(method, params, answered) {
    const socket = this.#socket;
    if (!socket || socket.readyState > WebSocket.OPEN) {
      return Promise.reject(new ConnectionError("the daemon is away", false));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const message = JSON.stringify({ jsonrpc: "2.0", id, method, params });
      const call = { resolve, reject, answered, message, method, sent: false, times: 0 };
      this.#calls.set(id, call);
      if (this.#opened && socket.readyState === WebSocket.OPEN) this.#send(call);
    });
  }

  /** Subscribes, now and after every reconnect. See client.d.ts. */
  subscribe(params = {}, handlers = {}) {
    const subscription = new Subscription(this, params, handlers, () => this.#settle(), (asked, wanted) =>
      this.#request("task.subscribe", asked, (wireId) => wanted() && this.#routes.set(wireId, subscription)));
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
    if (!this.#socket && this.reason !== "closed") this.#begin();
  }

  /** Connects again with another token. */
  setToken(token) {
    this.#token = token;
    this.#drop();
    this.#left = this.#urls.length - 1;
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

  // begin begins a round, with the next daemon.
  #begin() {
    this.#left = this.#urls.length;
    this.#goOn();
  }

  // goOn tries the next daemon at once, unless all of the round were tried.
  #goOn() {
    if (!this.#left) return false;
    this.#left--;
    this.#drop(true);
    this.#at = (this.#at + 1) % this.#urls.length;
    this.#open();
    return true;
  }

  /** For a subscription whose cursor is refused: whether another daemon is tried. */
  elsewhere(refused, detail) {
    const all = this.#urls.length, tried = this.tries - refused.since;
    if (refused.times >= all || tried >= (detail === "ahead" ? all - 1 : patience * all)) return false;
    this.#giveUp();
    return true;
  }

  #open() {
    clearTimeout(this.#timer);
    this.tries++;
    let socket;
    try {
      socket = new WebSocket(this.url, this.#token ? ["jsonrpc", "bearer." + this.#token] : ["jsonrpc"]);
    } catch { // a token that cannot be one
      this.#become("away", "unauthorized", 0);
      return;
    }
    this.#socket = socket;
    this.#opened = false;
    this.heardAt = Date.now();
    this.#become("away", "connecting", 0);
    const ours = (handle) => (event) => { if (this.#socket === socket) handle(event); };
    socket.onopen = ours(() => this.#urls.length > 1 ? this.#recognize() : this.#ready());
    socket.onmessage = ours((event) => this.#receive(event.data));
    socket.onclose = ours(() => this.#lost());
  }

  // recognize makes sure that all daemons of several have one journal: tasks of two must
  // not mix.
  #recognize() {
    const id = ++this.#lastId;
    const resolve = ({ epoch }) => {
      if ((this.#epoch ??= epoch) === epoch) return this.#ready();
      this.#strangers++;
      this.#giveUp();
    };
    const reject = (error) => { if (error instanceof RpcError) this.#giveUp(); };
    const call = { resolve, reject, message: JSON.stringify({ jsonrpc: "2.0", id, method: "server.info" }), sent: true, times: Infinity };
    this.#calls.set(id, call);
    this.#socket.send(call.message);
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
    call.times++;
    this.#socket.send(call.message);
  }

  #receive(text) {
    this.heardAt = Date.now();
    if (this.#opened) this.#left = this.#urls.length - 1;
    const message = this.#parse(text);
    if (message.method) {
      const { subscription, result } = message.params;
      const route = this.#routes.get(subscription);
      for (const event of result.events ?? [result]) route?.receive(event);
      return;
    }
    const call = this.#calls.get(message.id);
    if (!call) return;
    if (message.error?.code === shuttingDown && call.times < this.#urls.length && !ofOneConnection.has(call.method)) {
      call.sent = false; // made at the next daemon, when this one has ended the connection
      return;
    }
    this.#calls.delete(message.id);
    if (message.error) call.reject(new RpcError(message.error));
    else {
      call.answered?.(message.result);
      call.resolve(message.result);
    }
  }

  // drop ends the present connection, if there is one, and whoever waits for it, except
  // those whom the next daemon may answer.
  #drop(goesOn = false) {
    const socket = this.#socket;
    this.#socket = null;
    this.#opened = false;
    this.#routes.clear();
    socket?.close();
    const calls = [];
    for (const [id, call] of this.#calls) {
      const may = !call.sent || reads.has(call.method) && call.times < this.#urls.length;
      if (goesOn && may) {
        call.sent = false;
        continue;
      }
      this.#calls.delete(id);
      calls.push(call);
    }
    for (const subscription of this.#subscriptions) subscription.interrupt();
    for (const call of calls) call.reject(new ConnectionError("the connection was lost", call.sent));
  }

  async #lost() {
    const was = this.#opened;
    if (this.#giveUp() || was) return;
    // A browser does not tell why a handshake failed; a POST does.
    const unauthorized = await Promise.all(this.#urls.map((url) => this.#isUnauthorized(url)));
    if (unauthorized.every(Boolean) && !this.#socket && this.reason === "unreachable") {
      clearTimeout(this.#timer);
      this.#become("away", "unauthorized", 0);
    }
  }

  // giveUp leaves the present daemon, and tells whether another one is tried at once.
  #giveUp() {
    if (this.#goOn()) return true;
    this.#drop();
    const [all, strangers] = [this.#urls.length, this.#strangers];
    this.#strangers = 0;
    // Subscriptions will say that it is another journal; where there is none nobody would.
    if (this.#subscriptions.size && (strangers >= all || strangers && this.#attempt >= patience)) this.#epoch = null;
    this.#plan("unreachable");
    return false;
  }

  #plan(reason) {
    const wait = this.#backoff(this.#attempt++);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#begin(), wait);
    this.#become("away", reason, Date.now() + wait);
  }

  async #isUnauthorized(url) {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = "Bearer " + this.#token;
    const body = '{"jsonrpc":"2.0","id":1,"method":"server.ping"}';
    try {
      const answer = await fetch(url.replace(/^ws/, "http"), { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) });
      return answer.status === 401;
    } catch {
      return false;
    }
  }

  // lookAlive doubts a connection that is silent, and one of a machine that slept.
  #lookAlive(now) {
    if (!this.#socket) {
      if (this.retryAt && (now || Date.now() > this.retryAt + 1000)) this.#begin();
      return;
    }
    const silence = Date.now() - this.heardAt;
    const bearable = this.#opened || this.#urls.length === 1 ? this.#silence : Math.min(this.#silence, connectOneOfSeveralIn);
    if (silence > bearable || this.#askedAt && Date.now() - this.#askedAt > (1 - askAt) * this.#silence) {
      this.#giveUp();
      return;
    }
    if (this.#opened && !this.#askedAt && (silence > askAt * this.#silence || now)) {
      this.#askedAt = Date.now();
      this.call("server.ping").then(() => { this.#askedAt = 0; this.#settle(); }, () => {});
    }
    if (this.#opened) this.#settle();
  }

  #settle() {
    if (!this.#opened) return;
    const current = [...this.#subscriptions].every((s) => s.live) && Date.now() - this.heardAt < doubtAt * this.#silence;
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
