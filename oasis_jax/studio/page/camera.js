/** The view of an image in a pane: scale and offset, in CSS pixels. Both panes share one camera, so that they show the same part. */

/** Scroll distance of a wheel event in CSS pixels, at most 60, as for one notch of a mouse wheel; downwards is positive. */
export function turnOf({deltaMode, deltaY}) {
  return Math.max(-60, Math.min(60, deltaMode ? 30 * deltaY : deltaY));
}

export class Camera {
  scale = 1;
  x = 0;
  y = 0;
  fitted = true; // the image fills the pane until the user zooms or pans

  /** The scale at which an image fits into a pane. */
  static fitScale(pane, shape, margin = 12) {
    return Math.max(0.01, Math.min((pane.width - 2 * margin) / shape.width, (pane.height - 2 * margin) / shape.height));
  }

  fit(pane, shape) {
    this.scale = Camera.fitScale(pane, shape);
    this.x = (pane.width - this.scale * shape.width) / 2;
    this.y = (pane.height - this.scale * shape.height) / 2;
    this.fitted = true;
  }

  /** Zooms around a point of the pane. */
  zoom(factor, at) {
    const scale = Math.min(64, Math.max(0.1, this.scale * factor));
    this.x = at.x - ((at.x - this.x) * scale) / this.scale;
    this.y = at.y - ((at.y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
  }

  /** Pans as little as needed for a point of the image to be inside the pane, with a margin. */
  reveal(point, pane, margin = 40) {
    if (this.fitted) return;
    const missing = (at, side) => {
      const least = Math.min(margin, side / 2);
      return Math.max(least - at, Math.min(0, side - least - at));
    };
    const at = this.toPane(point);
    this.pan(missing(at.x, pane.width), missing(at.y, pane.height));
  }

  /** Converts CSS pixels of the pane to pixels of the image; `toPane` is the inverse. */
  toImage({x, y}) {
    return {x: (x - this.x) / this.scale, y: (y - this.y) / this.scale};
  }

  toPane({x, y}) {
    return {x: x * this.scale + this.x, y: y * this.scale + this.y};
  }
}
