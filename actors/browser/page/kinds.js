// The kinds of messages that can be sent, each by wa-js's own way of sending it. `prepare` does all
// that can be refused and hands nothing over; what it returns does the handing over, once.
//
// Reactions, votes, edits and deletions change another message and are none themselves: WhatsApp
// gives them ids of its own. To do one again changes nothing, so that is what a repetition does.

/**
 * @param {{
 *   findOwn: (chat: string, waId: string) => Promise<any>,
 *   findTheirs: (chat: string, waId: string, sender: string | null) => Promise<any>,
 * }} messages
 */
function wafleetKinds({ findOwn, findTheirs }) {
  const DONE = { ack: 1, sendMsgResult: { messageSendResult: 'OK' } };

  // What a message is made of. Not what belongs to it alone: its id, its chat, its time, its acks.
  const FORWARDED = [
    'type', 'body', 'caption', 'mimetype', 'filename', 'filehash', 'encFilehash', 'size',
    'mediaKey', 'mediaKeyTimestamp', 'directPath', 'deprecatedMms3Url', 'duration', 'width',
    'height', 'pageCount', 'isGif', 'isCaptionByUser', 'waveform', 'lat', 'lng', 'loc', 'clientUrl',
    'vcardFormattedName', 'vcardList', 'mediaData',
  ];

  /** @typedef {{key: any, body: string, content: any, file?: File}} Message */

  /** @param {{wa_id: string, chat: string, from_me: boolean, sender: string | null}} ref */
  async function find({ wa_id: waId, chat, from_me: fromMe, sender }) {
    const found = await (fromMe ? findOwn(chat, waId) : findTheirs(chat, waId, sender));
    if (!found) {
      throw new WafleetRefusal('target_not_found', 'WhatsApp does not have the other message here');
    }
    return found;
  }

  /** The options that all of wa-js's ways of sending take. @param {Message} message */
  async function options({ key, content }) {
    const quoted = content.reply_to ? { quotedMsg: await find(content.reply_to) } : {};
    const mentioned = content.mentions?.length ? { mentionedList: content.mentions } : {};
    return {
      messageId: key,
      detectMentioned: false,
      markIsRead: false,
      waitForAck: true,
      ...quoted,
      ...mentioned,
    };
  }

  /** @param {Message} message */
  async function text(message) {
    const with_ = { ...(await options(message)), linkPreview: Boolean(message.content.link_preview) };
    return () => WPP.chat.sendTextMessage(message.key.remote.toString(), message.body, with_);
  }

  /** wa-js compares the file's size with WhatsApp's limit, which it learns when it has loaded it.
   * @param {any} how @returns {(message: Message) => Promise<() => Promise<any>>} */
  function media(how) {
    return async (message) => {
      const { key, body, content, file } = message;
      if (!file) throw new WafleetRefusal('media_unreadable', 'there is no file to send');
      const filename = content.filename ?? file.name;
      const named = new File([file], filename, { type: content.mimetype });
      const limit = WPP.whatsapp.MediaGatingUtils.getUploadLimit(how.type, null);
      if (named.size > limit) {
        throw new WafleetRefusal('media_too_large', `WhatsApp takes ${limit} bytes at most`);
      }
      const with_ = {
        ...(await options(message)),
        ...how,
        ...(body ? { caption: body } : {}),
        ...(content.view_once ? { isViewOnce: true } : {}),
        ...(content.gif ? { isGif: true } : {}),
        filename,
        mimetype: content.mimetype,
      };
      return () => WPP.chat.sendFileMessage(key.remote.toString(), named, with_);
    };
  }

  /** @param {Message} message */
  async function location(message) {
    const { latitude: lat, longitude: lng, name, address } = message.content;
    const with_ = { ...(await options(message)), lat, lng, name, address };
    return () => WPP.chat.sendLocationMessage(message.key.remote.toString(), with_);
  }

  /** @param {Message} message */
  async function contact(message) {
    const with_ = await options(message);
    const cards = message.content.contacts.map(
      (/** @type {any} */ { phone, name }) => ({ id: phone, name }),
    );
    return () => WPP.chat.sendVCardContactMessage(message.key.remote.toString(), cards, with_);
  }

  /** @param {Message} message */
  async function poll(message) {
    const { options: choices, selectable } = message.content;
    // to WhatsApp, none means any number
    const selectableCount = selectable === choices.length ? 0 : selectable;
    const with_ = { ...(await options(message)), selectableCount };
    const { key, body } = message;
    return () => WPP.chat.sendCreatePollMessage(key.remote.toString(), body, choices, with_);
  }

  /** wa-js can't vote. @param {Message} message */
  async function vote({ content }) {
    const target = await find(content.target);
    if (target.type !== 'poll_creation') {
      throw new WafleetRefusal('not_permitted', 'the other message is no poll');
    }
    const known = new Map(target.pollOptions.map((/** @type {any} */ o) => [o.name, o.localId]));
    const chosen = content.options.map((/** @type {string} */ name) => known.get(name));
    if (chosen.includes(undefined)) {
      throw new WafleetRefusal('not_permitted', 'the poll has no such option');
    }
    return () => done(wafleetVoting().sendVote(target, new Set(chosen)));
  }

  /** @param {Message} message */
  async function reaction({ body, content }) {
    const target = await find(content.target);
    return () => done(WPP.chat.sendReactionToMessage(target, body || false));
  }

  /** @param {Message} message */
  async function edit(message) {
    const target = await find(message.content.target);
    const may = WPP.whatsapp.functions;
    if (!may.canEditMsg(target) && !may.canEditCaption(target)) {
      throw new WafleetRefusal('not_permitted', 'WhatsApp does not let this message be edited now');
    }
    const with_ = { ...(await options(message)), linkPreview: false };
    return () => done(WPP.chat.editMessage(target.id, message.body, with_));
  }

  /** @param {Message} message */
  async function revoke({ content }) {
    const target = await find(content.target);
    if (!target.id.fromMe) throw new WafleetRefusal('not_permitted', 'it is not our own message');
    if (target.type === 'revoked') return async () => DONE;
    const { remote } = target.id;
    return () => done(WPP.chat.deleteMessage(remote, target.id.toString(), false, true));
  }

  /** Not by WhatsApp's own forwarding: that takes an id of its own, so that it could not be told
   * whether a message was forwarded already.
   * @param {Message} message */
  async function forward(message) {
    const target = await find(message.content.target);
    if (WAFLEET_SYSTEM_KINDS.has(target.type)) {
      throw new WafleetRefusal('not_permitted', 'the other message can not be forwarded');
    }
    const given = FORWARDED.filter((field) => target[field] != null);
    const copy = Object.fromEntries(given.map((field) => [field, target[field]]));
    const raw = { ...copy, isForwarded: true, forwardingScore: (target.forwardingScore ?? 0) + 1 };
    const with_ = await options(message);
    return () => WPP.chat.sendRawMessage(message.key.remote.toString(), raw, with_);
  }

  /** @param {Promise<any>} work @returns {Promise<any>} */
  async function done(work) {
    const answer = await work;
    const result = answer?.sendMsgResult?.messageSendResult ?? answer?.messageSendResult;
    if (typeof result === 'string' && result !== 'OK') {
      return { ack: 0, sendMsgResult: { messageSendResult: result } };
    }
    return DONE;
  }

  /** @type {Record<string, {features: string[], prepare: (message: Message) => Promise<any>}>} */
  const KINDS = {
    text: { features: [], prepare: text },
    image: { features: ['media'], prepare: media({ type: 'image' }) },
    video: { features: ['media'], prepare: media({ type: 'video' }) },
    document: { features: ['media'], prepare: media({ type: 'document' }) },
    audio: { features: ['media'], prepare: media({ type: 'audio', isPtt: false }) },
    voice: { features: ['media'], prepare: media({ type: 'audio', isPtt: true }) },
    location: { features: [], prepare: location },
    contact: { features: ['contact'], prepare: contact },
    poll: { features: [], prepare: poll },
    vote: { features: ['lookup', 'vote'], prepare: vote },
    reaction: { features: ['lookup', 'reaction'], prepare: reaction },
    edit: { features: ['lookup', 'edit'], prepare: edit },
    revoke: { features: ['lookup', 'revoke'], prepare: revoke },
    forward: { features: ['lookup'], prepare: forward },
  };

  /** @param {string} kind */
  function known(kind) {
    if (!Object.hasOwn(KINDS, kind)) {
      throw new WafleetRefusal('unsupported_kind', 'this kind of message can not be sent');
    }
    return KINDS[kind];
  }

  /** The features that a message needs beside `send`. @param {string} kind @param {any} content */
  function features(kind, content) {
    return content.reply_to ? [...known(kind).features, 'lookup', 'reply'] : known(kind).features;
  }

  /** @param {string} kind @param {Message} message @returns {Promise<() => Promise<any>>} */
  const prepare = async (kind, message) => known(kind).prepare(await wafleetAddressed(message));

  return { features, prepare };
}

/** WhatsApp's own module for votes. @returns {any} */
function wafleetVoting() {
  return WPP.loader.loadModule('WAWebPollsSendVoteMsgAction');
}
