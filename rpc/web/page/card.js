// A card: a list item with a button, whose parts are made once and then written anew.

import { h } from "./dom.js";
import { quoted } from "./words.js";

/** Makes an empty card for the task with an id. */
export function makeCard(id) {
  const parts = {
    title: h("span", { className: "title", dir: "auto" }),
    priority: h("span", { className: "priority" }),
    complexity: h("span", { className: "complexity" }),
    waits: h("span", { className: "waits" }),
    mark: h("span", { className: "mark" }),
    who: h("span", { className: "who" }),
    news: h("span", { className: "news" }),
  };
  const { title, news, ...facts } = parts;
  const button = h("button", { type: "button", className: "card", tabIndex: -1 },
    title, h("span", { className: "facts" }, ...Object.values(facts)), news);
  button.dataset.id = id;
  return { element: h("li", { className: "slot" }, button), button, parts, y: null, said: "" };
}

/** Writes a task onto its card. unsure: what is not sure of it, in words. */
export function writeCard(card, task, open, titleOf, unsure) {
  const claimed = task.leased_by !== null;
  const waits = open.length === 0 || task.status === "done" ? "" : open.length === 1 ? `waits for ${titleOf(open[0])}` : `waits for ${open.length}`;
  const mark = unsure ? "unsure" : claimed ? "claimed" : task.ready ? "ready" : "";
  const who = task.leased_by ?? task.assigned_to ?? "";
  const said = [task.title, task.priority, task.complexity, waits, mark, unsure, who].join("\n");
  if (said === card.said) return;
  card.said = said;
  const { parts, button } = card;
  parts.title.textContent = task.title;
  parts.priority.textContent = task.priority;
  parts.complexity.textContent = task.complexity;
  parts.waits.textContent = waits;
  parts.mark.textContent = unsure || mark;
  parts.who.textContent = who;
  Object.assign(button.dataset, { priority: task.priority, mark });
  const hint = [task.title.length > 50 && task.title, waits && "Waits for " + open.map(titleOf).slice(0, 8).join(", ")];
  button.title = hint.filter(Boolean).join("\n");
}

const shines = 1600, newsStays = 5000;

/** Lights a card up, and shows for a while what happened to it. */
export function shine(card, news) {
  const { button, parts } = card;
  clearTimeout(card.dim);
  button.classList.add("changed");
  if (news) {
    parts.news.textContent = news;
    button.classList.add("told");
    clearTimeout(card.quiet);
    card.quiet = setTimeout(() => button.classList.remove("told"), newsStays);
  }
  card.dim = setTimeout(() => button.classList.remove("changed"), shines);
}

export const titleIn = (store) => (id) => {
  const task = store.get(id);
  return task ? quoted(task.title) : "a task that is not here";
};
