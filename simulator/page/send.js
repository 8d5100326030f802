/** The send pipeline: message into the stores, frame to the server, results back. */
import { toWid } from './ids.js';
import { loginStore } from './login_store.js';
import { ChatStore, ensureChat, learnPerson, lidPnCache, MsgModel, MsgStore } from './stores.js';
import { transport } from './transport.js';

const FIELDS = [
  ...['type', 'body', 'caption', 'filename', 'mimetype', 'filehash', 'size', 'isGif', 'isViewOnce'],
  ...['lat', 'lng', 'loc', 'vcardFormattedName', 'vcardList', 'pollName', 'pollOptions'],
  ...['pollSelectableOptionsCount', 'quotedStanzaID', 'quotedParticipant', 'mentionedJidList'],
  ...['isForwarded', 'forwardingScore'],
];

/** Sends that the server has not answered, by message id: the frame and who waits. */
const pending = new Map();

/**
 * Add a message to its chat and send it. Resolves at once with two promises: the message, and
 * the result once the server has answered. The same id may be sent again; it stays one message.
 */
export async function addAndSendMsgToChat(chat, raw) {
  const [message] = MsgStore.add(new MsgModel(raw));
  chat.msgs.add(message);
  const fields = Object.fromEntries(FIELDS.filter((f) => raw[f] != null).map((f) => [f, raw[f]]));
  const frame = { op: 'send', id: message.id.id, chat: chat.id.toString(), msg: fields };
  await loginStore.write('outgoing', frame.id, { frame, key: message.id.toString(), t: raw.t });
  const result = new Promise((resolve) => {
    const waiting = pending.get(frame.id)?.waiting || [];
    pending.set(frame.id, { frame, message, waiting: [...waiting, resolve] });
  });
  transport.send(frame);
  return [Promise.resolve(message), result];
}

function settle(id, ack, result) {
  const send = pending.get(id);
  pending.delete(id);
  void loginStore.remove('outgoing', id);
  if (!send) return;
  if (result.t) send.message.set('t', result.t);
  if (!(send.message.ack >= ack && ack > 0)) send.message.updateAck(ack);
  send.waiting.forEach((resolve) => resolve({ count: null, ...result }));
}

export function onAck({ id, t, ack }) {
  settle(id, Math.max(1, ack), { messageSendResult: 'OK', t });
}

export function onNack({ id, error }) {
  settle(id, -1, { messageSendResult: error, t: Math.floor(Date.now() / 1000) });
}

/** After a reconnection: send again whatever the server has not answered. */
export function resendPending() {
  for (const { frame } of pending.values()) transport.send(frame);
}

/** After a restart: take up the messages that the last run left unanswered. */
export async function resumeOutgoing(toAttributes) {
  for (const { frame, key, t } of await loginStore.readAll('outgoing')) {
    const known = MsgStore.get(key);
    if (pending.has(frame.id)) continue;
    if (known && known.ack > 0) {
      void loginStore.remove('outgoing', frame.id);
      continue;
    }
    const chat = ensureChat(frame.chat);
    const message = known || new MsgModel(toAttributes(frame, key, t));
    MsgStore.add(message);
    chat.msgs.add(message);
    pending.set(frame.id, { frame, message, waiting: [] });
    transport.send(frame);
  }
}

/** The chat with a person, under the address that the server keeps it by. */
export async function findOrCreateLatestChat(wid) {
  const other = lidPnCache.counterpart(wid);
  const known = ChatStore.get(wid) || (other && ChatStore.get(other));
  if (known) return { chat: { id: known.id }, created: false };
  if (wid.isGroup()) throw new Error(`group ${wid} not found`);
  const answer = await transport.request({ op: 'exists', wid: wid.toString() });
  if (!answer.exists) throw new Error('No LID for user');
  learnPerson(answer, answer.chat);
  const chat = ensureChat(answer.chat, { name: answer.name, formattedTitle: answer.name });
  return { chat: { id: chat.id }, created: true };
}

/** Ask the server whether an address is on WhatsApp; null when it is not. */
export async function queryWidExists(wid) {
  const answer = await transport.request({ op: 'exists', wid: wid.toString() });
  if (!answer.exists) return null;
  lidPnCache.learn(answer.pn, answer.lid);
  return { wid: toWid(wid.isLid() ? answer.lid : answer.pn), biz: false };
}
