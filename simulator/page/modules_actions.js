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

async function addAndSendMessageEdit(message, raw) {
  const chat = message.id.remote.toString();
  transport.send({ op: 'edit', id: message.id.id, chat, body: raw.body });
  message.set({ body: raw.body, latestEditMsgKey: raw.id });
}

async function sendReactionToMsg(message, reaction) {
  const { id, remote } = message.id;
  await transport.request({ op: 'react', id, chat: remote.toString(), reaction });
  return { messageSendResult: 'OK' };
}

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
  WAWebMsgEdit: { canEditText: (message) => message.id.fromMe, canEditCaption: () => false },
  WAWebQuotedMsg: { getQuotedMsgObj() {} },
  WAWebLinkify: { findFirstWebLink() {} },
  WAWebLinkPreview: { async getLinkPreview() {}, async genMinimalLinkPreview() {} },
  WAWebHandleChatReceipt: { handleChatSimpleReceipt: applyReceipt },
  WAWebHandleGroupReceipt: { handleGroupSimpleReceipt: applyReceipt },
  WAWebHandleStatusReceipt: { async handleStatusSimpleReceipt() {} },
  WAWebGroupDbAction: { async updateDBForGroupAction() {} },
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
  WAWebMediaGatingUtils: { getUploadLimit: () => 16 * 2 ** 20 },
};
