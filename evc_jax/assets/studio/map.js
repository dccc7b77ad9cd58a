// The map of voices: marks in an SVG picture, chosen by mouse, finger or keyboard. `props.value` is a list of points
// {key, kind, sex, text, x, y}; a choice triggers 'select' with {key}.
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 24; // pixels
const REACH = 28; // pixels from a mark that still choose it
const SHAPES = {
  speaker: "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0Z",
  drawn: "M0,-6.5L6,4.5L-6,4.5Z",
  named: "M0,-7L7,0L0,7L-7,0Z",
  reference: "M-6,-6L6,-6L6,6L-6,6Z",
  own: "M0,-12L3.2,-4.2L11.5,-3.7L5.1,1.6L7.2,9.8L0,5.2L-7.2,9.8L-5.1,1.6L-11.5,-3.7L-3.2,-4.2Z",
};
const NAMES = {
  speaker: "training speaker",
  drawn: "new voice",
  named: "named voice",
  reference: "reference of Convert",
  own: "your recording",
};

const root = document.createElement("div");
const legend = document.createElement("div");
const status = document.createElement("p");
legend.className = "evc-map-legend";
status.className = "evc-text evc-map-status";
const svg = make("svg", { role: "listbox", "aria-label": "Map of voices: the arrow keys move, Enter chooses" });
root.className = "evc-map";
root.append(svg, status, legend);
element.append(root);

let marks = []; // {point, node, x, y} in pixels
let current = null; // the key of the mark that the keyboard is at
let chosen = null;
let hovered = null;

function make(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

const classOf = (point) => `evc-mark evc-mark-${point.kind} evc-${point.sex}`;

function draw() {
  const width = root.clientWidth;
  if (!width) return;
  const points = props.value || [];
  const hadFocus = svg.contains(document.activeElement);
  const height = Math.round(Math.max(280, Math.min(520, 0.7 * width)));
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.replaceChildren();
  // One scale for both axes, so that distances can be compared.
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [left, right] = range(points.map((point) => point.x));
  const [bottom, top] = range(points.map((point) => point.y));
  const fitting = [(width - 2 * MARGIN) / (right - left), (height - 2 * MARGIN) / (top - bottom)];
  const scale = Math.min(...fitting.filter(Number.isFinite), 1e6);
  const atX = (x) => width / 2 + scale * (x - (left + right) / 2);
  const atY = (y) => height / 2 - scale * (y - (bottom + top) / 2);
  if (!points.some((point) => point.key === chosen)) chosen = null;
  if (!points.some((point) => point.key === current)) current = points.length ? points[points.length - 1].key : null;
  marks = points.map((point) => {
    const [x, y] = [atX(point.x), atY(point.y)];
    const node = make("path", {
      d: SHAPES[point.kind], transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, class: classOf(point),
      role: "option", "aria-label": point.text, "data-key": point.key,
    });
    svg.append(node);
    return { point, node, x, y };
  });
  drawLegend(points);
  refresh();
  if (hadFocus) find(current)?.node.focus();
}

const find = (key) => marks.find((mark) => mark.point.key === key);

function refresh() {
  for (const mark of marks) {
    mark.node.setAttribute("tabindex", mark.point.key === current ? "0" : "-1");
    mark.node.setAttribute("aria-selected", String(mark.point.key === chosen));
  }
  const shown = hovered || (svg.contains(document.activeElement) ? find(current) : null) || find(chosen);
  svg.querySelectorAll("text, circle").forEach((node) => node.remove());
  status.textContent = shown ? shown.point.text : "";
  for (const mark of new Set([find(chosen), shown])) {
    if (mark) svg.append(make("circle", { cx: mark.x, cy: mark.y, r: 12, class: "evc-map-ring" }));
  }
  if (!shown) return;
  const side = shown.x > svg.clientWidth / 2 ? "end" : "start";
  const [x, y] = [shown.x + (side === "end" ? -16 : 16), shown.y + 4];
  svg.append(make("text", { x, y, "text-anchor": side, class: "evc-map-label" }, shown.point.text.split(",")[0]));
}

function drawLegend(points) {
  const counts = new Map();
  for (const { kind, sex } of points) {
    const key = `${kind} ${sex}`;
    counts.set(key, { kind, sex, count: (counts.get(key)?.count || 0) + 1 });
  }
  legend.replaceChildren(...[...counts.values()].map(({ kind, sex, count }) => {
    const entry = document.createElement("span");
    const picture = make("svg", { width: 22, height: 22, viewBox: "-12 -12 24 24", "aria-hidden": "true" });
    picture.append(make("path", { d: SHAPES[kind], class: classOf({ kind, sex }) }));
    const words = sex === "unknown" ? NAMES[kind] : `${NAMES[kind]}, ${sex}`;
    entry.append(picture, count > 1 ? `${words} (${count})` : words);
    return entry;
  }));
}

function nearest(event) {
  const box = svg.getBoundingClientRect();
  const distance = (mark) => Math.hypot(mark.x - (event.clientX - box.left), mark.y - (event.clientY - box.top));
  // Of two marks in one place, that on top.
  const best = marks.reduce((found, mark) => (found && distance(found) < distance(mark) ? found : mark), null);
  return best && distance(best) <= REACH ? best : null;
}

// The nearest mark in a direction: distance along it, and sideways twice as much.
function neighbour(from, dx, dy) {
  const cost = (mark) => {
    const along = (mark.x - from.x) * dx + (mark.y - from.y) * dy;
    const aside = Math.abs((mark.x - from.x) * dy) + Math.abs((mark.y - from.y) * dx);
    return along > 0.5 && aside <= 2 * along ? along + 2 * aside : Infinity;
  };
  return marks.reduce((found, mark) => (cost(mark) < cost(found) ? mark : found), from);
}

function choose(mark) {
  current = chosen = mark.point.key;
  refresh();
  trigger("select", { key: mark.point.key });
}

function focusOn(mark, options) {
  current = mark.point.key;
  refresh();
  mark.node.focus(options);
}

svg.addEventListener("pointermove", (event) => { hovered = nearest(event); refresh(); });
svg.addEventListener("pointerleave", () => { hovered = null; refresh(); });
svg.addEventListener("click", (event) => {
  const mark = nearest(event);
  if (mark) { focusOn(mark, { preventScroll: true }); choose(mark); }
});
svg.addEventListener("focusin", (event) => {
  current = event.target.dataset.key || current;
  hovered = null;
  refresh();
});
svg.addEventListener("focusout", () => queueMicrotask(refresh));
svg.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const mark = find(current);
  if (!mark || event.ctrlKey || event.metaKey || event.altKey) return;
  if (ways[event.key]) focusOn(neighbour(mark, ...ways[event.key]));
  else if (event.key === "Home") focusOn(marks[0]);
  else if (event.key === "End") focusOn(marks[marks.length - 1]);
  else if (event.key === "Enter" || event.key === " ") choose(mark);
  else return;
  event.preventDefault();
});

new ResizeObserver(() => draw()).observe(root);
watch("value", draw);
draw();
