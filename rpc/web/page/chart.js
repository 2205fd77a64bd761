// Charts as SVG, and the same as a table for who does not see them. A chart is as many
// pixels wide as it is told, so that its text has one size everywhere.

import { h, s } from "./dom.js";

const height = 260, left = 44, right = 12, top = 18, bottom = 28; // pixels
const wideTime = 220, wideName = 55, wideNumber = 34; // pixels that such a label needs
const innerHeight = height - top - bottom;

function canvas(width, label, ...content) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" }, ...content);
}

/** A round number that is not below n, and the step of its scale. */
function scaleOf(n) {
  const rough = Math.max(1, n) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
  return { step, most: Math.ceil(Math.max(1, n) / step) * step };
}

function text(x, y, anchor, content) {
  const element = s("text", { x, y, "text-anchor": anchor });
  element.textContent = content;
  return element;
}

function grid(width, { step, most }) {
  const lines = [];
  for (let value = 0; value <= most; value += step) {
    const y = top + innerHeight * (1 - value / most);
    lines.push(s("line", { x1: left, x2: width - right, y1: y, y2: y, class: value ? "grid" : "axis" }), text(left - 8, y + 4, "end", value.toLocaleString()));
  }
  return lines;
}

/** Stacked areas: rows of {at, …} with a number for each key, the first key at the bottom. */
export function areas(width, label, rows, keys, timeOf) {
  const innerWidth = width - left - right;
  const scale = scaleOf(Math.max(...rows.map((row) => keys.reduce((sum, key) => sum + row[key], 0))));
  const x = (i) => (left + innerWidth * i / (rows.length - 1)).toFixed(1);
  const y = (value) => (top + innerHeight * (1 - value / scale.most)).toFixed(1);
  let below = rows.map(() => 0);
  const shapes = keys.map((key) => {
    const above = rows.map((row, i) => below[i] + row[key]);
    const points = [...above.map((value, i) => `${x(i)},${y(value)}`), ...below.map((value, i) => `${x(i)},${y(value)}`).reverse()];
    below = above;
    return s("polygon", { points: points.join(" "), class: `area ${key}` });
  });
  const steps = Math.max(1, Math.floor(innerWidth / wideTime));
  const marks = Array.from({ length: steps + 1 }, (_, k) => {
    const i = Math.round((rows.length - 1) * k / steps);
    return text(x(i), height - 8, k === 0 ? "start" : k === steps ? "end" : "middle", timeOf(rows[i].at));
  });
  return canvas(width, label, ...shapes, ...grid(width, scale), ...marks);
}

/** Bars: groups of {name, value}. */
export function bars(width, label, groups, kind) {
  const scale = scaleOf(Math.max(...groups.map(({ value }) => value)));
  const slot = (width - left - right) / groups.length, thick = Math.min(56, slot * 0.7), every = Math.ceil(wideName / slot);
  const content = groups.flatMap(({ name, value }, i) => {
    const tall = innerHeight * value / scale.most, middle = left + slot * (i + 0.5);
    return [
      s("rect", { x: middle - thick / 2, y: top + innerHeight - tall, width: thick, height: tall, rx: 2, class: `bar ${kind}` }),
      value && slot >= wideNumber ? text(middle, top + innerHeight - tall - 5, "middle", value.toLocaleString()) : null,
      i % every === 0 ? text(middle, height - 8, "middle", name) : null,
    ];
  });
  return canvas(width, label, ...grid(width, scale), ...content);
}

/** The numbers of a chart. */
export function table(head, rows) {
  return h("details", { className: "numbers" }, h("summary", {}, "Numbers"),
    h("table", {}, h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows.map(([name, ...values]) => h("tr", {}, h("th", { scope: "row" }, String(name)), ...values.map((value) => h("td", {}, value.toLocaleString())))))));
}
