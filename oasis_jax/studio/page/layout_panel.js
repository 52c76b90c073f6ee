/** The layout panel: handles for the heatmap centres over the photo, their widths, and overlays of the heatmaps and of changes. */
import {turnOf} from "./camera.js";
import {button, choices, enable, make, passFocus, section, slider} from "./elements.js";
import {changePicture, heatmapPicture, movedRows, rowsBetween, widenedRows} from "./heatmap_rows.js";

const LEVEL_NAMES = ["coarse", "middle", "fine"];
const CENTRE_STEPS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};

/** What the rows of an image depend on, as a text. */
function layoutOf({heatmaps, seed, end, t}) {
  return JSON.stringify([heatmaps, seed, end?.seed, t]);
}

export class LayoutPanel {
  ofSeeds = new Map(); // seed -> Promise of its rows
  found = null; // {of, rows}: the latest rows that were found, of which layout; they are shown until those of the image arrive
  chosen = 0;

  constructor(desk) {
    this.desk = desk;
    const {info} = desk;
    this.centres = make("input", {type: "checkbox", onchange: () => desk.set({centres: this.centres.checked})});
    this.follow = choices({
      label: "What moves with a centre",
      options: [
        {value: "one", text: "One", title: "A centre moves alone"},
        {value: "level", text: "Level", title: "The centres of its level move with it"},
        {value: "all", text: "All", title: "All centres move with it"},
      ],
      onchoose: (follow) => desk.set({follow}),
    });
    this.width = slider({
      label: "Width",
      min: -4.6,
      max: 1.4,
      step: 0.01,
      oninput: (log) => this.widen(Math.exp(log) / (this.rows?.[this.chosen][2] ?? 1)),
      onchange: () => desk.session.commit("Width of centres"),
    });
    this.overlay = choices({
      label: "Picture over the photo",
      options: [
        {value: "none", text: "Photo"},
        {value: "heatmaps", text: "Heatmaps", title: "Heatmaps over the photo: coarse in red, middle in green, fine in blue"},
        {value: "change", text: "Change", title: "What differs from the previous step, or from the step being compared"},
      ],
      onchoose: (map) => desk.set({map}),
    });
    this.reset = button({name: "restart", text: "Layout of the seed", onclick: () => this.toSeed()});
    this.note = make("p", {class: "quiet"});
    const spatial = [
      make(
        "label",
        {class: "check", title: "Show the centres over the photo (C)"},
        this.centres,
        make("span", {textContent: "Show centres"}),
      ),
      make("div", {class: "field"}, make("span", {textContent: "Move"}), this.follow.element),
      this.width.element,
    ];
    if (!info.spatial) this.overlay.element.querySelectorAll("button")[1].hidden = true;
    this.element = section(
      info.spatial ? "Layout" : "Change",
      true,
      ...(info.spatial ? spatial : []),
      this.overlay.element,
      this.note,
      ...(info.spatial ? [this.reset] : []),
    );
    this.handles = info.spatial
      ? info.levels.flatMap((members, level) => members.map((row, n) => this.handle(row, level, n, members.length)))
      : [];
    this.handles.sort((a, b) => a.row - b.row);
    desk.stage.panes[1].over.append(...this.handles.map(({element}) => element));
  }

  handle(row, level, n, count) {
    const element = make("button", {
      type: "button",
      class: `centre level${level + 1}`,
      textContent: level + 1,
      hidden: true, // until its position is known
      onfocus: () => this.choose(row),
      onkeydown: (event) => this.key(event, row),
      onkeyup: (event) => (event.key in CENTRE_STEPS || "+=-_".includes(event.key)) && this.desk.session.commit("Move centres"),
      onpointerdown: (event) => !event.button && this.desk.stage.pointers.down(event, this.gesture(event, row)),
      onpointermove: (event) => this.desk.stage.pointers.move(event),
      onpointercancel: (event) => this.desk.stage.pointers.up(event),
      onlostpointercapture: (event) => this.desk.stage.pointers.up(event), // after it is lifted, or when the handle is hidden
      onpointerleave: () => this.endTurn(),
    });
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (!event.deltaY) return; // a horizontal scroll
        this.choose(row);
        this.widen(Math.exp(-turnOf(event) / 600));
        clearTimeout(this.pause);
        this.pause = setTimeout(() => this.endTurn(), 400);
      },
      {passive: false},
    );
    return {
      row,
      level,
      element,
      title: count > 1 ? `Centre ${n + 1} of the ${LEVEL_NAMES[level]} level` : `Centre of the ${LEVEL_NAMES[level]} level`,
    };
  }

  /** What a pointer does that is pressed on a handle: it drags the centre. */
  gesture(event, row) {
    const {session, stage} = this.desk;
    let at = {x: event.clientX, y: event.clientY};
    return {
      begin: () => this.endTurn(),
      move: ({clientX, clientY}) => {
        const {width, height} = session.state;
        const {scale} = stage.camera;
        const across = (2 * (clientX - at.x)) / (scale * Math.max(1, width - 1));
        const down = (2 * (clientY - at.y)) / (scale * Math.max(1, height - 1));
        at = {x: clientX, y: clientY};
        this.move(row, down, across);
      },
      end: () => session.commit("Move centres"),
      cancel: () => session.isLive && session.cancel(),
    };
  }

  key(event, row) {
    const step = CENTRE_STEPS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const size = event.shiftKey ? 0.1 : 0.02;
    if (step) this.move(row, size * step[0], size * step[1]);
    else if ("+=".includes(event.key)) this.widen(1.1);
    else if ("-_".includes(event.key)) this.widen(1 / 1.1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Called when the wheel rests or the pointer leaves: the change of width becomes a step. */
  endTurn() {
    if (!this.pause) return;
    clearTimeout(this.pause);
    this.pause = null;
    if (this.desk.session.isLive) this.desk.session.commit("Width of centres");
  }

  choose(row) {
    this.chosen = row;
    this.update();
  }

  /** The rows that change together with `row`. */
  members(row) {
    const {info, ui} = this.desk;
    if (ui.follow === "all") return info.levels.flat();
    return ui.follow === "level" ? info.levels.find((members) => members.includes(row)) : [row];
  }

  /** The rows of the image; null if those of its seeds have not arrived yet. */
  get rows() {
    const {values} = this.desk.session.state;
    return values.heatmaps ?? (this.found?.of === layoutOf(values) ? this.found.rows : null);
  }

  /** The rows that are shown: those of the image, or the latest that were found; null before the first. */
  get shownRows() {
    return this.rows ?? this.found?.rows ?? null;
  }

  /** Called when an action needs rows that have not arrived: tells the user, and requests them again in case that this has failed. */
  askAgain() {
    this.desk.tell("The layout of this seed has not arrived yet: try again in a moment.");
    this.refresh();
    this.desk.update();
  }

  move(row, down, across) {
    if (!down && !across) return;
    if (this.rows) this.live(movedRows(this.rows, this.members(row), down, across));
    else this.askAgain();
  }

  widen(factor) {
    if (this.rows) this.live(widenedRows(this.rows, this.members(this.chosen), factor));
    else this.askAgain();
  }

  live(rows) {
    const {session} = this.desk;
    session.live({values: {...session.state.values, heatmaps: rows}});
  }

  toSeed() {
    const {session} = this.desk;
    session.change("Layout of the seed", {values: {...session.state.values, heatmaps: null}});
  }

  /** The rows of the image: its own, or those of its seeds, which are requested from the transport and cached. */
  async findRows() {
    const {values} = this.desk.session.state;
    if (values.heatmaps) return values.heatmaps;
    const ofSeed = (seed) => {
      if (!this.ofSeeds.has(seed)) {
        if (this.ofSeeds.size > 500) this.ofSeeds.clear();
        this.ofSeeds.set(seed, this.desk.transport.heatmaps(seed));
        this.ofSeeds.get(seed).catch(() => this.ofSeeds.delete(seed));
      }
      return this.ofSeeds.get(seed);
    };
    const start = await ofSeed(values.seed);
    return values.end ? rowsBetween(start, await ofSeed(values.end.seed), values.t) : start;
  }

  /** Finds the rows, and shows them when they arrive. */
  async refresh() {
    if (!this.desk.info.spatial) return;
    const {values} = this.desk.session.state;
    try {
      const rows = await this.findRows();
      if (values !== this.desk.session.state.values) return;
      this.found = {of: layoutOf(values), rows};
      this.update();
      this.desk.stage.draw();
    } catch (error) {
      this.desk.fail(error);
    }
  }

  /** Positions the handles where the camera shows their centres. */
  place() {
    const {ui, stage, session} = this.desk;
    const rows = this.shownRows;
    const {width, height} = session.state;
    for (const {row, element} of this.handles) {
      const hidden = !rows || !ui.centres;
      if (hidden) passFocus(element);
      element.hidden = hidden;
      if (hidden) continue;
      const [y, x] = rows[row];
      const at = stage.camera.toPane({x: ((x + 1) / 2) * (width - 1) + 0.5, y: ((y + 1) / 2) * (height - 1) + 0.5});
      element.style.transform = `translate(${at.x}px, ${at.y}px) translate(-50%, -50%)`;
    }
  }

  /** Updates the overlay of the photo, the layer `map` of the stage, and returns its opacity. */
  picture() {
    const {ui, info, session, stage} = this.desk;
    const rows = this.shownRows;
    if (ui.map === "heatmaps" && rows) {
      if (this.pictured !== rows) stage.layers.map.set(heatmapPicture(rows, info.levels, session.state, info.isotropic), session.state);
      this.pictured = rows;
      return 0.65;
    }
    if (ui.map !== "change") return 0;
    const {before, photo} = this.desk.change();
    if (!before || before.rgb.length !== photo?.rgb.length) return 0;
    if (this.pictured?.before !== before || this.pictured?.version !== photo.version) {
      const {rgba, largest} = changePicture(before.rgb, photo.rgb);
      stage.layers.map.set(rgba, session.state);
      this.pictured = {before, version: photo.version};
      this.largest = largest;
      this.update();
    }
    return 1;
  }

  update() {
    const {ui, info, session} = this.desk;
    const rows = this.shownRows;
    this.overlay.show(ui.map);
    this.note.hidden = ui.map === "none";
    this.note.textContent =
      ui.map === "heatmaps"
        ? "Coarse in red, middle in green, fine in blue."
        : `White marks the largest change: ${Math.round(this.largest ?? 0)} of 255 grey levels.`;
    if (!info.spatial) return;
    this.centres.checked = ui.centres;
    this.follow.show(ui.follow);
    enable(this.reset, Boolean(session.state.values.heatmaps));
    enable(this.width.input, Boolean(rows));
    if (!rows) return;
    const spread = rows[this.chosen][2];
    this.width.show(Math.log(spread), spread.toFixed(2));
    this.handles.forEach(({row, element, title}) => {
      const [cy, cx, w] = rows[row];
      element.classList.toggle("chosen", row === this.chosen);
      element.setAttribute("aria-disabled", String(!this.rows)); // and not disabled, which would take the focus away
      element.setAttribute("aria-label", `${title}: y ${cy.toFixed(2)}, x ${cx.toFixed(2)}, width ${w.toFixed(2)}`);
      element.title = `${title}. Arrow keys move it, + and - change its width`;
    });
  }
}
