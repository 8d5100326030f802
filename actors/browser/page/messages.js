// What is told of a message that WhatsApp Web shows.

// Entries of a chat that are WhatsApp's own, not somebody's words.
const WAFLEET_SYSTEM_KINDS = new Set([
  'broadcast_notification', 'call_log', 'ciphertext', 'debug', 'e2e_notification', 'gp2',
  'newsletter_notification', 'notification', 'notification_template', 'protocol', 'revoked',
]);

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

/** The chat with oneself: nobody else writes there. @param {any} wid */
function wafleetIsMe(wid) {
  const me = WPP.conn.getMyUserId()?.toString();
  return me !== undefined && (wid.toString() === me || wafleetJid(wid) === me);
}

/**
 * The fields of a contact's message, null for everything else. wa-js announces our own messages
 * too, and an undecrypted one again once it is readable.
 * @param {any} msg
 */
function wafleetMessage(msg) {
  const chat = msg.id.remote;
  const fromContact = /^(c\.us|lid|g\.us)$/.test(chat.server) && !chat.isStatusV3?.();
  if (msg.id.fromMe || !fromContact || wafleetIsMe(chat) || WAFLEET_SYSTEM_KINDS.has(msg.type)) return null;
  const written = msg.type === 'chat' || msg.type === 'vcard';
  return {
    waId: String(msg.id.id),
    chat: wafleetJid(chat),
    sender: wafleetJid(msg.author ?? msg.from ?? chat),
    kind: msg.type,
    body: String((written ? msg.body : msg.caption) ?? ''), // the body of media is a thumbnail
    sent: msg.t ?? 0,
  };
}
