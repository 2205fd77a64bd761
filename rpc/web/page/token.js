// The token, where the daemon asks for one: asked for once, kept for this tab only.

import { $ } from "./dom.js";
import { keep, kept } from "./kept.js";

const key = "descartes-token";

export const keptToken = () => kept("session", key) ?? "";

/** Asks for a token whenever the client has none that is accepted. */
export function askForToken(client) {
  const dialog = $("#token"), form = $("form", dialog), problem = $(".problem", dialog);
  client.addEventListener("state", () => {
    if (client.reason !== "unauthorized" || dialog.open) return;
    problem.hidden = !keptToken();
    problem.textContent = "That token is not accepted.";
    form.token.value = "";
    dialog.showModal();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = form.token.value.trim();
    if (!token) return;
    keep("session", key, token);
    dialog.close();
    client.setToken(token);
  });
}
