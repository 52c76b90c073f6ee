/** Writes label maps as files of the model's data set, which the commands of this project read, and which this page opens again. */
import {idPng} from "./png.js";

/**
 * A label map as a PNG Blob. It holds the stored ids of the classes, from which the sampling command and the training make classes: as
 * indices of a palette that has the colours of the classes at these places, or in grey if an id has no place in a palette.
 *
 * @param labels classes of the pixels.
 * @param classes [{color, stored}]; `stored` is the class itself by default.
 */
export async function labelMapPng(labels, shape, classes) {
  const stored = classes.map((each, id) => each.stored ?? id);
  const fits = classes.length <= 256 && labels.every((id) => stored[id] < 256);
  const ids = (fits ? Uint8Array : Uint16Array).from(labels, (id) => stored[id]);
  if (!fits) return idPng(ids, shape);
  const last = Math.max(...stored.filter((id) => id < 256));
  const colours = Array.from({length: last + 1}, (_, id) => (classes[stored.indexOf(id)] ?? classes[0]).color);
  return idPng(ids, shape, colours);
}
