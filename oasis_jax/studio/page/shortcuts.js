/** The keyboard shortcuts of the studio. They work while the focus is in it; in a text field, only Ctrl+O and Ctrl+S do. */
import {toolsFor} from "./pen.js";
import {newSeed} from "./random.js";

const SIGNS = {BracketLeft: "[", BracketRight: "]", Slash: "/", Equal: "=", Minus: "-"};

/** The key of an event; on a layout of another script, such as Cyrillic, the letter, digit or sign at the same place of a US keyboard. */
function keyPressed({key, code}) {
  if (key.length !== 1 || key <= "~") return key;
  const letter = /^Key(.)$/.exec(code)?.[1].toLowerCase();
  if (letter || /\p{Script=Latin}/u.test(key)) return letter ?? key;
  return /^Digit(.)$/.exec(code)?.[1] ?? SIGNS[code] ?? key;
}

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
  const undo = () => desk.travel(() => session.undo());
  const redo = () => desk.travel(() => session.redo());
  const withControl = {z: undo, y: redo, o: () => desk.show("open"), s: () => desk.show("save")};
  element.addEventListener("keydown", (event) => {
    const {target} = event;
    const writes = target.matches("input:not([type=range], [type=checkbox])");
    if (event.defaultPrevented || event.altKey || target.closest("dialog")) return;
    const key = keyPressed(event);
    let action = keys[key] ?? keys[key.toLowerCase()];
    if (event.ctrlKey || event.metaKey) {
      action = event.shiftKey && key.toLowerCase() === "z" ? redo : withControl[key.toLowerCase()];
      if (writes && "zy".includes(key.toLowerCase())) return;
    } else if (event.key === " " && (target.matches("canvas") || target === element)) {
      action = () => (stage.spaceHeld = true);
    } else if (writes) {
      if (key === "Escape") desk.focus();
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
