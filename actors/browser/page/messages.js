// What is told of a message that WhatsApp Web shows.

// Entries of a chat that are WhatsApp's own, or belong to a message, not somebody's words.
const WAFLEET_SYSTEM_KINDS = new Set([
  'broadcast_notification', 'call_log', 'ciphertext', 'debug', 'e2e_notification', 'gp2',
  'keep_in_chat', 'newsletter_notification', 'notification', 'notification_template', 'pin_message',
  'poll_update', 'protocol', 'reaction', 'reaction_enc', 'revoked',
]);

/**
 * The fields of a contact's message, null for everything else. wa-js announces our own messages
 * too, and an undecrypted one again once it is readable.
 * @param {any} msg
 */
function wafleetMessage(msg) {
  const chat = msg.id.remote;
  const fromContact = !msg.id.fromMe && wafleetIsChat(chat) && !wafleetIsMe(chat);
  if (!fromContact || WAFLEET_SYSTEM_KINDS.has(msg.type)) return null;
  return {
    waId: String(msg.id.id),
    chat: wafleetJid(chat),
    sender: wafleetJid(msg.author ?? msg.from ?? chat),
    kind: WAFLEET_KINDS[msg.type] ?? msg.type,
    body: wafleetBody(msg),
    content: wafleetContent(msg),
    sent: msg.t ?? 0,
  };
}
