/**
 * Claims records of the store, each for one studio at a time: by Web Locks, or over plain HTTP, where browsers have none, by notes in
 * localStorage that name the owner. An owner answers the question whether it is still there.
 */
import {newName} from "./random.js";

const ANSWER = 300; // ms to wait for an owner to answer
const held = new Map(); // id of each record that this page has claimed -> function that releases it
const noteName = (id) => `oasis-studio owner ${id}`;
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
let asOwner = null; // {owner, channel}: the name of this page in notes, and the channel over which owners answer

export const hasLocks = () => Boolean(navigator.locks);

/** Locks a record; returns the function that unlocks it, or null. */
async function lockRecord(id, wait) {
  let unlock = null;
  const locked = await new Promise((resolve) => {
    const keep = (lock) => {
      resolve(Boolean(lock));
      return lock && new Promise((end) => (unlock = end));
    };
    const how = wait ? {signal: AbortSignal.timeout(wait)} : {ifAvailable: true};
    navigator.locks.request(`oasis-studio ${id}`, how, keep).catch(() => resolve(false));
  });
  return locked ? unlock : null;
}

function thisOwner() {
  if (asOwner) return asOwner;
  const owner = newName();
  const channel = new BroadcastChannel("oasis-studio owners");
  channel.addEventListener("message", ({data}) => data.asked === owner && channel.postMessage({present: owner}));
  return (asOwner = {owner, channel});
}

/** Whether the owner in a note answers. */
function isPresent(owner) {
  const {channel} = thisOwner();
  return new Promise((resolve) => {
    const end = (present) => {
      channel.removeEventListener("message", heard);
      resolve(present);
    };
    const heard = ({data}) => data.present === owner && end(true);
    channel.addEventListener("message", heard);
    channel.postMessage({asked: owner});
    setTimeout(() => end(false), ANSWER);
  });
}

/** Whether the note of a record names this page, which writes it if there is none. */
function isNoted(id) {
  const {owner} = thisOwner();
  const found = localStorage.getItem(noteName(id));
  try {
    if (!found) localStorage.setItem(noteName(id), owner);
  } catch {
    // the disk is full: others cannot write a note either
  }
  return !found || found === owner;
}

function removeNote(id) {
  if (localStorage.getItem(noteName(id)) === thisOwner().owner) localStorage.removeItem(noteName(id));
}

/** Writes the note of a record whose owner is no longer there; returns the function that removes it, or null. */
async function noteRecord(id, wait) {
  const end = performance.now() + wait;
  for (;;) {
    const found = localStorage.getItem(noteName(id));
    if (!found || !(await isPresent(found))) break;
    if (performance.now() >= end) return null;
    await pause(50);
  }
  localStorage.setItem(noteName(id), thisOwner().owner);
  await pause(100); // another page may have written a note at the same time
  return isNoted(id) ? () => removeNote(id) : null;
}

/** Claims a record; false if another studio has claimed it and does not release it within `wait` ms. */
export async function claim(id, wait = 0) {
  if (held.has(id)) return false;
  held.set(id, () => {});
  const ending = await (hasLocks() ? lockRecord(id, wait) : noteRecord(id, wait)).catch(() => null);
  if (ending) held.set(id, ending);
  else held.delete(id);
  return Boolean(ending);
}

/** Releases a record. */
export function release(id) {
  held.get(id)?.();
  held.delete(id);
}

/** Called when the page is hidden: it may be closed, or be shown again later. Locks end by themselves. */
export function leave(id) {
  if (held.has(id) && !hasLocks()) removeNote(id);
}

/** Whether a claimed record still belongs to this page. Without locks, another page takes it if the browser has stopped this one. */
export function isClaimed(id) {
  return hasLocks() || isNoted(id);
}
