/** The list of classes, with a search field and arrow-key navigation. */
import {make, press, walkable} from "./elements.js";

export function paletteOf(desk) {
  const {classes} = desk.info;
  const rows = classes.map(({id, name, color, dont_care}) => {
    const swatch = make("span", {class: "swatch"});
    swatch.style.background = `rgb(${color.join(" ")})`;
    return make(
      "button",
      {
        type: "button",
        class: "class",
        title: dont_care ? `${name} (${id}), the don't-care class of the training data` : `${name} (${id})`,
        onclick: () => desk.set({id}),
      },
      swatch,
      make("span", {class: "name", textContent: name}),
      make("span", {class: "number", textContent: id}),
    );
  });
  const none = make("p", {class: "quiet", textContent: "No class matches.", hidden: true});
  const list = make("div", {class: "classes", role: "group", "aria-label": "Classes"}, ...rows, none);
  walkable(list);
  const found = () => rows.filter((row) => !row.hidden);
  const search = make("input", {
    type: "search",
    placeholder: `Search ${classes.length} classes`,
    "aria-label": "Search classes",
    spellcheck: false,
    oninput: () => {
      const words = search.value.toLowerCase().split(/\s+/);
      rows.forEach((row, i) => (row.hidden = !words.every((word) => `${classes[i].name.toLowerCase()} ${classes[i].id}`.includes(word))));
      none.hidden = found().length > 0;
      keepReachable();
    },
    onkeydown: (event) => {
      if (event.key === "Enter" && found().length) found()[0].click();
      if (event.key === "ArrowDown" && found().length) found()[0].focus();
      if (event.key === "Enter" || event.key === "ArrowDown") event.preventDefault();
    },
  });
  const keepReachable = () => {
    if (!found().some((row) => row.tabIndex === 0) && found().length) found()[0].tabIndex = 0;
  };
  let shown = null;
  return {
    element: make("div", {class: "palette"}, search, list),
    search,
    update() {
      if (shown === desk.ui.id) return;
      shown = desk.ui.id;
      rows.forEach((row, i) => press(row, classes[i].id === shown));
      const chosen = rows[classes.findIndex(({id}) => id === shown)];
      if (chosen)
        list.scrollTop = Math.max(Math.min(list.scrollTop, chosen.offsetTop), chosen.offsetTop + chosen.offsetHeight - list.clientHeight);
      keepReachable();
    },
  };
}
