import type * as WAJS from '@wppconnect/wa-js';

declare global {
  const WPP: typeof WAJS;

  /** What the page adapter is started with; the names are random, so that no page guesses them. */
  interface AdapterConfig {
    /** The CDP binding through which facts leave the page. */
    binding: string;
    /** The global under which the adapter's call function is reached from outside. */
    api: string;
    /** Milliseconds from the document's load until WhatsApp's module loader must have been found. */
    injectMs: number;
    /** Milliseconds from there until wa-js must be ready. */
    readyMs: number;
    /** Bytes a second; a file that is sent gets so much time for its upload, */
    slowestUpload: number;
    /** but no more milliseconds than these. */
    longestUploadMs: number;
  }
}
