/**
 * Requests images one at a time. Changes that arrive while an image is computed are combined into one request for the latest state.
 * Background jobs, such as thumbnails, run when no other request is waiting.
 */

export class RenderLoop {
  /**
   * @param render (image, {preview, signal, background}) -> Promise of a photo; the `render` of a transport.
   * @param shown called with (photo, tag) when a photo arrives.
   * @param failed called with an Error whose message is for the user.
   * @param busy called with true when an image is requested, and with false when none is left.
   */
  constructor(render, {shown, failed, busy}) {
    Object.assign(this, {render, shown, failed, busy, running: null, next: null, background: []});
  }

  /**
   * Requests an image. `describe` is called when the request starts, and returns {image, preview, tag}; `preview` is a window of the
   * image, or null for the whole exact image. An urgent request aborts one that is not; any request interrupts a background job.
   */
  request(describe, urgent = false) {
    this.next = {describe, urgent};
    const {running} = this;
    if (running && (running.job || (urgent && !running.urgent))) running.controller.abort();
    this.proceed();
  }

  /** Computes a photo in the background: a Promise, which rejects if `signal` is aborted. */
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

  /** Aborts the running request, and starts no others. */
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
      const photo = await this.render(image, {preview, signal: controller.signal, background: Boolean(job)});
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
