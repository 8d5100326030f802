// What can be read from WhatsApp Web: contacts, chats, groups, history, and the files of messages.

/**
 * @param {{requireConnected: () => void, requireBindings: (...features: string[]) => Promise<void>}}
 *   page
 */
function wafleetReading({ requireConnected, requireBindings }) {
  const MAX_OPEN = 2;

  /** @type {Map<string, Blob>} files that are being fetched, by handle */
  const open = new Map();
  let handles = 0;

  /** @param {string[]} features */
  async function ready(...features) {
    requireConnected();
    await requireBindings('state', ...features);
  }

  /**
   * Those after `after` in the order of their keys, and whether there are more.
   * @template T @param {Map<string, T>} all @param {string | null} after @param {number} limit
   */
  function page(all, after, limit) {
    const keys = [...all.keys()].sort();
    const rest = after === null ? keys : keys.filter((key) => key > after);
    const items = rest.slice(0, limit).map((key) => /** @type {T} */ (all.get(key)));
    return { items, next: rest.length > limit ? rest[limit - 1] : null };
  }

  /** @param {any} chat @returns {string | null} */
  function nameOf(chat) {
    const contact = /** @type {any} */ (WPP.whatsapp.ContactStore.get(chat.id));
    return chat.formattedTitle || chat.name || contact?.name || contact?.pushname || null;
  }

  /** @param {{jid: string}} args */
  async function checkContact({ jid }) {
    await ready('lookup_contact');
    const known = await WPP.contact.queryWidExists(jid);
    requireConnected(); // null also means that the question failed
    if (!known) return { exists: false };
    const wid = /** @type {any} */ (known.wid);
    return {
      exists: true,
      jid: wafleetJid(wid),
      lid: (wid.isLid() ? wid : known.lid)?.toString() ?? null,
      business: Boolean(known.biz),
    };
  }

  /** Newest first; a place is the time and the jid of the last one. @param {any} args */
  async function listChats({ before, limit }) {
    await ready('lists');
    const found = await WPP.chat.list({ ignoreGroupMetadata: true });
    const place = (/** @type {any} */ chat) =>
      `${String(chat.t ?? 0).padStart(12, '0')} ${wafleetJid(chat.id)}`;
    const chats = found
      .filter((/** @type {any} */ chat) => wafleetIsChat(chat.id))
      .map((/** @type {any} */ chat) => ({ chat, place: place(chat) }))
      .filter((one) => before === null || one.place < before)
      .sort((one, other) => (one.place < other.place ? 1 : -1));
    const items = chats.slice(0, limit).map(({ chat }) => ({
      jid: wafleetJid(chat.id),
      name: nameOf(chat),
      unread: Math.max(0, Number(chat.unreadCount) || 0),
      archived: Boolean(chat.archive),
      last: chat.t ?? 0,
    }));
    return { items, next: chats.length > limit ? chats[limit - 1].place : null };
  }

  /** @param {any} args */
  async function listContacts({ after, limit }) {
    await ready('lists');
    const people = new Map();
    for (const contact of /** @type {any[]} */ (await WPP.contact.list())) {
      if (!/^(c\.us|lid)$/.test(contact.id.server) || wafleetIsMe(contact.id)) continue;
      const jid = wafleetJid(contact.id);
      // one who is known by number and by lid is one person
      const before = people.get(jid);
      people.set(jid, {
        jid,
        name: contact.name ?? before?.name ?? null,
        pushname: contact.pushname ?? before?.pushname ?? null,
        business: Boolean(contact.isBusiness || before?.business),
        saved: Boolean(contact.isMyContact || before?.saved),
      });
    }
    return page(people, after, limit);
  }

  /** @param {any} group */
  async function membersOf(group) {
    const metadata = await WPP.whatsapp.GroupMetadataStore.find(group.id);
    return /** @type {any[]} */ (metadata?.participants?.getModelsArray?.() ?? []);
  }

  /** @param {any} args */
  async function listGroups({ after, limit }) {
    await ready('lists', 'groups');
    const chats = await WPP.chat.list({ onlyGroups: true, ignoreGroupMetadata: true });
    const all = new Map(chats.map((/** @type {any} */ chat) => [chat.id.toString(), chat]));
    const { items, next } = page(all, after, limit);
    const groups = [];
    for (const chat of items) {
      const members = await membersOf(chat);
      const me = members.find((one) => wafleetIsMe(one.id) || isMyLid(one.id));
      groups.push({
        jid: chat.id.toString(),
        name: nameOf(chat),
        size: members.length,
        member: Boolean(me),
        admin: Boolean(me?.isAdmin),
      });
    }
    return { items: groups, next };
  }

  /** @param {any} wid */
  function isMyLid(wid) {
    try {
      return WPP.conn.getMyUserLid()?.toString() === wid.toString();
    } catch {
      return false; // an account that has none yet
    }
  }

  /** @param {{jid: string}} args */
  async function readGroup({ jid }) {
    await ready('lists', 'groups');
    const chat = /** @type {any} */ (WPP.chat.get(jid));
    if (!chat?.id.isGroup()) throw new WafleetRefusal('chat_unknown', 'no such group');
    const members = (await membersOf(chat)).map((one) => ({
      jid: wafleetJid(one.id), admin: Boolean(one.isAdmin),
    }));
    return { jid, name: nameOf(chat), members };
  }

  /** The chat under any of its addresses. @param {string} jid @returns {any} */
  function chatOf(jid) {
    const wid = WPP.whatsapp.WidFactory.createWid(jid);
    for (const address of wafleetAddresses(wid)) {
      const chat = WPP.chat.get(address);
      if (chat) return chat;
    }
    throw new WafleetRefusal('chat_unknown', 'WhatsApp Web has no such chat');
  }

  /** A page of what WhatsApp Web keeps of a chat, newest first. @param {any} args */
  async function readHistory({ jid, before, limit }) {
    await ready('lists', 'history');
    const chat = chatOf(jid);
    if (before !== null && !keyIn(chat, before)) {
      throw new WafleetRefusal('place_unknown', 'before names no message of this chat');
    }
    const options = { count: limit + 1, direction: /** @type {const} */ ('before') };
    const found = /** @type {any[]} */ (
      await WPP.chat.getMessages(chat.id.toString(), before === null ? options : { ...options, id: before })
    );
    // they come oldest first; many may be of the same second
    found.reverse().sort((one, other) => (other.t ?? 0) - (one.t ?? 0));
    const shown = found.slice(0, limit);
    return {
      items: shown.filter((msg) => msg.type === 'revoked' || !WAFLEET_SYSTEM_KINDS.has(msg.type)).map(entry),
      next: found.length > limit ? shown[shown.length - 1].id.toString() : null,
    };
  }

  /** @param {any} chat @param {string} text */
  function keyIn(chat, text) {
    const remote = chat.id.toString();
    return text.startsWith(`true_${remote}_`) || text.startsWith(`false_${remote}_`);
  }

  /** @param {any} msg */
  function entry(msg) {
    const mine = Boolean(msg.id.fromMe);
    return {
      waId: String(msg.id.id),
      mine,
      sender: mine ? null : wafleetJid(msg.author ?? msg.from ?? msg.id.remote),
      kind: WAFLEET_KINDS[msg.type] ?? msg.type,
      body: wafleetBody(msg),
      content: wafleetContent(msg),
      ack: mine ? msg.ack ?? 0 : null,
      edited: Boolean(msg.latestEditMsgKey),
      sent: msg.t ?? 0,
    };
  }

  // ---- files -----------------------------------------------------------------------------------

  /** A contact's message, loaded or not, under any address of its chat and its author.
   * @param {string} chat @param {string | null} sender @param {string} waId @returns {Promise<any>} */
  async function received(chat, sender, waId) {
    const { createWid } = WPP.whatsapp.WidFactory;
    const remotes = wafleetAddresses(createWid(chat));
    const is = (/** @type {any} */ msg) =>
      !msg.id.fromMe && msg.id.id === waId && remotes.includes(msg.id.remote.toString());
    const found = WPP.whatsapp.MsgStore.getModelsArray().find(is);
    if (found) return found;
    const inGroup = createWid(chat).isGroup() && sender !== null;
    const tails = inGroup ? wafleetAddresses(createWid(sender)).map((one) => `_${one}`) : [''];
    for (const remote of remotes) {
      for (const tail of tails) {
        const msg = await WPP.chat.getMessageById(`false_${remote}_${waId}${tail}`).catch(() => null);
        if (msg) return msg;
      }
    }
    requireConnected();
    throw new WafleetRefusal('message_unknown', 'WhatsApp Web has no such message');
  }

  /** @param {{chat: string, sender: string | null, waId: string, most: number}} args */
  async function openMedia({ chat, sender, waId, most }) {
    await ready('download', 'lookup');
    const msg = await received(chat, sender, waId);
    const tooLarge = (/** @type {number} */ size) => {
      if (size > most) throw new WafleetRefusal('media_too_large', 'larger than media_max_mb');
    };
    if (!msg.mediaData) throw new WafleetRefusal('media_unknown', 'the message has no file');
    tooLarge(Number(msg.size ?? msg.mediaData.size) || 0);
    let blob;
    try {
      blob = await WPP.chat.downloadMedia(msg.id.toString());
    } catch (error) {
      requireConnected();
      throw new WafleetRefusal('media_unavailable', wafleetDescribe(error));
    }
    tooLarge(blob.size); // what the message says of it may be wrong
    const handle = String(++handles);
    open.set(handle, blob);
    if (open.size > MAX_OPEN) open.delete(/** @type {string} */ (open.keys().next().value));
    return { handle, bytes: blob.size };
  }

  /** @param {{handle: string, offset: number, length: number}} args */
  async function readMedia({ handle, offset, length }) {
    const blob = open.get(handle);
    if (!blob) throw new WafleetRefusal('media_closed', 'the file was closed');
    const url = await WPP.util.blobToBase64(blob.slice(offset, offset + length));
    return url.slice(url.indexOf(',') + 1);
  }

  /** @param {{handle: string}} args */
  function closeMedia({ handle }) {
    open.delete(handle);
  }

  return {
    calls: {
      checkContact, listChats, listContacts, listGroups, readGroup, readHistory,
      openMedia, readMedia, closeMedia,
    },
  };
}
