// What is handed over to WhatsApp: messages (kinds.js knows their kinds), questions after their acks,
// and the note to self that proves a quiet connection.

/** What an adapter's call answers instead of a value. */
class WafleetRefusal extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @param {unknown} error */
function wafleetDescribe(error) {
  return String(/** @type {any} */ (error)?.message ?? error).slice(0, 300);
}

/**
 * The calls, and `isNote`, which tells a note's id: it is nobody's message.
 * @param {{requireConnected: () => void, requireBindings: (...features: string[]) => Promise<void>}}
 *   page
 */
function wafleetSending({ requireConnected, requireBindings }) {
  const USER_JID = /^\d{5,20}@(c\.us|lid)$/;
  const GROUP_JID = /^[\d-]{10,40}@g\.us$/;

  /** @type {Set<string>} */
  const notes = new Set();

  /** The key of an own message. It must name the chat as WhatsApp does now, perhaps by its lid.
   * @param {any} chatId @param {string} waId */
  function ownKey(chatId, waId) {
    const me = WPP.conn.getMyUserId();
    const byLid = chatId.isGroup() || chatId.isLid();
    const from = byLid ? myLid() ?? me : me;
    return new WPP.whatsapp.MsgKey({
      from: /** @type {any} */ (from),
      to: chatId,
      id: waId,
      participant: chatId.isGroup() ? from : undefined,
      selfDir: 'out',
    });
  }

  function myLid() {
    try {
      return WPP.conn.getMyUserLid();
    } catch {
      return undefined; // an account that has none yet
    }
  }

  /** @param {string} chat @returns {Promise<any>} the id of the chat to write to */
  async function resolveChat(chat) {
    if (!USER_JID.test(chat) && !GROUP_JID.test(chat)) {
      throw new WafleetRefusal('invalid_jid', 'not a user or group jid');
    }
    let target = chat;
    const self = chat === WPP.conn.getMyUserId()?.toString();
    if (USER_JID.test(chat) && !self) {
      const known = await WPP.contact.queryWidExists(chat);
      if (known === null) {
        requireConnected(); // null also means that the question failed
        throw new WafleetRefusal('not_on_whatsapp', 'WhatsApp does not know this number');
      }
      target = known.wid.toString(); // WhatsApp's own spelling of the number
    }
    return (await WPP.chat.find(target)).id;
  }

  /** Resolves once WhatsApp's server has the message.
   * @param {any} msg @returns {Promise<{ack: number}>} */
  async function acknowledged(msg) {
    while (msg.ack === 0) {
      await new Promise((resolve) => msg.once('change:ack', resolve));
    }
    if (msg.ack < 0) throw new WafleetRefusal('send_refused', 'WhatsApp refused the message');
    return { ack: msg.ack };
  }

  /** @param {Promise<any>} handedOver what wa-js answers @returns {Promise<{ack: number}>} */
  async function confirmed(handedOver) {
    const sent = await handedOver;
    const result = String(sent.sendMsgResult?.messageSendResult ?? 'none');
    if (result === 'OK' || sent.ack > 0) return { ack: Math.max(1, sent.ack) };
    if (sent.ack < 0) {
      throw new WafleetRefusal('send_refused', `WhatsApp refused the message: ${result}`);
    }
    const unconfirmed = `WhatsApp Web did not confirm the message: ${result}`;
    throw new WafleetRefusal('send_unconfirmed', unconfirmed);
  }

  /** @param {any} key @returns {any} the message, if it is loaded */
  function loaded(key) {
    return WPP.whatsapp.MsgStore.get(/** @type {any} */ (key.toString()));
  }

  /** `again`: it may have been handed over before, by another page or another life.
   * @param {{chat: string, waId: string, kind: string, body: string, content: any, again: boolean}}
   *   args
   * @param {File} [file] */
  async function send({ chat, waId, kind, body, content, again }, file) {
    let key;
    let known;
    let handOver;
    try {
      requireConnected();
      await requireBindings('send', ...kinds.features(kind, content));
      key = ownKey(await resolveChat(chat), waId);
      known = loaded(key);
      if (!known && again) known = await findOwn(chat, waId);
      if (!known) handOver = await kinds.prepare(kind, { key, body, content, file });
      requireConnected(); // it may have been lost while we asked
    } catch (error) {
      if (error instanceof WafleetRefusal) throw error;
      // nothing was handed over yet
      throw new WafleetRefusal('send_refused', wafleetDescribe(error));
    }
    if (!handOver) return acknowledged(known); // WhatsApp Web keeps trying by itself
    return confirmed(handOver());
  }

  /** Our message with this id, under either address of its chat, also one that is not loaded.
   * @param {string} chat @param {string} waId */
  function findOwn(chat, waId) {
    return findAny(chat, (remote) => [ownKey(remote, waId)]);
  }

  /** A message that somebody else wrote; in a group `sender` is who.
   * @param {string} chat @param {string} waId @param {string | null} sender */
  function findTheirs(chat, waId, sender) {
    return findAny(chat, (remote) => {
      const authors = remote.isGroup() && sender ? addresses(sender) : [undefined];
      return authors.map((participant) => new WPP.whatsapp.MsgKey(
        /** @type {any} */ ({ fromMe: false, remote, id: waId, participant }),
      ));
    });
  }

  /** A group's address, or both of a user as far as they are known. @param {string} jid @returns {any[]} */
  function addresses(jid) {
    const wid = WPP.whatsapp.WidFactory.createWid(jid);
    if (!wid.isUser()) return [wid];
    const { lidPnCache } = WPP.whatsapp;
    const other = wid.isLid() ? lidPnCache.getPhoneNumber(wid) : lidPnCache.getCurrentLid(wid);
    return other ? [wid, other] : [wid];
  }

  /** @param {string} chat @param {(remote: any) => any[]} keys @returns {Promise<any>} */
  async function findAny(chat, keys) {
    await requireBindings('state', 'send', 'lookup');
    for (const key of addresses(chat).flatMap(keys)) {
      try {
        return await WPP.chat.getMessageById(key);
      } catch (error) {
        const code = /** @type {any} */ (error)?.code;
        if (code !== 'msg_not_found' && code !== 'chat_not_found') throw error;
      }
    }
    return null;
  }

  /** @param {{chat: string, waId: string}} args @returns {Promise<number | null>} */
  async function lookupAck({ chat, waId }) {
    return (await findOwn(chat, waId))?.ack ?? null;
  }

  /**
   * Writes to ourselves, waits for the server's ack, and deletes the note again, also those of
   * earlier lives. One that may have been handed over before (`again`) is not written twice.
   * @param {{waId: string, body: string, again: boolean}} args
   */
  async function sendNote({ waId, body, again }) {
    requireConnected();
    await requireBindings('send', 'note');
    const me = String(WPP.conn.getMyUserId());
    let chat;
    let known;
    try {
      chat = await resolveChat(me);
      known = loaded(ownKey(chat, waId)) ?? (again ? await findOwn(me, waId) : null);
      requireConnected();
    } catch (error) {
      if (error instanceof WafleetRefusal) throw error;
      throw new WafleetRefusal('note_impossible', wafleetDescribe(error));
    }
    notes.add(waId);
    const old = known?.ack > 0; // that it arrived some time ago says nothing of now
    const text = { key: ownKey(chat, waId), body, content: {} };
    const { ack } = await (known ? acknowledged(known) : confirmed(sendText(text)));
    return { ack, old, deleted: await deleteNotes(chat.toString(), body).catch(() => false) };
  }

  /** For us alone: nobody else ever got it.
   * @param {string} chat @param {string} body @returns {Promise<boolean>} whether none is left */
  async function deleteNotes(chat, body) {
    const written = () =>
      (WPP.chat.get(chat)?.msgs.getModelsArray() ?? []).filter(
        (/** @type {any} */ msg) => msg.id.fromMe && msg.body === body && msg.ack > 0,
      );
    const ids = written().map((/** @type {any} */ msg) => msg.id.toString());
    if (ids.length) await WPP.chat.deleteMessage(chat, ids);
    return written().length === 0;
  }

  /** @param {any} message */
  async function sendText(message) {
    return (await kinds.prepare('text', message))();
  }

  const kinds = wafleetKinds({ findOwn, findTheirs });

  /** @param {string} waId */
  const isNote = (waId) => notes.has(waId);

  return { calls: { send, lookupAck, sendNote }, isNote };
}
