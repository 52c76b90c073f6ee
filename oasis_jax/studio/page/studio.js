/** The studio: label map, photo and all controls, in one element of a page. `mount` builds it on top of a transport. */
import {Desk, firstState} from "./desk.js";
import {helpDialog, openDialog, saveDialog} from "./dialogs.js";
import {button, make, section, slider} from "./elements.js";
import {History} from "./history.js";
import {HistoryPanel} from "./history_panel.js";
import {LayoutPanel} from "./layout_panel.js";
import {NoisePanel} from "./noise_panel.js";
import {paletteOf} from "./palette.js";
import {Pen, TOOLS} from "./pen.js";
import {listenToKeys} from "./shortcuts.js";
import {Stage} from "./stage.js";
import {Store} from "./store.js";
import {mixingOf, truncationOf} from "./styles.js";
import {barOf, toolsOf} from "./toolbar.js";

/** The alert, the status line, and the text about the pixel under the pointer. */
function messagesOf() {
  const text = make("span");
  const alert = make("div", {class: "alert", role: "alert", hidden: true}, text);
  let fromRendering = false;
  const fail = (error, rendering = false) => {
    if (!error && rendering && !fromRendering) return; // a successful render does not clear errors from other sources
    fromRendering = rendering;
    alert.hidden = !error;
    alert.classList.remove("notice");
    text.textContent = error ? error.message || String(error) : "";
  };
  const note = (line) => {
    fail(new Error(line));
    alert.classList.add("notice");
  };
  alert.append(
    button({
      name: "close",
      title: "Dismiss",
      class: "icon",
      onclick: () => (alert.parentElement.closest("[tabindex]").focus(), fail(null)),
    }),
  );
  const status = make("span", {class: "status", role: "status", "aria-live": "polite"});
  const under = make("span", {class: "under"});
  return {alert, fail, note, status, under, tell: (line) => (status.textContent = line), foot: make("footer", {class: "foot"}, status, under)};
}

/** The slider over the photo that wipes between a compared step and the current image. */
function wipeOf(desk) {
  const wipe = slider({label: "Compared with", min: 0, max: 1, step: 0.005, oninput: (value) => desk.set({wipe: value})});
  const close = button({name: "close", title: "End the comparison", keys: "Escape", class: "icon", onclick: () => desk.compareWith(null)});
  const element = make("div", {class: "wipe", hidden: true}, wipe.element, close);
  return {
    element,
    update() {
      const {ui, session} = desk;
      element.hidden = ui.compared === null;
      if (element.hidden) return;
      wipe.show(ui.wipe, "");
      wipe.element.firstChild.textContent = `Left: ${ui.compared ? session.history.steps[ui.compared - 1]?.name : "Beginning"}`;
    },
  };
}

function stageOf(desk, messages) {
  const nameAt = ({x, y}) => {
    const {labels, width, height} = desk.session.state;
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    if (!inside) return "";
    const place = `${Math.floor(x)}, ${Math.floor(y)}`;
    return labels ? `${desk.names[labels[Math.floor(y) * width + Math.floor(x)]]} · ${place}` : place;
  };
  const how = (event) => (event.shiftKey ? "add" : event.altKey ? "subtract" : "replace");
  const selects = () => TOOLS.find(({name}) => name === desk.ui.tool).selects;
  return new Stage({
    shape: () => desk.session.state,
    look: () => desk.look(),
    prepare: () => desk.showPainted(),
    drawn: () => desk.layout.place(),
    resizeBrush: (steps) => desk.resizeBrush(steps),
    hover: (point) => {
      messages.under.textContent = point ? nameAt(point) : "";
      if (point && desk.stage.byKeys) messages.tell(`${nameAt(point)}${desk.pen.isDown ? ", pen down" : ""}`);
    },
    down(point, event) {
      if (event.altKey && !selects()) desk.pickAt(point);
      else desk.attempt(() => desk.pen.down(point, how(event)));
    },
    move: (points, event) => desk.pen.moveThrough(points, event.shiftKey),
    up() {
      desk.attempt(() => desk.pen.up());
      desk.stage.draw();
    },
    cancel() {
      desk.pen.cancel();
      desk.stage.draw();
    },
    toggle(point, event) {
      if (!desk.pen.isDown) this.down(point, event);
      else return this.up();
      if (desk.pen.taps) this.up();
    },
  });
}

/**
 * The name under which work is stored: work on one model, with images of one size, must never be restored for another. Models in folders of
 * one name differ in their paths, and those that have replaced each other in a folder in their classes. A model that was trained further
 * keeps its name.
 */
function identityOf({name, model = name, family, classes, height, width, beginning = ""}) {
  return JSON.stringify([model, family, classes.map((each) => each.name), height, width, beginning]);
}

/**
 * Builds a studio.
 *
 * @param element HTML element to fill. It gets the class "oasis-studio"; shortcuts work while the focus is in it.
 * @param transport {info(), render(image, {preview, signal, background}), open(file, name), example(name), heatmaps(seed)}; see
 *   `httpTransport`. Images are rendered in the `background` if they are not the one being edited, such as thumbnails. If there is a
 *   settled(image), it is called after each finished change. `progress` is set to a function that shows a line of progress.
 * @returns the Desk of the studio, with focus() and close(); it is also the property `studio` of the element. If the model cannot be
 *   opened, the element shows the reason, and the error is thrown.
 */
export async function mount(element, transport) {
  element.classList.add("oasis-studio");
  element.tabIndex = -1;
  element.setAttribute("data-lm-suppress-shortcuts", "true"); // otherwise JupyterLab would run its own commands
  const messages = messagesOf();
  const waiting = make("p", {class: "waiting", role: "status", textContent: "Opening the model ..."});
  element.replaceChildren(messages.alert, waiting);
  try {
    transport.progress = (line) => (waiting.textContent = line);
    const info = await transport.info();
    const store = await Store.open(identityOf(info));
    const {saved} = store;
    const {notice, ...first} = saved?.first ?? (await firstState(transport, info));
    const history = new History(first, saved?.steps);
    history.move(saved?.position ?? 0);
    const desk = furnish(element, messages, {element, transport, info, store, history, ui: saved?.ui});
    if (!saved) desk.welcome(notice);
    return desk;
  } catch (error) {
    waiting.remove();
    messages.fail(error);
    throw error;
  }
}

function furnish(element, messages, parts) {
  const windows = {};
  const hooks = {
    tell: messages.tell,
    fail: messages.fail,
    note: messages.note,
    busy: (busy) => element.classList.toggle("busy", busy),
    show: (name) => {
      windows[name].showModal();
      windows[name].querySelector(".primary")?.focus();
    },
  };
  const desk = new Desk({...parts, hooks});
  const {info} = desk;
  desk.stage = stageOf(desk, messages);
  desk.pen = new Pen(desk.session, {
    options: () => ({...desk.ui, name: desk.names[desk.ui.id]}),
    pick: (id) => desk.set({id}),
    select: (selection) => desk.set({selection}),
    tell: desk.tell,
  });
  desk.pickAt = ({x, y}) => {
    const {labels, width, height} = desk.session.state;
    if (labels && x >= 0 && y >= 0 && x < width && y < height) desk.set({id: labels[Math.floor(y) * width + Math.floor(x)]});
  };
  desk.layout = new LayoutPanel(desk);
  const wipe = wipeOf(desk);
  desk.stage.panes[1].over.append(wipe.element);
  const bar = barOf(desk);
  const steps = new HistoryPanel(desk);
  if (info.noise) desk.noise = new NoisePanel(desk);
  desk.parts = [bar, wipe, desk.layout, steps, ...(desk.noise ? [desk.noise] : [])];
  const left = [];
  if (info.labels) {
    desk.palette = paletteOf(desk);
    const tools = toolsOf(desk);
    desk.parts.push(tools, desk.palette);
    left.push(
      make(
        "aside",
        {class: "column left", "aria-label": "Painting"},
        section("Tools", true, tools.element),
        section("Classes", true, desk.palette.element),
      ),
    );
  }
  const right = [desk.noise?.element, desk.layout.element, steps.element];
  if (info.styles) {
    const styles = [truncationOf(desk), ...(info.styles > 1 ? [mixingOf(desk)] : [])];
    desk.parts.push(...styles);
    desk.noise?.actions.append(...styles.map(({element}) => element));
  }
  Object.assign(windows, {open: openDialog(desk), save: saveDialog(desk), help: helpDialog(desk)});
  element.replaceChildren(
    bar.element,
    make(
      "div",
      {class: "room"},
      ...left,
      make("main", {class: "middle"}, messages.alert, desk.stage.element, messages.foot),
      make("aside", {class: "column right", "aria-label": "Image"}, ...right.filter(Boolean)),
    ),
    ...Object.values(windows),
  );
  element.classList.toggle("unconditional", !info.labels);
  listenToKeys(desk);
  takeDrops(desk);
  begin(desk);
  const closing = new AbortController();
  const hidden = () => {
    desk.save(); // settings whose delayed save is still pending
    desk.store.leave();
  };
  addEventListener("pagehide", hidden, {signal: closing.signal});
  element.studio = desk;
  return Object.assign(desk, {
    focus: () => element.focus({preventScroll: true}),
    close() {
      closing.abort();
      desk.save();
      desk.loop.close();
      desk.stage.close();
      desk.store.close();
      element.replaceChildren();
    },
  });
}

/** Opens files that are dropped anywhere on the studio. Text can be dropped in fields; the browser would leave the page for a link. */
function takeDrops(desk) {
  const {element} = desk;
  const {classList} = desk.stage.element;
  const holdsFiles = (event) => event.dataTransfer.types.includes("Files");
  const isText = (event) => event.target.matches("input") && !holdsFiles(event);
  element.addEventListener("dragover", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    classList.toggle("dropping", holdsFiles(event));
  });
  element.addEventListener("dragleave", () => classList.remove("dropping"));
  element.addEventListener("drop", (event) => {
    if (isText(event)) return;
    event.preventDefault();
    classList.remove("dropping");
    if (!event.dataTransfer.files.length) return;
    element.querySelector("dialog[open]")?.close();
    desk.openFile(event.dataTransfer.files[0]);
  });
}

function begin(desk) {
  desk.stage.arrange();
  desk.changed({live: false, rect: null});
  if (desk.ui.compared !== null) desk.compareWith(desk.ui.compared);
  if (!desk.store.database) desk.tell("This browser cannot store your work: save what you want to keep.");
  desk.store.lost = () => desk.fail(new Error("The browser cannot keep the work any longer: save what you want to keep."));
}
