/** Where an image lies on a pane: a scale and an offset, in CSS pixels. Both panes share one, so that they show the same part. */

/** How far a wheel was turned by an event, in CSS pixels: downwards is positive, and a notch of a mouse is 60. */
export function turnOf({deltaMode, deltaY}) {
  return Math.max(-60, Math.min(60, deltaMode ? 30 * deltaY : deltaY));
}

export class Camera {
  scale = 1;
  x = 0;
  y = 0;
  fitted = true; // until somebody zooms or pans, the image fills the pane

  /** The scale at which an image fills a pane. */
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

  /** From CSS pixels of the pane to pixels of the image, and back. */
  toImage({x, y}) {
    return {x: (x - this.x) / this.scale, y: (y - this.y) / this.scale};
  }

  toPane({x, y}) {
    return {x: x * this.scale + this.x, y: y * this.scale + this.y};
  }
}
