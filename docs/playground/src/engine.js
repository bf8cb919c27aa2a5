// A worker with the compiler in it. What takes too long ends the worker: a program may run for ever, a page must not.

export class Engine {
  #module; #worker = null; #waiting = new Map(); #next = 1;

  /** `module`: a promise of the compiled WebAssembly module. */
  constructor(module) { this.#module = module; }

  /** Asks requests, one after the other, of the same session; gives the last answer. */
  async ask(requests, { timeout = 4000 } = {}) {
    const module = await this.#module;
    if (!this.#worker) this.#start(module);
    const worker = this.#worker, id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#stop(worker, new Stopped(timeout)), timeout);
      this.#waiting.set(id, { resolve, reject, timer });
      worker.postMessage({ id, requests });
    });
  }

  #start(module) {
    const worker = new Worker(new URL("./worker.js", import.meta.url));
    worker.onmessage = ({ data: { id, answer, failed } }) => {
      const waiting = this.#waiting.get(id);
      if (!waiting) return;
      if (failed) return this.#stop(worker, new Error(failed));
      this.#waiting.delete(id);
      clearTimeout(waiting.timer);
      waiting.resolve(JSON.parse(answer));
    };
    worker.onerror = (event) => this.#stop(worker, new Error(event.message ?? "the compiler could not be started"));
    worker.postMessage({ module });
    this.#worker = worker;
  }

  /** Ends the worker; the next question starts another one. */
  #stop(worker, why) {
    worker.terminate();
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(why);
    }
    this.#waiting.clear();
  }
}

/** The program ran for too long. */
export class Stopped extends Error {
  constructor(timeout) { super(`stopped after ${timeout / 1000} seconds`); }
}
