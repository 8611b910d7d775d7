// The front end in a worker: one question after the other, answers as promises. A worker that traps or hangs is replaced.

/** Longer than any honest answer takes. */
const PATIENCE = 15000;

export class Client {
  /** @param {() => Worker} spawn @param {WebAssembly.Module} module */
  constructor(spawn, module) {
    this.spawn = spawn;
    this.module = module;
    this.number = 0;
    this.waiting = new Map();
    this.onTrap = () => {};
    this.start();
  }

  start() {
    this.worker = this.spawn();
    this.worker.postMessage({ module: this.module });
    this.worker.onmessage = ({ data }) => {
      const wait = this.waiting.get(data.number);
      if (!wait) return;
      this.waiting.delete(data.number);
      clearTimeout(wait.timer);
      if (data.trap) {
        this.restart(data.trap);
        wait.reject(new Error(data.trap));
      } else {
        wait.resolve({ value: data.value, ms: data.ms });
      }
    };
    this.worker.onerror = (event) => this.restart(event.message || "the worker failed");
  }

  restart(why) {
    this.worker.terminate();
    for (const wait of this.waiting.values()) {
      clearTimeout(wait.timer);
      wait.reject(new Error(why));
    }
    this.waiting.clear();
    this.start();
    this.onTrap(why);
  }

  /** The answer, and how many milliseconds the front end took for it. */
  timed(name, request = {}) {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.restart(`\`${name}\` took too long`), PATIENCE);
      this.waiting.set(number, { resolve, reject, timer });
      this.worker.postMessage({ number, name, request });
    });
  }

  /** The answer; an answer that is an error is thrown. */
  async call(name, request = {}) {
    const { value } = await this.timed(name, request);
    if (value && value.error) throw new Error(value.error);
    return value;
  }
}
