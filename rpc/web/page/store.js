// The tasks as they are shown: what the daemon said, with this page's own changes that are
// not answered yet on top. Whoever shows them is told by the events
//   "change" (detail: {id, before, after, event}): one task; event is null for own changes
//   "reset": everything
//   "journal" (detail: the event): each change as it comes from the daemon
//   "settled" (detail: the task): an own change of which nobody knew whether it was made was not

import { draftOf } from "./patch.js";
import { isInDoubt } from "./words.js";

const answersWithin = 1000; // ms; what takes longer is shown as not saved yet
const askAgainAfter = 2000; // ms, what became of a change
const attempts = 8; // to send again what others have not touched
const remembered = 10_000; // deleted tasks; an answer about one may come after its event
const passing = new Set(["storage_unavailable", "shutting_down"]); // refusals of a read
const always = () => true;

export class Store extends EventTarget {
  shown = new Map(); // by id

  #client;
  #told = new Map(); // by id, as the daemon said
  #intents = new Map(); // by id: own changes that are not answered yet, in order
  #doubts = new Map(); // by id: the version before an own change that may have been made, or may yet be
  #turns = new Map(); // by id: when the latest own change is answered
  #gone = new Map(); // the seq at which a task was deleted
  #newest = 0; // the time of the newest change of a task
  #dependents = new Map(); // by id: the ids of those that wait for it

  constructor(client) {
    super();
    this.#client = client;
    this.subscription = client.subscribe({ snapshot: true, debounce_ms: 0, batch: { max: 500, wait_ms: 0 } }, {
      snapshot: (tasks) => this.#restart(tasks),
      event: (event) => this.#take(event),
      live: (late) => this.dispatchEvent(new CustomEvent("live", { detail: late })),
    });
  }

  get(id) { return this.shown.get(id); }

  /** What is not sure of a task: "saving…" an own change that waits for its answer, "not
   *  confirmed" one of which nobody knows whether it was made; "" nothing. */
  unsureOf(id) {
    if (this.#intents.get(id)?.some((change) => change.waits)) return "saving…";
    return this.#doubts.has(id) ? "not confirmed" : "";
  }

  /** The daemon has said what there is. */
  get known() { return this.subscription.cursor !== null; }

  /** The dependencies of a task that are not done. */
  openDependencies(task) {
    return task.dependencies.filter((id) => this.shown.get(id)?.status !== "done");
  }

  dependentsOf(id) { return [...this.#dependents.get(id) ?? []].filter((other) => this.shown.has(other)); }

  async create(draft) {
    const task = {
      description: null, status: "todo", priority: "medium", complexity: "moderate", assigned_to: null, dependencies: [],
      metadata: {}, leased_by: null, ready: false, version: 0, created_at: this.#now(), updated_at: this.#now(), ...draft,
    };
    task.id ??= newId();
    return this.#intend(task.id, () => ({ ...task, ready: this.#isReady(task) }), () =>
      this.#client.call("task.create", { ...draftOf(task), id: task.id }));
  }

  /** Changes fields of a task that is as it was in seen, or differs in what does not matter:
   *  matters tells that. The answer of the daemon rejects as client.call does. */
  async update(id, patch, seen, matters = always) {
    return this.#intend(id, (task) => this.#patched(task, patch), () =>
      this.#onCondition(id, seen, matters, (expected_version) => this.#client.call("task.update", { id, ...patch, expected_version })));
  }

  /** Deletes a task, on the same condition. */
  async delete(id, seen, matters = always) {
    return this.#intend(id, () => undefined, async () => {
      const { version } = await this.#onCondition(id, seen, matters, (expected_version) => this.#client.call("task.delete", { id, expected_version }));
      this.#forget(id, version);
    });
  }

  // onCondition sends a change again where somebody has changed the task, but nothing that
  // matters for it.
  async #onCondition(id, seen, matters, send) {
    const told = this.#told.get(id);
    let version = told && told.version > seen.version && !matters(told) ? told.version : seen.version;
    for (let left = attempts; ; left--) {
      try {
        return await send(version);
      } catch (error) {
        if (error.reason !== "version_conflict" || left === 0 || matters(error.data.task)) throw error;
        version = error.data.task.version;
      }
    }
  }

  // intend shows a change at once, and takes it back when it is answered: by then the
  // answer is what is shown, or it was refused. It is sent when this page's earlier changes
  // of the task are answered, so that none is refused because of another one, and is refused
  // with an earlier one.
  async #intend(id, change, send) {
    const intents = this.#intents.get(id) ?? [];
    this.#intents.set(id, intents);
    intents.push(change);
    this.#refresh(id, null);
    const before = this.#turns.get(id);
    const turn = (async () => { await before; return send(); })();
    this.#turns.set(id, turn);
    const timer = setTimeout(() => { change.waits = true; this.#redraw(id); }, answersWithin);
    try {
      const answer = await turn;
      if (answer) this.#learn(answer);
      return answer;
    } catch (error) {
      if (isInDoubt(error)) this.#doubt(id);
      throw error;
    } finally {
      clearTimeout(timer);
      intents.splice(intents.indexOf(change), 1);
      if (intents.length === 0) this.#intents.delete(id);
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
      this.#refresh(id, null);
    }
  }

  // doubt shows a task as it was, and as not sure, until its next event, or until a fresh
  // read: a change on condition of a version is made before that, or not at all.
  #doubt(id) {
    const asks = this.#doubts.has(id);
    this.#doubts.set(id, this.#versionOf(id));
    if (!asks) this.#askAfter(id);
  }

  async #askAfter(id) {
    while (this.#doubts.has(id)) {
      try {
        const task = await this.#client.call("task.get", { id, fresh: true });
        this.#learn(task);
        if (this.#doubts.delete(id)) this.dispatchEvent(new CustomEvent("settled", { detail: task }));
      } catch (error) {
        if (error.name !== "ConnectionError" && !passing.has(error.reason)) this.#doubts.delete(id);
        else await new Promise((done) => setTimeout(done, askAgainAfter));
      }
    }
    this.#redraw(id);
  }

  #versionOf(id) { return Math.max(this.#told.get(id)?.version ?? 0, this.#gone.get(id) ?? 0); }

  #redraw(id) {
    const task = this.shown.get(id);
    if (task) this.dispatchEvent(new CustomEvent("change", { detail: { id, before: task, after: task, event: null } }));
  }

  // now is the time of a change that is made now, whatever clock this machine has: after
  // those that the daemon has told of.
  #now() { return Math.max(Date.now(), this.#newest + 1); }

  #patched(task, patch) {
    if (!task) return task;
    const next = { ...task, ...patch, updated_at: this.#now() };
    next.metadata = task.metadata; // a merge patch; nothing shows it before the answer
    next.dependencies ??= [];
    if (next.status !== "in_progress") next.leased_by = null;
    next.ready = this.#isReady(next);
    return next;
  }

  #isReady(task) {
    return task.status === "todo" && task.leased_by === null && this.openDependencies(task).length === 0;
  }

  #restart(tasks) {
    this.#told = new Map(tasks.map((task) => [task.id, task]));
    this.#gone.clear();
    this.#dependents.clear();
    this.shown = new Map(this.#told);
    this.#newest = tasks.reduce((newest, task) => Math.max(newest, task.updated_at), 0);
    for (const task of tasks) {
      this.#index(task.id, [], task.dependencies);
      if (task.version > this.#doubts.get(task.id)) this.#doubts.delete(task.id);
    }
    for (const id of this.#intents.keys()) this.#refresh(id, null);
    this.dispatchEvent(new Event("reset"));
  }

  #take(event) {
    if (event.change_type === "deleted") this.#forget(event.task_id, event.seq, event);
    else this.#learn(event.task, event);
    this.dispatchEvent(new CustomEvent("journal", { detail: event }));
  }

  // learn takes what the daemon says of a task, unless something newer is known: answers
  // and events come in either order.
  #learn(task, event = null) {
    if (task.version > this.#versionOf(task.id)) {
      this.#newest = Math.max(this.#newest, task.updated_at);
      this.#told.set(task.id, task);
      this.#gone.delete(task.id);
    }
    if (task.version > this.#doubts.get(task.id)) this.#doubts.delete(task.id);
    this.#refresh(task.id, event);
  }

  #forget(id, seq, event = null) {
    if ((this.#told.get(id)?.version ?? 0) > seq) return;
    this.#told.delete(id);
    this.#gone.set(id, seq);
    this.#doubts.delete(id);
    if (this.#gone.size > remembered) this.#gone.delete(this.#gone.keys().next().value);
    this.#refresh(id, event);
  }

  #refresh(id, event) {
    const before = this.shown.get(id);
    let after = this.#told.get(id);
    for (const change of this.#intents.get(id) ?? []) after = change(after);
    if (after) this.shown.set(id, after);
    else this.shown.delete(id);
    if (before === after && !event) return;
    this.#index(id, before?.dependencies ?? [], after?.dependencies ?? []);
    this.dispatchEvent(new CustomEvent("change", { detail: { id, before, after, event } }));
    if ((before?.status === "done") === (after?.status === "done") && before?.title === after?.title) return;
    for (const other of this.dependentsOf(id)) { // what they wait for reads differently
      const task = this.shown.get(other);
      this.dispatchEvent(new CustomEvent("change", { detail: { id: other, before: task, after: task, event: null } }));
    }
  }

  #index(id, before, after) {
    if (before === after) return;
    for (const dependency of before) this.#dependents.get(dependency)?.delete(id);
    for (const dependency of after) {
      if (!this.#dependents.has(dependency)) this.#dependents.set(dependency, new Set());
      this.#dependents.get(dependency).add(id);
    }
  }
}

/** Makes a UUIDv7: creating is safe to repeat with an id of one's own. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const now = Date.now();
  for (let i = 0; i < 6; i++) bytes[i] = Math.floor(now / 2 ** (40 - 8 * i)) & 0xff;
  bytes[6] = bytes[6] & 0x0f | 0x70;
  bytes[8] = bytes[8] & 0x3f | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
