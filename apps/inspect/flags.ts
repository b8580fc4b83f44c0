// The flags of `inspect`, as commander names them.

export interface InspectFlags {
  readonly tensors?: boolean;
  readonly weights?: boolean;
  readonly metadata?: boolean;
  readonly ctxSize?: number;
  readonly diff?: string;
  readonly logits: boolean;
  readonly json?: boolean;
  readonly plugin?: readonly string[];
}
