// What the page knows of its own health: what came from WhatsApp's server, and what did not.

/**
 * `heard` is called when something came that only the server can have sent, but at most once a
 * second; what is told as a fact of its own (messages of contacts, acks) is not repeated here.
 * `uploadMs` says how long a message may take longer than others.
 * @param {{
 *   heard: () => void, isNote: (waId: string) => boolean, uploadMs: (msg: any) => number,
 * }} owner
 */
function wafleetHealth({ heard, isNote, uploadMs }) {
  const MAX_UNACKED = 5000;
  const HEARD_MS = 1000;

  /** @type {Map<string, number>} since when own messages could have had their acks, by id */
  const unacked = new Map();
  let lastHeard = -HEARD_MS;

  function hear() {
    const now = performance.now();
    if (now - lastHeard < HEARD_MS) return;
    lastHeard = now;
    heard();
  }

  /** Called with every message that is new to the page, not with those of the history.
   * @param {any} msg */
  function added(msg) {
    // WhatsApp Web itself writes some entries of chats; one that is still encrypted is none of them.
    if (msg.type !== 'ciphertext' && WAFLEET_SYSTEM_KINDS.has(msg.type)) return;
    if (!msg.id?.fromMe || msg.ack > 0) {
      if (wafleetMessage(msg) === null) hear(); // in a channel, a status, or from the phone
    } else if (!isNote(msg.id.id) && msg.ack === 0) {
      unacked.set(msg.id.id, performance.now() + uploadMs(msg));
      if (unacked.size > MAX_UNACKED) unacked.delete(unacked.keys().next().value ?? '');
    }
  }

  /** Called with every own message whose ack changed. @param {any} msg */
  function acked(msg) {
    if (msg.ack !== 0) unacked.delete(msg.id.id);
  }

  /** Called with every message that the page has forgotten. @param {any} msg */
  function removed(msg) {
    unacked.delete(msg.id?.id);
  }

  /** The answer to a beat: that there is one shows that the page's main thread lives. */
  function look() {
    const { Socket, Stream } = WPP.whatsapp;
    const waiting = [...unacked.values()].map((since) => performance.now() - since);
    return {
      socket: String(Socket.state),
      mode: Stream.mode ?? null,
      unackedMs: waiting.length ? Math.max(0, Math.round(Math.max(...waiting))) : null,
    };
  }

  return { added, acked, removed, look };
}
