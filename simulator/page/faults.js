/** Faults that only the page itself can have: a stuck main thread, growing memory. */
const hoard = [];
const MEGABYTE = 2 ** 20;

function hang({ duration_ms: duration }) {
  const until = duration > 0 ? Date.now() + duration : Infinity;
  while (Date.now() < until);
}

function grow({ mb_per_s: rate, limit_mb: limit }) {
  let held = 0;
  const timer = setInterval(() => {
    const size = Math.max(1, Math.round((rate * MEGABYTE) / 4));
    hoard.push(new Uint8Array(size).fill(1));
    held += size / MEGABYTE;
    if (held >= limit) clearInterval(timer);
  }, 250);
}

export const faultHandlers = { hang, grow };
