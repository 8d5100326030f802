// What a message holds beside its text, by kind; see storage.messages for the shapes.

/** WhatsApp's types by our names; others keep WhatsApp's. @type {Record<string, string>} */
const WAFLEET_KINDS = {
  chat: 'text', ptt: 'voice', ptv: 'video', vcard: 'contact', multi_vcard: 'contact',
  poll_creation: 'poll',
};

const WAFLEET_MEDIA_TYPES = new Set(['image', 'video', 'ptv', 'audio', 'ptt', 'document', 'sticker']);

/**
 * A phone number's jid for a lid if WhatsApp knows it: contacts go by their numbers.
 * @param {any} wid @returns {string}
 */
function wafleetJid(wid) {
  if (wid.isLid?.()) {
    try {
      return (WPP.whatsapp.lidPnCache.getPhoneNumber(wid) ?? wid).toString();
    } catch {
      // the cache is a convenience: the lid is right, too
    }
  }
  return wid.toString();
}

/**
 * All addresses of a chat, the one that it goes by first: a message may have been told before
 * WhatsApp knew the number behind a lid.
 * @param {any} wid @returns {string[]}
 */
function wafleetAddresses(wid) {
  const addresses = [wafleetJid(wid), wid.toString()];
  try {
    const other = wid.isLid?.() ? null : WPP.whatsapp.lidPnCache.getCurrentLid(wid);
    if (other) addresses.push(other.toString());
  } catch {
    // a group has no other address
  }
  return [...new Set(addresses)];
}

/** The chat with oneself: nobody else writes there. @param {any} wid */
function wafleetIsMe(wid) {
  const me = WPP.conn.getMyUserId()?.toString();
  return me !== undefined && (wid.toString() === me || wafleetJid(wid) === me);
}

/** @param {any} wid @returns {boolean} whether it is a chat of people, not a channel or a status */
function wafleetIsChat(wid) {
  return /^(c\.us|lid|g\.us)$/.test(wid.server) && !wid.isStatusV3?.();
}

/** What somebody wrote: the text, or the caption, with the numbers of those whom it mentions.
 * @param {any} msg */
function wafleetBody(msg) {
  const mentioned = (msg.mentionedJidList ?? []).map((/** @type {any} */ wid) => [
    wid.toString(), wafleetJid(wid),
  ]);
  return wafleetRenamed(wafleetWritten(msg), mentioned);
}

/** The body of media is a thumbnail. @param {any} msg */
function wafleetWritten(msg) {
  if (msg.type === 'chat') return String(msg.body ?? '');
  if (msg.type === 'poll_creation') return String(msg.pollName ?? '');
  return String(msg.caption ?? '');
}

/** @param {any} msg */
function wafleetFile(msg) {
  if (!WAFLEET_MEDIA_TYPES.has(msg.type)) return {};
  const data = msg.mediaData ?? {};
  const file = {
    mimetype: msg.mimetype ?? data.mimetype,
    bytes: Number(msg.size ?? data.size) || undefined,
    filename: msg.type === 'document' ? msg.filename : undefined,
    seconds: Number(msg.duration ?? data.duration) || undefined,
  };
  const gif = Boolean(msg.isGif) || undefined;
  return { file, gif, view_once: Boolean(msg.isViewOnce) || undefined };
}

/** @param {any} name @param {any} vcard */
function wafleetCard(name, vcard) {
  const number = /waid=(\d{5,20})/i.exec(String(vcard ?? ''))?.[1];
  return { name, phone: number ? `${number}@c.us` : undefined, vcard };
}

/** @param {any} msg */
function wafleetCards(msg) {
  if (msg.type === 'vcard') return { contacts: [wafleetCard(msg.vcardFormattedName, msg.body)] };
  if (msg.type !== 'multi_vcard') return {};
  const card = (/** @type {any} */ one) => wafleetCard(one.displayName, one.vcard);
  return { contacts: (msg.vcardList ?? []).map(card) };
}

/** @param {any} msg */
function wafleetPlace(msg) {
  if (msg.type !== 'location') return {};
  const [name, ...address] = String(msg.loc ?? '').split('\n');
  return {
    latitude: msg.lat,
    longitude: msg.lng,
    name: name || undefined,
    address: address.join('\n') || undefined,
    live: Boolean(msg.isLive) || undefined,
  };
}

/** @param {any} msg */
function wafleetPoll(msg) {
  if (msg.type !== 'poll_creation') return {};
  const options = (msg.pollOptions ?? []).map((/** @type {any} */ option) => option.name);
  return { question: msg.pollName, options, selectable: msg.pollSelectableOptionsCount };
}

/** @param {any} msg */
function wafleetReply(msg) {
  if (!msg.quotedStanzaID) return {};
  const from = msg.quotedParticipant;
  return { reply: { wa_id: msg.quotedStanzaID, from: from ? wafleetJid(from) : undefined } };
}

/** Absent fields are left out by JSON. @param {any} msg */
function wafleetContent(msg) {
  const mentions = (msg.mentionedJidList ?? []).map(wafleetJid);
  return {
    ...wafleetFile(msg),
    ...wafleetPlace(msg),
    ...wafleetCards(msg),
    ...wafleetPoll(msg),
    ...wafleetReply(msg),
    mentions: mentions.length ? mentions : undefined,
    forwarded: Boolean(msg.isForwarded) || undefined,
  };
}
