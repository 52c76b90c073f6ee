/** What the tools do when the pen is moved by a pointer or by the arrow keys. Points are in pixels of the image. */
import {connectedMask, isEmpty, joinedMask, paintLine, paintMask, paintRectangle, pixelsOf, polygonMask, rectAround} from "./ids.js";

/**
 * The tools in their order on the page; `selects` marks tools that change the selection, `sized` those that use the brush size, and `taps`
 * those that act once, at the point where the pen was put down, when it is lifted: until then, it may turn out to be one of two fingers.
 */
export const TOOLS = [
  {name: "brush", title: "Brush", key: "b", sized: true},
  {name: "eraser", title: "Eraser: back to the map as it was opened", key: "e", sized: true},
  {name: "fill", title: "Fill a connected region", key: "f", taps: true},
  {name: "line", title: "Line; Shift keeps to eight directions", key: "l", sized: true},
  {name: "rectangle", title: "Rectangle; Shift makes a square", key: "u"},
  {name: "pick", title: "Pick a class from the map, also Alt+click", key: "i", taps: true},
  {name: "wand", title: "Select a connected region", key: "w", selects: true, taps: true},
  {name: "lasso", title: "Select with a lasso", key: "s", selects: true},
  {name: "mask", title: "Select with a brush", key: "m", selects: true, sized: true},
  {name: "pan", title: "Move the view, also with Space held", key: "h"},
];

/** The tools that apply to a model; without noise, there is nothing to select for. */
export function toolsFor(info) {
  return TOOLS.filter(({selects}) => info.noise || !selects);
}

/** Moves the point `to` so that the line between the points has one of eight directions, or the rectangle between them is square. */
function constrained(from, to, tool) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  if (tool === "rectangle") {
    const side = Math.max(Math.abs(dx), Math.abs(dy));
    return {x: from.x + (Math.sign(dx) || 1) * side, y: from.y + (Math.sign(dy) || 1) * side};
  }
  const angle = (Math.round(Math.atan2(dy, dx) / (Math.PI / 4)) * Math.PI) / 4;
  const length = dx * Math.cos(angle) + dy * Math.sin(angle);
  return {x: from.x + length * Math.cos(angle), y: from.y + length * Math.sin(angle)};
}

export class Pen {
  /**
   * @param session Session whose labels are painted.
   * @param hooks {options() -> {tool, id, size, name, selection}, pick(id), select(mask), tell(text)}.
   */
  constructor(session, hooks) {
    Object.assign(this, {session, hooks, stroke: null});
  }

  get isDown() {
    return this.stroke !== null;
  }

  /** Whether it is down with a tool that acts once, when it is lifted. */
  get taps() {
    return Boolean(this.stroke?.taps);
  }

  /** The points of the lasso that is being drawn, or null. */
  get path() {
    return this.stroke?.tool === "lasso" ? this.stroke.path : null;
  }

  /** Puts the pen down; `how` says how a new selection is combined with the old one: "replace", "add" or "subtract". */
  down(point, how = "replace") {
    const {tool, id, size, name, selection} = this.hooks.options();
    const {state, history} = this.session;
    if (!state.labels) return;
    const {labels} = state;
    if (TOOLS.find((each) => each.name === tool).taps) this.stroke = {tool, taps: true, id, name, how, start: point};
    else if (tool !== "pan") {
      const stroke = {tool, id, size, name, how, start: point, last: point, before: labels.slice(), path: [point]};
      if (tool === "eraser") stroke.opened = history.at(history.opening).labels;
      if (tool === "eraser") stroke.mask = new Uint8Array(labels.length);
      if (tool === "mask") Object.assign(stroke, {selection, mask: selection?.slice() ?? new Uint8Array(labels.length)});
      this.stroke = stroke;
      this.moveThrough([point]);
    }
  }

  /** Runs a tool that acts once. */
  tap({tool, id, name, how, start}) {
    const {session, hooks} = this;
    const {labels, width, height} = session.state;
    const inside = start.x >= 0 && start.y >= 0 && start.x < width && start.y < height;
    const region = () => connectedMask(labels, session.state, start);
    if (tool === "wand") hooks.select(joinedMask(hooks.options().selection, region(), how));
    else if (inside && tool === "pick") hooks.pick(labels[Math.floor(start.y) * width + Math.floor(start.x)]);
    else if (inside) {
      paintMask(labels, region(), id);
      session.commit(`Fill with ${name}`);
    }
  }

  /** Moves the pen through points; a line or rectangle only ends at the last one. */
  moveThrough(points, straight = false) {
    const tool = this.stroke?.tool;
    for (const point of tool === "line" || tool === "rectangle" ? points.slice(-1) : points) this.move(point, straight);
    if (tool === "mask") this.hooks.select(this.stroke.mask.slice());
  }

  /** Moves the pen; has no effect unless it is down. */
  move(point, straight = false) {
    const {stroke} = this;
    if (!stroke || stroke.taps) return;
    const {state} = this.session;
    const {tool, id, size, start, last} = stroke;
    const to = straight && (tool === "line" || tool === "rectangle") ? constrained(start, point, tool) : point;
    if (tool === "brush") paintLine(state.labels, state, last, to, size, id);
    if (tool === "eraser") this.erase(last, to);
    if (tool === "line" || tool === "rectangle") state.labels.set(stroke.before);
    if (tool === "line") paintLine(state.labels, state, start, to, size, id);
    if (tool === "rectangle") paintRectangle(state.labels, state, start, to, id);
    if (tool === "lasso") stroke.path.push(to);
    if (tool === "mask") paintLine(stroke.mask, state, last, to, size, stroke.how === "subtract" ? 0 : 1);
    const whole = tool === "line" || tool === "rectangle";
    const corners = whole ? [start, last, to] : [last, to];
    stroke.last = to;
    if (tool !== "lasso" && tool !== "mask") this.session.painted(rectAround(corners, tool === "rectangle" ? 1 : size / 2 + 1));
  }

  /** Restores the map as it was opened along a line. */
  erase(from, to) {
    const {mask, opened, size} = this.stroke;
    const {state} = this.session;
    paintLine(mask, state, from, to, size, 1);
    const {left, top, right, bottom} = pixelsOf(rectAround([from, to], size / 2 + 1), state);
    for (let y = top; y < bottom; y++) {
      for (let i = y * state.width + left; i < y * state.width + right; i++) if (mask[i]) state.labels[i] = opened[i];
    }
  }

  /** Lifts the pen: the stroke becomes a step. */
  up() {
    const {stroke} = this;
    if (!stroke) return;
    this.stroke = null;
    if (stroke.tool === "mask") return;
    if (stroke.taps) return this.tap(stroke);
    if (stroke.tool === "lasso") {
      const mask = polygonMask(stroke.path, this.session.state);
      if (isEmpty(mask)) this.hooks.tell("The lasso contains no pixels: draw around some.");
      else this.hooks.select(joinedMask(this.hooks.options().selection, mask, stroke.how));
      return;
    }
    const verb = {brush: "Paint", line: "Line of", rectangle: "Rectangle of"}[stroke.tool];
    this.session.commit(stroke.tool === "eraser" ? "Erase" : `${verb} ${stroke.name}`);
  }

  /** Cancels the stroke; returns whether there was one. */
  cancel() {
    const {stroke} = this;
    if (!stroke) return false;
    this.stroke = null;
    if (stroke.tool === "mask") this.hooks.select(stroke.selection);
    else if (stroke.tool !== "lasso" && !stroke.taps) this.session.cancel();
    return true;
  }
}
