"use strict";
// Steps 5 to 8: attention, the residual stream, the prediction, and the whole model.

/** "the class token" or "patch 12": the chosen token in a sentence. */
const reader = () => (state.token < FIRST ? "the class token" : `patch ${state.patch + 1}`);
const subscript = (n) => `${n}`.replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

SCREENS["step-5"] = (figure) => {
  const { blocks, heads } = sizes, tokens = FIRST + PATCHES;
  const title = make("h3", ""), text = caption(), bars = [colorBar(), colorBar()];
  const tell = (i) => ({
    value: `Block ${state.block + 1}, head ${state.head + 1}: ${reader()} gives ${percent(attentionRow(state.block, state.head)[i])} to ${named(i).toLowerCase()}`,
    shape: `A: ${tokens} × ${tokens}`, line: "Eq. 6",
  });
  const large = tiles({ label: "Attention", rows: ROWS, columns: COLUMNS, ...PATCH_TILES, tell });
  const all = tiles({
    label: "Every head", rows: blocks, columns: heads, gap: 2, className: "heads",
    name: (i) => `Block ${Math.floor(i / heads) + 1}, head ${(i % heads) + 1}`,
    pick: (i) => select({ block: Math.floor(i / heads), head: i % heads }),
    tell: (i) => {
      const row = attentionRow(Math.floor(i / heads), i % heads), best = argmax(row);
      return {
        value: `Block ${Math.floor(i / heads) + 1}, head ${(i % heads) + 1}: most, ${percent(row[best])}, goes to patch ${best + 1}`,
        shape: `A: ${heads} × ${tokens} × ${tokens}`, line: "Eq. 6",
      };
    },
  });
  const box = make("div", null, { className: "table" });
  const labels = (n, word, side) => {
    const list = make("div", null, { className: side });
    list.append(...count(n).map((i) => make("span", `${word} ${i}`)));
    return list;
  };
  box.append(labels(heads, "head", "top"), labels(blocks, "block", "side"), all.element);
  const panels = [panel(null, title, large.element, bars[0].element, text), panel("Every head of every block", box, bars[1].element, caption("All small maps have one scale, the large map has its own. Point at it: the image shows the place."))];
  for (const each of panels) each.classList.add("big");
  figure.append(...panels);
  return () => {
    const row = attentionRow(state.block, state.head), own = found.attention[state.block]?.[state.head];
    title.textContent = `Block ${state.block + 1}, head ${state.head + 1}`;
    large.draw(mapPatches(row), { selected: state.token ? state.patch : -1, off: state.ways.without });
    const rest = own ? own[state.token * tokens] : 0, isMasked = state.token && state.ways.without.has(state.patch);
    text.textContent = isMasked ? `Masked: ${reader()} attends to nothing.` : `Attention of ${reader()} to each patch. ${percent(rest)} goes to the class token, which is not in the image.`;
    const weights = Array.from({ length: blocks * heads }, (_, i) => attentionRow(Math.floor(i / heads), i % heads)), far = largest(...weights);
    bars[0].draw(largest(row));
    bars[1].draw(far);
    all.draw(weights.map((each) => mapPatches(each, { far })), { selected: state.block * heads + state.head });
  };
};

/** Returns the classes that have a color of their own, those that are highest at the end. */
function mainClasses(shares, most = 3) {
  return [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, most);
}

SCREENS["step-6"] = (figure) => {
  const { dim } = parts, list = make("div", null, { className: "ladder" });
  const vector = (data) => (data ? rowOf(data, state.token, dim) : new Float32Array(dim));
  const minus = (a, b) => (a && b ? vector(a).map((v, i) => v - vector(b)[i]) : new Float32Array(dim));
  const rows = [{ name: "start: z₀", values: () => vector(found.tokens[0]), layer: 0, line: "Eq. 1" }];
  for (let b = 0; b < sizes.blocks; b++) {
    rows.push({ name: "+ attention", values: () => minus(found.between[b], found.tokens[b]), line: "Eq. 2" });
    rows.push({ name: "+ MLP", values: () => minus(found.tokens[b + 1], found.between[b]), line: "Eq. 3" });
    rows.push({ name: `= block ${b + 1}`, values: () => vector(found.tokens[b + 1]), layer: b + 1, line: "Eq. 3" });
  }
  for (const row of rows) {
    const tell = (i) => ({ value: `${row.name}, number ${i + 1} of ${reader()}: ${short(row.values()[i])}`, shape: `${dim} numbers`, line: row.line });
    Object.assign(row, strip(row.name, dim, tell), { label: row.name });
    row.note = make("span", "", { className: "note" });
    row.element.classList.toggle("sum", row.layer !== undefined);
    row.element.append(row.note);
    list.append(row.element);
  }
  const heading = make("div", null, { className: "strip head" });
  heading.append(make("span", ""), make("span", ""), make("span", "class predicted here", { className: "note" }));
  list.prepend(heading);
  const text = caption();
  figure.append(list, text);
  text.classList.add("wide");
  return () => {
    const start = state.token < FIRST ? "The start of the class token is the same for every image: it has not received anything from a patch yet. " : "";
    text.textContent = `${start}The head was trained for the end of the class token only: elsewhere, read its class as a hint. The length of a vector is not its importance.`;
    heading.children[1].textContent = `the ${dim} numbers of ${reader()}`;
    const values = rows.map((row) => row.values()), far = largest(...values) * 0.6;
    rows.forEach((row, i) => {
      row.draw(values[i], { far });
      if (row.layer === undefined) {
        const size = (v) => Math.hypot(...v);
        row.note.textContent = `length ${short(size(values[i]))}`;
        return;
      }
      const shares = found.read[row.layer][state.token], best = argmax(shares), bar = make("i", "");
      bar.style.width = `${100 * shares[best]}%`;
      row.note.replaceChildren(bar, make("b", classes[best]), make("span", percent(shares[best])));
      explain(row.note, () => ({ value: `If ${reader()} were read after ${row.layer} blocks: ${classes[best]}, ${percent(shares[best])}`, shape: `${classes.length} logits`, line: "head" }));
    });
  };
};

SCREENS["step-7"] = (figure) => {
  const { dim } = parts;
  let chosen = null, image = null;
  const weights = () => rowOf(parts.head, chosen, dim), product = () => weights().map((v, i) => v * found.y[i]);
  const tell = (name, values, line) => (i) => ({ value: `${name()}, number ${i + 1}: ${short(values()[i])}`, shape: `${dim} numbers`, line });
  const list = [
    [() => `y = LN(z${subscript(sizes.blocks)})`, () => found.y, "Eq. 4"], [() => `× ${classes[chosen]}`, weights, "head"], [() => "= evidence", product, "head"],
  ].map(([name, values, line]) => ({ ...strip("", dim, tell(name, values, line), { label: "Class token to logit" }), values, label: name }));
  const table = make("div", null, { className: "logits" }), text = caption(), title = make("h3", "");
  const rows = classes.map((name, i) => {
    const row = make("button", null, { type: "button" });
    row.onclick = () => {
      chosen = i;
      render();
    };
    table.append(row);
    return explain(row, () => ({
      value: `${name}: logit ${short(found.logits[i])}, probability ${percent(found.shares[i])}`, shape: `logits: ${classes.length}`, line: "head",
    }));
  });
  const sum = panel(null, title, ...list.map(({ element }) => element), text);
  figure.append(sum, panel("Logit and probability of every class", table));
  sum.classList.add("grow", "tall");
  return () => {
    if (image !== state.whole) [chosen, image] = [argmax(found.shares), state.whole];
    title.textContent = `Evidence for “${classes[chosen]}”`;
    for (const each of list) {
      each.name.textContent = each.label();
      each.draw(each.values(), { far: largest(each.values()) });
    }
    const bias = parts.headBias?.[chosen] ?? 0, total = product().reduce((a, b) => a + b, 0);
    text.textContent = `The ${dim} products add up to ${short(total)}; with the bias ${short(bias)} that is the logit ${short(total + bias)}.`;
    const far = largest(found.logits);
    rows.forEach((row, i) => {
      const logit = make("span", null, { className: "logit" }), bar = make("i", ""), share = make("span", null, { className: "share" });
      const size = (50 * Math.abs(found.logits[i])) / far;
      bar.style.cssText = `width:${size}%;left:${found.logits[i] < 0 ? 50 - size : 50}%`;
      bar.className = found.logits[i] < 0 ? "minus" : "plus";
      logit.append(bar);
      const fill = make("i", "");
      fill.style.width = `${100 * found.shares[i]}%`;
      share.append(fill, make("span", percent(found.shares[i])));
      row.replaceChildren(make("span", classes[i], { className: "name" }), logit, share);
      row.setAttribute("aria-pressed", i === chosen);
    });
  };
};

SCREENS["step-8"] = (figure) => {
  const { dim, hidden } = parts, { heads, blocks } = sizes, tokens = FIRST + PATCHES, { height, width, channels } = state.image;
  const size = found.patches.length / PATCHES, params = (...shapes) => shapes.reduce((sum, [a, b = 1]) => sum + a * b, 0);
  const usual = (data) => Float32Array.from(data, Math.abs).sort()[Math.floor(0.97 * (data.length - 1))] || 1; // few are larger
  const matrix = (data, rows, columns) => data && numbersToPixels(data, rows, columns, { far: usual(data) });
  const minus = (a, b) => a && a.map((v, i) => v - b[i]);
  const b = () => state.block, all = `${tokens} × ${dim}`;
  const weights = {
    qkv: params([2 * dim], [dim, 3 * dim], [3 * dim]), out: params([dim, dim], [dim]), mlp: params([2 * dim], [dim, hidden], [hidden], [hidden, dim], [dim]),
  };
  const boxes = [ // name, shape, number of weights, pixels, line of code, kind
    ["Image", `${height} × ${width} × ${channels}`, 0, () => overlay(state.image), "normalize"],
    ["Patches", `${PATCHES} × ${size}`, 0, () => matrix(found.patches, PATCHES, size), "patches"],
    ["Tokens z₀", all, params([size, dim], [dim], [tokens, dim], [dim]), () => matrix(found.tokens[0], tokens, dim), "Eq. 1"],
    ["LN → q, k, v", `${tokens} × 3 · ${dim}`, weights.qkv, () => matrix(found.qkv[b()], tokens, 3 * dim), "Eq. 5"],
    ["Attention A", `${heads} × ${tokens} × ${tokens}`, 0, () => found.attention[b()] && join(found.attention[b()].map((a) => {
      return toPixels(colorsOf({ values: a }), tokens, tokens);
    }), 2, 3), "Eq. 6"],
    ["A v, projected", all, weights.out, () => matrix(minus(found.between[b()], found.tokens[b()]), tokens, dim), "Eq. 8"],
    [() => `+ z${subscript(b())} = z′${subscript(b() + 1)}`, all, 0, () => matrix(found.between[b()], tokens, dim), "Eq. 2", "sum three"],
    [`LN → MLP, ${hidden}`, all, weights.mlp, () => matrix(minus(found.tokens[b() + 1], found.between[b()]), tokens, dim), "Eq. 3"],
    [() => `+ z′${subscript(b() + 1)} = z${subscript(b() + 1)}`, all, 0, () => matrix(found.tokens[b() + 1], tokens, dim), "Eq. 3", "sum two"],
    [`y = LN(z${subscript(blocks)})`, `class token: ${dim}`, params([2 * dim]), () => matrix(found.y, 4, dim / 4), "Eq. 4"],
    ["Logits", `${classes.length}`, params([dim, classes.length], [classes.length]), () => matrix(found.logits, 1, classes.length), "head"],
  ].map(([name, shape, total, pixels, line, kind = ""]) => {
    const element = make("div", null, { className: `box ${kind}`, tabIndex: 0 }), canvas = make("canvas", null), title = make("b", "");
    const called = () => (typeof name === "string" ? name : name()), written = total ? `${total.toLocaleString("en")} weights` : "";
    element.setAttribute("role", "group");
    element.append(title, canvas, make("span", shape, { className: "shape" }));
    if (total) element.append(make("span", written, { className: "soft" }));
    explain(element, () => ({ value: `${called()}${total ? `: ${written}` : ""}`, shape, line }));
    const draw = () => {
      title.textContent = called();
      element.setAttribute("aria-label", `${called()}: ${shape}`);
      const image = pixels();
      canvas.hidden = !image;
      if (image) paint(canvas, image);
      canvas.style.imageRendering = canvas.width > 110 ? "auto" : "pixelated"; // not shrunk
    };
    return { element, draw };
  });
  const block = chooseBlock(), inside = make("div", null, { className: "block" }), flow = (from, to) => {
    const row = make("div", null, { className: "flow" });
    row.append(...boxes.slice(from, to).map(({ element }) => element));
    return row;
  };
  const title = make("div", null, { className: "choices" }), each = weights.qkv + weights.out + weights.mlp;
  title.append(make("h3", `${blocks} blocks, one after another, of ${each.toLocaleString("en")} weights each`), block.element);
  inside.append(title, flow(3, 9));
  const down = () => make("span", "↓", { className: "down" });
  figure.append(flow(0, 3), down(), inside, down(), flow(9, 11));
  return () => {
    block.draw(state.block);
    for (const box of boxes) box.draw();
  };
};
