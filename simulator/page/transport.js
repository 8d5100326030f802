/** One WebSocket to the server: JSON frames, requests with answers, heartbeat, reconnection. */
import { config } from './config.js';

class Transport {
  #socket = null;
  #nextRequest = 1;
  #requests = new Map();
  #waiting = [];
  #handlers = {};
  #attempt = 0;
  #stopped = false;
  #lastFrameAt = 0;
  #pings = 0;
  /** Whether frames other than the first may be sent: set by the session after its login. */
  ready = false;

  /** Register what to do on frames (by operation) and on `open` and `lost`. */
  on(handlers) {
    Object.assign(this.#handlers, handlers);
  }

  connect() {
    this.#stopped = false;
    const socket = new WebSocket(`wss://${location.host}${config.socketPath}`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#lastFrameAt = Date.now();
      this.#handlers.open();
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = () => this.#lose(socket);
  }

  /** Close for good: no reconnection until `connect` is called. */
  stop() {
    this.#stopped = true;
    this.ready = false;
    this.#socket?.close();
  }

  /** Send at once, whatever the state: for login frames. */
  sendNow(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** Send when logged in; while it is not, the frame is dropped. */
  send(frame) {
    if (this.ready) this.sendNow(frame);
  }

  /** Send and wait for the answer; waits for the login, and for ever when none comes. */
  request(frame, { beforeLogin = false } = {}) {
    return new Promise((resolve) => {
      const rid = this.#nextRequest++;
      this.#requests.set(rid, resolve);
      if (this.ready || beforeLogin) this.sendNow({ ...frame, rid });
      else this.#waiting.push({ ...frame, rid });
    });
  }

  /** The session has logged in: what waited may go. */
  flush() {
    this.ready = true;
    for (const frame of this.#waiting.splice(0)) this.sendNow(frame);
  }

  startHeartbeat() {
    setInterval(() => {
      this.sendNow({ op: 'ping', n: ++this.#pings });
      const silence = Date.now() - this.#lastFrameAt;
      if (config.deadSocketMs > 0 && silence > config.deadSocketMs) this.#lose(this.#socket);
    }, config.heartbeatMs);
  }

  #receive(frame) {
    this.#lastFrameAt = Date.now();
    if (frame.re !== undefined) {
      this.#requests.get(frame.re)?.(frame);
      this.#requests.delete(frame.re);
      return;
    }
    const handler = this.#handlers[frame.op];
    if (handler) handler(frame);
    else console.debug('[simulator] unhandled frame', frame.op);
  }

  #lose(socket) {
    if (!socket || socket !== this.#socket) return;
    this.#socket = null;
    this.ready = false;
    socket.onmessage = socket.onclose = null;
    socket.close();
    if (this.#stopped) return;
    this.#handlers.lost();
    const backoff = Math.min(config.reconnectMaxMs, config.reconnectMinMs * 2 ** this.#attempt++);
    setTimeout(
      () => {
        if (this.#stopped || this.#socket) return;
        this.#handlers.retry();
        this.connect();
      },
      backoff * (0.5 + Math.random() / 2),
    );
  }
}

export const transport = new Transport();
