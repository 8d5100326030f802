/** Media that a client sends: opaque data, preparation, upload to the server. */
import { defineModel } from './model.js';
import { addAndSendMsgToChat } from './send.js';
import { transport } from './transport.js';

const MediaDataModel = defineModel('media-data', [
  ...['type', 'mimetype', 'filehash', 'size', 'mediaStage'],
]);

function toBase64(buffer) {
  let text = '';
  for (const byte of new Uint8Array(buffer)) text += String.fromCharCode(byte);
  return btoa(text);
}

export class OpaqueData {
  #blob;
  #type;

  constructor(blob, type) {
    this.#blob = blob;
    this.#type = type;
  }
  static async createFromData(blob, type) {
    return new OpaqueData(blob, type);
  }
  type() {
    return this.#type;
  }
  size() {
    return this.#blob.size;
  }
  forceToBlob() {
    return this.#blob;
  }
  throwIfReleased() {}
  autorelease() {}
}

function kindOf(mimetype, options) {
  if (options.asDocument) return 'document';
  if (options.asSticker) return 'sticker';
  if (options.isPtt) return 'ptt';
  return /^(image|video|audio)\//.exec(mimetype)?.[1] || 'document';
}

export class MediaPrep {
  #data;
  #options;
  #buffer;

  constructor(data, options) {
    this.#data = data;
    this.#options = options;
  }

  async waitForPrep() {
    const blob = this.#data.forceToBlob();
    this.#buffer = await blob.arrayBuffer();
    this._mediaData = new MediaDataModel({
      type: kindOf(blob.type, this.#options),
      mimetype: blob.type,
      filehash: toBase64(await crypto.subtle.digest('SHA-256', this.#buffer)),
      size: blob.size,
      mediaStage: 'INIT',
    });
    return this._mediaData;
  }

  async sendToChat({ chat, options }) {
    const { filehash, mimetype, type } = this._mediaData;
    await transport.request({ op: 'media_put', filehash, data: toBase64(this.#buffer) });
    const [, result] = await addAndSendMsgToChat(chat, {
      ...options.productMsgOptions,
      ...{ type, mimetype, filehash, caption: options.caption, mediaData: this._mediaData },
    });
    return result;
  }
}
