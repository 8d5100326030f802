// Which of WhatsApp's bindings exist. wa-js says nothing when WhatsApp moves a module: its getters
// become undefined and calls fail late. So every binding that is relied upon, by the adapter or by
// the wa-js functions that it calls, is looked at here, by feature. `state` tells who we are and
// whether we are connected; without it nothing can be said at all.

/** @type {Record<string, Record<string, () => unknown>>} */
const WAFLEET_BINDINGS = {
  state: {
    'Socket.state': () => WPP.whatsapp.Socket.state,
    'Socket.on': () => WPP.whatsapp.Socket.on,
    // it has no mode before WhatsApp has been reached for the first time
    Stream: () => ('mode' in WPP.whatsapp.Stream ? true : null),
    'Stream.on': () => WPP.whatsapp.Stream.on,
    Conn: () => WPP.whatsapp.Conn.on,
    UserPrefs: () =>
      WPP.whatsapp.UserPrefs.getMaybeMeUser ?? WPP.whatsapp.UserPrefs.getMaybeMePnUser,
    'functions.isRegistered': () => WPP.whatsapp.functions.isRegistered,
    'Cmd.on': () => WPP.whatsapp.Cmd.on,
  },
  qr: {
    'functions.isAuthenticated': () => WPP.whatsapp.functions.isAuthenticated,
    'Cmd.refreshQR': () => WPP.whatsapp.Cmd.refreshQR,
    Base64: () => WPP.whatsapp.Base64.encodeB64,
    'multidevice.adv': () => WPP.whatsapp.multidevice.adv.getADVSecretKey,
    'multidevice.waNoiseInfo': () => WPP.whatsapp.multidevice.waNoiseInfo.get,
    'multidevice.waSignalStore': () => WPP.whatsapp.multidevice.waSignalStore.getRegistrationInfo,
  },
  send: {
    WidFactory: () => WPP.whatsapp.WidFactory.createWid,
    MsgKey: () => WPP.whatsapp.MsgKey,
    MsgModel: () => WPP.whatsapp.MsgModel,
    Wid: () => WPP.whatsapp.Wid,
    ChatStore: () => WPP.whatsapp.ChatStore.get,
    MsgStore: () => WPP.whatsapp.MsgStore.get,
    ContactStore: () => WPP.whatsapp.ContactStore.get,
    GroupMetadataStore: () => WPP.whatsapp.GroupMetadataStore.find,
    lidPnCache: () => WPP.whatsapp.lidPnCache.getCurrentLid,
    ApiContact: () => WPP.whatsapp.ApiContact.getCurrentLid,
    'enums.ACK': () => WPP.whatsapp.enums.ACK.SENT,
    'functions.queryWidExists': () => WPP.whatsapp.functions.queryWidExists,
    'functions.findOrCreateLatestChat': () => WPP.whatsapp.functions.findOrCreateLatestChat,
    'functions.getEphemeralFields': () => WPP.whatsapp.functions.getEphemeralFields,
    'functions.unixTime': () => WPP.whatsapp.functions.unixTime,
    'functions.addAndSendMsgToChat': () => WPP.whatsapp.functions.addAndSendMsgToChat,
  },
  lookup: { 'functions.getSearchContext': () => WPP.whatsapp.functions.getSearchContext },
  reply: { 'functions.canReplyMsg': () => WPP.whatsapp.functions.canReplyMsg },
  media: {
    OpaqueData: () => WPP.whatsapp.OpaqueData.createFromData,
    MediaPrep: () => WPP.whatsapp.MediaPrep.prepRawMedia,
    MediaGatingUtils: () => WPP.whatsapp.MediaGatingUtils.getUploadLimit,
  },
  contact: {
    VCard: () => WPP.whatsapp.VCard.vcardFromContactModel,
    ContactModel: () => WPP.whatsapp.ContactModel,
  },
  vote: { 'PollsSendVote.sendVote': () => wafleetVoting().sendVote },
  reaction: { 'functions.sendReactionToMsg': () => WPP.whatsapp.functions.sendReactionToMsg },
  edit: {
    'functions.addAndSendMessageEdit': () => WPP.whatsapp.functions.addAndSendMessageEdit,
    'functions.canEditMsg': () => WPP.whatsapp.functions.canEditMsg,
    'functions.canEditCaption': () => WPP.whatsapp.functions.canEditCaption,
  },
  revoke: {
    'Cmd.sendRevokeMsgs': () => WPP.whatsapp.Cmd.sendRevokeMsgs,
    'enums.MSG_TYPE': () => WPP.whatsapp.enums.MSG_TYPE.REVOKED,
  },
  marks: {
    ChatStore: () => WPP.whatsapp.ChatStore.get,
    'functions.sendSeen': () => WPP.whatsapp.functions.sendSeen,
    'ChatPresence.markComposing': () => WPP.whatsapp.ChatPresence.markComposing,
    'ChatPresence.markRecording': () => WPP.whatsapp.ChatPresence.markRecording,
    'ChatPresence.markPaused': () => WPP.whatsapp.ChatPresence.markPaused,
  },
  acks: {
    'functions.handleChatSimpleReceipt': () => WPP.whatsapp.functions.handleChatSimpleReceipt,
    'functions.handleGroupSimpleReceipt': () => WPP.whatsapp.functions.handleGroupSimpleReceipt,
  },
  note: { 'Cmd.sendDeleteMsgs': () => WPP.whatsapp.Cmd.sendDeleteMsgs },
  takeover: { 'Socket.takeover': () => WPP.whatsapp.Socket.takeover },
  receive: { 'MsgStore.on': () => WPP.whatsapp.MsgStore.on },
  reactions: {
    'functions.createOrUpdateReactions': () => WPP.whatsapp.functions.createOrUpdateReactions,
  },
  votes: { 'functions.upsertVotes': () => WPP.whatsapp.functions.upsertVotes },
  participants: {
    'functions.updateDBForGroupAction': () => WPP.whatsapp.functions.updateDBForGroupAction,
  },
  calls: { CallStore: () => WPP.whatsapp.CallStore.on },
  lookup_contact: {
    ContactStore: () => WPP.whatsapp.ContactStore.get,
    lidPnCache: () => WPP.whatsapp.lidPnCache.getCurrentLid,
    ApiContact: () => WPP.whatsapp.ApiContact.getCurrentLid,
    'functions.queryWidExists': () => WPP.whatsapp.functions.queryWidExists,
  },
  lists: {
    'ChatStore.getModelsArray': () => WPP.whatsapp.ChatStore.getModelsArray,
    'ContactStore.getModelsArray': () => WPP.whatsapp.ContactStore.getModelsArray,
  },
  groups: { GroupMetadataStore: () => WPP.whatsapp.GroupMetadataStore.find },
  history: {
    // wa-js takes the first of the two that there is
    'functions.msgFindByDirection': () =>
      WPP.whatsapp.functions.msgFindQuery ?? WPP.whatsapp.functions.msgFindByDirection,
  },
  download: {
    'MsgStore.getModelsArray': () => WPP.whatsapp.MsgStore.getModelsArray,
    'MsgModel.downloadMedia': () => WPP.whatsapp.MsgModel.prototype.downloadMedia,
  },
  logout: { 'Socket.logout': () => WPP.whatsapp.Socket.logout },
};

/** @param {string[]} features @returns {string[]} the names of the bindings that are not there */
function wafleetMissing(...features) {
  const names = [];
  for (const feature of features) {
    for (const [name, read] of Object.entries(WAFLEET_BINDINGS[feature])) {
      let found = false;
      try {
        found = read() != null;
      } catch {
        // a getter of wa-js failed: that is what "missing" looks like
      }
      if (!found) names.push(name);
    }
  }
  return names;
}
