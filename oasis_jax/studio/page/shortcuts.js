/** The keyboard shortcuts of the studio. They work while the focus is in it; in a text field, only Ctrl+O and Ctrl+S do. */
import {toolsFor} from "./pen.js";
import {newSeed} from "./random.js";

/** Listens for keys on `desk.element`. */
export function listenToKeys(desk) {
  const {element, stage, session, info} = desk;
  const painting = info.labels
    ? {
        "[": () => desk.resizeBrush(-1),
        "]": () => desk.resizeBrush(1),
        "/": () => desk.palette.search.focus(),
        o: () => desk.set({mode: desk.ui.mode === "side" ? "overlay" : "side"}),
        k: () => desk.noise?.toggleLock(),
        ...Object.fromEntries(toolsFor(info).map(({name, key}) => [key, () => desk.set({tool: name})])),
        ...Object.fromEntries(
          Array.from("123456789", (digit) => [digit, () => Number(digit) < info.classes.length && desk.set({id: Number(digit)})]),
        ),
      }
    : {};
  const keys = {
    ...painting,
    "+": () => stage.zoom(1.25),
    "=": () => stage.zoom(1.25),
    "-": () => stage.zoom(1 / 1.25),
    0: () => stage.fit(),
    d: () => desk.compareWith(desk.ui.compared === null ? Math.max(0, session.history.position - 1) : null),
    r: () => desk.noise?.resample(newSeed()),
    v: () => desk.noise?.showVariations(),
    c: () => info.spatial && desk.set({centres: !desk.ui.centres}),
    "?": () => desk.show("help"),
    Escape: () => desk.giveUp(),
  };
  const withControl = {z: () => session.undo(), y: () => session.redo(), o: () => desk.show("open"), s: () => desk.show("save")};
  element.addEventListener("keydown", (event) => {
    const {target} = event;
    const writes = target.matches("input:not([type=range], [type=checkbox])");
    if (event.defaultPrevented || event.altKey || target.closest("dialog")) return;
    let action = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (event.ctrlKey || event.metaKey) {
      action = event.shiftKey && event.key.toLowerCase() === "z" ? () => session.redo() : withControl[event.key.toLowerCase()];
      if (writes && "zy".includes(event.key.toLowerCase())) return;
    } else if (event.key === " " && (target.matches("canvas") || target === element)) {
      action = () => (stage.spaceHeld = true);
    } else if (writes) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  });
  const release = () => (stage.spaceHeld = false);
  element.addEventListener("keyup", (event) => event.key === " " && release());
  element.addEventListener("focusout", release);
}
