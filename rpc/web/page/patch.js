// The fields of a task that people and programs give, and what changes one state of them
// into another.

const fields = ["title", "description", "status", "priority", "complexity", "assigned_to", "dependencies", "metadata"];

/** The fields of a task that a client gives. */
export const draftOf = (task) => Object.fromEntries(fields.map((field) => [field, task[field]]));

const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Tells whether fields have the same values in two states. */
export const same = (names, a, b) => names.every((name) => equal(a[name], b[name]));

/** What turns base into draft, as a merge patch. */
export function patchOf(base, draft) {
  const patch = {};
  for (const field of Object.keys(draft)) {
    if (equal(base[field], draft[field])) continue;
    patch[field] = field === "metadata" ? mergeOf(base.metadata, draft.metadata) : draft[field];
  }
  return patch;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !JSON.isRawJSON?.(value);

const memberOf = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined); // it may be called __proto__

/** A member of metadata that is to become null, which a merge patch cannot say; undefined: none. */
export function newNull(before, after) {
  for (const [key, value] of Object.entries(after)) {
    const was = memberOf(before, key);
    if (value === null && was !== null) return key;
    const deeper = isObject(value) ? newNull(isObject(was) ? was : {}, value) : undefined;
    if (deeper !== undefined) return deeper;
  }
}

function mergeOf(before, after) {
  const patch = Object.create(null);
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) patch[key] = null;
  for (const [key, value] of Object.entries(after)) {
    const was = memberOf(before, key);
    if (was !== undefined && equal(was, value)) continue;
    patch[key] = isObject(value) && isObject(was) ? mergeOf(was, value) : value;
  }
  return patch;
}
