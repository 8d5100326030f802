/** Modules: what a client does and what it hooks: send, read, presence, lookups, receipts. */
import { toWid } from './ids.js';
import { applyReceipt } from './incoming.js';
import { MediaPrep, OpaqueData } from './media.js';
import { addAndSendMsgToChat, findOrCreateLatestChat, queryWidExists } from './send.js';
import { CallStore, ChatStore, ensureChat } from './stores.js';
import { transport } from './transport.js';

async function sendSeen({ chat }) {
  transport.send({ op: 'seen', chat: chat.id.toString() });
  chat.set('unreadCount', 0);
}

const presence = (state) => async (chat) => {
  transport.send({ op: 'presence', chat: chat.id.toString(), state });
};

/** Do something to a message that is there: the server may refuse it. */
async function act(op, message, fields) {
  const { id, remote } = message.id;
  const answer = await transport.request({ op, id, chat: remote.toString(), ...fields });
  if (answer.error) throw new Error(`${op} refused: ${answer.error}`);
}

async function addAndSendMessageEdit(message, raw) {
  await act('edit', message, { body: raw.body });
  const field = message.type === 'chat' ? 'body' : 'caption';
  message.set({ [field]: raw.body, latestEditMsgKey: raw.id });
}

async function sendReactionToMsg(message, reaction) {
  await act('react', message, { reaction });
  return { messageSendResult: 'OK' };
}

/** Vote for the options with these local ids, a Set; an empty one takes the vote back. */
async function sendVote(message, localIds) {
  const chosen = message.pollOptions.filter((option) => localIds.has(option.localId));
  await act('vote', message, { options: chosen.map((option) => option.name) });
}

function vcardFromContactModel(contact) {
  const name = contact.displayName || contact.name || contact.id.user;
  const number = `TEL;type=CELL;waid=${contact.id.user}:+${contact.id.user}`;
  const lines = ['BEGIN:VCARD', 'VERSION:3.0', `N:;${name};;;`, `FN:${name}`, number, 'END:VCARD'];
  return { displayName: name, vcard: lines.join('\n'), isMultiVcard: false };
}

const MEGABYTE = 2 ** 20;
const UPLOAD_LIMITS = { video: 64 * MEGABYTE, document: 2048 * MEGABYTE };
const hasCaption = (message) => ['image', 'video', 'document'].includes(message.type);
const isYoung = (message) => Date.now() / 1000 - message.t < 900;

async function rejectCall() {
  transport.send({ op: 'call_reject', id: CallStore.activeCall?.id });
}

async function msgFindByDirection({ anchor, count, direction }) {
  const messages = ensureChat(anchor.remote).msgs.toArray();
  const at = messages.findIndex((message) => message.id.equals(anchor));
  if (direction === 'after') return messages.slice(at + 1, at + 1 + count);
  return messages.slice(Math.max(0, at - Math.min(count, at)), Math.max(0, at));
}

const getSearchContext = ({ chat, msgKey }) => ({
  collection: Object.assign(chat.msgs, { loadAroundPromise: Promise.resolve() }),
  key: msgKey,
});

export const actionModules = {
  WAWebFindChatAction: { findOrCreateLatestChat },
  WAWebSendMsgChatAction: { addAndSendMsgToChat },
  WAWebSendMessageEditAction: { addAndSendMessageEdit },
  WAWebSendReactionMsgAction: { sendReactionToMsg },
  WAWebUpdateUnreadChatAction: {
    sendSeen,
    async markUnread(chat) {
      chat.set('unreadCount', -1);
    },
  },
  WAWebChatPresence: {
    markComposing: presence('composing'),
    markPaused: presence('paused'),
    markRecording: presence('recording'),
  },
  WAWebQueryExistsJob: {
    queryWidExists,
    queryPhoneExists: (phone) => queryWidExists(toWid(`${phone}@c.us`)),
  },
  WAWebGroupQueryJob: {
    queryAllGroups: async () =>
      ChatStore.filter((chat) => chat.id.isGroup()).map(({ id }) => ({ id })),
  },
  WAWebMsgFind: {
    async msgFindBefore() {},
    async msgFindAfter() {},
    msgFindByDirection,
  },
  WAWebMsgSearchContext: { getSearchContext },
  WAWebVoipStackInterface: { getVoipStackInterface: async () => ({ rejectCall }) },
  WAWebEphemeralFields: { getEphemeralFields: () => ({}) },
  WAWebMsgReply: { canReplyMsg: () => true },
  WAWebMsgEdit: {
    canEditText: (one) => one.id.fromMe && one.type === 'chat' && isYoung(one),
    canEditCaption: (one) => one.id.fromMe && hasCaption(one) && isYoung(one),
  },
  WAWebPollsSendVoteMsgAction: { sendVote },
  WAWebFrontendVcardUtils: { vcardFromContactModel, mergeVcards: (vcards) => vcards },
  WAWebQuotedMsg: { getQuotedMsgObj() {} },
  WAWebLinkify: { findFirstWebLink() {} },
  WAWebLinkPreview: { async getLinkPreview() {}, async genMinimalLinkPreview() {} },
  WAWebHandleChatReceipt: { handleChatSimpleReceipt: applyReceipt },
  WAWebHandleGroupReceipt: { handleGroupSimpleReceipt: applyReceipt },
  WAWebHandleStatusReceipt: { async handleStatusSimpleReceipt() {} },
  WAWebGroupDbAction: { async updateDBForGroupAction() {} },
  WAWebAddonReactionTableMode: { reactionTableMode: { async bulkUpsert() {} } },
  WAWebReactionsBE: { addOrUpdateReactionsModelCollection() {} },
  WAWebPollVotes: { async upsertVotesDb() {} },
  WAWebChatSearchQuery: {
    SearchQuery: class {
      updateLabelQuery() {}
    },
  },
  WAWebMediaOpaqueData: { default: OpaqueData },
  WAWebPrepRawMedia: {
    MediaPrep,
    async uploadProductImage() {},
    prepRawMedia: (data, options) => new MediaPrep(data, options),
  },
  WAWebMediaGatingUtils: {
    getUploadLimit: (type) => UPLOAD_LIMITS[type] || 16 * MEGABYTE,
  },
};
