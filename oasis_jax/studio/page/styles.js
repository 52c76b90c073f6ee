/** Controls for the styles of a model without label maps: truncation towards their mean, and mixing with those of a second seed. */
import {button, make, slider} from "./elements.js";
import {newSeed} from "./random.js";

/** The slider for truncation. */
export function truncationOf(desk) {
  const {session} = desk;
  const strength = slider({
    label: "Truncation",
    min: 0,
    max: 1.5,
    step: 0.01,
    oninput: (truncation) => session.live({values: {...session.state.values, truncation}}),
    onchange: () => session.commit("Truncation"),
  });
  strength.element.title = "1 leaves the styles as they are drawn; towards 0 they approach their mean";
  return {
    element: strength.element,
    update: () => strength.show(session.state.values.truncation, session.state.values.truncation.toFixed(2)),
  };
}

/** Style mixing: from some row on, styles come from a second seed. The first rows determine shapes, the last rows colours. */
export function mixingOf(desk) {
  const {session, info} = desk;
  const last = info.styles - 1;
  let seed = newSeed();
  const mixed = () => Object.keys(session.state.values.style_seeds).map(Number);
  const mixFrom = (row) => {
    const rows = Array.from({length: info.styles - row}, (_, i) => [row + i, seed]);
    session.live({values: {...session.state.values, style_seeds: Object.fromEntries(rows)}});
  };
  const from = slider({
    label: "Mix from row",
    min: 1,
    max: info.styles,
    step: 1,
    oninput: mixFrom,
    onchange: () => session.commit("Style mixing"),
  });
  from.element.title = `Style rows from this one to ${last} come from a second seed: low rows shape the image, high rows colour it`;
  const other = button({
    name: "dice",
    title: "Another second seed for style mixing",
    onclick: () => {
      const row = Number(from.input.value);
      seed = newSeed();
      mixFrom(row > last ? Math.ceil(info.styles / 2) : row);
      session.commit("Style mixing");
    },
  });
  return {
    element: make("div", {class: "row blend"}, from.element, other),
    update() {
      const rows = mixed();
      if (rows.length) seed = session.state.values.style_seeds[Math.max(...rows)];
      const first = rows.length ? Math.min(...rows) : info.styles;
      from.show(first, rows.length ? `${first}–${Math.max(...rows)}` : "none");
    },
  };
}
