// The page: introduces its parts to each other.

import { Actions } from "./actions.js";
import { Activity } from "./activity.js";
import { Board } from "./board.js";
import { connect } from "./client.js";
import { $ } from "./dom.js";
import { Drag } from "./drag.js";
import { Editor } from "./editor.js";
import { parseExactly } from "./exact.js";
import { Filter } from "./filter.js";
import { Flow } from "./flow.js";
import { keep } from "./kept.js";
import { listen } from "./keys.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { askForToken, keptToken } from "./token.js";

const client = connect(undefined, { token: keptToken(), parse: parseExactly });
const store = new Store(client);
const filter = new Filter(store);
const board = new Board(store, filter);
const actions = new Actions(store, client);
const editor = new Editor(store, actions, board, client);
const activity = new Activity(client, store, (id) => editor.open(id));
const flow = new Flow(client, store);
new Drag(board, actions, store);
new Status(client, store);
askForToken(client);

const views = { board: null, activity, flow };

/** The page that the URL asks for; any other name is the board. */
function viewOfURL() {
  const wanted = new URLSearchParams(location.search).get("view");
  return Object.hasOwn(views, wanted) ? wanted : "board";
}

function present() {
  const view = viewOfURL();
  for (const name of Object.keys(views)) {
    $(`#${name}`).hidden = name !== view;
    views[name]?.show(name === view);
    const link = $(`nav [data-view=${name}]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "board" ? "Descartes" : `${$(`#${view} h2`).textContent} · Descartes`;
  if (view === "board") board.refilter();
}

function show(view) {
  if (view === viewOfURL()) return;
  const url = new URL(location.href);
  if (view === "board") url.searchParams.delete("view");
  else url.searchParams.set("view", view);
  history.pushState(null, "", url);
  present();
}

function theme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
    !document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches;
  keep("local", "descartes-theme", document.documentElement.dataset.theme = dark ? "light" : "dark"); // theme.js reads it
}

for (const link of document.querySelectorAll("nav [data-view]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.dataset.view);
  });
}
$("#new").addEventListener("click", () => editor.open(null));
$("#theme").addEventListener("click", theme);
$("#help-button").addEventListener("click", () => $("#help").showModal());
$("#columns").addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  if (card) editor.open(card.dataset.id);
});
addEventListener("popstate", present);
listen({ board, editor, actions, filter, show, theme });
present();
