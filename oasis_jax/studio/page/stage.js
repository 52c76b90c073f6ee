/**
 * The panes that show label map and photo, with selection, locks, lasso and brush drawn over both. Pointer and key events are converted
 * to pixels of the image here.
 */
import {Camera, turnOf} from "./camera.js";
import {make} from "./elements.js";
import {diskCorner, diskRows, maskEdges} from "./ids.js";
import {Layer, pathOf} from "./layers.js";
import {Pointers} from "./pointers.js";

const KEY_STEPS = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]};

export class Stage {
  camera = new Camera();
  layers = {labels: new Layer(), photo: new Layer(), compared: new Layer(), map: new Layer()};
  cursor = null; // point of the image under the pointer, or where the arrow keys moved it
  outlines = {};
  ratio = null; // device pixels per CSS pixel, as the canvases were sized
  onRatio = () => this.arrange();
  pointers = new Pointers((...fingers) => this.pinch(...fingers)); // shared with the handles that lie over the canvases

  /**
   * @param hooks {down(point, event), move(points, event), up(), cancel(), toggle(point, event), hover(point or null), look() (as
   *   `Desk.look`), shape(), resizeBrush(steps), prepare() and drawn() (optional; called before and after drawing)}.
   */
  constructor(hooks) {
    this.hooks = hooks;
    this.panes = ["labels", "photo"].map((kind) => this.pane(kind));
    this.element = make("div", {class: "stage"}, ...this.panes.map(({element}) => element));
    this.observer = new ResizeObserver(() => this.arrange());
    this.observer.observe(this.element);
  }

  pane(kind) {
    const title = kind === "labels" ? "Label map" : "Photo";
    const canvas = make("canvas", {
      tabIndex: 0,
      role: "application",
      "aria-label": `${title}. Arrow keys move the pen, Enter puts it down and lifts it, Escape cancels.`,
      onkeydown: (event) => this.key(event),
      onblur: () => this.moveCursor(null),
      onpointerdown: (event) => this.pointer(event),
      onpointermove: (event) => this.pointer(event),
      onpointerup: (event) => this.pointer(event),
      onpointercancel: (event) => this.pointer(event),
      onlostpointercapture: (event) => this.pointers.up(event), // also when the pane is hidden
      onpointerleave: () => !this.pointers.gesture && !this.byKeys && this.moveCursor(null),
    });
    canvas.addEventListener("wheel", (event) => this.wheel(event), {passive: false});
    const over = make("div", {class: "over"});
    const caption = make("span", {class: "caption", textContent: title});
    return {kind, canvas, over, caption, element: make("div", {class: `pane ${kind}`}, canvas, over, caption)};
  }

  close() {
    this.observer.disconnect();
    this.resolution?.removeEventListener("change", this.onRatio);
  }

  /** Reads the device pixels per CSS pixel. The ResizeObserver does not report that they change, as on another screen. */
  readRatio() {
    const ratio = window.devicePixelRatio || 1;
    if (ratio === this.ratio) return;
    this.ratio = ratio;
    this.resolution?.removeEventListener("change", this.onRatio);
    this.resolution = matchMedia(`(resolution: ${ratio}dppx)`);
    this.resolution.addEventListener("change", this.onRatio);
  }

  /** Shows or hides the label pane, puts the panes in a row or a column, whichever shows the image larger, and resizes the canvases. */
  arrange() {
    const {width, height} = this.element.getBoundingClientRect();
    if (!width || !height) return;
    const {mode} = this.hooks.look();
    const shape = this.hooks.shape();
    this.panes[0].element.hidden = mode !== "side";
    const across = Camera.fitScale({width: width / 2, height}, shape) >= Camera.fitScale({width, height: height / 2}, shape);
    this.element.classList.toggle("across", across);
    this.readRatio();
    for (const {canvas, element} of this.panes) {
      if (element.hidden) continue;
      const box = element.getBoundingClientRect();
      canvas.width = Math.max(1, Math.round(box.width * this.ratio));
      canvas.height = Math.max(1, Math.round(box.height * this.ratio));
    }
    if (this.camera.fitted) this.camera.fit(this.size, shape);
    this.draw();
  }

  /** Size of a pane in CSS pixels. */
  get size() {
    const {width, height} = this.panes[1].element.getBoundingClientRect();
    return {width, height};
  }

  fit() {
    this.camera.fit(this.size, this.hooks.shape());
    this.draw();
  }

  zoom(factor, at = {x: this.size.width / 2, y: this.size.height / 2}) {
    this.camera.zoom(factor, at);
    this.draw();
  }

  /** The outline of a mask as a Path2D, cached by name until the mask changes. */
  outline(name, mask) {
    if (this.outlines[name]?.mask !== mask) this.outlines[name] = {mask, path: mask && pathOf(maskEdges(mask, this.hooks.shape()))};
    return this.outlines[name].path;
  }

  /** Draws in the next animation frame; several calls result in one. */
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.ratio !== (window.devicePixelRatio || 1)) return this.arrange();
      this.hooks.prepare?.();
      const look = this.hooks.look();
      for (const pane of this.panes) if (!pane.element.hidden) this.drawPane(pane, look);
      this.hooks.drawn?.();
    });
  }

  drawPane({kind, canvas}, look) {
    const context = canvas.getContext("2d");
    const {scale, x, y} = this.camera;
    const {ratio} = this;
    const shape = this.hooks.shape();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(scale * ratio, 0, 0, scale * ratio, x * ratio, y * ratio);
    const show = (layer, {alpha = 1, smooth = true, from = 0, to = 1} = {}) => {
      if (layer.empty || !alpha || from >= to) return;
      context.globalAlpha = alpha;
      context.imageSmoothingEnabled = smooth;
      context.imageSmoothingQuality = "high";
      const {width, height} = layer.canvas;
      context.drawImage(
        layer.canvas,
        from * width,
        0,
        (to - from) * width,
        height,
        from * shape.width,
        0,
        (to - from) * shape.width,
        shape.height,
      );
      context.globalAlpha = 1;
    };
    if (kind === "labels") show(this.layers.labels, {smooth: false});
    else {
      show(this.layers.photo);
      const from = look.compared ? look.wipe : 0; // overlays belong to the current image, not to the step that it is compared with
      if (look.mode === "overlay") show(this.layers.labels, {alpha: look.opacity, smooth: false, from});
      if (look.map) show(this.layers.map, {alpha: look.map, from});
      if (look.compared) {
        show(this.layers.compared, {to: look.wipe});
        this.stroke(context, pathOf([look.wipe * shape.width, 0, look.wipe * shape.width, shape.height]));
      }
    }
    this.drawOver(context, look);
  }

  drawOver(context, look) {
    if (look.locked) this.stroke(context, this.outline("locked", look.locked), [3, 3]);
    if (look.selection) this.stroke(context, this.outline("selection", look.selection));
    if (look.path) {
      const lasso = new Path2D();
      look.path.forEach((point, i) => (i ? lasso.lineTo(point.x, point.y) : lasso.moveTo(point.x, point.y)));
      this.stroke(context, lasso);
    }
    if (!this.cursor || !look.brush) return;
    const {size, colour} = look.brush;
    const corner = diskCorner(this.cursor, size);
    const mask = new Uint8Array(size * size);
    diskRows(size).forEach(([first, last], row) => mask.fill(1, row * size + first, row * size + last + 1));
    context.translate(corner.x, corner.y);
    if (colour) {
      context.fillStyle = colour;
      context.globalAlpha = 0.55;
      diskRows(size).forEach(([first, last], row) => context.fillRect(first, row, last - first + 1, 1));
      context.globalAlpha = 1;
    }
    this.stroke(context, pathOf(maskEdges(mask, {width: size, height: size})));
    context.translate(-corner.x, -corner.y);
  }

  /** Strokes a path so that it is visible on any picture: white on a wider dark line, equally thin at any zoom. */
  stroke(context, path, dash = []) {
    const unit = 1 / this.camera.scale;
    context.lineJoin = "round";
    context.setLineDash([]);
    context.lineWidth = 3 * unit;
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    context.stroke(path);
    context.setLineDash(dash.map((length) => length * unit));
    context.lineWidth = 1.25 * unit;
    context.strokeStyle = "white";
    context.stroke(path);
    context.setLineDash([]);
  }

  moveCursor(point) {
    this.cursor = point;
    this.hooks.hover(point);
    this.draw();
  }

  pointOf(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return {x: event.clientX - box.left, y: event.clientY - box.top};
  }

  pointer(event) {
    const {pointers} = this;
    this.byKeys = false;
    if (event.type === "pointerdown") pointers.down(event, this.gesture(event));
    else if (event.type === "pointermove") pointers.move(event);
    else pointers.up(event);
    if (pointers.fingers.size < 2 && !pointers.ignores(event)) this.moveCursor(this.camera.toImage(this.pointOf(event)));
  }

  /** What a pointer does that is pressed on a canvas: it moves the view, or the tool. */
  gesture(event) {
    let last = this.pointOf(event);
    const pans = event.button === 1 || this.hooks.look().pans || this.spaceHeld;
    if (!pans) {
      return {
        begin: () => this.hooks.down(this.camera.toImage(last), event),
        move: (moved) => this.drag(moved),
        end: () => this.hooks.up(),
        cancel: () => this.hooks.cancel(),
      };
    }
    const move = (moved) => {
      const at = this.pointOf(moved);
      this.camera.pan(at.x - last.x, at.y - last.y);
      last = at;
    };
    return {begin() {}, move, end() {}, cancel() {}};
  }

  drag(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const passed = event.getCoalescedEvents?.() ?? [];
    const points = (passed.length ? passed : [event]).map(({clientX, clientY}) => ({x: clientX - box.left, y: clientY - box.top}));
    this.hooks.move(
      points.map((each) => this.camera.toImage(each)),
      event,
    );
  }

  /** Two fingers move and zoom the view. */
  pinch(before, now, fixed, pane) {
    const {left, top} = pane.getBoundingClientRect();
    const distance = (point) => Math.max(1, Math.hypot(point.x - fixed.x, point.y - fixed.y));
    this.camera.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoom(distance(now) / distance(before), {x: (now.x + fixed.x) / 2 - left, y: (now.y + fixed.y) / 2 - top});
  }

  wheel(event) {
    event.preventDefault();
    if (event.shiftKey || event.altKey) this.hooks.resizeBrush(Math.sign(event.deltaX || event.deltaY) < 0 ? 1 : -1);
    else this.zoom(Math.exp(-turnOf(event) / 300), this.pointOf(event));
  }

  /** Arrow keys move the pen by a pixel, with Shift by eight; Enter puts it down and lifts it. The view follows the pen. */
  key(event) {
    const step = KEY_STEPS[event.key];
    if (event.ctrlKey || event.metaKey || (!step && event.key !== "Enter")) return;
    event.preventDefault();
    event.stopPropagation();
    const shape = this.hooks.shape();
    const point = this.cursor ?? {x: Math.floor(shape.width / 2) + 0.5, y: Math.floor(shape.height / 2) + 0.5};
    const far = event.shiftKey ? 8 : 1;
    this.byKeys = true;
    const limited = (value, side) => Math.max(0.5, Math.min(side - 0.5, Math.floor(value) + 0.5));
    const moved = step ? {x: limited(point.x + far * step[0], shape.width), y: limited(point.y + far * step[1], shape.height)} : point;
    if (step) this.hooks.move([moved], event.altKey ? {shiftKey: true} : {});
    else this.hooks.toggle(moved, event);
    this.camera.reveal(moved, this.size);
    this.moveCursor(moved);
  }
}
