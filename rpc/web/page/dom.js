// Making elements. Text is always a text node: what a task says is never markup.

export const $ = (selector, root = document) => root.querySelector(selector);

/** Makes an element with properties and children; a string is text, null nothing. Names with
 *  a dash, and role, are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  return fill(element, properties, children);
}

const svgSpace = "http://www.w3.org/2000/svg";

/** The same for SVG, where all properties are attributes. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

let spoken = 0, waiting = null;

/** Says something to screen readers, the latest only where much happens. */
export function announce(text) {
  const say = () => { spoken = Date.now(); $("#announcer").textContent = waiting; waiting = null; };
  const planned = waiting !== null;
  waiting = text;
  if (!planned) setTimeout(say, Math.max(0, spoken + 1500 - Date.now()));
}
