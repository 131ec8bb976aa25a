"use strict";
// The tasks of the Explorer's worker, in addition to those in worker.js.

const tail = () => vit.layers.slice(1 + vit.layers.findLastIndex((x) => x instanceof TransformerBlock));

/** Returns a list with an entry for each block; null for blocks that are left out. */
function alignBlocks(list, { blocks }) {
  return Array.from({ length: model.sizes.blocks }, (_, i) => (blocks?.has(i) ? null : list.shift()));
}

/** Restores the rows of tokens that were left out, and their columns in A, as zeros. */
function fillRows(data, columns, kept, count) {
  const isSquare = columns === null, width = isSquare ? count : columns;
  const old = isSquare ? kept.length : columns, out = new Float32Array(count * width);
  kept.forEach((place, i) => {
    const row = data.subarray(i * old, (i + 1) * old);
    if (isSquare) row.forEach((v, j) => (out[place * width + kept[j]] = v));
    else out.set(row, place * width);
  });
  return out;
}

/** Returns the probabilities that the layers after the blocks, without the pooling, give for each token. */
function readTokens(z, dim) {
  let x = new Matrix(z.length / dim, dim, z.slice());
  for (const layer of tail()) if (!(layer instanceof Pool)) x = layer.call(x, {});
  softmax(x);
  return Array.from({ length: x.rows }, (_, i) => x.row(i).slice());
}

/** Returns LN(z_L) of the class token. */
function normalizeClass(z, dim) {
  const norm = tail().find((x) => x instanceof LayerNorm);
  return norm.call(new Matrix(1, dim, z.slice(0, dim))).data.slice();
}

Object.assign(TASKS, {
  /** Answers with the weights that screens show. */
  parts() {
    const of = (kind) => vit.layers.find((layer) => layer instanceof kind);
    const encoder = of(PatchEncoder), head = vit.layers.at(-1);
    const { projection, positionEmbedding: positions, classToken } = encoder, { mean, deviation } = of(Normalize);
    self.postMessage({
      task: "parts", positions, classToken, mean, deviation, filters: projection.kernel.data, bias: projection.bias,
      dim: projection.kernel.rows, head: head.kernel.data, headBias: head.bias,
      hidden: of(TransformerBlock).mlp.contract.kernel.columns,
    });
  },

  /** Makes the model's input from pixels of any size. */
  prepare({ canvas, ...more }) {
    self.postMessage({ ...more, task: "prepared", image: prepare(canvas, model.sizes, false) });
  },

  /** Computes an image and answers with everything that a screen may show. */
  explore({ image, ways, ...more }) {
    const started = performance.now(), trace = { tokens: [], between: [], attention: [], qkv: [] };
    const logits = vit.call(image, { ...ways, trace }), { sizes } = model;
    const seconds = (performance.now() - started) / 1000;
    const count = sizes.prefix_tokens + sizes.grid[0] * sizes.grid[1];
    const isKept = (i) => !ways.without?.has(i - sizes.prefix_tokens);
    const kept = [...Array(count).keys()].filter(isKept), dim = trace.tokens[0].length / kept.length;
    const fill = (columns) => (data) => data && fillRows(data, columns, kept, count);
    const attention = alignBlocks([...trace.attention], ways);
    const rolled = new Float32Array(count - sizes.prefix_tokens);
    const few = trace.attention.length ? rollout(trace.attention, sizes) : [];
    few.forEach((v, i) => (rolled[kept[i + sizes.prefix_tokens] - sizes.prefix_tokens] = v));
    const patches = vit.layers.slice(0, 2).reduce((x, layer) => layer.call(x, {}), image);
    self.postMessage({
      ...more, task: "explored", seconds, logits, shares: probabilities(logits), rolled,
      patches: patches.data.slice(),
      tokens: trace.tokens.map(fill(dim)),
      between: alignBlocks(trace.between, ways).map(fill(dim)),
      qkv: alignBlocks(trace.qkv, ways).map(fill(3 * dim)),
      attention: attention.map((maps) => maps && maps.map((a) => fill(null)(a.data))),
      read: trace.tokens.map((z) => readTokens(fill(dim)(z), dim)),
      y: normalizeClass(trace.tokens.at(-1), dim),
    });
  },

  /** Answers with the probabilities of an image in two orders, with and without positions. */
  compare({ image, permutation }) {
    const share = (ways) => probabilities(vit.call(image, ways));
    const orders = [{}, { permutation }];
    const table = [true, false].map((positions) => orders.map((way) => share({ ...way, positions })));
    self.postMessage({ task: "compared", permutation, table });
  },

  /** Switches off one head after the other, and one block; answers with the drop in the class's lead. */
  ablate({ number, image, label, ways }) {
    const lead = (more) => MEASURES.lead(vit.call(image, { ...ways, ...more }), label), whole = lead({});
    const { blocks, heads } = model.sizes, list = (length, f) => Array.from({ length }, (_, i) => f(i));
    const without = (kind, item) => whole - lead({ [kind]: new Set([...(ways[kind] ?? []), item]) });
    const byHead = list(blocks, (i) => list(heads, (j) => without("heads", `${i} ${j}`)));
    self.postMessage({ task: "ablated", number, lead: whole, byHead, byBlock: list(blocks, (i) => without("blocks", i)) });
  },
});
