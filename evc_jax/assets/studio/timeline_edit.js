// Continues timeline.js: segments, the pointer, the keys, playing, buttons and fields.

// ---- segments

/** How far a segment may reach: to its neighbours. Those that it overlaps already are no limit. */
function freeAround(start_s, end_s, row) {
  const others = rows.filter((each) => each !== row), nearly = 1e-6;
  const low = others.filter((each) => each.end_s <= start_s + nearly).map((each) => each.end_s);
  const high = others.filter((each) => each.start_s >= end_s - nearly).map((each) => each.start_s);
  return [Math.max(0, ...low), Math.min(Math.max(duration() || total_s, end_s), ...high)];
}

function select(row) {
  if (selected === row) return;
  selected = row;
  rows.forEach(drawSegment);
  drawFields();
}

function insert(start_s, end_s) {
  const row = { start_s: rounded(start_s), end_s: rounded(end_s), emotion: lastEmotion, strength: 1 };
  rows.push(row);
  selected = row;
  return row;
}

function addAtPosition() {
  const wanted = clamp(duration() / 4, 0.3, 1), ends = [position_s, ...rows.map((row) => row.end_s)];
  const later = ends.filter((each) => each >= position_s).sort((one, other) => one - other);
  const earlier = [0, ...ends.filter((each) => each < position_s)].sort((one, other) => one - other);
  for (const start_s of [...later, ...earlier]) {
    if (rows.some((row) => row.start_s < start_s + SHORTEST_S && row.end_s > start_s + 1e-6)) continue;
    const end_s = Math.min(start_s + wanted, freeAround(start_s, start_s)[1]);
    if (start_s + SHORTEST_S > Math.min(end_s, duration() || total_s) + 1e-6) continue;
    const row = insert(start_s, end_s);
    commit();
    return boxes.get(row).focus();
  }
  say("There is no free space; make a segment shorter first.");
}

function remove(row) {
  const next = rows[rows.indexOf(row) + 1] || rows[rows.indexOf(row) - 1];
  const hadFocus = element.contains(document.activeElement);
  rows = rows.filter((each) => each !== row);
  boxes.get(row).remove();
  boxes.delete(row);
  selected = null;
  commit();
  say(`The segment ${shortText(row.emotion)} is removed.`);
  if (hadFocus) (next ? boxes.get(next) : line).focus();
}

/** Moves a segment, or one of its ends, from where it was, as far as there is space. */
function shift(row, was, what, by_s) {
  const [low, high] = freeAround(was.start_s, was.end_s, row);
  if (what === "body") {
    const start_s = clamp(was.start_s + by_s, low, high - (was.end_s - was.start_s));
    row.start_s = rounded(start_s);
    row.end_s = rounded(start_s + was.end_s - was.start_s);
  } else if (what === "start_s") row.start_s = rounded(clamp(was.start_s + by_s, low, was.end_s - SHORTEST_S));
  else row.end_s = rounded(clamp(was.end_s + by_s, was.start_s + SHORTEST_S, high));
}

function segmentKey(event, row) {
  if (event.ctrlKey || event.metaKey) return;
  if (event.key === "Delete" || event.key === "Backspace") remove(row);
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const what = event.shiftKey ? "end_s" : event.altKey ? "start_s" : "body";
    shift(row, { ...row }, what, event.key === "ArrowLeft" ? -STEP_S : STEP_S);
    commit();
  } else if (event.key === "Enter") fields.emotion.focus();
  else return;
  event.preventDefault();
}

// ---- the pointer

const timeAt = (event) => {
  const box = lane.getBoundingClientRect();
  return clamp(Math.round(((event.clientX - box.left) / box.width) * total_s * 100) / 100, 0, total_s);
};

lane.addEventListener("pointerdown", (event) => {
  if (event.button || drag || !total_s) return;
  const box = event.target.closest("[data-segment]");
  const row = rows.find((each) => boxes.get(each) === box) || null;
  drag = { id: event.pointerId, x: event.clientX, from_s: timeAt(event), row, was: row && { ...row },
    what: event.target.dataset.edge || "body", moved: false };
});

lane.addEventListener("pointermove", (event) => {
  if (drag?.id !== event.pointerId) return;
  if (!drag.moved && Math.abs(event.clientX - drag.x) < CLICK_PX) return;
  if (!drag.moved) lane.setPointerCapture(drag.id);
  drag.moved = true;
  const now_s = timeAt(event);
  if (drag.was) {
    shift(drag.row, drag.was, drag.what, now_s - drag.from_s);
    selected = drag.row;
  } else {
    const [low, high] = freeAround(drag.from_s, drag.from_s, drag.row);
    const start_s = clamp(Math.min(drag.from_s, now_s), low, high), end_s = clamp(Math.max(drag.from_s, now_s), low, high);
    if (!drag.row && end_s - start_s < SHORTEST_S) return;
    drag.row = drag.row || insert(start_s, end_s);
    if (end_s - start_s >= SHORTEST_S) Object.assign(drag.row, { start_s: rounded(start_s), end_s: rounded(end_s) });
  }
  draw();
});

function endDrag(event) {
  if (drag?.id !== event.pointerId) return;
  const { row, moved, from_s, was } = drag;
  drag = null;
  if (event.type === "pointercancel" && row) { // the page scrolls instead
    if (was) Object.assign(row, was);
    else return remove(row);
  } else if (!moved && event.type === "pointerup") seek(from_s);
  if (!row) line.focus({ preventScroll: true }); // so that the space bar plays
  if (moved && row) commit();
  if (row && boxes.has(row)) boxes.get(row).focus({ preventScroll: true });
}

lane.addEventListener("pointerup", endDrag);
lane.addEventListener("pointercancel", endDrag);
part("axis").addEventListener("click", (event) => { seek(timeAt(event)); line.focus({ preventScroll: true }); });

// ---- playing

function seek(seconds) {
  position_s = clamp(seconds, 0, duration() || total_s);
  if (recording) sound.currentTime = position_s;
  drawPosition();
}

function play() {
  if (!recording) return;
  if (!sound.paused) return sound.pause();
  if (position_s >= duration() - 0.02) seek(0);
  sound.play().catch((error) => {
    if (error.name !== "AbortError") say("This sound is no longer kept; give the recording again.");
  });
}

function follow() {
  if (sound.seeking) return requestAnimationFrame(follow);
  position_s = Math.min(sound.currentTime, duration());
  drawPosition();
  const x = line.offsetLeft - scroller.scrollLeft;
  if (x < 0 || x > scroller.clientWidth) scroller.scrollLeft = line.offsetLeft - 20;
  if (!sound.paused) requestAnimationFrame(follow);
}

sound.addEventListener("play", () => { part("play").textContent = "Pause"; follow(); });
sound.addEventListener("pause", () => { part("play").textContent = "Play"; });
sound.addEventListener("loadedmetadata", () => { sound.currentTime = position_s; });
part("play").addEventListener("click", play);

line.addEventListener("keydown", (event) => {
  const by_s = { ArrowLeft: -STEP_S, ArrowRight: STEP_S, PageUp: 1, PageDown: -1, Home: -1e9, End: 1e9 }[event.key];
  if (by_s === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  seek(position_s + by_s);
  event.preventDefault();
});

element.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("button, input, select, summary")) return;
  play();
  event.preventDefault();
});

// ---- buttons and fields

part("add").addEventListener("click", addAtPosition);
part("delete").addEventListener("click", () => remove(selected));
element.querySelectorAll("[data-zoom]").forEach((button) => {
  button.addEventListener("click", () => zoomBy(Number(button.dataset.zoom)));
});

part("fields").addEventListener("input", (event) => {
  if (event.target === fields.strength) part("strength").textContent = fields.strength.value;
});

part("fields").addEventListener("change", (event) => {
  const { name, value } = event.target;
  const row = { ...selected, [name]: name === "emotion" ? value : value === "" ? NaN : Number(value) };
  if (!(row.start_s >= 0 && row.end_s > row.start_s)) {
    say("A segment begins at 0 s or later, and ends after its beginning.");
    return drawFields();
  }
  if (name === "emotion") lastEmotion = value;
  Object.assign(selected, row);
  say("");
  commit();
});

part("download").addEventListener("click", () => {
  const cell = (text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map((row) => [row.start_s, row.end_s, cell(row.emotion), row.strength].join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["start_s,end_s,emotion,strength", ...lines, ""].join("\n")]));
  link.download = "emotion_track.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});

part("legend").append(...emotions.map((name, number) => {
  const entry = document.createElement("li"), swatch = document.createElement("i");
  swatch.style.background = colors[number];
  entry.append(swatch, name);
  return entry;
}));
fields.strength.max = props.max_strength;
new ResizeObserver(drawAxis).observe(scroller);
watch("value", receive);
receive();
