// The connection mark. It says live only while that is so, and when not, since when, what
// may be missing, and when the next attempt is made.

import { $, announce, h } from "./dom.js";
import { toast } from "./toast.js";
import { clockOf, spanOf, timeOf } from "./words.js";

const words = { live: "Live", "catching up": "Catching up", behind: "Behind", away: "Away" };
const askEvery = 2000; // ms, a daemon of a cluster whether it has what the others have

export class Status {
  #client; #store;
  #button = $("#connection");
  #details = $("#connection-details");
  #banner = $("#banner");
  #leftAt = 0; // when what is shown was last true; 0: it is true, or nothing was shown yet
  #everLive = false;
  #cluster = false; // the daemon is one of several, of which it may be cut off, or behind
  #behind = ""; // why it may not have what the others have
  #askedAt = 0; #currentAt = 0; // when it was asked for that; when it last had
  #written = ""; // the details, as they are on the page

  constructor(client, store) {
    this.#client = client;
    this.#store = store;
    client.addEventListener("state", () => this.#show());
    store.addEventListener("live", ({ detail }) => { this.#meet(); this.#back(detail); });
    setInterval(() => this.#tick(), 500);
    $("button", this.#banner).addEventListener("click", () => client.retry());
    this.#button.addEventListener("click", () => this.#toggle(this.#details.hidden));
    document.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("#connection, #connection-details")) this.#toggle(false);
    });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.#toggle(false); });
    this.#show();
  }

  get #state() { return this.#client.state === "live" && this.#behind ? "behind" : this.#client.state; }

  // ask finds out whether the daemon keeps up with its cluster: nothing else tells, where
  // the connection to it is as good as ever.
  async #ask() {
    this.#askedAt = Date.now();
    let behind = "";
    try {
      const answer = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(5 * askEvery) });
      if (answer.status === 503) behind = (await answer.text()).trim();
    } catch {
      return; // it is away, which the client notices
    }
    if (!behind) this.#currentAt = Date.now();
    if (Boolean(behind) !== Boolean(this.#behind) && !behind) toast("The daemon is back in its cluster. What others changed meanwhile is here.");
    this.#behind = behind;
    this.#show();
  }

  async #meet() {
    try {
      this.#cluster = Boolean((await this.#client.call("server.info")).cluster);
    } catch {} // it is asked again when it is live again
  }

  #show() {
    const state = this.#state;
    if (state === "live") { this.#everLive = true; this.#leftAt = 0; }
    else if (state === "behind") this.#leftAt ||= this.#currentAt || Date.now();
    else if (this.#everLive && !this.#leftAt) this.#leftAt = this.#client.heardAt || Date.now();
    if (this.#button.dataset.state !== state) {
      this.#button.dataset.state = state;
      $(".word", this.#button).textContent = words[state];
      if (this.#everLive) announce(`Connection: ${words[state]}`);
    }
    document.documentElement.dataset.connection = state;
    this.#tick();
  }

  // back tells what happened meanwhile.
  #back(late) {
    if (!this.#leftAt) return;
    const missed = late === null ? "The board was read anew" : late === 0 ? "Nothing was missed" : late === 1 ? "One change was caught up" : `${late.toLocaleString()} changes were caught up`;
    if (late !== 0 || Date.now() - this.#leftAt > 5000) toast(`Back after ${spanOf(Date.now() - this.#leftAt)}. ${missed}.`);
  }

  #tick() {
    const state = this.#state, away = state === "away";
    if (this.#cluster && !document.hidden && this.#client.state === "live" && Date.now() - this.#askedAt >= askEvery) this.#ask();
    const shown = state === "behind" || away && (this.#everLive || this.#client.reason !== "connecting");
    this.#banner.hidden = !shown;
    this.#banner.ariaLabel = words[state];
    $("button", this.#banner).hidden = !away;
    const what = $(".what", this.#banner), text = away ? `${this.#since()} ${this.#next()}` : this.#cutOff();
    if (shown && what.textContent !== text) what.textContent = text;
    if (!this.#details.hidden) this.#fill();
  }

  #since() {
    if (this.#leftAt) return `Away. This is how it was at ${clockOf(this.#leftAt)}; what changed since is missing, and will be caught up.`;
    return this.#client.reason === "unauthorized" ? "Away." : "The daemon cannot be reached.";
  }

  #cutOff() {
    return `This daemon is out of step with its cluster since ${clockOf(this.#leftAt)}. What others change may be missing, and nothing can be saved here, until it is back.`;
  }

  #next() {
    const { retryAt, reason } = this.#client;
    if (reason === "connecting") return "Trying now.";
    if (reason === "unauthorized") return "The daemon asks for a token.";
    return retryAt ? `Next try in ${spanOf(retryAt - Date.now())}.` : "";
  }

  #toggle(open) {
    this.#details.hidden = !open;
    this.#button.ariaExpanded = String(open);
    if (open) this.#fill();
  }

  #fill() {
    const { url, since, heardAt, reason } = this.#client;
    const state = this.#state;
    const why = { unreachable: "the daemon cannot be reached", unauthorized: "it asks for a token", connecting: "connecting" }[reason];
    const lines = [
      [words[state], { live: "every change is shown at once", "catching up": "changes are still on their way", behind: this.#behind, away: why ?? "" }[state]],
      ["Since", timeOf(since)],
      ["Last heard", heardAt ? `${spanOf(Date.now() - heardAt)} ago` : "never"],
      ["Tasks", this.#store.shown.size.toLocaleString()],
      ["Daemon", url],
    ];
    const key = JSON.stringify(lines);
    if (key === this.#written) return;
    this.#written = key;
    this.#details.replaceChildren(h("dl", {}, ...lines.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  }
}
