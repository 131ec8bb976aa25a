"use strict";
// Weights as text: Base64 of compressed bytes, which are float16 numbers or, for each output, a
// scale and int8 numbers.

/** Returns the value of each of the 65,536 float16 numbers. */
function halves() {
  return Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  });
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Returns {name: {data, shape}} of `entries`, each of which is a piece of the text. */
async function readTensors(entries, text, progress = () => {}) {
  const table = halves(), tensors = {};
  for (const { name, shape, kind, start, end } of entries) {
    const bytes = Uint8Array.from(atob(text.slice(start, end)), (letter) => letter.charCodeAt(0));
    tensors[name] = { shape, data: READERS[kind](await inflate(bytes), shape, table) };
    progress(end / text.length);
  }
  return tensors;
}

const READERS = {
  float16: (buffer, shape, table) => Float32Array.from(new Uint16Array(buffer), (bits) => table[bits]),
  int8(buffer, [rows, columns]) {
    const scales = new Float32Array(buffer, 0, rows), numbers = new Int8Array(buffer, 4 * rows);
    const data = new Float32Array(numbers.length);
    for (let i = 0; i < data.length; i++) data[i] = numbers[i] * scales[Math.floor(i / columns)];
    return data;
  },
};
