"use strict";
// Maps as colors: {values, grid: [rows, columns], signed, far}.

const SEQUENTIAL = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const SIGNED = [[45, 0, 75], [153, 142, 195], [247, 247, 247], [241, 163, 64], [127, 59, 8]];

/**
 * Returns a color for each value, null for one that is not known yet. With `far`, colors go from 0
 * to `far`. Without it, they start at the lowest value, and the highest 3 % share one color, so that
 * a few do not darken all others. Signed values go from -far to far, by default the largest magnitude.
 */
function colorsOf({ values, signed, far }) {
  const sorted = Array.from(values).filter((v) => !Number.isNaN(v)).sort((a, b) => a - b);
  if (signed) far ??= Math.max(0.01, ...sorted.map(Math.abs));
  const [low, high] = far ? [signed ? -far : 0, far] : [sorted[0], sorted[Math.floor(0.97 * (sorted.length - 1))]];
  const scale = signed ? SIGNED : SEQUENTIAL;
  return Array.from(values, (v) => {
    if (Number.isNaN(v)) return null;
    const place = 4 * Math.max(0, Math.min(1, (v - low) / (high - low || 1)));
    const i = Math.min(3, Math.floor(place));
    return scale[i].map((a, c) => a + (place - i) * (scale[i + 1][c] - a));
  });
}

/** Returns the number of the cell that contains a pixel. */
function cellOf(pixel, width, height, [rows, columns]) {
  const row = Math.floor((Math.floor(pixel / width) * rows) / height);
  return row * columns + Math.floor(((pixel % width) * columns) / width);
}

/** Returns the ImageData of an image, under the colors of a map if there is one. */
function overlay({ height, width, channels, data }, map) {
  const pixels = new ImageData(width, height), colors = map && colorsOf(map);
  for (let i = 0; i < height * width; i++) {
    const [r, g, b] = [0, 1, 2].map((c) => data[i * channels + (c % channels)]);
    const color = map && colors[cellOf(i, width, height, map.grid)];
    const gray = 0.299 * r + 0.587 * g + 0.114 * b;
    const rgb = color ? color.map((v) => 0.6 * v + 0.4 * gray) : [r, g, b];
    pixels.data.set([...rgb, 255], 4 * i);
  }
  return pixels;
}
