"use strict";
// Elements that show numbers: maps, strips, tiles, choices.

const named = (patch) => `Patch ${patch + 1}, row ${Math.floor(patch / COLUMNS) + 1}, column ${(patch % COLUMNS) + 1}`;
const nameToken = (token) => (token < FIRST ? "Class token" : named(token - FIRST));
const plain = (v) => `${v}`.replace("-", "−");
const short = (v) => fixed(v, Math.abs(v) < 10 ? 3 : 1);
const largest = (...lists) => Math.max(1e-6, ...lists.flatMap((list) => Array.from(list, Math.abs)));
const argmax = (values) => values.reduce((best, v, i) => (v > values[best] ? i : best), 0);

/** Shows a number: its meaning and value, its shape, and the line of code that computes it. */
function show({ value, shape = "", line = null }) {
  const place = code[line];
  get("numbers").classList.remove("idle");
  get("value").textContent = value;
  get("shape").textContent = shape;
  get("line").textContent = place ? `${place.file}:${place.number}` : "";
  get("source").textContent = place ? place.text : "";
}

/** Shows tell() while a pointer is over an element or it has the focus. */
function explain(element, tell) {
  element.addEventListener("pointerenter", () => show(tell()));
  element.addEventListener("focus", () => show(tell()));
  return element;
}

function panel(title, ...children) {
  const box = make("div", null, { className: "panel" });
  if (title) box.append(make("h3", title));
  box.append(...children);
  return box;
}

/** Returns a paragraph, whose textContent can be set later. */
const caption = (text = "") => make("p", text, { className: "caption" });

function paint(canvas, pixels) {
  if (canvas.width !== pixels.width) canvas.width = pixels.width;
  if (canvas.height !== pixels.height) canvas.height = pixels.height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** Returns the ImageData of colors given row by row; null is transparent. */
function toPixels(colors, rows, columns) {
  const pixels = new ImageData(columns, rows);
  colors.forEach((color, i) => color && pixels.data.set([...color, 255], 4 * i));
  return pixels;
}

const numbersToPixels = (values, rows, columns, options) =>
  toPixels(colorsOf({ values, signed: true, ...options }), rows, columns);

/** Returns the cell that an arrow key leads to. */
function step(key, cell, rows, columns) {
  const row = Math.floor(cell / columns), column = cell % columns;
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (!moves[key]) return null;
  const clamp = (v, end) => Math.max(0, Math.min(end - 1, v));
  return clamp(row + moves[key][0], rows) * columns + clamp(column + moves[key][1], columns);
}

/** A cell for each number of a matrix, which pointer and arrow keys visit: {element, draw}. */
function heat({ label, rows, columns, tell, pick, className = "" }) {
  const element = make("div", null, { className: `heat ${className}`, tabIndex: 0 });
  const canvas = make("canvas", null), mark = make("i", null);
  element.setAttribute("role", "application");
  element.setAttribute("aria-label", `${label}; arrow keys visit each number`);
  element.style.aspectRatio = `${columns} / ${rows}`;
  element.append(canvas, mark);
  let cell = 0;
  const visit = (next) => {
    cell = next;
    const [row, column] = [Math.floor(cell / columns), cell % columns].map((v) => 100 * v);
    mark.style.cssText = `left:${column / columns}%;top:${row / rows}%;width:${100 / columns}%;height:${100 / rows}%`;
    show(tell(cell));
  };
  const under = ({ clientX, clientY }) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const at = (v, side, count) => Math.max(0, Math.min(count - 1, Math.floor((v / side) * count)));
    return at(clientY - top, height, rows) * columns + at(clientX - left, width, columns);
  };
  element.onpointermove = (event) => visit(under(event));
  element.onfocus = () => visit(cell);
  element.onclick = (event) => pick?.(under(event));
  element.onkeydown = (event) => {
    const next = step(event.key, cell, rows, columns);
    if (next !== null) visit(next);
    else if (pick && (event.key === "Enter" || event.key === " ")) pick(cell);
    else return;
    event.preventDefault();
  };
  const draw = (values, options) => paint(canvas, numbersToPixels(values, rows, columns, options));
  return { element, draw };
}

/** A heat map of one row, after its name. */
function strip(name, columns, tell, options = {}) {
  const map = heat({ label: options.label ?? name, rows: 1, columns, tell });
  const row = make("div", null, { className: "strip" });
  row.append(make("span", name), map.element);
  return { element: row, draw: map.draw, name: row.firstChild };
}

/** Marks a patch of the image, while a pointer is over its place in a map. */
function pointOut(patch) {
  subject.buttons.forEach((button, i) => button.classList.toggle("here", i === patch));
}

/** Buttons with a small image each, in rows: {element, draw(images, {selected, off})}. */
function tiles({ label, rows, columns, gap = 0, name, tell, pick, className = "" }) {
  const element = make("div", null, { className: `tiles ${className}` }), canvas = make("canvas", null);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
  const buttons = Array.from({ length: rows * columns }, (_, i) => {
    const button = make("button", null, { type: "button", tabIndex: i ? -1 : 0 });
    button.setAttribute("aria-label", name(i));
    button.onclick = (event) => pick?.(i, event);
    if (name === named) for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => pointOut(i));
    return explain(button, () => tell(i));
  });
  element.onkeydown = (event) => {
    const next = step(event.key, buttons.indexOf(event.target), rows, columns);
    if (next === null) return;
    event.preventDefault();
    buttons.forEach((button, i) => (button.tabIndex = i === next ? 0 : -1));
    buttons[next].focus();
  };
  for (const event of ["pointerleave", "focusout"]) element.addEventListener(event, () => pointOut(null));
  element.append(canvas, ...buttons);

  /** `images`: a list with the ImageData of each tile, or one ImageData of all; `selected`: a tile; `off`: a Set. */
  const draw = (images, { selected = -1, off = new Set() } = {}) => {
    const all = Array.isArray(images) ? join(images, columns, gap) : images;
    paint(canvas, all);
    element.style.aspectRatio = `${all.width} / ${all.height}`;
    const width = (all.width + gap) / columns, height = (all.height + gap) / rows;
    buttons.forEach((button, i) => {
      const left = (i % columns) * width, top = Math.floor(i / columns) * height;
      const share = (v, of) => `${(100 * v) / of}%`;
      Object.assign(button.style, {
        left: share(left, all.width), top: share(top, all.height),
        width: share(width - gap, all.width), height: share(height - gap, all.height),
      });
      button.setAttribute("aria-pressed", i === selected || off.has(i));
      button.classList.toggle("selected", i === selected);
      button.classList.toggle("off", off.has(i));
    });
  };
  return { element, draw, buttons };
}

/** Combines many ImageData of one size into one, in rows with transparent gaps. */
function join(images, columns, gap) {
  const [{ width, height }] = images, rows = Math.ceil(images.length / columns);
  const all = new ImageData(columns * (width + gap) - gap, rows * (height + gap) - gap);
  images.forEach(({ data }, i) => {
    const left = (i % columns) * (width + gap), top = Math.floor(i / columns) * (height + gap);
    for (let row = 0; row < height; row++) {
      const line = data.subarray(4 * row * width, 4 * (row + 1) * width);
      all.data.set(line, 4 * ((top + row) * all.width + left));
    }
  });
  return all;
}

/** Returns the ImageData of each patch of an image. */
function cut(image) {
  const all = overlay(image), [p, q] = [image.height / ROWS, image.width / COLUMNS];
  return Array.from({ length: PATCHES }, (_, i) => {
    const tile = new ImageData(q, p), top = Math.floor(i / COLUMNS) * p, left = (i % COLUMNS) * q;
    for (let row = 0; row < p; row++) {
      const start = 4 * ((top + row) * image.width + left);
      tile.data.set(all.data.subarray(start, start + 4 * q), 4 * row * q);
    }
    return tile;
  });
}

/** Returns the image under a map of its patches; masked patches are transparent. */
function overlayPatches(values, options = {}) {
  const pixels = overlay(state.image, values && { values, grid: sizes.grid, ...options });
  const { without } = state.ways;
  if (without.size) {
    for (let i = 0; i < pixels.width * pixels.height; i++) {
      if (without.has(cellOf(i, pixels.width, pixels.height, sizes.grid))) pixels.data[4 * i + 3] = 0;
    }
  }
  return pixels;
}

/** Returns the ImageData of a map, one color for each patch; masked patches are transparent. */
function mapPatches(values, options = {}) {
  const colors = colorsOf({ values, far: largest(values), ...options });
  for (const patch of state.ways.without) colors[patch] = null;
  return toPixels(colors, ROWS, COLUMNS);
}

/** The colors of a map with the numbers at both ends: {element, draw(far)}. */
function colorBar({ signed = false, write = percent } = {}) {
  const element = make("p", null, { className: "scale" }), ends = [make("span", ""), make("span", "")];
  const colors = make("i", null), stops = (signed ? SIGNED : SEQUENTIAL).map((rgb) => `rgb(${rgb})`);
  colors.style.background = `linear-gradient(to right, ${stops})`;
  element.append(ends[0], colors, ends[1]);
  const draw = (far) => [signed ? -far : 0, far].forEach((v, i) => (ends[i].textContent = v ? write(v) : "0"));
  return { element, draw };
}

/** Radio buttons. Returns {element, draw(value)}. */
function choice(label, names, pick) {
  const element = make("fieldset", null, { className: "choice" }), box = make("div", null, { className: "views" });
  element.append(make("legend", label), box);
  const inputs = names.map((name, i) => {
    const row = make("label", null), input = make("input", null, { type: "radio", name: `${label} ${choices}`, value: i });
    input.onchange = () => pick(i);
    row.append(input, name);
    box.append(row);
    return input;
  });
  choices += 1;
  return { element, draw: (value) => inputs.forEach((input, i) => (input.checked = i === value)) };
}
let choices = 0;

const count = (length) => Array.from({ length }, (_, i) => i + 1);
const chooseBlock = () => choice("Block", count(sizes.blocks), (block) => select({ block }));
const chooseHead = () => choice("Head", count(sizes.heads), (head) => select({ head }));

/** The name, the action and the description of a patch's tile. */
const PATCH_TILES = {
  name: named,
  pick: selectPatch,
  tell(i) {
    const { length } = found.patches, size = length / PATCHES;
    return { value: `${named(i)}: ${size} numbers`, shape: `x_p: ${PATCHES} × ${size}`, line: "patches" };
  },
};

/** Returns how much attention each patch gets from the chosen token: row of A of a head, or of their mean. */
function attentionRow(block, head, token = state.token) {
  const maps = found.attention[block], tokens = FIRST + PATCHES;
  if (!maps) return new Float32Array(PATCHES);
  const row = (a) => a.subarray(token * tokens + FIRST, (token + 1) * tokens);
  if (head !== null) return row(maps[head]);
  return row(maps[0]).map((_, i) => maps.reduce((sum, a) => sum + row(a)[i] / maps.length, 0));
}
