/** What the server brings: messages and receipts, handed to the modules that clients wrap. */
import { MsgKey, toWid } from './ids.js';
import { load } from './loader.js';
import { Model } from './model.js';
import { me } from './state.js';
import { learnPerson, MsgStore } from './stores.js';
import { transport } from './transport.js';

/** A message from the wire as attributes of a message model. */
export function toAttributes(wire, isNewMsg) {
  const chat = toWid(wire.chat);
  const author = wire.author ? toWid(wire.author) : undefined;
  const self = chat.isLid() || chat.isGroup() ? me.lid : me.wid;
  const attributes = {
    ...wire,
    id: new MsgKey({ fromMe: wire.from_me, remote: chat, id: wire.id, participant: author }),
    from: wire.from_me ? self : chat,
    to: wire.from_me ? chat : self,
    author,
    self: wire.from_me ? 'out' : 'in',
    isNewMsg,
    mentionedJidList: (wire.mentionedJidList ?? []).map(toWid),
    ...(wire.quotedParticipant && { quotedParticipant: toWid(wire.quotedParticipant) }),
    ...(wire.latestEditSenderTimestampMs && {
      latestEditMsgKey: new MsgKey({ fromMe: wire.from_me, remote: chat, id: `EDIT${wire.id}` }),
    }),
    ...(wire.mediaData && { mediaData: new Model(wire.mediaData) }),
    ...(wire.protocolMessageKey && {
      protocolMessageKey: MsgKey.fromString(wire.protocolMessageKey),
    }),
  };
  delete attributes.chat;
  delete attributes.from_me;
  return attributes;
}

/** An unanswered send of the last run as attributes of a message model. */
export function outgoingAttributes(frame, key, t) {
  const { participant } = MsgKey.fromString(key);
  const wire = { ...frame.msg, id: frame.id, chat: frame.chat, from_me: true, t, ack: 0 };
  return toAttributes({ ...wire, author: participant?.toString() }, false);
}

export async function onMessage({ msg, people = [], stanza }) {
  for (const person of people) {
    const isChat = msg.chat === person.pn || msg.chat === person.lid;
    learnPerson(person, isChat ? msg.chat : undefined);
  }
  const attributes = toAttributes(msg, true);
  const store = load('WAWebMsgCollection').MsgCollection;
  await store.processMultipleMessages(attributes.id.remote, [attributes]);
  transport.send({ op: 'confirm', stanzas: [stanza] });
}

export async function onReceipt({ chat, id, ack, participant, t, stanza, remaining }) {
  const from = toWid(chat);
  const data = {
    from,
    participant: participant ? toWid(participant) : null,
    recipient: null,
    externalIds: [id],
    ack,
    ackString: ack >= 3 ? 'read' : 'delivery',
    ts: t,
    remaining,
  };
  if (from.isGroup()) await load('WAWebHandleGroupReceipt').handleGroupSimpleReceipt(data);
  else await load('WAWebHandleChatReceipt').handleChatSimpleReceipt(data);
  transport.send({ op: 'confirm', stanzas: [stanza] });
}

/** The original receipt handler: raises the ack of the message, in a group once all have it. */
export async function applyReceipt({ externalIds, ack, remaining, from }) {
  if (remaining > 0) return;
  for (const id of externalIds) {
    const participant = from.isGroup() ? me.lid : undefined;
    const message = MsgStore.get(new MsgKey({ fromMe: true, remote: from, id, participant }));
    if (message && message.ack < ack) message.set('ack', ack);
  }
}
