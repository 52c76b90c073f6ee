/** Photos of the image: the one that is shown, and a cache of the exact photos of steps. */
import {imageOf} from "./session.js";

export class Photos {
  current = null; // {rgb, height, width, version}
  ofSteps = new Map();
  version = 0;

  constructor(history, loop, limit = 40) {
    Object.assign(this, {history, loop, limit});
  }

  /** The cache key of a position in the history: an object that identifies the step, so that a new step never gets an old photo. */
  key(position = this.history.position) {
    return this.history.steps[position - 1] ?? this.history;
  }

  /** Takes a rendered photo: the exact one of the state of a key, or a preview of a window. Returns the part to redraw. */
  take(photo, key) {
    const {current} = this;
    const whole = !current || photo.exact || photo.height * photo.width === current.height * current.width;
    this.version++;
    if (whole) {
      this.current = {rgb: photo.rgb, height: photo.height, width: photo.width, version: this.version};
      if (key && photo.exact) this.remember(key, this.current);
      return this.current;
    }
    const rgb = current.rgb.slice();
    for (let y = 0; y < photo.height; y++) {
      rgb.set(photo.rgb.subarray(3 * y * photo.width, 3 * (y + 1) * photo.width), 3 * ((photo.top + y) * current.width + photo.left));
    }
    this.current = {...current, rgb, version: this.version};
    return photo;
  }

  remember(key, photo) {
    this.ofSteps.delete(key);
    this.ofSteps.set(key, photo);
    if (this.ofSteps.size > this.limit) this.ofSteps.delete(this.ofSteps.keys().next().value);
  }

  /** The exact photo at a position in the history, from the cache or computed. */
  async at(position) {
    const key = this.key(position);
    if (!this.ofSteps.has(key)) this.ofSteps.set(key, this.loop.later(imageOf(this.history.at(position))));
    try {
      const photo = await this.ofSteps.get(key);
      this.remember(key, photo);
      return photo;
    } catch (error) {
      this.ofSteps.delete(key);
      throw error;
    }
  }
}
