// Notices at the edge of the page, some with a button.

import { $, h } from "./dom.js";

const most = 4; // notices at a time
const ends = new WeakMap(); // what takes a notice away

/** Shows a notice. action: {name, run}. Gives a function that takes it away. */
export function toast(text, { action, bad = false, stay = 8000 } = {}) {
  const element = h("div", { className: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" }, h("span", { dir: "auto" }, text));
  let timer, from = null; // what had the focus before
  const end = () => {
    clearTimeout(timer);
    const focused = element.contains(document.activeElement);
    element.remove();
    if (focused) back(from)?.focus({ preventScroll: true });
  };
  const wait = () => { clearTimeout(timer); timer = setTimeout(end, stay); };
  if (action) {
    element.append(h("button", { type: "button", className: "link", onclick() { end(); action.run(); } }, action.name));
  }
  element.append(h("button", { type: "button", className: "quiet", ariaLabel: "Dismiss", onclick: end }, "✕"));
  element.addEventListener("pointerenter", () => clearTimeout(timer));
  element.addEventListener("pointerleave", wait);
  element.addEventListener("focusin", ({ relatedTarget }) => {
    clearTimeout(timer);
    if (!element.contains(relatedTarget)) from = relatedTarget;
  });
  element.addEventListener("focusout", wait);
  const toasts = $("#toasts");
  for (const other of [...toasts.children]) if (other.firstElementChild.textContent === text) ends.get(other)();
  toasts.append(element);
  ends.set(element, end);
  while (toasts.children.length > most) ends.get(toasts.firstElementChild)();
  wait();
  return end;
}

// back is where the focus was; a card may have been made anew in another column.
function back(from) {
  if (!from || from.isConnected) return from;
  return from.dataset.id ? $(`.card[data-id="${CSS.escape(from.dataset.id)}"]`) : null;
}
