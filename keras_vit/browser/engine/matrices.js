"use strict";
// The operations of the engine: matrices, their product, softmax, activations.

/** Rows of numbers, or a view of the columns of another matrix from `offset` on. */
class Matrix {
  constructor(rows, columns, data = new Float32Array(rows * columns), offset = 0, stride = columns) {
    Object.assign(this, { rows, columns, data, offset, stride });
  }

  view(first, columns) {
    return new Matrix(this.rows, columns, this.data, this.offset + first, this.stride);
  }

  start(i) {
    return this.offset + i * this.stride;
  }

  row(i) {
    return this.data.subarray(this.start(i), this.start(i) + this.columns);
  }
}

const spare = new Map();

/** A matrix to write to. Layers of the same kind, which run one after another, share it. */
function scratch(name, rows, columns) {
  let matrix = spare.get(name);
  if (matrix?.rows !== rows || matrix?.columns !== columns) {
    spare.set(name, (matrix = new Matrix(rows, columns)));
  }
  return matrix;
}

/**
 * Writes a b^T + bias to `out`. Sixteen sums are computed at a time, so eight numbers that are read
 * give sixteen products, and four rows of `b` stay in the cache for all of `a`. At an edge, the
 * last row is used again, and its sums are written again.
 */
function product(a, b, out, bias = null) {
  const x = a.data, w = b.data, y = out.data, length = a.columns, { min } = Math;
  const lastI = a.rows - 1, lastJ = b.rows - 1;
  for (let j = 0; j <= lastJ; j += 4) {
    const j1 = min(j + 1, lastJ), j2 = min(j + 2, lastJ), j3 = min(j + 3, lastJ);
    const w0 = b.start(j), w1 = b.start(j1), w2 = b.start(j2), w3 = b.start(j3);
    const c0 = bias ? bias[j] : 0, c1 = bias ? bias[j1] : 0, c2 = bias ? bias[j2] : 0, c3 = bias ? bias[j3] : 0;
    for (let i = 0; i <= lastI; i += 4) {
      const i1 = min(i + 1, lastI), i2 = min(i + 2, lastI), i3 = min(i + 3, lastI);
      const x0 = a.start(i), x1 = a.start(i1), x2 = a.start(i2), x3 = a.start(i3);
      let s00 = c0, s01 = c1, s02 = c2, s03 = c3, s10 = c0, s11 = c1, s12 = c2, s13 = c3;
      let s20 = c0, s21 = c1, s22 = c2, s23 = c3, s30 = c0, s31 = c1, s32 = c2, s33 = c3;
      for (let k = 0; k < length; k++) {
        const p = w[w0 + k], q = w[w1 + k], r = w[w2 + k], s = w[w3 + k];
        const t = x[x0 + k], u = x[x1 + k], v = x[x2 + k], z = x[x3 + k];
        s00 += t * p; s01 += t * q; s02 += t * r; s03 += t * s;
        s10 += u * p; s11 += u * q; s12 += u * r; s13 += u * s;
        s20 += v * p; s21 += v * q; s22 += v * r; s23 += v * s;
        s30 += z * p; s31 += z * q; s32 += z * r; s33 += z * s;
      }
      const y0 = out.start(i), y1 = out.start(i1), y2 = out.start(i2), y3 = out.start(i3);
      y[y0 + j] = s00; y[y0 + j1] = s01; y[y0 + j2] = s02; y[y0 + j3] = s03;
      y[y1 + j] = s10; y[y1 + j1] = s11; y[y1 + j2] = s12; y[y1 + j3] = s13;
      y[y2 + j] = s20; y[y2 + j1] = s21; y[y2 + j2] = s22; y[y2 + j3] = s23;
      y[y3 + j] = s30; y[y3 + j1] = s31; y[y3 + j2] = s32; y[y3 + j3] = s33;
    }
  }
  return out;
}

function add(x, y) {
  for (let i = 0; i < x.data.length; i++) x.data[i] += y.data[i];
}

/** Replaces each row by e^row, divided by its sum. */
function softmax(matrix) {
  for (let i = 0; i < matrix.rows; i++) {
    const row = matrix.row(i);
    let largest = -Infinity, sum = 0;
    for (let j = 0; j < row.length; j++) if (row[j] > largest) largest = row[j];
    for (let j = 0; j < row.length; j++) sum += row[j] = Math.exp(row[j] - largest);
    for (let j = 0; j < row.length; j++) row[j] /= sum;
  }
  return matrix;
}

// --- Activations ---------------------------------------------------------------------------------
/** erf to 1.5e-7: formula 7.1.26 of Abramowitz and Stegun. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

const ACTIVATIONS = {
  linear: (x) => x,
  tanh: Math.tanh,
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  approximate: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
  quick: (x) => x / (1 + Math.exp(-1.702 * x)),
  silu: (x) => x / (1 + Math.exp(-x)),
};
