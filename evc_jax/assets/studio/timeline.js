// The timeline: a waveform, a play position, and segments with an emotion. Times are seconds of the recording.
// `props.value` is {recording: {duration_s, peaks, url} | null, rows: [{start_s, end_s, emotion, strength}]}; what comes
// from the server may hold only one of the two, and a text to show.
const SHORTEST_S = 0.05, STEP_S = 0.05, CLICK_PX = 4, MOST_PX_PER_S = 400;
const { emotions, colors } = props;
const part = (name) => element.querySelector(`[data-${name}]`);
const [lane, line, whole, scroller, sound] = ["lane", "line", "whole", "scroller", "sound"].map(part);
const fields = Object.fromEntries([...part("fields").elements].filter((each) => each.name).map((each) => [each.name, each]));
const boxes = new Map(); // the element of each row
let recording = null, rows = [], selected = null, position_s = 0, total_s = 0, zoom = 1, drag = null;
let lastEmotion = ["happy", ...emotions].find((name) => emotions.includes(name)); // that of the next new segment

const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));
const rounded = (seconds) => Math.round(seconds * 1000) / 1000;
const duration = () => (recording ? recording.duration_s : 0);
const percent = (seconds) => `${(100 * seconds) / (total_s || 1)}%`;
const say = (text) => { part("status").textContent = text; };
const shortText = (emotion) => emotion.replace(/=([^,]+)/g, (_, weight) => ` ${Math.round(100 * weight)}%`);

function colorOf(emotion) {
  const weights = emotion.split(",").map((each) => each.split("="));
  const main = weights.reduce((best, each) => (Number(each[1] ?? 1) > Number(best[1] ?? 1) ? each : best));
  return colors[emotions.indexOf(main[0])] || "#888888";
}

// ---- from and to the server

function receive() {
  const value = props.value || {};
  if (value.rows) {
    boxes.forEach((box) => box.remove());
    boxes.clear();
    rows = value.rows.map((row) => ({ ...row }));
    selected = null;
  }
  if (value.recording !== undefined) say(value.text || "");
  if (value.recording !== undefined && value.recording?.url !== recording?.url) showRecording(value.recording);
  commit();
}

function commit() {
  rows.sort((one, other) => one.start_s - other.start_s || one.end_s - other.end_s);
  props.value = { recording, rows: rows.map((row) => ({ ...row })) };
  draw();
}

function showRecording(given) {
  recording = given;
  zoom = 1;
  position_s = 0;
  sound.pause();
  if (recording) sound.src = recording.url;
  else sound.removeAttribute("src");
  const peaks = recording ? recording.peaks : [];
  const upper = peaks.map((peak, x) => `${x},${100 - peak}`), lower = peaks.map((peak, x) => `${x},${100 + peak}`);
  part("wave").setAttribute("viewBox", `0 0 ${Math.max(1, peaks.length - 1)} 200`);
  part("wave").firstElementChild.setAttribute("d", peaks.length ? `M${[...upper, ...lower.reverse()].join("L")}Z` : "");
}

// ---- drawing

function draw() {
  total_s = rows.reduce((latest, row) => Math.max(latest, row.end_s), duration());
  part("empty").hidden = total_s > 0;
  part("wave").style.width = percent(duration());
  part("after").hidden = duration() >= total_s;
  part("after").style.left = percent(duration());
  whole.style.width = `${100 * zoom}%`;
  rows.forEach(drawSegment);
  rows.forEach((row, at) => { // in the order of time, for the Tab key; the focused one is not moved
    const box = boxes.get(row), before = at ? boxes.get(rows[at - 1]) : part("empty");
    if (before.nextElementSibling !== box && box !== document.activeElement) before.after(box);
  });
  drawFields();
  drawAxis();
  drawPosition();
  part("download").disabled = !rows.length;
  part("add").disabled = part("play").disabled = !total_s;
}

function drawSegment(row) {
  if (!boxes.has(row)) boxes.set(row, makeBox(row));
  const box = boxes.get(row), color = colorOf(row.emotion), emotion = shortText(row.emotion);
  const strength = `strength ${rounded(row.strength)}`;
  box.style.left = percent(row.start_s);
  box.style.width = percent(row.end_s - row.start_s);
  box.style.setProperty("--color", color);
  box.style.setProperty("--strong", `color-mix(in srgb, ${color} 65%, transparent)`);
  box.style.setProperty("--weak", `color-mix(in srgb, ${color} 25%, transparent)`);
  box.style.setProperty("--height", `${(100 * row.strength) / props.max_strength}%`);
  box.toggleAttribute("data-selected", row === selected);
  box.setAttribute("aria-label", `${emotion} ${row.start_s.toFixed(2)} to ${row.end_s.toFixed(2)} s, ${strength}`);
  box.setAttribute("aria-pressed", String(row === selected));
  box.title = `${emotion}, ${strength}`;
  box.firstElementChild.textContent = `${emotion} ${rounded(row.strength)}`;
}

function makeBox(row) {
  const box = document.createElement("div");
  box.className = "segment";
  box.dataset.segment = "";
  box.tabIndex = 0;
  box.setAttribute("role", "button");
  box.innerHTML = '<span></span><div class="edge" data-edge="start_s"></div><div class="edge" data-edge="end_s"></div>';
  box.addEventListener("focus", () => select(row));
  box.addEventListener("keydown", (event) => segmentKey(event, row));
  lane.insertBefore(box, line);
  return box;
}

function drawFields() {
  const number = rows.indexOf(selected) + 1;
  part("fields").disabled = !selected;
  part("chosen").textContent = selected ? `Segment ${number} of ${rows.length}` : "No segment is selected";
  for (const name of ["start_s", "end_s", "strength"]) fields[name].value = selected ? rounded(selected[name]) : "";
  const names = selected && !emotions.includes(selected.emotion) ? [...emotions, selected.emotion] : emotions;
  fields.emotion.replaceChildren(...names.map((name) => new Option(shortText(name), name)));
  if (selected) fields.emotion.value = selected.emotion;
  part("strength").textContent = selected ? rounded(selected.strength) : "";
}

function drawAxis() {
  const width = whole.clientWidth;
  if (!total_s || !width) return part("axis").replaceChildren();
  const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((each) => (each / total_s) * width >= 56) || 7200;
  const marks = Array.from({ length: Math.floor(total_s / step + 1e-6) + 1 }, (_, number) => {
    const mark = document.createElement("span");
    mark.style.left = percent(number * step);
    if (((total_s - number * step) / total_s) * width > 36) mark.textContent = `${rounded(number * step)} s`;
    return mark;
  });
  part("axis").replaceChildren(...marks);
}

function drawPosition() {
  line.style.left = percent(position_s);
  line.setAttribute("aria-valuemax", rounded(total_s));
  line.setAttribute("aria-valuenow", rounded(position_s));
  line.setAttribute("aria-valuetext", `${position_s.toFixed(2)} s`);
  part("position").textContent = `${position_s.toFixed(2)} of ${duration().toFixed(2)} s`;
}

function zoomBy(factor) {
  const most = Math.max(1, (MOST_PX_PER_S * total_s) / (scroller.clientWidth || 1));
  zoom = clamp(zoom * factor, 1, most);
  draw();
  scroller.scrollLeft = (position_s / (total_s || 1)) * whole.clientWidth - scroller.clientWidth / 2;
}
