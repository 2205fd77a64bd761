// A version conflict: what I wrote beside what somebody else wrote meanwhile, to choose from.

import { h } from "./dom.js";
import { nameOf } from "./words.js";

const shown = (value) => {
  if (value === null || value === "" || typeof value === "object" && Object.keys(value).length === 0) return "nothing";
  if (typeof value === "string") return nameOf(value);
  return JSON.stringify(value, null, 1);
};

// differing gives the members of a that are not the same in b.
const differing = (a, b) => Object.fromEntries(Object.entries(a).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(b[name])));

/** Draws the fields in which mine and theirs differ into place, and gives a function that
 *  tells which of them the person wants to be theirs. titleOf names a dependency, who
 *  has changed the task. */
export function showConflict(place, base, mine, theirs, titleOf, who) {
  const say = (field, value, other) => {
    if (field === "dependencies") return value.map(titleOf).join(", ") || "nothing";
    return shown(field === "metadata" ? differing(value, other) : value);
  };
  const differ = Object.keys(mine).filter((field) => JSON.stringify(mine[field]) !== JSON.stringify(theirs[field]));
  const rows = differ.map((field) => {
    const untouched = JSON.stringify(mine[field]) === JSON.stringify(base[field]);
    const choice = (whose, value) => h("label", { className: "choice" },
      h("input", { type: "radio", name: `choose-${field}`, value: whose, checked: (whose === "theirs") === untouched }),
      h("span", { className: "whose" }, whose), h("span", { className: "value", dir: "auto" }, say(field, value, field === "metadata" ? (whose === "mine" ? theirs : mine).metadata : null)));
    return h("fieldset", {}, h("legend", {}, nameOf(field)), choice("mine", mine[field]), choice("theirs", theirs[field]));
  });
  place.replaceChildren(
    h("p", {}, h("strong", {}, `${who} changed this task while you did. `),
      differ.length ? "Choose for each field, then save." : "What you wrote is already there."), ...rows);
  place.hidden = false;
  return () => differ.filter((field) => place.querySelector(`[name="choose-${field}"]:checked`)?.value === "theirs");
}
