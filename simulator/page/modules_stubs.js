/** Modules that clients only wrap or read in passing: they exist, and do next to nothing. */

const asyncNothing = async () => {};

function functions(names, implementation = asyncNothing) {
  return Object.fromEntries(names.map((name) => [name, implementation]));
}

const nothing = () => undefined;

const CONTACT_FLAGS = [
  ...['getNotifyName', 'getPremiumMessageName', 'getUserid', 'getUserhash', 'getIsMe', 'getIsUser'],
  ...['getIsGroup', 'getIsBroadcast', 'getIsNewsletter', 'getIsPSA', 'getIsIAS'],
  ...['getIsSupportAccount', 'getIsWAContact', 'getCanRequestPhoneNumber'],
  ...['getShowBusinessCheckmarkAsPrimary', 'getShowBusinessCheckmarkAsSecondary'],
  ...['getShowBusinessCheckmarkInChatlist', 'getIsDisplayNameApproved'],
  'getShouldForceBusinessUpdate',
];

const CONTACT_NAMES = [
  ...['getPhoneNumber', 'getTextStatusString', 'getDisplayName', 'getPnForLid', 'getHeader'],
  ...['getUserDisplayNameForLid', 'getFormattedPhone', 'getFormattedUsernameOrPhone'],
  ...['getFormattedShortNameWithNonBreakingSpaces', 'getFormattedShortName', 'getFormattedName'],
  ...['getFormattedUser', 'getSearchName', 'getIsMyContact', 'getMentionName'],
  'getSearchVerifiedName',
];

const CHAT_GETTERS = [
  ...['getShouldAppearInList', 'getPreviewMessage', 'getShowChangeNumberNotification'],
  'getShouldShowUnreadDivider',
];

const LABEL_FUNCTIONS = [
  ...['addToLabelCollection', 'removeLabelFromCollection', 'createLabelItemId'],
  ...['getParentCollection', 'initializeLabels'],
];

export const stubModules = {
  WAWebE2EProtoGen: functions(['createMsgProtobuf'], () => ({})),
  WAWebEncryptAndSend: functions(['encryptAndSendMsg']),
  WAWebE2EProtoUtils: functions(['mediaTypeFromProtobuf', 'typeAttributeFromProtobuf'], nothing),
  WAWebEncodeMedia: functions(['encodeMaybeMediaType'], nothing),
  WAWebFanoutStanza: functions(['createFanoutMsgStanza']),
  WAWebUnreadType: functions(['getIsUnreadType'], nothing),
  WAWebChatDb: functions(['createChatRecord']),
  WAWebABProps: functions(['getABPropConfigValue'], nothing),
  WAWebPrimaryFeatures: functions(['primaryFeatureEnabled'], nothing),
  WAWebLabels: functions(LABEL_FUNCTIONS),
  WAWebVideoThumbs: functions(['generateVideoThumbsAndDuration']),
  WAWebProcessSticker: functions(['processRawSticker']),
  WAWebUploadMedia: functions(['uploadMedia']),
  WAWebPins: functions(['getNumChatsPinned'], () => 0),
  WAWebHandleSingleMsg: functions(['handleSingleMsg']),
  WAWebInboxFilter: functions(['isFilterExcludedFromSearchTreatmentInInboxFlow'], () => false),
  WAWebChatGetters: functions(CHAT_GETTERS, () => true),
  WAWebUnread: { getHasUnread: (chat) => !!chat.unreadCount },
  WAWebContactGetters: functions(CONTACT_FLAGS, nothing),
  WAWebFrontendContactGetters: functions(CONTACT_NAMES, (contact) => contact?.name),
};
