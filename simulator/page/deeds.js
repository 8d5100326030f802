/** What others do beside writing, handed to the modules that clients wrap. */
import { MsgKey, toWid } from './ids.js';
import { load } from './loader.js';
import { defineModel } from './model.js';
import { CallStore, ensureChat, learnPerson, MsgStore, setGroup } from './stores.js';
import { transport } from './transport.js';

const RECEIVED_CALL = 3;

const CallModel = defineModel('call', ['id', 'peerJid', 'isGroup', 'isVideo', 'offerTime'], {
  getState: () => RECEIVED_CALL,
});

function keyFor({ from_me: fromMe, chat, id, author }) {
  return new MsgKey({ fromMe, remote: toWid(chat), id, participant: author ?? undefined });
}

const learn = ({ people = [] }) => people.forEach((person) => learnPerson(person));

/** A deed that stays queued until the page has it. */
const confirmed = (work) => async (frame) => {
  learn(frame);
  await work(frame);
  transport.send({ op: 'confirm', stanzas: [frame.stanza] });
};

function edited(frame) {
  const message = MsgStore.get(keyFor(frame));
  message?.set({
    [frame.field]: frame.text,
    latestEditSenderTimestampMs: frame.at_ms,
    latestEditMsgKey: keyFor({ ...frame, id: `EDIT${frame.at_ms}` }),
  });
}

/** The notice goes through the store, as the real one does; then the message shows as deleted. */
async function revoked(frame) {
  const key = keyFor(frame);
  const notice = {
    id: keyFor({ ...frame, id: `REVOKE${frame.id}` }),
    type: 'protocol',
    subtype: 'sender_revoke',
    isNewMsg: true,
    author: frame.author ? toWid(frame.author) : undefined,
    from: toWid(frame.sender),
    protocolMessageKey: key,
  };
  const store = load('WAWebMsgCollection').MsgCollection;
  await store.processMultipleMessages(key.remote, [notice]);
  MsgStore.get(key)?.set({ type: 'revoked', body: undefined, caption: undefined });
}

/** What modules are given of one reaction: a row, or a list of what came as messages. */
function reactionForms(frame) {
  const author = frame.author ? frame.sender : undefined;
  const msgKey = keyFor({ ...frame, from_me: false, id: `REACT${frame.stanza}`, author });
  const parentMsgKey = keyFor(frame);
  const t = Math.floor(frame.at_ms / 1000);
  const shared = { reactionText: frame.emoji, read: false, orphan: 0, t };
  const row = {
    ...shared,
    msgKey: msgKey.toString(),
    parentMsgKey: parentMsgKey.toString(),
    senderUserJid: frame.sender,
  };
  const message = {
    ...shared,
    id: msgKey,
    type: 'reaction',
    reactionParentKey: parentMsgKey,
    reactionTimestamp: frame.at_ms,
    from: msgKey.remote,
    author: author && toWid(author),
  };
  return { row, message };
}

/** By the table of reactions, by the models, or by both, as WhatsApp Web does with news. */
async function reacted(frame) {
  const { row, message } = reactionForms(frame);
  const { reactionTableMode } = load('WAWebAddonReactionTableMode');
  const models = load('WAWebReactionsBE');
  const by = (...ways) => ways.includes(frame.via);
  if (by('table', 'both')) await reactionTableMode.bulkUpsert([message]);
  if (by('list')) await models.addOrUpdateReactionsModelCollection([message], true);
  if (by('row', 'both')) await models.addOrUpdateReactionsModelCollection(row, true);
}

async function voted(frame) {
  const key = keyFor(frame);
  const offered = MsgStore.get(key)?.pollOptions ?? [];
  const chosen = offered.filter(({ name }) => frame.options.includes(name));
  const vote = {
    parentMsgKey: key,
    selectedOptionLocalIds: chosen.map(({ localId }) => localId),
    senderTimestampMs: frame.at_ms,
    sender: toWid(frame.sender),
  };
  await load('WAWebPollVotes').upsertVotesDb([vote]);
}

async function members(frame) {
  const chat = ensureChat(frame.chat, { name: frame.name, formattedTitle: frame.name });
  const joins = frame.action === 'join';
  const action = { join: 'add', leave: 'remove' }[frame.action] ?? frame.action;
  const participants = frame.members.map((id) => ({ id: toWid(id) }));
  const author = toWid(frame.by);
  await load('WAWebGroupDbAction').updateDBForGroupAction(
    { chatId: chat.id, author, pushname: '' },
    { actionType: action, participants, isInvite: joins },
  );
  setGroup(chat, frame);
}

function call(frame) {
  learn(frame);
  const { id, video, t } = frame;
  const peerJid = toWid(frame.from);
  const model = new CallModel({ id, peerJid, isGroup: false, isVideo: video, offerTime: t });
  CallStore.setActiveCall(CallStore.processIncomingCall(model));
}

export const deedHandlers = {
  edited: confirmed(edited),
  revoked: confirmed(revoked),
  reacted: confirmed(reacted),
  voted: confirmed(voted),
  members: confirmed(members),
  call,
};
