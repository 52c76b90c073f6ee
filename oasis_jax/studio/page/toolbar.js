/** The bar above the pictures, and the tools beside them. */
import {button, choices, enable, make, press, slider, walkable} from "./elements.js";
import {toolsFor} from "./pen.js";

/** The bar: files, undo, view. */
export function barOf(desk) {
  const {info, stage} = desk;
  const undo = button({name: "undo", title: "Undo", keys: "Control+Z", class: "icon", onclick: () => desk.travel(() => desk.session.undo())});
  const redo = button({
    name: "redo",
    title: "Redo",
    keys: "Control+Shift+Z",
    class: "icon",
    onclick: () => desk.travel(() => desk.session.redo()),
  });
  const mode = choices({
    label: "View",
    options: [
      {value: "side", name: "side", title: "Label map and photo side by side", keys: "O"},
      {value: "overlay", name: "overlay", title: "Label map over the photo", keys: "O"},
    ],
    onchoose: (value) => desk.set({mode: value}),
  });
  const opacity = slider({label: "Label map", min: 0, max: 1, step: 0.01, oninput: (value) => desk.set({opacity: value})});
  const zoom = make(
    "div",
    {class: "choices plain", role: "group", "aria-label": "Zoom"},
    button({name: "minus", title: "Zoom out", keys: "-", onclick: () => stage.zoom(1 / 1.25)}),
    button({name: "fit", title: "Fit", keys: "0", onclick: () => stage.fit()}),
    button({name: "plus", title: "Zoom in", keys: "+", onclick: () => stage.zoom(1.25)}),
  );
  walkable(zoom);
  zoom.querySelectorAll("button").forEach((each, i) => (each.tabIndex = i ? -1 : 0));
  const element = make(
    "header",
    {class: "bar"},
    make(
      "div",
      {class: "title"},
      make("h1", {textContent: info.name}),
      make("span", {class: "quiet", textContent: `step ${info.step.toLocaleString("en")} · ${info.height} × ${info.width}`}),
    ),
    make(
      "div",
      {class: "group"},
      button({name: "open", text: "Open", keys: "Control+O", onclick: () => desk.show("open")}),
      button({name: "save", text: "Save", keys: "Control+S", onclick: () => desk.show("save")}),
    ),
    make("div", {class: "group"}, undo, redo),
    make(
      "div",
      {class: "group end"},
      ...(info.labels ? [opacity.element, mode.element] : []),
      zoom,
      button({name: "help", title: "Help", keys: "?", class: "icon", onclick: () => desk.show("help")}),
    ),
  );
  return {
    element,
    update() {
      enable(undo, desk.session.isLive || desk.session.history.canUndo);
      enable(redo, desk.session.history.canRedo);
      mode.show(desk.ui.mode);
      opacity.element.hidden = desk.ui.mode !== "overlay";
      opacity.show(desk.ui.opacity, `${Math.round(100 * desk.ui.opacity)} %`);
    },
  };
}

/** The tools and the size of the brush. */
export function toolsOf(desk) {
  const offered = toolsFor(desk.info);
  const buttons = offered.map(({name, title, key}) =>
    button({name, title, keys: key.toUpperCase(), "aria-pressed": "false", onclick: () => desk.set({tool: name})}),
  );
  const tools = make("div", {class: "tools", role: "toolbar", "aria-label": "Tools"}, ...buttons);
  walkable(tools);
  const size = slider({label: "Size", min: 1, max: 64, step: 1, oninput: (value) => desk.set({size: value})});
  size.input.title = "Size of the brush ([ and ])";
  const clear = button({name: "close", text: "Clear selection", keys: "Escape", onclick: () => desk.set({selection: null})});
  return {
    element: make("div", {class: "stack"}, tools, size.element, clear),
    update() {
      const {ui} = desk;
      offered.forEach(({name}, i) => press(buttons[i], name === ui.tool));
      size.show(ui.size, `${ui.size} px`);
      size.element.classList.toggle("faint", !offered.find(({name}) => name === ui.tool).sized);
      clear.hidden = !ui.selection;
    },
  };
}
