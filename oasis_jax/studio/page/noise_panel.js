/** The noise panel: shows the noise of the image, a class or a selection; resamples, varies, blends or locks it. */
import {button, choices, enable, icon, make, passFocus, section, slider} from "./elements.js";
import {copyOf} from "./history.js";
import {classMask, isEmpty} from "./ids.js";
import {Layer} from "./layers.js";
import {blendImage, blendMask, lockedMask, lockMask, resampleClass, resampleImage, resampleMask, sourceAt, unlockMask} from "./noise.js";
import {newSeed, newSeeds} from "./random.js";
import {imageOf} from "./session.js";

const VARIATIONS = 6;

export class NoisePanel {
  base = null; // the state before the blend slider moved
  blended = null; // the state that the blend slider made last
  end = newSeed(); // the seed at the end of the slider
  variations = null;

  constructor(desk) {
    this.desk = desk;
    const {labels} = desk.info;
    this.scope = choices({
      label: "Scope of new noise",
      options: [
        {value: "image", text: "Image"},
        {value: "class", text: "Class", title: "The class that is chosen in the palette"},
        {value: "selection", text: "Selection"},
      ],
      onchoose: (scope) => desk.set({scope}),
    });
    this.scope.element.hidden = !labels;
    this.subject = make("p", {class: "subject", "aria-live": "off"});
    this.hint = make(
      "div",
      {class: "hint"},
      make("p", {class: "quiet", textContent: "Nothing is selected. Select on either picture:"}),
      button({name: "wand", text: "Region", keys: "W", onclick: () => desk.set({tool: "wand"})}),
      button({name: "lasso", text: "Lasso", keys: "S", onclick: () => desk.set({tool: "lasso"})}),
      button({name: "mask", text: "Brush", title: "Select with a brush", keys: "M", onclick: () => desk.set({tool: "mask"})}),
    );
    this.seed = make("input", {
      type: "number",
      min: 0,
      max: 4294967295,
      step: 1,
      "aria-label": "Seed of the image",
      onchange: () => this.typed(),
    });
    this.seedRow = make("label", {class: "field"}, make("span", {textContent: "Seed"}), this.seed);
    this.renew = button({name: "dice", text: "New noise", keys: "R", class: "primary", onclick: () => this.resample(newSeed())});
    this.vary = button({text: "Variations", title: "Several seeds to choose from", keys: "V", onclick: () => this.showVariations()});
    this.lock = button({
      name: "lock",
      text: "Lock",
      title: "Protect this noise from resampling",
      keys: "K",
      onclick: () => this.toggleLock(),
    });
    this.blend = slider({
      label: "Blend",
      min: 0,
      max: 1,
      step: 0.01,
      oninput: (t) => desk.attempt(() => this.blendTo(t)),
      onchange: () => this.endBlend(),
    });
    this.other = button({
      name: "dice",
      title: "Other noise at the end of the slider",
      onclick: () =>
        desk.attempt(() => {
          const t = Number(this.blend.input.value);
          this.end = newSeed();
          if (t > 0) this.blendTo(t, this.end);
          this.endBlend();
        }),
    });
    this.grid = make("div", {class: "variations", role: "group", "aria-label": "Variations", hidden: true});
    this.actions = make(
      "div",
      {class: "stack"},
      this.seedRow,
      this.renew,
      make("div", {class: "row even"}, this.vary, ...(labels ? [this.lock] : [])),
      make("div", {class: "row blend"}, this.blend.element, this.other),
      this.grid,
    );
    this.element = section("Noise", true, this.scope.element, this.subject, this.hint, this.actions);
  }

  /** What is resampled: {kind, mask, name}; null if nothing is selected. A null mask means the whole image. */
  target() {
    const {ui, session, info} = this.desk;
    const {labels} = session.state;
    if (!info.labels || ui.scope === "image") return {kind: "image", mask: null, name: "the image"};
    if (ui.scope === "class") return {kind: "class", mask: classMask(labels, ui.id), name: info.classes[ui.id].name};
    return isEmpty(ui.selection) ? null : {kind: "selection", mask: ui.selection, name: "the selection"};
  }

  /** The changed part of a state, with a new seed for a target. */
  withSeed(state, target, seed) {
    const {names, rows} = this.desk;
    if (target.kind === "class") return resampleClass(state, names, this.desk.ui.id, seed);
    if (target.kind === "selection") return resampleMask(state, names, target.mask, seed);
    return this.pinned(resampleImage(state, seed), state, rows);
  }

  /** Keeps the layout when the seed of the image changes, if anything is locked: locked parts should not move. */
  pinned(part, state, rows) {
    return rows && !part.values.heatmaps && lockedMask(state) ? {...part, values: {...part.values, heatmaps: rows}} : part;
  }

  /** Whether a new seed for the target has to wait, because the layout that it must keep has not arrived; the user is told. */
  isEarly(target) {
    const {info, rows, layout, session} = this.desk;
    if (!info.spatial || rows || target.kind !== "image" || !lockedMask(session.state)) return false;
    layout.askAgain();
    return true;
  }

  resample(seed, name = null) {
    const target = this.target();
    if (!target) return this.desk.tell("Select a part of the picture first.");
    if (!this.source()) return this.desk.tell(`All of ${target.name} is locked.`);
    if (this.isEarly(target)) return;
    const {session} = this.desk;
    this.desk.attempt(() => session.change(name ?? `New noise for ${target.name}`, this.withSeed(session.state, target, seed)));
  }

  typed() {
    const seed = this.seed.valueAsNumber;
    if (Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32) this.resample(seed, `Seed ${seed}`);
    else {
      this.desk.fail(new Error(`A seed is a whole number from 0 to ${2 ** 32 - 1}.`));
      this.update();
    }
  }

  /** The noise that the slider shows: that of the image, or of the first unlocked pixel of the target; null if all are locked. */
  source() {
    const {session, names} = this.desk;
    const {state} = session;
    const target = this.target();
    if (!target || target.kind === "image")
      return {seed: state.values.seed, end: state.values.end?.seed ?? null, t: state.values.t, locked: false};
    if (isEmpty(target.mask)) return {seed: state.values.class_seeds[target.name] ?? state.values.seed, end: null, t: 0, locked: false};
    const pixel = target.mask.findIndex(
      (inside, i) => inside && !(state.regionMap[i] && state.values.regions[state.regionMap[i] - 1].locked),
    );
    return pixel < 0 ? null : sourceAt(state, pixel, names);
  }

  blendTo(t, end = this.source()?.end ?? this.end) {
    const {session, names, rows} = this.desk;
    const target = this.target();
    if (!target || this.isEarly(target)) return;
    if (!session.isLive || session.state !== this.blended) this.base = null; // something else has changed the image
    this.base ??= copyOf(session.state);
    this.end = end;
    const image = target.kind === "image";
    const part = image
      ? this.pinned(blendImage(this.base, end, t), this.base, rows)
      : blendMask(this.base, names, target.mask, end, t);
    session.live(part);
    this.blended = session.state;
  }

  endBlend() {
    this.base = null;
    this.desk.session.commit(`Blend ${this.target()?.name ?? ""}`);
  }

  toggleLock() {
    const {session, names} = this.desk;
    const target = this.target();
    if (!target || this.lock.disabled) return;
    const locked = this.isLocked(target);
    const change = locked ? unlockMask : lockMask;
    this.desk.attempt(() => session.change(`${locked ? "Unlock" : "Lock"} ${target.name}`, change(session.state, names, target.mask)));
  }

  /** Whether the whole target is locked; for the image, whether any part of it is. */
  isLocked(target) {
    const locked = target && lockedMask(this.desk.session.state);
    if (!locked) return false;
    return target.kind === "image" || (!isEmpty(target.mask) && target.mask.every((inside, i) => !inside || locked[i]));
  }

  /** Shows thumbnails for several seeds. They are computed in the background. */
  showVariations() {
    this.clearVariations();
    const {session, loop} = this.desk;
    const target = this.target();
    if (!target) return this.desk.tell("Select a part of the picture first.");
    if (this.isEarly(target)) return;
    const controller = new AbortController();
    const state = copyOf(session.state);
    this.variations = {
      controller,
      steps: session.history.steps.slice(0, session.history.position),
      target: JSON.stringify([target.kind, this.desk.ui.id]),
    };
    this.grid.hidden = false;
    for (const seed of newSeeds(VARIATIONS)) {
      const layer = new Layer();
      layer.resize(state);
      const choose = button({title: `Seed ${seed}`, class: "variation", disabled: true, onclick: () => this.resample(seed, "Variation")});
      choose.append(layer.canvas);
      this.grid.append(choose);
      this.desk.attempt(() => {
        loop.later(imageOf({...state, ...this.withSeed(state, target, seed)}), controller.signal).then(
          (photo) => {
            layer.setRgb(photo.rgb, photo);
            choose.disabled = false;
          },
          (error) => !controller.signal.aborted && this.desk.fail(error),
        );
      });
    }
  }

  clearVariations() {
    this.variations?.controller.abort();
    this.variations = null;
    passFocus(this.grid);
    this.grid.replaceChildren();
    this.grid.hidden = true;
  }

  /** Removes the variations as soon as anything but the choice among them has changed. */
  checkVariations(target) {
    const {history} = this.desk.session;
    const later = history.steps.slice(0, history.position).filter((step, i) => this.variations.steps[i] !== step);
    const same =
      JSON.stringify([target?.kind, this.desk.ui.id]) === this.variations.target && history.position >= this.variations.steps.length;
    if (!same || later.some(({name}) => name !== "Variation")) this.clearVariations();
  }

  update() {
    const {ui, session} = this.desk;
    const {values} = session.state;
    const target = this.target();
    if (this.variations) this.checkVariations(target);
    this.scope.show(ui.scope);
    this.hint.hidden = Boolean(target);
    this.actions.hidden = !target;
    if (!this.seed.matches(":focus")) this.seed.value = values.seed;
    this.seedRow.hidden = target?.kind !== "image";
    const source = this.source();
    this.subject.hidden = !target || target.kind === "image";
    if (target?.kind === "class") {
      const absent = isEmpty(target.mask);
      const where = absent ? "not in the picture" : describe(source, target.name in values.class_seeds);
      this.subject.textContent = `${target.name}: ${where}`;
    } else if (target) this.subject.textContent = `Selection: ${describe(source, true)}`;
    const t = source && source.end !== null ? source.t : 0;
    this.blend.show(t, `${Math.round(100 * t)} %`);
    const locked = this.isLocked(target);
    this.lock.replaceChildren(
      icon(locked ? "unlock" : "lock"),
      make("span", {textContent: locked ? (target.kind === "image" ? "Unlock all" : "Unlock") : "Lock"}),
    );
    enable(this.lock, target?.kind !== "image" || locked);
    for (const control of [this.renew, this.blend.input, this.other]) enable(control, source !== null);
  }
}

function describe(source, own) {
  if (!source) return "locked";
  return `${own ? "seed" : "the image's seed"} ${source.seed}${source.end === null ? "" : " on the way to " + source.end}`;
}
