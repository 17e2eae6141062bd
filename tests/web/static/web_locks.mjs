/** Web Locks as far as the page uses them: exclusive, queued, abortable, and stolen. */

/**
 * @typedef {object} LockRequest
 * @property {() => unknown} callback
 * @property {(value?: unknown) => void} resolve
 * @property {(reason: unknown) => void} reject
 */

export class WebLocks {
  /** @type {Map<string, LockRequest>} by name. */
  held = new Map();
  /** @type {Map<string, LockRequest[]>} requests that wait, by name. */
  #queues = new Map();

  /** Be the locks of this process. */
  install() {
    Object.defineProperty(globalThis, "navigator", { value: { locks: this }, configurable: true });
  }

  /**
   * @param {string} name
   * @param {{steal?: boolean, signal?: AbortSignal}} options
   * @param {() => unknown} callback
   */
  request(name, { steal = false, signal }, callback) {
    return new Promise((resolve, reject) => {
      const request = { callback, resolve, reject };
      if (steal) {
        setTimeout(() => this.#steal(name, request));
        return;
      }
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      queue.push(request);
      signal?.addEventListener("abort", () => {
        const index = queue.indexOf(request);
        if (index < 0) return;
        queue.splice(index, 1);
        reject(signal.reason);
      });
      setTimeout(() => this.#grantNext(name));
    });
  }

  /**
   * Release a lock whose window is gone.
   *
   * @param {string} name
   */
  release(name) {
    this.held.delete(name);
    this.#grantNext(name);
  }

  /**
   * @param {string} name
   * @param {LockRequest} request
   */
  #steal(name, request) {
    const robbed = this.held.get(name);
    this.#hold(name, request);
    robbed?.reject(new DOMException("stolen", "AbortError"));
  }

  /** @param {string} name */
  #grantNext(name) {
    const request = this.held.has(name) ? undefined : this.#queues.get(name)?.shift();
    if (request) this.#hold(name, request);
  }

  /**
   * @param {string} name
   * @param {LockRequest} request
   */
  async #hold(name, request) {
    this.held.set(name, request);
    await request.callback();
    if (this.held.get(name) !== request) return;
    request.resolve();
    this.release(name);
  }
}
