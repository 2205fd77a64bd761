// What this browser keeps for the page, where it lets a page keep anything: local for good,
// session for the tab.

const areaOf = (area) => globalThis[`${area}Storage`];

/** What is kept under a name, null: nothing. */
export function kept(area, name) {
  try { return areaOf(area).getItem(name); } catch { return null; }
}

export function keep(area, name, value) {
  try { areaOf(area).setItem(name, value); } catch { /* it lasts as long as the page */ }
}
