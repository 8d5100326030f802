/** Modules: models, collections and the enumerations around messages. */
import { Model } from './model.js';
import { PresenceModel } from './stores.js';
import * as stores from './stores.js';

const { lidPnCache } = stores;

export const storeModules = {
  WAWebAck: {
    ACK: {
      ...{ INACTIVE: -6, CONTENT_UNUPLOADABLE: -5, CONTENT_TOO_BIG: -4, CONTENT_GONE: -3 },
      ...{ EXPIRED: -2, FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3, PLAYED: 4, PEER: 5 },
    },
    ACK_STRING: { SENDER: 'sender', DELIVERY: 'delivery', READ: 'read', PLAYED: 'played' },
    EDIT_ATTR: { SENDER_REVOKE: 7, ADMIN_REVOKE: 8 },
  },
  WAWebMsgType: {
    MSG_TYPE: { REVOKED: 'revoked', CHAT: 'chat', CALL_LOG: 'call_log', IMAGE: 'image' },
    SYSTEM_MESSAGE_TYPES: ['notification'],
  },
  WAWebNonJidMentionType: { default: { MENTION_ALL: 1 } },
  WAWebSendMsgResultAction: {
    SendMsgResult: {
      OK: 'OK',
      ERROR_NETWORK: 'ERROR_NETWORK',
      ERROR_EXPIRED: 'ERROR_EXPIRED',
      ERROR_CANCELLED: 'ERROR_CANCELLED',
      ERROR_UPLOAD: 'ERROR_UPLOAD',
      ERROR_UNKNOWN: 'ERROR_UNKNOWN',
    },
  },
  WAWebVoipCallStates: { CallState: { ReceivedCall: 3, ReceivedCallWithoutOffer: 4 } },
  WAWebMsgModel: { default: stores.MsgModel },
  WAWebChatModel: { default: stores.ChatModel },
  WAWebContactModel: { default: stores.ContactModel },
  WAWebGroupMetadataModel: { default: stores.GroupMetadataModel },
  WAWebParticipantModel: { default: stores.ParticipantModel },
  WAWebGroupParticipantCollection: { default: stores.ParticipantCollection },
  WAWebChatCollection: {
    ChatCollection: stores.ChatStore,
    ChatCollectionImpl: stores.ChatCollection,
  },
  WAWebMsgCollection: { MsgCollection: stores.MsgStore, MsgCollectionImpl: stores.MsgCollection },
  WAWebContactCollection: {
    ContactCollection: stores.ContactStore,
    ContactCollectionImpl: stores.ContactCollection,
  },
  WAWebGroupMetadataCollection: { default: stores.GroupMetadataStore },
  WAWebPresenceCollection: {
    PresenceCollection: stores.PresenceStore,
    Presence: PresenceModel,
    Chatstate: Model,
  },
  WAWebCallCollection: { default: stores.CallStore },
  WAWebStatusCollection: {
    StatusCollection: stores.StatusStore,
    StatusCollectionImpl: stores.StatusCollection,
  },
  WAWebBlocklistCollection: { BlocklistCollection: stores.BlocklistStore },
  WAWebNewsletterCollection: { default: stores.NewsletterStore },
  WAWebMsgInfoCollection: { MsgInfoCollection: stores.MsgInfoStore },
  WAWebLidPnCache: { lidPnCache },
  WAWebApiContact: {
    getCurrentLid: (wid) => lidPnCache.getCurrentLid(wid),
    getPhoneNumber: (wid) => lidPnCache.getPhoneNumber(wid),
    getAlternateUserWid: (wid) => lidPnCache.counterpart(wid),
  },
  WAWebLid1X1: {
    Lid1X1MigrationUtils: {
      isLidMigrated: () => false,
      isSyncdSessionMigrated: () => false,
      shouldApplyNonMigratedMessagingRules: () => true,
    },
  },
  WAWebLruMediaStore: {
    LruMediaStore: {
      get: async (hash) => stores.mediaCache.get(hash),
      put: async (hash, data) => stores.mediaCache.set(hash, data),
      has: (hash) => stores.mediaCache.has(hash),
      async del() {},
      async clear() {},
      async count() {},
    },
  },
  WAWebMediaBlobCache: {
    InMemoryMediaBlobCacheImpl: class {},
    InMemoryMediaBlobCache: { has: () => false, get() {} },
  },
};
