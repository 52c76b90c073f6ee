/**
 * The image in work: what is drawn now, and the steps that led there. Changes are seen at once (`live`) and become a step when they are
 * done.
 */
import {copyOf} from "./history.js";

export class Session {
  /** @param changed called after each change with {live, rect}: whether it is still going on, and the pixels that it touched, or null. */
  constructor(history, changed) {
    this.history = history;
    this.state = copyOf(history.state);
    this.changed = changed;
    this.isLive = false; // whether something has changed since the last step
  }

  /** Pixels of the labels were painted: {left, top, right, bottom}. */
  painted(rect) {
    this.isLive = true;
    this.changed({live: true, rect});
  }

  /** Other noise or heatmaps, while a slider or a centre moves: {values, regionMap}. */
  live({values, regionMap = this.state.regionMap}) {
    this.isLive = true;
    this.state = {...this.state, values, regionMap};
    this.changed({live: true, rect: null});
  }

  /** Makes a step of what has changed since the last one. */
  commit(name) {
    this.isLive = false;
    this.history.push(name, this.state);
    this.changed({live: false, rect: null});
  }

  /** Both at once. */
  change(name, part) {
    this.state = {...this.state, ...part};
    this.commit(name);
  }

  /** Forgets what has changed since the last step. */
  cancel() {
    this.move(this.history.position);
  }

  /** Another map or recipe: a step as any other, to which "start over" leads back. */
  open(name, state) {
    this.history.push(name, state, true);
    this.move(this.history.position);
  }

  /** Goes to a position in the history, within its ends. */
  move(position) {
    this.isLive = false;
    this.history.move(Math.max(0, Math.min(this.history.steps.length, position)));
    this.state = copyOf(this.history.state);
    this.changed({live: false, rect: null});
  }

  /** Takes back what is not a step yet, or else the last step. */
  undo() {
    this.move(this.history.position - (this.isLive ? 0 : 1));
  }

  redo() {
    this.move(this.history.position + 1);
  }

  /** Back to the map as it was opened; that can be undone. */
  startOver() {
    this.change("Start over", copyOf(this.history.at(this.history.opening)));
  }
}

/** What a transport is given: the state without what is the page's own. Nothing in it changes later. */
export function imageOf(state) {
  const {labels, regionMap, height, width, values} = copyOf(state);
  return {...values, regions: values.regions.map(({seed, end, t}) => ({seed, end, t})), labels, regionMap, height, width};
}
