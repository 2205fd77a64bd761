// A version conflict: what I wrote beside what somebody else wrote meanwhile, to choose from.

import { h } from "./dom.js";
import { same } from "./patch.js";
import { nameOf } from "./words.js";

// differing gives the members of a that are not the same in b.
const differing = (a, b) => Object.fromEntries(Object.entries(a).filter(([name]) => !same([name], a, b)));

const isEmpty = (value) => value === null || typeof value === "object" && Object.keys(value).length === 0;

/** Tells which fields two states have both changed, each in its way. */
export const contested = (base, mine, theirs) =>
  Object.keys(mine).filter((field) => [[base, mine], [base, theirs], [mine, theirs]].every(([a, b]) => !same([field], a, b)));

/** Draws fields with what is mine and theirs into place. choose(field, value) is called for
 *  what the person picks. titleOf names a dependency, who has changed the task. */
export function showConflict(place, fields, mine, theirs, { choose, titleOf, who }) {
  const say = (field, value, other) => {
    if (isEmpty(value)) return "nothing";
    if (field === "dependencies") return value.map(titleOf).join(", ");
    if (field === "metadata") return JSON.stringify(differing(value, other), null, 1);
    return field === "status" ? nameOf(value) : value;
  };
  const choice = (field, whose, value, other) => h("label", { className: "choice" },
    h("input", { type: "radio", name: `choose-${field}`, value: whose, checked: whose === "mine", onchange: () => choose(field, value) }),
    h("span", { className: "whose" }, whose), h("span", { className: "value", dir: "auto" }, say(field, value, other)));
  const rows = fields.map((field) => h("fieldset", {}, h("legend", {}, nameOf(field)),
    choice(field, "mine", mine[field], theirs[field]), choice(field, "theirs", theirs[field], mine[field])));
  place.replaceChildren(
    h("p", {}, h("strong", {}, `${who} changed this task while you did. `),
      fields.length ? "Choose, or write something else below, then save. All else of both is there already." : "All that you both wrote is below."), ...rows);
  place.hidden = false;
}

/** Lets a field be neither: something else was written after all. */
export function leaveChoice(place, field) {
  for (const radio of place.querySelectorAll(`[name="choose-${field}"]`)) radio.checked = false;
}
