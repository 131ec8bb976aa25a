"use strict";
// Steps 1 to 4: from pixels to queries, keys and values.

/** Returns the pixels of a patch as the image has them: {row, column, channel, value}. */
function pixelsOf(patch) {
  const { data, width, height, channels } = state.image, [p, q] = [height / ROWS, width / COLUMNS];
  const top = Math.floor(patch / COLUMNS) * p, left = (patch % COLUMNS) * q;
  return Array.from({ length: p * q * channels }, (_, i) => {
    const channel = i % channels, column = Math.floor(i / channels) % q, row = Math.floor(i / channels / q);
    return { row, column, channel, value: data[((top + row) * width + left + column) * channels + channel] };
  });
}

SCREENS["step-1"] = (figure) => {
  const label = "The image, cut into patches";
  const whole = tiles({ label, rows: ROWS, columns: COLUMNS, gap: 1, ...PATCH_TILES });
  const columns = 2 * COLUMNS, rows = PATCHES / columns;
  const row = tiles({ label: "The sequence of patches", rows, columns, gap: 1, ...PATCH_TILES });
  const table = make("ol", null, { className: "pixels" }), title = make("h3", "");
  const numbers = panel(null, title, table, caption("Red, green and blue of each pixel, row by row: 0 is dark, 255 bright."));
  const sequence = panel(`A sequence of ${PATCHES}`, row.element);
  const right = make("div", null, { className: "column" });
  right.append(sequence, numbers);
  figure.append(panel(`${ROWS} × ${COLUMNS} patches`, whole.element), right);
  return () => {
    const images = cut(state.image);
    whole.draw(images, { selected: state.patch, off: state.ways.without });
    row.draw(images, { selected: state.patch, off: state.ways.without });
    const pixels = pixelsOf(state.patch), names = ["red", "green", "blue"];
    title.textContent = `Patch ${state.patch + 1} is ${pixels.length} numbers`;
    table.style.setProperty("--columns", pixels.filter((pixel) => pixel.row === 0).length);
    table.replaceChildren(...pixels.map(({ row: y, column: x, channel, value }) => {
      const cell = make("li", value, { className: state.image.channels === 3 ? names[channel] : "gray" });
      cell.style.setProperty("--share", `${Math.round(value / 5.1)}%`);
      cell.onpointerenter = () => show({
        value: `Pixel in row ${y + 1}, column ${x + 1} of patch ${state.patch + 1}, ${names[channel]}: ${value}`,
        shape: `x_p: ${PATCHES} × ${pixels.length}`, line: "patches",
      });
      return cell;
    }));
  };
};

/** Returns the numbers of a row of a matrix. */
const rowOf = (data, i, width) => data.subarray(i * width, (i + 1) * width);

/** Returns the weights of a filter, column of E, as colors: gray is zero. */
function filterPixels(filter) {
  const { height, width, channels } = state.image, [p, q] = [height / ROWS, width / COLUMNS];
  const far = largest(filter), pixel = (i) => [0, 1, 2].map((c) => filter[i * channels + (c % channels)]);
  return toPixels(Array.from({ length: p * q }, (_, i) => pixel(i).map((v) => 127.5 * (1 + v / far))), p, q);
}

SCREENS["step-2"] = (figure) => {
  const { dim } = parts, length = parts.filters.length / dim, columns = 16, rows = Math.ceil(dim / columns);
  const filterOf = (i) => rowOf(parts.filters, i, length);
  const embedded = () => rowOf(found.tokens[0], FIRST + state.patch, dim).map((v, i) => v - positions()[i]);
  const positions = () => rowOf(parts.positions, FIRST + state.patch, dim);
  const shape = `E: ${length} × ${dim}`;
  const tellFilter = (i) => ({ value: `Filter ${i + 1} × patch ${state.patch + 1} + bias = ${short(embedded()[i])}`, shape, line: "Eq. 1" });
  const patch = make("canvas", null, { className: "zoom" });
  const filters = tiles({
    label: "Filters", rows, columns, gap: 1, name: (i) => `Filter ${i + 1}`, tell: tellFilter,
  });
  const answers = heat({ label: "Numbers of the token", rows, columns, tell: tellFilter });
  const tell = (values, name, line) => (i) => ({ value: `${name}, number ${i + 1}: ${short(values()[i])}`, shape: `${dim} numbers`, line });
  const token = () => rowOf(found.tokens[0], FIRST + state.patch, dim);
  const rowsOfSum = [
    ["patch × E + b", embedded, "Eq. 1"], ["+ position", positions, "positions"], ["= token", token, "positions"],
  ].map(([name, values, line]) => ({ ...strip(name, dim, tell(values, name, line)), values }));
  const sum = panel("Equation 1, for this patch", ...rowsOfSum.map(({ element }) => element));
  const same = (list) => [...new Set(list)].join(", ");
  sum.append(caption(`Before it is multiplied, each pixel p becomes (p − ${same(parts.mean)}) / ${same(parts.deviation)}; b is a bias for each filter. Orange numbers are positive, violet ones negative. The position comes next, in step 3.`));
  sum.classList.add("wide");
  const title = make("h3", "");
  const first = panel(null, title, patch);
  first.classList.add("narrow");
  const product = make("div", null, { className: "product" });
  product.append(
    first, make("span", "×", { className: "sign" }),
    panel(`${dim} filters: gray is a weight of zero`, filters.element),
    make("span", "=", { className: "sign" }), panel(`${dim} numbers, one for each filter`, answers.element),
  );
  figure.append(product, sum);
  filters.draw(Array.from({ length: dim }, (_, i) => filterPixels(filterOf(i))));
  return () => {
    title.textContent = `Patch ${state.patch + 1}`;
    paint(patch, cut(state.image)[state.patch]);
    answers.draw(embedded());
    const far = largest(...rowsOfSum.map(({ values }) => values()));
    for (const { draw, values } of rowsOfSum) draw(values(), { far });
  };
};

/** Returns the cosine similarities between the position embedding of one patch and those of all patches. */
function similarPositions(patch) {
  const row = (i) => rowOf(parts.positions, FIRST + i, parts.dim);
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const mine = row(patch);
  return Array.from({ length: PATCHES }, (_, i) => dot(mine, row(i)) / Math.sqrt(dot(mine, mine) * dot(row(i), row(i))));
}

function shuffled(length) {
  const order = [...Array(length).keys()];
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

SCREENS["step-3"] = (figure) => {
  const map = (patch, options) => numbersToPixels(similarPositions(patch), ROWS, COLUMNS, { far: 1, ...options });
  const line = "positions", shape = `E_pos: ${FIRST + PATCHES} × ${parts.dim}`;
  const tellTile = (i) => ({ value: `${named(i)}: how similar its position is to each other one`, shape, line });
  const all = tiles({ label: "Similarity of positions", rows: ROWS, columns: COLUMNS, gap: 1, ...PATCH_TILES, tell: tellTile });
  const tellOne = (i) => ({
    value: `Positions of patch ${state.patch + 1} and patch ${i + 1}: cosine similarity ${short(similarPositions(state.patch)[i])}`, shape, line,
  });
  const one = heat({ label: "Similarity to the chosen position", rows: ROWS, columns: COLUMNS, tell: tellOne, pick: selectPatch });
  const title = make("h3", ""), image = make("canvas", null, { className: "picture" });
  const table = make("table", null), button = make("button", "Shuffle again", { type: "button", className: "button" });
  const experiment = panel("The same patches, shuffled", image, button);
  const cosine = colorBar({ signed: true, write: plain });
  cosine.draw(1);
  const left = panel("Similarity of all positions", all.element), middle = panel(null, title, one.element, cosine.element, caption("Cosine similarity"));
  figure.append(left, middle, experiment, table);
  table.className = "wide compare";
  all.draw(Array.from({ length: PATCHES }, (_, i) => map(i)));

  let permutation = shuffled(PATCHES), shares = null, asked = null;
  const ask = () => worker.postMessage({ task: "compare", image: (asked = state.image), permutation });
  button.onclick = () => {
    permutation = shuffled(PATCHES);
    ask();
  };
  ANSWERS.compared = (answer) => {
    if (answer.permutation.join() !== permutation.join()) return;
    shares = answer.table;
    render();
  };
  return () => {
    if (asked !== state.image) ask();
    all.draw(Array.from({ length: PATCHES }, (_, i) => map(i)), { selected: state.patch });
    title.textContent = `Position of patch ${state.patch + 1}`;
    one.draw(similarPositions(state.patch), { far: 1 });
    const images = cut(state.image);
    paint(image, join(permutation.map((i) => images[i]), COLUMNS, 0));
    if (shares) table.replaceChildren(...compareRows(shares));
  };
};

/** Returns the rows of a table of predictions in two orders, with and without positions. */
function compareRows(shares) {
  const head = make("tr", null);
  head.append(...["Prediction", "patches in order", "patches shuffled"].map((text) => make("th", text, { scope: "col" })));
  const names = ["With positions", "Without positions"];
  return [head, ...shares.map((pair, i) => {
    const row = make("tr", null);
    row.append(make("th", names[i], { scope: "row" }), ...pair.map((each) => {
      const best = argmax(each);
      return make("td", `${classes[best]}, ${percent(each[best])}`);
    }));
    return row;
  })];
}

/** Returns query, key and value of a token in the chosen block and head; null if the block is off. */
function headVectors(token) {
  const all = found.qkv[state.block], { dim } = parts, d = dim / sizes.heads;
  if (!all) return null;
  const row = rowOf(all, token, 3 * dim);
  const [query, key, value] = [0, 1, 2].map((k) => row.subarray(k * dim + state.head * d, k * dim + (state.head + 1) * d));
  return { query, key, value };
}

SCREENS["step-4"] = (figure) => {
  const d = parts.dim / sizes.heads, tokens = FIRST + PATCHES;
  let other = null, scores = new Float32Array(PATCHES); // patch to compare with; scores of all patches
  const weights = () => attentionRow(state.block, state.head);
  const vectors = () => [headVectors(state.token), headVectors(FIRST + other)];
  const products = () => {
    const [mine, its] = vectors();
    return mine ? mine.query.map((v, i) => v * its.key[i]) : new Float32Array(d);
  };
  const tellScore = (i) => ({
    value: `${nameToken(state.token)} · ${named(i)}: score ${short(scores[i])}, attention weight ${short(weights()[i])}`,
    shape: `A: ${tokens} × ${tokens}, for each of ${sizes.heads} heads`, line: "Eq. 6",
  });
  const pick = (i) => {
    other = i;
    render();
  };
  const options = { rows: ROWS, columns: COLUMNS, name: named, pick, tell: tellScore };
  const before_ = tiles({ label: "Scores", ...options }), after = tiles({ label: "Attention weights", ...options });
  const bars = [colorBar({ signed: true, write: short }), colorBar({ write: short })];
  const tell = (name, values, line) => (i) => ({ value: `${name}, number ${i + 1}: ${short(values()?.[i] ?? 0)}`, shape: `d = ${d}`, line });
  const output = () => { // A v of the token: the sum of all values with their weights
    const map = found.attention[state.block]?.[state.head], sum = new Float32Array(d);
    for (let t = 0; map && t < tokens; t++) headVectors(t).value.forEach((v, i) => (sum[i] += map[state.token * tokens + t] * v));
    return sum;
  };
  const list = [
    ["query", () => vectors()[0]?.query, "Eq. 5"], ["key", () => vectors()[1]?.key, "Eq. 5"],
    ["product", products, "scale"], ["value", () => vectors()[1]?.value, "Eq. 5"], ["sum", output, "Eq. 7"],
  ].map(([name, values, line]) => ({ ...strip(name, d, tell(name, values, line)), values }));
  const sum = caption(), result = caption(), title = make("h3", "");
  const steps = panel(null, title, ...list.slice(0, 3).map(({ element }) => element), sum, list[3].element, result, list[4].element, caption(`3. This sum of all ${tokens} values, each times its weight, is what the head returns.`));
  const block = chooseBlock(), head = chooseHead();
  steps.classList.add("tall");
  steps.style.setProperty("--names", "3.5rem");
  const bar = make("div", null, { className: "choices wide" });
  bar.append(block.element, head.element);
  figure.append(bar, panel("1. Scores: query · key / √d", before_.element, bars[0].element), panel("2. Attention weights: softmax", after.element, bars[1].element), steps);
  return () => {
    block.draw(state.block);
    head.draw(state.head);
    const mine = headVectors(state.token), row = weights();
    if (other === null || state.ways.without.has(other)) other = argmax(row);
    const dot = (a, b) => a.reduce((total, v, i) => total + v * b[i], 0) / Math.sqrt(d) / state.ways.temperature;
    scores = Float32Array.from({ length: PATCHES }, (_, i) => (mine ? dot(mine.query, headVectors(FIRST + i).key) : 0));
    before_.draw(mapPatches(scores, { signed: true }), { selected: other });
    after.draw(mapPatches(row), { selected: other });
    bars[0].draw(largest(scores));
    bars[1].draw(largest(row));
    title.textContent = `${capitalize(reader())} and patch ${other + 1}`;
    const values = list.map((each) => each.values() ?? new Float32Array(d));
    values.forEach((each, i) => list[i].draw(each, { far: largest(each) }));
    const total = values[2].reduce((a, b) => a + b, 0);
    const warm = state.ways.temperature === 1 ? "" : " and by the temperature";
    sum.textContent = `Sum of the products ${short(total)}, divided by √${d}${warm}: score ${short(scores[other])}.`;
    result.textContent = `After the softmax, ${reader()} takes this value with weight ${short(row[other])}.`;
  };
};
