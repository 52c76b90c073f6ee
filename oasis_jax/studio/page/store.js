/**
 * Stores the work of a tab in IndexedDB, so that it survives a reload. Each tab, and each studio of a page, claims its own record.
 * A new tab opens the latest record that is not claimed. If the browser cannot store anything, the studio works without a store.
 */
import {claim, hasLocks, isClaimed, leave, release} from "./claims.js";
import {readEntry, removeEntry, writeEntry} from "./journal.js";
import {newName} from "./random.js";

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function openDatabase() {
  const request = indexedDB.open("oasis-studio", 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("records", {keyPath: "id"});
    request.result.createObjectStore("steps");
  };
  return done(request);
}

/** How long to wait for the record of this tab, in ms: long for the page before a reload to release it, short if the tab may be a copy. */
function patience() {
  return performance.getEntriesByType("navigation")[0]?.type === "reload" ? 5000 : 400;
}

/**
 * Claims a record: that of this tab, else the latest of the model that is not claimed, else a new one. Returns its id, and the slot of
 * sessionStorage by which this tab finds it again.
 */
async function claimRecord(records, model) {
  for (let n = 0; ; n++) {
    const slot = `oasis-studio ${model} ${n}`;
    const mine = sessionStorage.getItem(slot);
    if (mine && (await claim(mine, patience()))) return {id: mine, slot};
    if (mine) continue;
    let id = null;
    for (const record of records) if (!id && (await claim(record.id))) id = record.id;
    if (!id) {
      id = newName();
      await claim(id);
    }
    sessionStorage.setItem(slot, id);
    return {id, slot};
  }
}

const stepKeys = (id, from = 0) => IDBKeyRange.bound([id, from], [id, Infinity]);

/** The length of the longest common prefix of two lists of steps. */
function sameSteps(some, others) {
  let same = 0;
  while (same < others.length && some[same] === others[same]) same++;
  return same;
}

export class Store {
  /**
   * Opens the record of this tab for a model; `model` is a name that no other model has. Sets `saved` to {first, steps, position, ui},
   * or leaves it null. Records without steps are deleted, except the latest `limit`.
   */
  static async open(model, limit = 12) {
    const store = new Store();
    try {
      store.database = await openDatabase();
      store.database.onclose = () => {
        store.database = null; // the user has cleared the browser's data
        store.lost();
      };
      const transaction = store.database.transaction("records");
      const records = (await done(transaction.objectStore("records").getAll())).sort((a, b) => b.time - a.time);
      const own = records.filter((record) => record.model === model);
      Object.assign(store, {model}, await claimRecord(own, model));
      await store.read();
      await store.forget(records.filter(({id, length}) => !length && !readEntry(id)).slice(limit));
    } catch {
      store.database = null; // in private windows and sandboxed frames
    }
    return store;
  }

  saved = null;
  confirmed = []; // steps that the database has confirmed
  written = this.confirmed; // steps of the latest write, confirmed or not
  begun = false; // whether the database has the first state
  lost = () => {}; // called when new work cannot be stored

  /** Reads the record again, because another page may have written to it before it was locked. */
  async read() {
    const {database, id} = this;
    const transaction = database.transaction(["records", "steps"]);
    const [record, steps] = await Promise.all([
      done(transaction.objectStore("records").get(id)),
      done(transaction.objectStore("steps").getAll(stepKeys(id))),
    ]);
    this.begun = Boolean(record);
    if (record) this.confirmed = this.written = steps.slice(0, record.length);
    const entry = readEntry(id);
    const fits = entry && entry.from <= this.written.length && (record || entry.first);
    if (!record && !fits) return;
    const latest = {...record, steps: this.written.slice()};
    if (fits) Object.assign(latest, entry, {steps: [...latest.steps.slice(0, entry.from), ...entry.steps]});
    this.saved = {...latest, position: Math.min(latest.position, latest.steps.length)};
  }

  /** Deletes those of the given records that no tab has open, which only locks tell for certain. */
  async forget(records) {
    for (const {id} of hasLocks() ? records : []) {
      if (id === this.id || !(await claim(id))) continue;
      const transaction = this.database.transaction(["records", "steps"], "readwrite");
      transaction.objectStore("records").delete(id);
      transaction.objectStore("steps").delete(stepKeys(id));
      removeEntry(id);
      release(id);
    }
  }

  /** Takes a new record, to which the next `save` writes everything: another page has taken this one. */
  move() {
    release(this.id);
    this.id = newName();
    claim(this.id);
    sessionStorage.setItem(this.slot, this.id);
    this.confirmed = this.written = [];
    this.begun = false;
  }

  /** Called when the page is hidden. */
  leave() {
    if (this.database) leave(this.id);
  }

  /** Writes what has changed: the first state, new steps, position and settings. If the journal has room, it survives a reload. */
  save(first, history, ui) {
    if (!this.database) return;
    if (!isClaimed(this.id)) this.move();
    const {id, model} = this;
    const {position} = history;
    const steps = history.steps.slice();
    const from = sameSteps(this.confirmed, steps);
    const entry = {from, steps: steps.slice(from), position, ui, ...(this.begun ? {} : {first})};
    const isSafe = writeEntry(id, entry);
    this.latest = entry;

    const base = this.written;
    const transaction = this.database.transaction(["records", "steps"], "readwrite");
    const kept = transaction.objectStore("steps");
    const same = sameSteps(base, steps);
    if (base.length > same) kept.delete(stepKeys(id, same));
    for (let i = same; i < steps.length; i++) kept.put(steps[i], [id, i]);
    transaction.objectStore("records").put({id, model, time: Date.now(), first, position, length: steps.length, ui});
    this.written = steps;
    const failed = () => {
      this.written = this.confirmed; // the next save writes the missing steps again
      if (!isSafe) this.lost();
    };
    transaction.onabort = failed;
    transaction.oncomplete = () => {
      if (base !== this.confirmed) return failed(); // an earlier transaction, on which this one builds, was aborted
      this.confirmed = steps;
      this.begun = true;
      if (this.latest === entry) removeEntry(id);
    };
    transaction.commit();
  }

  close() {
    this.database?.close();
    this.database = null;
    release(this.id);
  }
}
