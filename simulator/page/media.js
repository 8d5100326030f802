/** Media that a client sends: opaque data, preparation, upload to the server. */
import { defineModel } from './model.js';
import { addAndSendMsgToChat } from './send.js';
import { transport } from './transport.js';

const MediaDataModel = defineModel('media-data', [
  ...['type', 'mimetype', 'filehash', 'size', 'mediaStage'],
]);

const PIECE = 0x8000;

function toBase64(buffer) {
  const bytes = new Uint8Array(buffer);
  const pieces = [];
  for (let start = 0; start < bytes.length; start += PIECE) {
    pieces.push(String.fromCharCode(...bytes.subarray(start, start + PIECE)));
  }
  return btoa(pieces.join(''));
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
    const { filehash, mimetype, size, type } = this._mediaData;
    await transport.request({ op: 'media_put', filehash, data: toBase64(this.#buffer) });
    const [, result] = await addAndSendMsgToChat(chat, {
      ...options.productMsgOptions,
      ...{ type, mimetype, filehash, size, caption: options.caption, mediaData: this._mediaData },
      ...(options.isViewOnce && { isViewOnce: true }),
      ...(this.#options.asGif && { isGif: true }),
    });
    return result;
  }
}
