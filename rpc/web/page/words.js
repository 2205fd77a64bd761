// How changes, times and values are told.

export const statuses = ["todo", "in_progress", "blocked", "done"];
export const priorities = ["low", "medium", "high", "critical"];
export const complexities = ["trivial", "simple", "moderate", "complex", "epic"];

const names = { todo: "To do", in_progress: "In progress", blocked: "Blocked", done: "Done", assigned_to: "assignee" };

export const nameOf = (word) => names[word] ?? word;
export const quoted = (title) => `“${title.length > 60 ? title.slice(0, 59) + "…" : title}”`;

/** Who made a change of which the event does not tell: tokens are off. */
export const nobodyKnown = "Somebody";

/** Who made a change, as well as the event tells. */
export function whoOf(event) {
  if (event.own) return "You";
  if (event.actor) return event.actor;
  if (event.origin === "external") return "Another process";
  if (event.origin === "lease") return "An ended claim";
  if (event.previous && "leased_by" in event.previous && event.task?.leased_by) return event.task.leased_by;
  return nobodyKnown;
}

/** What a change did, without its task: "To do → Done, priority low → high". */
export function whatOf(event) {
  if (event.change_type === "created") return "created in " + nameOf(event.new_status);
  if (event.change_type === "deleted") return "deleted from " + nameOf(event.previous_status);
  const before = event.previous ?? {}, task = event.task ?? {};
  const parts = [];
  for (const field of Object.keys(before)) {
    if (field === "ready" && "status" in before) continue;
    parts.push(partOf(field, before[field], task[field]));
  }
  return parts.join(", ") || "changed";
}

function partOf(field, before, after) {
  switch (field) {
    case "status": return `${nameOf(before)} → ${nameOf(after)}`;
    case "title": return `title was ${quoted(before)}`;
    case "ready": return after ? "now ready" : "no longer ready";
    case "assigned_to": return `assignee ${before ?? "nobody"} → ${after ?? "nobody"}`;
    case "leased_by": return after ? `claimed by ${after}` : `claim of ${before} ended`;
    case "dependencies": return `waits for ${(after ?? []).length}, was ${(before ?? []).length}`;
    case "description": case "metadata": return `${field} changed`;
    default: return `${field} ${before} → ${after}`;
  }
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const clockOf = (ms) => clock.format(ms);
export const dayOf = (ms) => day.format(ms);
export const timeOf = (ms) => exact.format(ms);
export const whenOf = (ms) => (new Date(ms).toDateString() === new Date().toDateString() ? clockOf(ms) : `${dayOf(ms)}, ${clockOf(ms)}`);

/** A duration in one or two words. */
export function spanOf(ms) {
  const seconds = ms / 1000;
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${trim(seconds / 3600)} h`;
  return `${trim(seconds / 86400)} d`;
}

const trim = (n) => (n < 10 ? n.toFixed(1).replace(/\.0$/, "") : String(Math.round(n)));

/** Whether nobody knows if a change was made, or will be. */
export const isInDoubt = (error) => Boolean(error.sent) || error.reason === "outcome_unknown";

/** Why something was refused, in words for a person. */
export function refusalOf(error) {
  switch (error.reason) {
    case "forbidden": return "this token may only read";
    case "task_not_found": return "the task is gone";
    case "storage_unavailable": return "nothing can be saved at present";
    case "shutting_down": return "the daemon is shutting down";
    case "version_conflict": return "somebody has changed it meanwhile";
    case "outcome_unknown": return "the cluster has not answered in time; the board shows whether it was made";
  }
  if (error.name === "ConnectionError") {
    return error.sent ? "the connection was lost; once it is back the board shows whether it was made" : "the daemon is away";
  }
  return error.message;
}
