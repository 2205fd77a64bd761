// The Flow page: how work moves, drawn from the status changes that the journal retains. It
// is one more subscription, from the oldest event on, without the tasks themselves.

import { $, h } from "./dom.js";
import { areas, bars, table } from "./chart.js";
import { dayOf, nameOf, spanOf, statuses, timeOf, whenOf } from "./words.js";

const dayMs = 86_400_000, points = 120, redrawEvery = 1000;
const most = 200_000; // changes that are kept, the newest ones
const isNarrow = matchMedia("(max-width: 860px)"), gap = 16, inset = 34; // as in style.css: one column; between figures; of a figure
const bottomUp = ["done", "blocked", "in_progress", "todo"];

export class Flow {
  #client; #store;
  #moves = []; // {at, id, from, to}, oldest first
  #read = false; // all of the journal
  #left = 0; // how many older ones are not kept
  #subscription = null;
  #timer = 0; #visible = false;
  #range = $("#flow-range"); #charts = $("#flow-charts");
  #width = 0; // of the charts, as they are drawn

  constructor(client, store) {
    this.#client = client;
    this.#store = store;
    this.#range.addEventListener("change", () => this.#draw());
    store.addEventListener("live", () => this.#draw());
    new ResizeObserver(() => { if (this.#charts.clientWidth !== this.#width) this.#draw(); }).observe(this.#charts);
  }

  show(visible) {
    this.#visible = visible;
    if (!visible) return;
    this.#subscription ??= this.#follow();
    this.#draw();
  }

  #follow() {
    const params = {
      since: "start", include_task: false, debounce_ms: 0, filter: { status_changes_only: true }, batch: { max: 1000, wait_ms: 50 },
    };
    return this.#client.subscribe(params, {
      event: (event) => {
        this.#keep(event);
        this.#timer ||= setTimeout(() => this.#draw(), redrawEvery);
      },
      reset: () => { this.#moves = []; this.#left = 0; this.#read = false; },
      live: () => { this.#read = true; this.#draw(); },
    });
  }

  #keep({ timestamp: at, task_id: id, previous_status: from, new_status: to }) {
    this.#moves.push({ at, id: this.#store.get(id)?.id ?? id, from, to }); // one text for each id
    if (this.#moves.length < most * 1.1) return;
    this.#left += this.#moves.length - most;
    this.#moves = this.#moves.slice(-most);
  }

  #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#visible) return;
    const moves = this.#moves, now = Math.max(Date.now(), moves.at(-1)?.at ?? 0); // clocks differ
    if (moves.length === 0 || !this.#read || !this.#store.known) {
      const far = moves.length === 0 ? "" : `: ${(this.#left + moves.length).toLocaleString()} changes of status, up to ${timeOf(moves.at(-1).at)}`;
      $("#flow-note").textContent = moves.length === 0 && this.#read ? "Nothing has moved yet." : `Reading the journal${far}…`;
      this.#charts.replaceChildren();
      return;
    }
    const days = Number(this.#range.value);
    const from = days ? Math.max(now - days * dayMs, moves[0].at) : moves[0].at;
    const kept = this.#left ? `The newest ${moves.length.toLocaleString()} changes of status` : `${moves.length.toLocaleString()} changes of status are retained`;
    $("#flow-note").textContent = `${kept}, since ${timeOf(moves[0].at)}.`;
    const whole = (this.#width = this.#charts.clientWidth) - inset, half = isNarrow.matches ? whole : (this.#width - gap) / 2 - inset;
    const drawn = [this.#cumulative(whole, from, now), this.#cycle(half, from), this.#throughput(half, from, now)];
    const numbers = () => [...this.#charts.querySelectorAll("details")];
    const open = numbers().map((details) => details.open), focused = numbers().findIndex((details) => details.contains(document.activeElement));
    this.#charts.replaceChildren(...drawn);
    numbers().forEach((details, i) => { details.open = open[i] ?? false; });
    numbers()[focused]?.firstElementChild.focus({ preventScroll: true });
  }

  // cumulative counts backwards from what there is now: the journal may have been pruned.
  #cumulative(width, from, now) {
    const counts = Object.fromEntries(statuses.map((status) => [status, 0]));
    for (const task of this.#store.shown.values()) counts[task.status]++;
    const span = Math.max(1000, now - from), rows = [];
    let i = this.#moves.length - 1;
    for (let k = points; k >= 0; k--) {
      const at = from + span * k / points;
      for (; i >= 0 && this.#moves[i].at > at; i--) {
        const { from: before, to: after } = this.#moves[i];
        if (after) counts[after]--;
        if (before) counts[before]++;
      }
      rows.unshift({ at, ...counts });
    }
    const last = rows.at(-1);
    const summary = `Now ${statuses.map((status) => `${last[status]} ${nameOf(status).toLowerCase()}`).join(", ")}.`;
    return figure("Tasks by status over time", summary,
      areas(width, "Tasks by status over time. " + summary, rows, bottomUp, (at) => (span < 2 * dayMs ? whenOf(at) : dayOf(at))),
      legend(), table(["Time", ...statuses.map(nameOf)], rows.filter((_, k) => k % 20 === 0).map((row) => [timeOf(row.at), ...statuses.map((status) => row[status])])));
  }

  // cycle is the time from first being in progress to done.
  #cycle(width, from) {
    const began = new Map(), times = [];
    for (const { at, id, to } of this.#moves) {
      if (to === "in_progress" && !began.has(id)) began.set(id, at);
      if (to === null) began.delete(id);
      if (to !== "done" || !began.has(id)) continue;
      if (at >= from) times.push(at - began.get(id));
      began.delete(id);
    }
    times.sort((a, b) => a - b);
    const part = (share) => spanOf(times[Math.min(times.length - 1, Math.floor(times.length * share))]);
    const summary = times.length === 0 ? "Nothing went from in progress to done in this time." :
      times.length === 1 ? `One task took ${part(1)}.` :
      `Half of ${times.length.toLocaleString()} tasks took up to ${part(0.5)}, 85 of 100 up to ${part(0.85)}, the longest ${spanOf(times.at(-1))}.`;
    const limits = [["1 min", 6e4], ["10 min", 6e5], ["1 h", 36e5], ["4 h", 144e5], ["1 d", dayMs], ["3 d", 3 * dayMs], ["1 week", 7 * dayMs], ["longer", Infinity]];
    let i = 0;
    const groups = limits.map(([name, limit]) => {
      const begin = i;
      while (i < times.length && times[i] <= limit) i++;
      return { name, value: i - begin };
    });
    return figure("Cycle time, from in progress to done", summary, bars(width, "Cycle time. " + summary, groups, "in_progress"),
      table(["Up to", "Tasks"], groups.map(({ name, value }) => [name, value])));
  }

  #throughput(width, from, now) {
    const first = Math.max(startOfDay(from), startOfDay(now - 29 * dayMs)), groups = [], index = new Map();
    for (let day = first; day <= now; day = startOfDay(day + 1.5 * dayMs)) {
      index.set(day, groups.length);
      groups.push({ name: dayOf(day), value: 0 });
    }
    for (const { at, to, from: before } of this.#moves) {
      const group = to === "done" && before !== null && groups[index.get(startOfDay(at))];
      if (group) group.value++;
    }
    const sum = groups.reduce((total, { value }) => total + value, 0);
    const summary = `${sum.toLocaleString()} done in ${groups.length} ${groups.length === 1 ? "day" : "days"}, ${(sum / groups.length).toLocaleString(undefined, { maximumFractionDigits: 1 })} a day.`;
    return figure("Done per day", summary, bars(width, "Done per day. " + summary, groups, "done"),
      table(["Day", "Done"], groups.map(({ name, value }) => [name, value])));
  }
}

function startOfDay(ms) {
  const date = new Date(ms);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

function figure(title, summary, ...content) {
  return h("section", { className: "figure" }, h("h3", {}, title), h("p", { className: "summary" }, summary), ...content);
}

function legend() {
  return h("ul", { className: "legend" }, ...[...statuses].map((status) => {
    const item = h("li", {}, h("span", { className: "swatch" }), nameOf(status));
    item.dataset.status = status;
    return item;
  }));
}
