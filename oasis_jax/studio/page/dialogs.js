/** The dialogs of the studio: open, save and help. */
import {button, download, make} from "./elements.js";
import {labelMapPng} from "./label_file.js";
import {toolsFor} from "./pen.js";
import {rgbPng} from "./png.js";
import {recipeFile} from "./recipe.js";
import {imageOf} from "./session.js";

/** A dialog that is closed by Escape, by its button, or by a click outside it. */
function dialog(title, ...children) {
  const element = make(
    "dialog",
    {class: "window", "aria-label": title, onclick: (event) => event.target === element && element.close()},
    make(
      "div",
      {class: "inner"},
      make(
        "header",
        {},
        make("h2", {textContent: title}),
        button({name: "close", title: "Close", class: "icon", onclick: () => element.close()}),
      ),
      ...children,
    ),
  );
  return element;
}

/** Opens label maps and recipes from files, examples, or a blank map. */
export function openDialog(desk) {
  const {info} = desk;
  const then = (work) => () => {
    element.close();
    work();
  };
  const file = make("input", {
    type: "file",
    accept: info.labels ? ".png,.json,.webp,.bmp,.gif,.tif,.tiff,.npy" : ".json",
    hidden: true,
    class: "file",
    tabIndex: -1,
    "aria-label": "File",
    onchange: () => {
      if (file.files.length) then(() => desk.openFile(file.files[0]))();
      file.value = "";
    },
  });
  const examples = info.examples.map(({name}) => button({text: name, onclick: then(() => desk.openExample(name))}));
  const blank = button({text: "Blank", title: "A map of the class that is chosen in the palette", onclick: then(() => desk.openBlank())});
  const element = dialog(
    "Open",
    make("p", {
      class: "quiet",
      textContent: info.labels
        ? "A label map (ids in grey or as a palette PNG, or the colours of the classes as a palette PNG or RGB) or a recipe.json. Files can also be dropped on the page."
        : "A recipe.json.",
    }),
    make(
      "div",
      {class: "row"},
      button({name: "open", text: "Choose a file", class: "primary", onclick: () => file.click()}),
      ...(info.labels ? [blank] : []),
      file,
    ),
    ...(examples.length ? [make("h3", {textContent: "Examples"}), make("div", {class: "row wrap examples"}, ...examples)] : []),
  );
  return element;
}

/** A date and time in a file name: browsers would rename a second file of one name. */
function stampOf(date) {
  const [year, ...rest] = [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
  const [month, day, ...time] = rest.map((part) => String(part).padStart(2, "0"));
  return `${year}${month}${day}_${time.join("")}`;
}

/** Saves photo, label map and recipe as files. */
export function saveDialog(desk) {
  const {info} = desk;
  const command = make("code");
  const nameRecipe = (file) => {
    command.textContent = `python -m oasis_jax.sample --recipe=${file}${info.found ? "" : " --checkpoint=RUN"} --output=DIR`;
  };
  nameRecipe("recipe.json");
  const save = (kind, work) => async () => {
    const image = imageOf(desk.session.state);
    const stamp = stampOf(new Date());
    try {
      desk.tell(`Preparing the ${kind} ...`);
      const [blob, start, ending] = await work(image);
      const file = `${start}_${stamp}.${ending}`;
      download(blob, file);
      if (ending === "json") nameRecipe(file);
      desk.tell(`${file} is saved.`);
    } catch (error) {
      desk.fail(error);
    }
  };
  const photo = async (image) => {
    const {rgb, height, width} = await desk.loop.later(image);
    return [await rgbPng(rgb, {height, width}), "photo", "png"];
  };
  const labels = async (image) => [await labelMapPng(image.labels, image, info.classes), "label_map", "png"];
  const recipe = async (image) => [await recipeFile(image, info), "recipe", "json"];
  return dialog(
    "Save",
    make(
      "div",
      {class: "row wrap"},
      button({name: "save", text: "Photo", class: "primary", onclick: save("photo", photo)}),
      ...(info.labels ? [button({name: "save", text: "Label map", onclick: save("label map", labels)})] : []),
      button({name: "save", text: "Recipe", onclick: save("recipe", recipe)}),
    ),
    make("p", {class: "quiet", textContent: "The recipe can be opened here again. This command makes its photo:"}),
    command,
  );
}

/** Lists the keyboard shortcuts. */
export function helpDialog(desk) {
  const {info} = desk;
  const general = [
    ["Ctrl+Z, Ctrl+Shift+Z", "Undo, redo"],
    ["+, -, 0", "Zoom in, out, fit; also the wheel, around the pointer"],
    ["Space held", "Move the view by dragging"],
    ["D", "Compare with the previous step"],
    ...(info.noise
      ? [
          ["R", info.labels ? "New noise for the image, the class or the selection" : "New seed"],
          ["V", "Variations: several seeds to choose from"],
        ]
      : []),
    ...(info.spatial ? [["C", "Show the centres; arrow keys move one, + and - change its width"]] : []),
    ["Ctrl+O, Ctrl+S", "Open, save"],
    ["?", "This help"],
  ];
  const painting = [
    ...toolsFor(info).map(({key, title}) => [key.toUpperCase(), title]),
    ["[ and ]", "Smaller and larger brush; also Shift or Alt with the wheel"],
    ["1 to 9, /", "Choose the class with this number, search the classes"],
    ["O", "Label map over the photo, or side by side with it"],
    ...(info.noise
      ? [
          ["K", "Lock or unlock the noise of the class or the selection"],
          ["Shift, Alt", "While selecting: add to the selection, subtract from it"],
        ]
      : []),
    ["Arrow keys, Enter", "On a picture: move the pen (with Shift by eight pixels), put it down and lift it"],
    ["Escape", "Cancel a stroke, end a comparison, clear the selection"],
  ];
  const table = (rows) =>
    make(
      "dl",
      {class: "keys"},
      ...rows.flatMap(([keys, does]) => [make("dt", {}, make("kbd", {textContent: keys})), make("dd", {textContent: does})]),
    );
  const about = info.labels
    ? "Paint on either picture. The photo follows the label map; its noise decides how things look. Your work is stored in this browser."
    : "The seed decides what the photo shows. Your work is stored in this browser.";
  return dialog(
    "Help",
    make("p", {class: "quiet", textContent: about}),
    make("div", {class: "columns"}, ...(info.labels ? [table(painting)] : []), table(general)),
  );
}
