// The flags of the chat command as values.

export interface ChatFlags {
  model?: string;
  url?: string;
  apiKey?: string;
  system?: string;
  ctxSize: number;
  threads?: number;
  nPredict?: number;
  seed?: number;
  set?: string[];
  plugin?: string[];
}
