/**
 * The pointers on the pictures: mouse, pen and fingers, on the canvases and on the handles over them. One pointer makes a gesture, such as
 * a stroke; a second finger cancels it, and both move and zoom the view. While a pen is used, fingers are ignored: they are of its hand.
 */

const PEN_IS_NEAR = 1000; // ms after the last event of a pen

export class Pointers {
  fingers = new Map(); // pointer id -> position in the window {x, y}
  gesture = null; // the one being made, with the id of its pointer
  penSeen = -Infinity; // time of the last event of a pen

  /** @param pinch called with (before, now, fixed, pane) when one of two fingers moves: positions in the window, and the first's pane. */
  constructor(pinch) {
    this.pinch = pinch;
  }

  /** Whether an event is that of a finger which takes no part in anything, such as a palm. */
  ignores({pointerType, pointerId}) {
    return pointerType === "touch" && !this.fingers.has(pointerId);
  }

  /** A pointer is pressed: begins the gesture {begin(), move(event), end(), cancel()}, unless this is a second pointer. */
  down(event, gesture) {
    const {pointerId: id, currentTarget} = event;
    this.seePen(event);
    const isFinger = event.pointerType === "touch";
    if (event.button > 1 || (this.gesture && !(isFinger && this.gesture.isFinger))) return;
    if (isFinger && (this.fingers.size > 1 || event.timeStamp - this.penSeen < PEN_IS_NEAR)) return;
    currentTarget.setPointerCapture(id);
    if (isFinger) {
      if (!this.fingers.size) this.pane = currentTarget.closest(".pane");
      this.fingers.set(id, {x: event.clientX, y: event.clientY});
      if (this.fingers.size > 1) return this.cancel();
    }
    this.gesture = {...gesture, id, isFinger};
    gesture.begin();
  }

  move(event) {
    const {pointerId: id} = event;
    this.seePen(event);
    if (this.gesture?.id === id) this.gesture.move(event);
    const before = this.fingers.get(id);
    if (!before) return;
    const now = {x: event.clientX, y: event.clientY};
    this.fingers.set(id, now);
    const fixed = [...this.fingers].find(([other]) => other !== id)?.[1];
    if (fixed) this.pinch(before, now, fixed, this.pane);
  }

  /** A pointer is lifted, or lost. */
  up(event) {
    this.seePen(event);
    this.fingers.delete(event.pointerId);
    if (this.gesture?.id !== event.pointerId) return;
    const {gesture} = this;
    this.gesture = null;
    if (event.type === "pointercancel") gesture.cancel();
    else gesture.end();
  }

  cancel() {
    const {gesture} = this;
    this.gesture = null;
    gesture?.cancel();
  }

  /** When a pen comes, fingers that are down are lifted without effect. */
  seePen({pointerType, timeStamp}) {
    if (pointerType !== "pen") return;
    this.penSeen = timeStamp;
    if (this.gesture?.isFinger) this.cancel();
    this.fingers.clear();
  }
}
