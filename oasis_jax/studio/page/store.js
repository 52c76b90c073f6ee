/**
 * Keeps the work of a tab over a reload, in IndexedDB. Each tab, and each studio of a page, has a record of its own, which it locks. A
 * new tab takes up the latest record that nobody has open. Where a browser keeps nothing, the studio works without.
 */

const held = new Map(); // records of the studios of this page, and how to let go of them

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

/** Locks a record; false if somebody has it and does not let go of it within some ms. */
async function claim(id, wait) {
  if (held.has(id)) return false;
  held.set(id, () => {});
  if (!navigator.locks) return true;
  const locked = await new Promise((resolve) => {
    const keep = (lock) => {
      resolve(Boolean(lock));
      return lock && new Promise((release) => held.set(id, release));
    };
    const how = wait ? {signal: AbortSignal.timeout(wait)} : {ifAvailable: true};
    navigator.locks.request(`oasis-studio ${id}`, how, keep).catch(() => resolve(false));
  });
  if (!locked) held.delete(id);
  return locked;
}

/** How long the record of this tab may be locked, in ms: by the page that is being reloaded, or for ever, if the tab is a copy of another. */
function patience() {
  return performance.getEntriesByType("navigation")[0]?.type === "reload" ? 5000 : 400;
}

/** The record of this tab; else the latest of the model that is free; else a new one. */
async function claimRecord(records, model) {
  for (let n = 0; ; n++) {
    const slot = `oasis-studio ${model} ${n}`;
    const mine = sessionStorage.getItem(slot);
    if (mine && (await claim(mine, patience()))) return mine;
    if (mine) continue;
    let id = null;
    if (navigator.locks) {
      for (const record of records) if (!id && (await claim(record.id, 0))) id = record.id;
    }
    if (!id) {
      id = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join("");
      await claim(id, 0);
    }
    sessionStorage.setItem(slot, id);
    return id;
  }
}

const stepKeys = (id, from = 0) => IDBKeyRange.bound([id, from], [id, Infinity]);

export class Store {
  /**
   * Opens the record of a tab for a model, named so that another model does not find it. `saved` is {first, steps, position, ui} or
   * null.
   */
  static async open(model, limit = 12) {
    const store = new Store();
    try {
      store.database = await openDatabase();
      const transaction = store.database.transaction("records");
      const records = (await done(transaction.objectStore("records").getAll())).sort((a, b) => b.time - a.time);
      store.id = await claimRecord(
        records.filter((record) => record.model === model),
        model,
      );
      store.model = model;
      await store.read(records);
      await store.forget(records.slice(limit));
    } catch {
      store.database = null; // private windows and sandboxed frames
    }
    return store;
  }

  saved = null;
  written = [];

  async read(records) {
    const record = records.find((each) => each.id === this.id);
    if (!record) return;
    const steps = await done(this.database.transaction("steps").objectStore("steps").getAll(stepKeys(this.id)));
    this.written = steps.slice(0, record.length);
    this.saved = {...record, steps: this.written.slice(), position: Math.min(record.position, this.written.length)};
  }

  /** Deletes records that no tab has open. */
  async forget(records) {
    for (const {id} of records) {
      if (id === this.id || !(await claim(id, 0))) continue;
      const transaction = this.database.transaction(["records", "steps"], "readwrite");
      transaction.objectStore("records").delete(id);
      transaction.objectStore("steps").delete(stepKeys(id));
    }
  }

  /** Writes what has changed: the first state, new steps, position and the page's own settings. */
  save(first, history, ui) {
    if (!this.database) return;
    const {steps, position} = history;
    const transaction = this.database.transaction(["records", "steps"], "readwrite");
    transaction.onabort = () => (this.database = null); // the disk is full
    const kept = transaction.objectStore("steps");
    let same = 0;
    while (same < steps.length && this.written[same] === steps[same]) same++;
    if (this.written.length > same) kept.delete(stepKeys(this.id, same));
    for (let i = same; i < steps.length; i++) kept.put(steps[i], [this.id, i]);
    this.written = steps.slice();
    const record = {id: this.id, model: this.model, time: Date.now(), first, position, length: steps.length, ui};
    transaction.objectStore("records").put(record);
  }

  close() {
    this.database?.close();
    held.get(this.id)?.();
    held.delete(this.id);
  }
}
