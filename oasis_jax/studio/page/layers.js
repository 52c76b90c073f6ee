/** Layers that panes draw. Each has a canvas of the image's size, which is filled from bytes. */

export class Layer {
  canvas = document.createElement("canvas");
  empty = true;

  /** Fills the layer with RGBA bytes. */
  set(rgba, {width, height}) {
    this.resize({width, height});
    this.canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
    this.empty = false;
  }

  /** Fills the layer, or a window of it, with RGB bytes. */
  setRgb(rgb, {width, height, left = 0, top = 0}, shape = {width, height}) {
    this.resize(shape);
    const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let i = 0, j = 0; i < rgb.length; i += 3, j += 4) {
      rgba[j] = rgb[i];
      rgba[j + 1] = rgb[i + 1];
      rgba[j + 2] = rgb[i + 2];
    }
    this.canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), left, top);
    this.empty = false;
  }

  /** Fills the layer, or the pixels {left, top, right, bottom} of it, with the colours of ids; `colours` holds packed RGBA. */
  setIds(labels, shape, colours, {left, top, right, bottom} = {left: 0, top: 0, right: shape.width, bottom: shape.height}) {
    const [width, height] = [right - left, bottom - top];
    if (!width || !height) return;
    this.resize(shape);
    const rgba = new Uint32Array(width * height);
    for (let y = 0, j = 0; y < height; y++) {
      for (let i = (top + y) * shape.width + left, end = i + width; i < end; i++, j++) rgba[j] = colours[labels[i]];
    }
    this.canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(rgba.buffer), width, height), left, top);
    this.empty = false;
  }

  resize({width, height}) {
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, {width, height});
  }
}

/** Colours [r, g, b] as opaque RGBA in 32 bits, in the byte order of this machine. */
export function packedColours(colours) {
  return new Uint32Array(Uint8Array.from(colours.flatMap((colour) => [...colour, 255])).buffer);
}

/** Line segments [x0, y0, x1, y1, ...] as a Path2D. */
export function pathOf(lines) {
  const path = new Path2D();
  for (let i = 0; i < lines.length; i += 4) {
    path.moveTo(lines[i], lines[i + 1]);
    path.lineTo(lines[i + 2], lines[i + 3]);
  }
  return path;
}
