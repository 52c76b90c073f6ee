/**
 * Unlimited undo and redo. A state is {height, width, labels, regionMap, values}: two maps (null for models without label maps) and
 * plain values that are replaced, never mutated. A step stores the difference between two states, not the states.
 */

/** Runs of pixels in which two maps differ: [start, length, before, after, ...] as a Uint32Array. */
export function runsBetween(before, after) {
  const runs = [];
  for (let i = 0; i < before.length;) {
    if (before[i] === after[i]) {
      i++;
      continue;
    }
    const start = i;
    while (i < before.length && before[i] === before[start] && after[i] === after[start]) i++;
    runs.push(start, i - start, before[start], after[start]);
  }
  return Uint32Array.from(runs);
}

/** Writes the values of runs into a map: those after the change if `forward`, else those before it. */
export function applyRuns(map, runs, forward) {
  for (let i = 0; i < runs.length; i += 4) map.fill(runs[i + (forward ? 3 : 2)], runs[i], runs[i] + runs[i + 1]);
}

/** A copy of a state that shares no mutable data with it. */
export function copyOf(state) {
  return {...state, labels: state.labels && state.labels.slice(), regionMap: state.regionMap && state.regionMap.slice()};
}

/** The step from one state to another; null if they are equal. If the size or type of the maps differs, it stores both states. */
export function stepBetween(name, before, after, opened = false) {
  const sameShape =
    before.height === after.height && before.width === after.width && before.labels?.BYTES_PER_ELEMENT === after.labels?.BYTES_PER_ELEMENT;
  if (!sameShape || opened) return {name, opened, states: [copyOf(before), copyOf(after)]};
  const labels = before.labels ? runsBetween(before.labels, after.labels) : new Uint32Array();
  const regions = before.regionMap ? runsBetween(before.regionMap, after.regionMap) : new Uint32Array();
  const values = [before.values, after.values];
  if (!labels.length && !regions.length && JSON.stringify(values[0]) === JSON.stringify(values[1])) return null;
  return {name, opened, labels, regions, values};
}

/** The state after a step, or before it. The maps of `state` may be modified in place. */
export function applyStep(state, step, forward) {
  if (step.states) return copyOf(step.states[forward ? 1 : 0]);
  if (state.labels) applyRuns(state.labels, step.labels, forward);
  if (state.regionMap) applyRuns(state.regionMap, step.regions, forward);
  return {...state, values: step.values[forward ? 1 : 0]};
}

/** Steps and the current position; `state` is the state at that position, and only this class modifies it. */
export class History {
  constructor(state, steps = [], position = 0) {
    this.steps = steps;
    this.position = position;
    this.state = copyOf(state);
  }

  /** Adds the step to another state and discards the steps that could be redone. Returns whether anything changed. */
  push(name, state, opened = false) {
    const step = stepBetween(name, this.state, state, opened);
    if (!step) return false;
    this.steps.splice(this.position, Infinity, step);
    this.move(this.position + 1);
    return true;
  }

  get canUndo() {
    return this.position > 0;
  }

  get canRedo() {
    return this.position < this.steps.length;
  }

  /** Moves to a position; 0 is the first state. */
  move(position) {
    while (this.position > position) this.state = applyStep(this.state, this.steps[--this.position], false);
    while (this.position < position) this.state = applyStep(this.state, this.steps[this.position++], true);
  }

  /** A copy of the state at any position. */
  at(position) {
    const walk = new History(this.state, this.steps, this.position);
    walk.move(position);
    return walk.state;
  }

  /** The position at which the current map was opened, to which "start over" and the eraser return. */
  get opening() {
    for (let i = this.position; i > 0; i--) if (this.steps[i - 1].opened) return i;
    return 0;
  }
}
