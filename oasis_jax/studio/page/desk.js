/** The state that all parts of a studio share: the image being edited, its photos, and the settings of the page. */
import {isEmpty, joinedRect, pixelsOf} from "./ids.js";
import {packedColours} from "./layers.js";
import {lockedMask, plainValues} from "./noise.js";
import {TOOLS} from "./pen.js";
import {Photos} from "./photos.js";
import {newSeed} from "./random.js";
import {RenderLoop} from "./render_loop.js";
import {imageOf, Session} from "./session.js";

/** Default settings of a page. */
export const FRESH_SETTINGS = {
  tool: "brush",
  size: 6,
  mode: "side",
  opacity: 0.5,
  scope: "image",
  selection: null,
  follow: "all",
  map: "none",
  compared: null,
  wipe: 0.5,
};

const PREVIEW_MARGIN = 12; // pixels around the painted area
const EXAMPLES_TRIED = 5; // before the page begins with a blank map
const REST = 250; // ms after a stroke before the exact image is requested, which takes longer than a preview

export class Desk {
  parts = []; // objects whose update() is called after changes
  compared = null; // photo of the step to compare with
  touched = null; // what was painted since the last request, {left, top, right, bottom}
  repainted = null; // what was painted since it was last shown

  /** @param hooks {tell(text), fail(error or null, rendering), note(text), busy(bool), show(name)}. */
  constructor({element, transport, info, store, history, ui, hooks}) {
    Object.assign(this, {element, transport, info, store, ...hooks});
    this.ui = {...FRESH_SETTINGS, id: info.classes.find((each) => !each.dont_care)?.id ?? 0, centres: !info.labels, ...ui};
    if (!info.labels) Object.assign(this.ui, {mode: "photo", scope: "image"});
    this.names = info.classes.map(({name}) => name);
    this.colours = packedColours(info.classes.map(({color}) => color));
    this.first = history.at(0);
    this.session = new Session(history, (change) => this.changed(change));
    this.loop = new RenderLoop((image, how) => transport.render(image, how), {
      shown: (photo, key) => this.shown(photo, key),
      failed: (error) => this.fail(error, true),
      busy: (busy) => this.busy(busy),
    });
    this.photos = new Photos(history, this.loop);
  }

  /** The heatmaps of the image; null if they have not arrived yet. */
  get rows() {
    return this.layout.rows;
  }

  /** Changes settings of the page. */
  set(part) {
    if (part.tool && part.tool !== this.ui.tool) this.tell(TOOLS.find(({name}) => name === part.tool).title);
    if (part.tool && TOOLS.find(({name}) => name === part.tool).selects) part = {scope: "selection", ...part};
    if (part.selection && isEmpty(part.selection)) part = {...part, selection: null};
    if (part.selection) part = {scope: "selection", ...part};
    Object.assign(this.ui, part);
    if (part.mode) this.stage.arrange();
    this.update();
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.save(), 300);
  }

  resizeBrush(steps) {
    const {size} = this.ui;
    this.set({size: Math.max(1, Math.min(64, size + steps * Math.max(1, Math.round(size / 8))))});
  }

  save() {
    clearTimeout(this.saving);
    this.saving = null;
    this.store.save(this.first, this.session.history, this.ui);
  }

  /** Runs a function; if it throws, shows the error to the user. */
  attempt(work) {
    try {
      return work();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Called when the session's state has changed. */
  changed({live, rect}) {
    const {session, ui, info} = this;
    const {state} = session;
    if (rect) {
      this.touched = joinedRect(this.touched, rect);
      this.repainted = joinedRect(this.repainted, rect);
    } else this.showLabels();
    if (!live && ui.selection && ui.selection.length !== state.height * state.width) ui.selection = null;
    if (!live && this.compared && this.photos.key(ui.compared) !== this.comparedKey) this.compareWith(null);
    if (!rect) this.layout.refresh(); // requested before the image, so that it need not wait for it
    const urgent = Boolean(live && rect && info.preview && this.photos.current);
    const ask = () => this.loop.request(() => this.described(urgent), urgent);
    clearTimeout(this.resting);
    if (this.painting && !live) this.resting = setTimeout(ask, REST);
    else ask();
    this.painting = urgent;
    if (!live) {
      this.save();
      this.transport.settled?.(imageOf(state));
    }
    if (rect) this.stage.draw();
    else this.update();
  }

  described(urgent) {
    const {state} = this.session;
    const {touched} = this;
    this.touched = null;
    return {
      image: imageOf(state),
      preview: urgent && touched ? windowAround(touched, state) : null,
      tag: this.session.isLive ? null : this.photos.key(),
    };
  }

  showLabels() {
    const {state} = this.session;
    this.repainted = null;
    if (state.labels) this.stage.layers.labels.setIds(state.labels, state, this.colours);
  }

  /** Shows what was painted since the last animation frame; there may be many events between two frames. */
  showPainted() {
    const {state} = this.session;
    if (this.repainted) this.stage.layers.labels.setIds(state.labels, state, this.colours, pixelsOf(this.repainted, state));
    this.repainted = null;
  }

  shown(photo, key) {
    const part = this.photos.take(photo, key);
    const {rgb, height, width, left = 0, top = 0} = part;
    this.stage.layers.photo.setRgb(rgb, {height, width, left, top}, this.photos.current);
    this.fail(null, true);
    this.stage.draw();
    this.element.dataset.photo = this.photos.version; // lets tests and scripts wait for a new photo
  }

  /** Updates all parts in the next animation frame; several calls result in one update. */
  update() {
    this.updating ??= requestAnimationFrame(() => {
      this.updating = null;
      for (const part of this.parts) part.update();
      const focused = this.element.querySelector(":focus");
      if (focused?.disabled || focused?.offsetParent === null) this.focus(); // otherwise key events would no longer reach the studio
      this.stage.draw();
    });
  }

  /** Compares with the photo at a position in the history; null ends the comparison. */
  async compareWith(position) {
    this.compared = null;
    this.set({compared: position});
    if (position === null) return;
    try {
      const photo = await this.photos.at(position);
      if (this.ui.compared !== position) return;
      if (photo.height !== this.session.state.height || photo.width !== this.session.state.width)
        throw new Error("This step has a different size and cannot be compared.");
      this.compared = photo;
      this.comparedKey = this.photos.key(position);
      this.stage.layers.compared.setRgb(photo.rgb, photo);
      this.update();
    } catch (error) {
      if (this.ui.compared === position) this.set({compared: null});
      this.fail(error);
    }
  }

  /** The two photos whose difference is shown: `before` (null until it is computed) and the current `photo`. */
  change() {
    const {history} = this.session;
    const position = this.ui.compared ?? Math.max(0, history.position - (this.session.isLive ? 0 : 1));
    const before = this.photos.ofSteps.get(this.photos.key(position));
    if (!before)
      this.photos.at(position).then(
        () => this.update(),
        (error) => this.fail(error),
      );
    return {before: before?.rgb ? before : null, photo: this.photos.current};
  }

  /** What the stage shows, and how: settings of its layers, and what is drawn over them. */
  look() {
    const {ui, session, info} = this;
    const {state} = session;
    const tool = TOOLS.find(({name}) => name === ui.tool);
    if (this.lockedOf !== state.values || this.lockedIn !== state.regionMap) this.locked = lockedMask(state);
    [this.lockedOf, this.lockedIn] = [state.values, state.regionMap];
    const paints = ui.tool === "brush" || ui.tool === "line";
    return {
      mode: ui.mode,
      opacity: ui.opacity,
      wipe: ui.wipe,
      compared: this.compared !== null,
      map: this.layout.picture(),
      selection: ui.selection,
      locked: this.locked,
      path: this.pen.path,
      pans: ui.tool === "pan" || !info.labels,
      brush:
        !info.labels || ui.tool === "pan"
          ? null
          : {size: tool.sized ? ui.size : 1, colour: paints ? `rgb(${info.classes[ui.id].color.join(" ")})` : null},
    };
  }

  /** Runs `move`, which goes to another step of the history; while the pen is down, it cancels the stroke instead. */
  travel(move) {
    if (this.pen.cancel()) this.update();
    else move();
  }

  /** The Escape key: cancels a stroke, else ends a comparison, else clears the selection, else dismisses the error. */
  giveUp() {
    if (this.pen.cancel()) this.update();
    else if (this.ui.compared !== null) this.compareWith(null);
    else if (this.ui.selection) this.set({selection: null});
    else this.fail(null);
  }

  /** The state for an image that a transport has opened. Without a seed, it keeps the current values except regions. */
  stateOf(opened) {
    const {info, session} = this;
    const height = opened.height ?? info.height;
    const width = opened.width ?? info.width;
    const whole = opened.seed !== undefined;
    const values = whole ? plainValues(opened.seed) : {...session.state.values, regions: []};
    if (whole) {
      for (const name of ["class_seeds", "end", "t", "heatmaps", "truncation", "style_seeds"])
        if (opened[name] !== undefined) values[name] = opened[name];
      values.end = values.end && {class_seeds: {}, ...values.end};
      values.regions = (opened.regions ?? []).map(({seed, end = null, t = 0}) => ({seed, end, t, locked: false}));
    }
    const regionMap = info.labels ? (opened.regionMap?.slice() ?? new Uint8Array(height * width)) : null;
    return {height, width, labels: info.labels ? opened.labels : null, regionMap, values};
  }

  async open(name, work) {
    try {
      this.tell(`Opening ${name} ...`);
      const opened = await work();
      this.fail(null);
      this.pen.cancel();
      this.set({selection: null, ...(this.ui.scope === "selection" ? {scope: "image"} : {})}); // it belonged to the previous image
      this.session.open(name, this.stateOf(opened));
      this.stage.fit();
      this.tell(`${name} is open.`);
      if (opened.notice) this.note(`${name} ${opened.notice}`);
    } catch (error) {
      this.tell("");
      this.fail(error);
    }
  }

  /** Tells the user how to begin, and shows the notice of `firstState`. */
  welcome(notice) {
    const {labels} = this.info;
    const first = labels ? "Choose a class and paint on either picture." : "New noise gives another photo.";
    if (this.store.database) this.tell(`${first} ? shows all keys.`);
    if (notice) this.note(notice);
  }

  openFile(file) {
    return this.open(file.name, () => this.transport.open(file, file.name));
  }

  openExample(name) {
    return this.open(name, () => this.transport.example(name));
  }

  openBlank() {
    return this.open(`Blank, ${this.names[this.ui.id]}`, async () => blankMap(this.info, this.ui.id));
  }
}

/** A label map filled with one class: {labels, height, width}. */
export function blankMap({height, width, classes}, id) {
  return {height, width, labels: new (classes.length > 256 ? Uint16Array : Uint8Array)(height * width).fill(id)};
}

/** The first example that can be read, or a blank map if there is none among the first few: {opened, notice}. */
async function firstMap(transport, info) {
  let fault = null;
  const notice = (name, opened) => [fault && `${fault}. ${name} is shown instead.`, opened.notice && `${name} ${opened.notice}`];
  for (const {name} of info.examples.slice(0, EXAMPLES_TRIED)) {
    try {
      const opened = await transport.example(name);
      return {opened, notice: notice(name, opened)};
    } catch (error) {
      if (error.ofAnotherModel) throw error;
      fault ??= error.message;
    }
  }
  const opened = blankMap(info, 0);
  return {opened, notice: notice("a blank map", opened)};
}

/** The initial state of a studio. Its `notice` is a text to show to the user, if there is one. */
export async function firstState(transport, info) {
  const begin = {height: info.height, width: info.width, labels: null, regionMap: null, values: plainValues(newSeed())};
  if (!info.labels) return begin;
  const {opened, notice} = await firstMap(transport, info);
  return {
    ...begin,
    height: opened.height,
    width: opened.width,
    labels: opened.labels,
    regionMap: new Uint8Array(opened.height * opened.width),
    notice: notice.filter(Boolean).join(" "),
  };
}

/** The window {top, left, height, width} around the painted area, clipped to the image. */
function windowAround({left, top, right, bottom}, {height, width}) {
  const limit = (value, side) => Math.max(0, Math.min(side, value));
  const first = {left: limit(Math.floor(left) - PREVIEW_MARGIN, width - 1), top: limit(Math.floor(top) - PREVIEW_MARGIN, height - 1)};
  const last = {right: limit(Math.ceil(right) + PREVIEW_MARGIN, width), bottom: limit(Math.ceil(bottom) + PREVIEW_MARGIN, height)};
  return {...first, height: Math.max(1, last.bottom - first.top), width: Math.max(1, last.right - first.left)};
}
