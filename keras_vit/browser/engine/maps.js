"use strict";
// The maps that the page shows for an image, those of keras_vit.explain: rows of patches.

/** Returns e^x / sum e^x. */
function probabilities(logits) {
  return softmax(new Matrix(1, logits.length, Float32Array.from(logits))).data;
}

/** Returns the weights that average rows of A: the class token's row, or the mean of the patches' rows. */
function queries(tokens, { prefix_tokens, pools_patches }) {
  const first = pools_patches ? prefix_tokens : 0, count = pools_patches ? tokens - prefix_tokens : 1;
  return Float32Array.from({ length: tokens }, (_, i) => (i >= first && i < first + count ? 1 / count : 0));
}

/** Returns the product row A of a row vector and a matrix. */
function through(row, a) {
  const out = new Float32Array(a.columns);
  for (let i = 0; i < a.rows; i++) {
    if (row[i]) for (let j = 0; j < a.columns; j++) out[j] += row[i] * a.data[i * a.columns + j];
  }
  return out;
}

/** Returns the attention of the class token, or the mean over pooled patches, a map for each head. */
function tokenAttention(maps, sizes) {
  return maps.map((a) => through(queries(a.rows, sizes), a).subarray(sizes.prefix_tokens));
}

/** Attention rollout, Appendix D.8: how much of each patch reaches the class token; sums to 1. */
function rollout(attention, sizes) {
  let row = queries(attention[0][0].rows, sizes);
  for (const maps of [...attention].reverse()) {
    const heads = maps.map((a) => through(row, a)); // 0.5 A + 0.5 I, A the mean of the heads
    row = row.map((v, j) => 0.5 * v + heads.reduce((sum, head) => sum + (0.5 * head[j]) / maps.length, 0));
  }
  const patches = row.subarray(sizes.prefix_tokens), sum = patches.reduce((a, b) => a + b, 0);
  return patches.map((v) => (sum > 0 ? v / sum : 0));
}

// Measures of a prediction: the probability of a class, or the lead of its logit over the next one.
const MEASURES = {
  probability: (logits, label) => probabilities(logits)[label],
  lead: (logits, label) => logits[label] - Math.max(...logits.filter((_, i) => i !== label)),
};

/**
 * Covers one cell after the other with the mean color of the image. Calls show(cell, fall) with the
 * drop in the class's measure without the cell; stops when show returns false. `ways`: see
 * engine.js.
 */
async function occlude(vit, image, label, [rows, columns], show, ways = {}, measure = "probability") {
  const { data, height, width, channels } = image, size = height * width;
  const color = Array.from({ length: channels }, (_, c) => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += data[i * channels + c];
    return sum / size;
  });
  const sure = (input) => MEASURES[measure](vit.call(input, ways), label);
  const whole = sure(image), h = height / rows, w = width / columns;
  for (let cell = 0; cell < rows * columns; cell++) {
    const covered = Float32Array.from(data), top = Math.floor(cell / columns) * h, left = (cell % columns) * w;
    for (let i = top; i < top + h; i++) {
      for (let j = left; j < left + w; j++) covered.set(color, (i * width + j) * channels);
    }
    if (!(await show(cell, whole - sure({ ...image, data: covered })))) return;
  }
}

/** Returns the finest grid of cells, each of whole patches, that has at most `most` cells. */
function coarsen([rows, columns], most = 64) {
  for (let side = 1; ; side++) {
    const fits = rows % side === 0 && columns % side === 0;
    if (fits && (rows / side) * (columns / side) <= most) return [rows / side, columns / side];
    if (side > Math.max(rows, columns)) return [rows, columns];
  }
}
