/**
 * Changes that the database has not confirmed yet. IndexedDB writes in the background, and a page may be closed before it is done;
 * localStorage writes synchronously. An entry is removed when the database confirms the write.
 */
import {base64Of, fromBase64} from "./base64.js";

const ARRAYS = {Uint8Array, Uint16Array, Uint32Array};
const entryName = (id) => `oasis-studio journal ${id}`;

function withoutArrays(_, value) {
  if (!ArrayBuffer.isView(value)) return value;
  return {array: value.constructor.name, base64: base64Of(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))};
}

function withArrays(_, value) {
  if (typeof value?.base64 !== "string" || !(value.array in ARRAYS)) return value;
  return new ARRAYS[value.array](fromBase64(value.base64).buffer);
}

/** Writes the entry of a record: plain values and typed arrays. Returns false if the browser cannot store it. */
export function writeEntry(id, entry) {
  try {
    localStorage.setItem(entryName(id), JSON.stringify(entry, withoutArrays));
    return true;
  } catch {
    removeEntry(id); // an older entry would be out of date
    return false;
  }
}

/** The entry of a record, or null. */
export function readEntry(id) {
  try {
    return JSON.parse(localStorage.getItem(entryName(id)), withArrays);
  } catch {
    return null;
  }
}

export function removeEntry(id) {
  try {
    localStorage.removeItem(entryName(id));
  } catch {
    // the browser has no localStorage
  }
}
