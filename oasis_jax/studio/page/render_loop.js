/**
 * Requests for images, one at a time. What changed while one was computed is asked for once, in its latest form. Background work, such as
 * thumbnails, runs when nothing else waits.
 */

export class RenderLoop {
  /**
   * @param render (image, {preview, signal}) -> Promise of a photo: the transport's.
   * @param shown called with (photo, tag) of each answer.
   * @param failed called with an Error whose message is for people.
   * @param busy called with true and false.
   */
  constructor(render, {shown, failed, busy}) {
    Object.assign(this, {render, shown, failed, busy, running: null, next: null, background: []});
  }

  /**
   * Asks for an image. `describe` is called when the request starts, and gives {image, preview, tag}; a preview is a window of the
   * image, or null for all of it, exactly. If `urgent`, it does not wait for an image that is not.
   */
  request(describe, urgent = false) {
    this.next = {describe, urgent};
    const {running} = this;
    if (running && (running.job || (urgent && !running.urgent))) running.controller.abort();
    this.proceed();
  }

  /** A photo of an image some time later. It rejects if `signal` is aborted. */
  later(image, signal = null) {
    return new Promise((resolve, reject) => {
      const job = {describe: () => ({image, preview: null}), resolve, reject, signal};
      this.background.push(job);
      signal?.addEventListener("abort", () => {
        this.background = this.background.filter((each) => each !== job);
        if (this.running?.job === job) this.running.controller.abort();
        reject(signal.reason);
      });
      this.proceed();
    });
  }

  /** Ends what runs, for good. */
  close() {
    this.closed = true;
    this.running?.controller.abort();
  }

  async proceed() {
    if (this.running || this.closed) return;
    const wanted = this.next ?? this.background.shift();
    this.busy(Boolean(wanted));
    if (!wanted) return;
    const job = wanted.resolve ? wanted : null;
    if (!job) this.next = null;
    const controller = new AbortController();
    this.running = {controller, job, urgent: wanted.urgent};
    try {
      const {image, preview, tag} = wanted.describe();
      const photo = await this.render(image, {preview, signal: controller.signal});
      if (job) job.resolve(photo);
      else this.shown(photo, tag);
    } catch (error) {
      if (controller.signal.aborted) {
        if (job && !job.signal?.aborted) this.background.unshift(job);
      } else if (job) job.reject(error);
      else this.failed(error);
    }
    this.running = null;
    this.proceed();
  }
}
