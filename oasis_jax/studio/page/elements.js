/** Building blocks of the page: elements, icons, and button groups with arrow-key navigation. Text is never parsed as markup. */

const ICONS = {
  brush: "M20.5 3.5 10.5 13.5M9.5 14a3.6 3.6 0 0 0-3.7 3.5c0 1.6-.9 2.5-2.3 3 2.6.8 8.2.6 8.7-3.2A3.5 3.5 0 0 0 9.5 14Z",
  eraser:
    "M8.5 19.5 3.8 14.8a1.5 1.5 0 0 1 0-2.1l8.9-8.9a1.5 1.5 0 0 1 2.1 0l5.4 5.4a1.5 1.5 0 0 1 0 2.1l-8.2 8.2ZM8.2 8.3l7.5 7.5M8.5 19.5H20",
  fill: "M5 11.5 12 4.5l7 7-6.5 6.5a2 2 0 0 1-2.8 0L5 13.3a1.3 1.3 0 0 1 0-1.8ZM4.8 12.5H18M9.5 7 7 4.5M20.5 16c.9 1.5 1.4 2.3 1.4 3a1.4 1.4 0 0 1-2.8 0c0-.7.5-1.5 1.4-3Z",
  line: "M6 18 18 6M3 19.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0M18 4.5a1.5 1.5 0 1 0 3 0a1.5 1.5 0 1 0-3 0",
  rectangle: "M4 6.5h16v11H4Z",
  pick: "M12.5 7.5l4 4M4 20l1-4 8-8 3 3-8 8ZM14.5 6l1.8-1.8a2.3 2.3 0 0 1 3.5 3.5L18 9.5",
  pan: "M12 3v18M3 12h18M9.5 5.5 12 3l2.5 2.5M9.5 18.5 12 21l2.5-2.5M5.5 9.5 3 12l2.5 2.5M18.5 9.5 21 12l-2.5 2.5",
  wand: "M4 20 14.5 9.5M17 3v4M15 5h4M20 12v3M18.5 13.5h3M9.5 3.5v3M8 5h3",
  lasso:
    "M12 4c5 0 8.5 2.5 8.5 5.7S17 15.5 12 15.5 3.5 13 3.5 9.7 7 4 12 4ZM7.5 14.7c-1.7.4-2.4 2-1.4 3.1 1 1 3.2.5 3.2-1.2 0-.9-.8-1.7-1.8-1.9ZM7.2 18.2c.5 1 .4 1.9-.5 2.8",
  mask: "M12 4.5a7.5 7.5 0 0 1 3 .6M18 7.5a7.5 7.5 0 0 1 1.3 2.6M19.3 14a7.5 7.5 0 0 1-1.5 2.7M15 18.9a7.5 7.5 0 0 1-3 .6M9 18.9a7.5 7.5 0 0 1-2.5-1.9M4.8 14a7.5 7.5 0 0 1 0-3.6M6.3 7.3A7.5 7.5 0 0 1 9 5.1M12 9v6M9 12h6",
  undo: "M8 4.5 4 8.5l4 4M4 8.5h10a5.5 5.5 0 0 1 0 11h-4",
  redo: "M16 4.5l4 4-4 4M20 8.5H10a5.5 5.5 0 0 0 0 11h4",
  dice: "M6 4h12a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2ZM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  lock: "M6 11h12v9H6ZM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  unlock: "M6 11h12v9H6ZM8.5 11V7.5a3.5 3.5 0 0 1 6.8-1.2",
  open: "M3 7a1 1 0 0 1 1-1h5l2 2.5h9a1 1 0 0 1 1 1V18a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1Z",
  save: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M4 19.5h16",
  help: "M9 9.2a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5h.01",
  side: "M3 5.5h8v13H3ZM13 5.5h8v13h-8Z",
  overlay: "M4 4h11v11H4ZM15 9h5v11H9v-5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  restart: "M4.5 4.5v5h5M5 9.5a8 8 0 1 1-.9 4.5",
  compare: "M12 3v18M9 6.5H4v11h5M15 6.5h5v11h-5",
  close: "M6 6l12 12M18 6 6 18",
};

/** Creates an element. Names that begin with "on" add listeners, "role", "for" and names with a dash set attributes, others properties. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else if (name === "class") element.className = value;
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG icon, hidden from screen readers. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** To be called before an element disappears: if the focus is in it, the studio gets it, because keys pressed in no element are lost. */
export function passFocus(element) {
  if (element.matches(":focus-within")) element.parentElement.closest(".oasis-studio")?.focus({preventScroll: true});
}

/** Enables or disables a control. */
export function enable(control, enabled) {
  if (!enabled) passFocus(control);
  control.disabled = !enabled;
}

/** A button with an icon, a text or both. `title` is its tooltip, and its name if it has no text; `keys` is its shortcut. */
export function button({name = null, text = "", title = text, keys = "", onclick, ...rest}) {
  const element = make("button", {type: "button", title: keys ? `${title} (${keys})` : title, onclick, ...rest});
  if (!text) element.setAttribute("aria-label", title);
  if (keys) element.setAttribute("aria-keyshortcuts", keys);
  if (name) element.append(icon(name));
  if (text) element.append(make("span", {textContent: text}));
  return element;
}

/**
 * A slider with its label and value. `oninput` is called while it is dragged, `onchange` once when it is released, also where it was
 * before: browsers dispatch no "change" then.
 */
export function slider({label, min, max, step, oninput, onchange = () => {}, hidden = false}) {
  const output = make("span", {class: "value"}); // not <output>, which screen readers would announce while the slider moves
  let moved = false;
  const end = () => {
    if (!moved) return;
    moved = false;
    onchange(Number(input.value));
  };
  const input = make("input", {
    type: "range",
    min,
    max,
    step,
    "aria-label": label,
    oninput: () => {
      moved = true;
      oninput(Number(input.value));
    },
    onchange: end,
    onpointerup: end,
    onlostpointercapture: end,
    onblur: end,
  });
  const element = make("label", {class: "slider", hidden}, make("span", {textContent: label}), input, output);
  return {
    element,
    input,
    show(value, text = String(value)) {
      input.value = value;
      output.textContent = text;
      if (text) input.setAttribute("aria-valuetext", text); // screen readers would read the number, which may be a logarithm
    },
  };
}

/** A row of buttons, of which one is chosen. */
export function choices({label, options, onchoose}) {
  const buttons = options.map(({value, text, title, name, keys}) =>
    button({name, text, title: title ?? text, keys, "aria-pressed": "false", onclick: () => onchoose(value)}),
  );
  const element = make("div", {class: "choices", role: "group", "aria-label": label}, ...buttons);
  walkable(element);
  return {
    element,
    show: (value) => buttons.forEach((each, i) => press(each, options[i].value === value)),
  };
}

/** Marks a button of a group as pressed or not; the pressed one is the tab stop of the group. */
export function press(element, pressed) {
  element.setAttribute("aria-pressed", String(pressed));
  element.tabIndex = pressed ? 0 : -1;
}

/** Makes a group of buttons a single tab stop; the arrow keys, Home and End move the focus within it. */
export function walkable(group) {
  group.addEventListener("keydown", (event) => {
    const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity};
    const buttons = [...group.querySelectorAll("button")].filter((each) => !each.disabled && each.offsetParent);
    const at = buttons.indexOf(event.target);
    if (at < 0 || !(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    buttons[Math.max(0, Math.min(buttons.length - 1, at + steps[event.key]))].focus();
  });
  group.addEventListener("focusin", (event) => {
    for (const each of group.querySelectorAll("button")) each.tabIndex = each === event.target ? 0 : -1;
  });
}

/** A collapsible section of a column, with a title. */
export function section(title, open, ...children) {
  return make("details", {class: "section", open}, make("summary", {textContent: title}), make("div", {class: "body"}, ...children));
}

/** Downloads a Blob as a file. */
export function download(blob, name) {
  const link = make("a", {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
