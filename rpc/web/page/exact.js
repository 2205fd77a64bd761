// JSON that comes back as it was sent: a number that JavaScript cannot hold (2^60, 1.10)
// stays the text that it is, where the browser can do that. Deleting and undoing, or
// editing beside it, does not change it.

const able = typeof JSON.rawJSON === "function";

const keep = (_, value, context) =>
  typeof value === "number" && context.source !== String(value) ? JSON.rawJSON(context.source) : value;

// Most messages have no such number, and are read at full speed.
const suspicious = /[:,[]\s*(?:-0\b|-?\d{16}|-?\d+\.\d*0\b|-?\d+\.\d{15}|-?\d+(?:\.\d+)?[eE])/;

export function parseExactly(text) {
  return able && suspicious.test(text) ? JSON.parse(text, keep) : JSON.parse(text);
}
