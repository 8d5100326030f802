// What others do beside writing: they edit and take back, react and vote, come and go, and call.

/**
 * @param {{
 *   emit: (event: string, fields: object) => void,
 *   guarded: <T extends unknown[]>(work: (...args: T) => unknown) => (...args: T) => void,
 *   requireConnected: () => void,
 *   requireBindings: (...features: string[]) => Promise<void>,
 * }} page
 */
function wafleetIncoming({ emit, guarded, requireConnected, requireBindings }) {
  const MAX_REMEMBERED = 5000;

  /** @type {Set<string>} reactions that were told */
  const reactions = new Set();

  /** WhatsApp gives some times in seconds, others in milliseconds. @param {any} time */
  function milliseconds(time) {
    const number = Number(time);
    if (!(number > 0)) return Date.now();
    return number > 1e11 ? number : number * 1000;
  }

  /** The message that something was done to. @param {any} key */
  function target(key) {
    return { waId: String(key.id), chats: wafleetAddresses(key.remote) };
  }

  /** @param {any} key */
  function loaded(key) {
    return WPP.whatsapp.MsgStore.get(key.toString());
  }

  /** @param {any} msg */
  function edited(msg) {
    if (!wafleetIsChat(msg.id.remote)) return;
    const at = milliseconds(msg.latestEditSenderTimestampMs);
    emit('edited', { ...target(msg.id), body: wafleetBody(msg), at });
  }

  /** WhatsApp Web has looked who did it, and shows it as deleted. @param {any} msg */
  function typeChanged(msg) {
    if (msg.type !== 'revoked' || !wafleetIsChat(msg.id.remote)) return;
    emit('revoked', { ...target(msg.id), by: null, at: Date.now() });
  }

  /**
   * The bare notice, which anybody can write: it counts only where WhatsApp Web has not loaded the
   * message, and then names who wrote it, to be held against who wrote the message.
   * @param {any} notice
   */
  function revokeNoticed(notice) {
    const key = notice.refId;
    if (!key || !wafleetIsChat(key.remote) || loaded(key)) return;
    const author = notice.author ?? notice.from;
    const by = notice.type === 'admin_revoke' || !author ? null : wafleetJid(author);
    emit('revoked', { ...target(key), by, at: Date.now() });
  }

  /** WhatsApp Web hands one reaction around several times. @param {any} reaction */
  function reacted(reaction) {
    if (!wafleetIsChat(reaction.msgId.remote)) return;
    if (reaction.id.fromMe || wafleetIsMe(reaction.sender)) return;
    const id = `${reaction.id.id} ${reaction.msgId.id}`;
    if (reactions.has(id)) return;
    reactions.add(id);
    if (reactions.size > MAX_REMEMBERED) reactions.delete(reactions.values().next().value ?? '');
    emit('reaction', {
      ...target(reaction.msgId),
      sender: wafleetJid(reaction.sender),
      emoji: String(reaction.reactionText ?? ''),
      at: milliseconds(reaction.timestamp),
    });
  }

  /** @param {any} vote */
  function voted(vote) {
    if (!wafleetIsChat(vote.msgId.remote) || wafleetIsMe(vote.sender)) return;
    // typed as numbers, but a sparse array of the poll's options
    const options = vote.selectedOptions.filter(Boolean).map((/** @type {any} */ one) => one.name);
    emit('vote', {
      ...target(vote.msgId),
      sender: wafleetJid(vote.sender),
      options,
      at: milliseconds(vote.timestamp),
    });
  }

  /** @param {any} change */
  function membersChanged(change) {
    const { createWid } = WPP.whatsapp.WidFactory;
    const jid = (/** @type {string} */ text) => wafleetJid(createWid(text));
    emit('participants', {
      chat: String(change.groupId),
      action: change.action === 'leaver' ? 'leave' : change.action,
      by: change.author ? jid(change.author) : null,
      members: change.participants.map(jid),
      at: Date.now(),
    });
  }

  /** @param {any} call */
  function called(call) {
    emit('call', {
      callId: String(call.id),
      sender: wafleetJid(call.sender),
      video: Boolean(call.isVideo),
      group: Boolean(call.isGroup),
      at: milliseconds(call.offerTime),
    });
  }

  /** The calls that ring now, by id. @param {{callId: string}} args */
  async function rejectCall({ callId }) {
    requireConnected();
    await requireBindings('calls');
    await WPP.call.reject(callId);
  }

  /** Called once, when the page's stores are there. */
  function watch() {
    const { MsgStore } = WPP.whatsapp;
    MsgStore.on('change:latestEditMsgKey', guarded(edited));
    MsgStore.on('change:type', guarded(typeChanged));
  }

  WPP.on('chat.msg_revoke', guarded(revokeNoticed));
  WPP.on('chat.new_reaction', guarded(reacted));
  wafleetReactions({ tell: reacted, guarded });
  WPP.on('chat.poll_response', guarded(voted));
  WPP.on('group.participant_changed', guarded(membersChanged));
  WPP.on('call.incoming_call', guarded(called));

  return { calls: { rejectCall }, watch };
}
