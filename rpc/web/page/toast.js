// Notices at the edge of the page, some with a button.

import { $, h } from "./dom.js";

/** Shows a notice. action: {name, run}. Gives a function that takes it away. */
export function toast(text, { action, bad = false, stay = 8000 } = {}) {
  const element = h("div", { className: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" }, h("span", {}, text));
  let timer;
  const end = () => { clearTimeout(timer); element.remove(); };
  const wait = () => { timer = setTimeout(end, stay); };
  if (action) {
    element.append(h("button", { type: "button", className: "link", onclick() { end(); action.run(); } }, action.name));
  }
  element.append(h("button", { type: "button", className: "quiet", ariaLabel: "Dismiss", onclick: end }, "✕"));
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("pointerleave", wait);
  element.addEventListener("focusin", () => clearTimeout(timer));
  element.addEventListener("focusout", wait);
  const toasts = $("#toasts");
  toasts.append(element);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
  wait();
  return end;
}
