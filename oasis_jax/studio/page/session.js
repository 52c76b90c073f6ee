/**
 * The image being edited: its current state, and the steps that led to it. Changes are shown while they are made (live) and become a step
 * when they are committed.
 */
import {copyOf} from "./history.js";

export class Session {
  /** @param changed called after each change with {live, rect}: whether it is still in progress, and the area painted, or null. */
  constructor(history, changed) {
    this.history = history;
    this.state = copyOf(history.state);
    this.changed = changed;
    this.isLive = false; // whether anything has changed since the last step
  }

  /** Called after pixels of the labels were painted, within {left, top, right, bottom}. */
  painted(rect) {
    this.isLive = true;
    this.changed({live: true, rect});
  }

  /** Changes noise or heatmaps without making a step, while a slider or a centre moves. */
  live({values, regionMap = this.state.regionMap}) {
    this.isLive = true;
    this.state = {...this.state, values, regionMap};
    this.changed({live: true, rect: null});
  }

  /** Makes the changes since the last step a new step. */
  commit(name) {
    this.isLive = false;
    this.history.push(name, this.state);
    this.changed({live: false, rect: null});
  }

  /** Changes part of the state and commits the change. */
  change(name, part) {
    this.state = {...this.state, ...part};
    this.commit(name);
  }

  /** Discards the changes since the last step. */
  cancel() {
    this.move(this.history.position);
  }

  /** Opens another map or recipe, as a step to which "start over" returns. */
  open(name, state) {
    this.history.push(name, state, true);
    this.move(this.history.position);
  }

  /** Moves to a position in the history, limited to its range. */
  move(position) {
    this.isLive = false;
    this.history.move(Math.max(0, Math.min(this.history.steps.length, position)));
    this.state = copyOf(this.history.state);
    this.changed({live: false, rect: null});
  }

  /** Discards changes that are not a step yet; if there are none, undoes the last step. */
  undo() {
    this.move(this.history.position - (this.isLive ? 0 : 1));
  }

  redo() {
    this.move(this.history.position + 1);
  }

  /** Returns to the map as it was opened; this can be undone. */
  startOver() {
    this.change("Start over", copyOf(this.history.at(this.history.opening)));
  }
}

/** The image for a transport: a copy of the state, without what only the page needs (locks). */
export function imageOf(state) {
  const {labels, regionMap, height, width, values} = copyOf(state);
  return {...values, regions: values.regions.map(({seed, end, t}) => ({seed, end, t})), labels, regionMap, height, width};
}
