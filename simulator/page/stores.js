/** Models and collections of chats, messages, contacts, groups, presence, calls. */
import { toWid } from './ids.js';
import { defineCollection, defineModel, Model } from './model.js';
import { me } from './state.js';
import { transport } from './transport.js';

const MESSAGE_ATTRIBUTES = [
  ...['id', 'ack', 'body', 'type', 'subtype', 'from', 'to', 'author', 't', 'isNewMsg', 'caption'],
  ...['mimetype', 'filename', 'mediaData', 'mediaObject', 'quotedStanzaID', 'quotedMsg'],
  ...['latestEditMsgKey', 'isLive', 'lat', 'lng', 'loc', 'pollName', 'pollOptions', 'local'],
  ...['self', 'filehash', 'mentionedJidList', 'notifyName', 'size', 'isGif', 'isViewOnce'],
  ...['vcardFormattedName', 'vcardList', 'pollSelectableOptionsCount', 'isForwarded'],
  ...['forwardingScore', 'quotedParticipant', 'latestEditSenderTimestampMs', 'duration'],
  ...['protocolMessageKey'],
];

/** Bytes of media by file hash. */
export const mediaCache = new Map();

export const MsgModel = defineModel(
  'msg',
  MESSAGE_ATTRIBUTES,
  {
    updateAck(ack) {
      this.set('ack', ack);
    },
    msgContextInfo() {
      return {
        quotedMsg: this.toJSON(),
        quotedStanzaID: this.id.id,
        quotedParticipant: this.author || this.from,
      };
    },
    async downloadMedia() {
      const { filehash } = this.mediaData;
      const answer = await transport.request({ op: 'media_get', filehash });
      if (answer.error) throw new Error(`media download failed: ${answer.error}`);
      const bytes = Uint8Array.from(atob(answer.data), (char) => char.charCodeAt(0));
      mediaCache.set(filehash, bytes.buffer);
    },
  },
  {
    senderObj() {
      return { isMe: !!this.id?.fromMe };
    },
    sender() {
      return this.author || this.from;
    },
    isStatusV3() {
      return !!this.id?.remote.isStatusV3();
    },
  },
);

export const MsgCollection = defineCollection(MsgModel, {
  /** Take messages that arrived; each is shown once, however often it is delivered. */
  async processMultipleMessages(chatId, messages) {
    const chat = ensureChat(chatId);
    for (const attributes of messages) {
      // a notice about another message is no message
      if (MsgStore.get(attributes.id) || attributes.type === 'protocol') continue;
      const [message] = MsgStore.add(new MsgModel(attributes));
      chat.msgs.add(message);
      chat.set('t', message.t);
      if (message.isNewMsg && !message.id.fromMe) chat.set('unreadCount', chat.unreadCount + 1);
    }
  },
});
export const MsgStore = new MsgCollection();

export const PresenceModel = defineModel(
  'presence',
  ['id', 'isOnline', 'hasData', 'chatstate', 'isUser', 'isGroup'],
  { async subscribe() {} },
);
export const PresenceStore = new (defineCollection(PresenceModel))();

export const ContactModel = defineModel('contact', [
  ...['id', 'name', 'pushname', 'shortName', 'isBusiness', 'username', 'phoneNumber'],
  'disappearingModeDuration',
]);
export const ContactCollection = defineCollection(ContactModel);
export const ContactStore = new ContactCollection();

export const ParticipantModel = defineModel('participant', ['id', 'isAdmin', 'isSuperAdmin']);
export const ParticipantCollection = defineCollection(ParticipantModel, {
  iAmMember() {
    return this.some((one) => one.id.equals(me.lid) || one.id.equals(me.wid));
  },
  iAmAdmin() {
    return this.some((one) => one.isAdmin && (one.id.equals(me.lid) || one.id.equals(me.wid)));
  },
  iAmSuperAdmin() {
    return this.iAmAdmin();
  },
  getAdmins() {
    return this.filter((one) => one.isAdmin);
  },
});

export const GroupMetadataModel = defineModel('group-metadata', [
  ...['id', 'subject', 'participants', 'groupType', 'memberAddMode', 'size'],
  'isLidAddressingMode',
]);
export const GroupMetadataCollection = defineCollection(GroupMetadataModel, {
  _handleParentGroupChange() {},
});
export const GroupMetadataStore = new GroupMetadataCollection();

export const ChatModel = defineModel(
  'chat',
  [
    ...['id', 'msgs', 'unreadCount', 't', 'archive', 'name', 'presence', 'active', 'labels'],
    ...['pausedTimerId', 'groupMetadata', 'isParentGroup', 'isNewsletter', 'formattedTitle'],
  ],
  {
    initialize() {
      const [presence] = PresenceStore.add({
        id: this.id,
        isUser: this.id.isUser(),
        isGroup: this.id.isGroup(),
      });
      const msgs = new MsgCollection();
      this.set({ msgs, unreadCount: this.unreadCount || 0, presence }, { silent: true });
    },
  },
  {
    hasUnread() {
      return !!this.unreadCount;
    },
    lastReceivedKey() {
      return this.msgs?.last()?.id;
    },
  },
);
export const ChatCollection = defineCollection(ChatModel);
export const ChatStore = new ChatCollection();

export const CallStore = new (defineCollection(Model, {
  processIncomingCall: (call) => call,
  setActiveCall(call) {
    this.activeCall = call;
    this.lastActiveCall = call;
    if (call) this.add(call);
  },
}))();

export const StatusCollection = defineCollection(Model, {
  getMyStatus() {
    return { msgs: new MsgCollection() };
  },
});
export const StatusStore = new StatusCollection();
export const BlocklistStore = new (defineCollection(Model))();
export const NewsletterStore = new (defineCollection(ChatModel))();
export const MsgInfoStore = new (defineCollection(Model))();

/** The chat with this address, created when it is new. */
export function ensureChat(id, attributes = {}) {
  const wid = toWid(id);
  const known = ChatStore.get(wid);
  if (known) return known;
  const t = Math.floor(Date.now() / 1000);
  return ChatStore.add(new ChatModel({ id: wid, t, ...attributes }))[0];
}

/** Which LID and phone number belong together, as far as this page has been told. */
export const lidPnCache = {
  pnToLid: new Map(),
  lidToPn: new Map(),
  learn(pn, lid) {
    this.pnToLid.set(pn, toWid(lid));
    this.lidToPn.set(lid, toWid(pn));
  },
  getCurrentLid(wid) {
    return this.pnToLid.get(wid.toString());
  },
  getPhoneNumber(wid) {
    return this.lidToPn.get(wid.toString());
  },
  counterpart(wid) {
    return this.getCurrentLid(wid) || this.getPhoneNumber(wid);
  },
};

/** Learn a person's addresses; someone with a chat becomes a contact, under the chat's address. */
export function learnPerson({ pn, lid, name }, chatId) {
  lidPnCache.learn(pn, lid);
  if (!chatId) return;
  const id = toWid(chatId);
  ContactStore.add({ id, name, pushname: name, shortName: name, phoneNumber: toWid(pn) });
}

/** Put group metadata behind a chat. */
export function setGroup(chat, { name, participants, addressing }) {
  const members = new ParticipantCollection();
  for (const { id, admin } of participants) {
    members.add({ id: toWid(id), isAdmin: admin, isSuperAdmin: admin });
  }
  const metadata = new GroupMetadataModel({
    ...{ id: chat.id, subject: name, participants: members, size: members.length },
    groupType: 'DEFAULT',
  });
  const [kept] = GroupMetadataStore.add(metadata);
  const isLidAddressingMode = addressing === 'lid';
  kept.set({ participants: members, size: members.length, isLidAddressingMode });
  chat.set({ groupMetadata: kept, name, formattedTitle: name });
}
