// Generated from kernels-zig/abi.zig by `zig build header`: layouts and constants of native code.

export const version = 1;
export const pagePositions = 32;
export const blockRows = 16;
export const argsBytes = 192;

export const Rows = {
  step: 0,
  logits: 1,
} as const;

export const Activation = {
  none: 0,
  relu2: 1,
  silu: 2,
  gelu: 3,
  softcap: 4,
} as const;

export const Input = {
  f32: 0,
  i8Row: 1,
  i8Block: 2,
} as const;

export const KvType = {
  f16: 0,
  i8: 1,
} as const;

export const RouteKind = {
  topK: 0,
  fixed: 1,
} as const;

export const EmbedFormat = {
  f32: 0,
  f16: 1,
  bf16: 2,
  q80: 3,
  q6K: 4,
} as const;

export const PackError = {
  none: 0,
  invalidCode: 1,
  outOfMemory: 2,
  invalidJob: 3,
} as const;

export const layouts = {
  Step: {
    size: 64,
    fields: {
      rows: { offset: 0, bytes: 4, type: "u32" },
      sequences: { offset: 4, bytes: 4, type: "u32" },
      logitRows: { offset: 8, bytes: 4, type: "u32" },
      maxPages: { offset: 12, bytes: 4, type: "u32" },
      tokens: { offset: 16, bytes: 8, type: "u64" },
      positions: { offset: 24, bytes: 8, type: "u64" },
      rowSequence: { offset: 32, bytes: 8, type: "u64" },
      sequenceRows: { offset: 40, bytes: 8, type: "u64" },
      pages: { offset: 48, bytes: 8, type: "u64" },
      logitIndex: { offset: 56, bytes: 8, type: "u64" },
    },
  },
  Thread: {
    size: 24,
    fields: {
      index: { offset: 0, bytes: 4, type: "u32" },
      count: { offset: 4, bytes: 4, type: "u32" },
      scratch: { offset: 8, bytes: 8, type: "u64" },
      scratchBytes: { offset: 16, bytes: 8, type: "u64" },
    },
  },
  Op: {
    size: 216,
    fields: {
      run: { offset: 0, bytes: 8, type: "u64" },
      units: { offset: 8, bytes: 8, type: "u64" },
      grain: { offset: 16, bytes: 4, type: "u32" },
      tag: { offset: 20, bytes: 4, type: "u32" },
      args: { offset: 24, bytes: 192, type: "bytes" },
    },
  },
  RowScale: {
    size: 8,
    fields: {
      inverse: { offset: 0, bytes: 4, type: "f32" },
      sum: { offset: 4, bytes: 4, type: "i32" },
    },
  },
  Embed: {
    size: 40,
    fields: {
      table: { offset: 0, bytes: 8, type: "u64" },
      rowBytes: { offset: 8, bytes: 8, type: "u64" },
      out: { offset: 16, bytes: 8, type: "u64" },
      columns: { offset: 24, bytes: 4, type: "u32" },
      outStride: { offset: 28, bytes: 4, type: "u32" },
      format: { offset: 32, bytes: 4, type: "u32" },
      scale: { offset: 36, bytes: 4, type: "f32" },
    },
  },
  Norm: {
    size: 72,
    fields: {
      in: { offset: 0, bytes: 8, type: "u64" },
      weight: { offset: 8, bytes: 8, type: "u64" },
      out: { offset: 16, bytes: 8, type: "u64" },
      q: { offset: 24, bytes: 8, type: "u64" },
      qScale: { offset: 32, bytes: 8, type: "u64" },
      inStride: { offset: 40, bytes: 4, type: "u32" },
      outStride: { offset: 44, bytes: 4, type: "u32" },
      qStride: { offset: 48, bytes: 4, type: "u32" },
      qBlock: { offset: 52, bytes: 4, type: "u32" },
      columns: { offset: 56, bytes: 4, type: "u32" },
      groups: { offset: 60, bytes: 4, type: "u32" },
      epsilon: { offset: 64, bytes: 4, type: "f32" },
      rows: { offset: 68, bytes: 4, type: "u32" },
    },
  },
  Linear: {
    size: 96,
    fields: {
      x: { offset: 0, bytes: 8, type: "u64" },
      xScale: { offset: 8, bytes: 8, type: "u64" },
      weight: { offset: 16, bytes: 8, type: "u64" },
      scale: { offset: 24, bytes: 8, type: "u64" },
      bias: { offset: 32, bytes: 8, type: "u64" },
      add: { offset: 40, bytes: 8, type: "u64" },
      out: { offset: 48, bytes: 8, type: "u64" },
      xStride: { offset: 56, bytes: 4, type: "u32" },
      outStride: { offset: 60, bytes: 4, type: "u32" },
      addStride: { offset: 64, bytes: 4, type: "u32" },
      n: { offset: 68, bytes: 4, type: "u32" },
      k: { offset: 72, bytes: 4, type: "u32" },
      group: { offset: 76, bytes: 4, type: "u32" },
      gate: { offset: 80, bytes: 4, type: "u32" },
      rows: { offset: 84, bytes: 4, type: "u32" },
      multiplier: { offset: 88, bytes: 4, type: "f32" },
      qBlock: { offset: 92, bytes: 4, type: "u32" },
    },
  },
  Rope: {
    size: 56,
    fields: {
      q: { offset: 0, bytes: 8, type: "u64" },
      k: { offset: 8, bytes: 8, type: "u64" },
      table: { offset: 16, bytes: 8, type: "u64" },
      qStride: { offset: 24, bytes: 4, type: "u32" },
      kStride: { offset: 28, bytes: 4, type: "u32" },
      headsQ: { offset: 32, bytes: 4, type: "u32" },
      headsK: { offset: 36, bytes: 4, type: "u32" },
      headDim: { offset: 40, bytes: 4, type: "u32" },
      dimensions: { offset: 44, bytes: 4, type: "u32" },
      interleaved: { offset: 48, bytes: 4, type: "u32" },
    },
  },
  Store: {
    size: 64,
    fields: {
      k: { offset: 0, bytes: 8, type: "u64" },
      v: { offset: 8, bytes: 8, type: "u64" },
      kv: { offset: 16, bytes: 8, type: "u64" },
      pageBytes: { offset: 24, bytes: 8, type: "u64" },
      layerOffset: { offset: 32, bytes: 8, type: "u64" },
      kStride: { offset: 40, bytes: 4, type: "u32" },
      vStride: { offset: 44, bytes: 4, type: "u32" },
      kvHeads: { offset: 48, bytes: 4, type: "u32" },
      headDim: { offset: 52, bytes: 4, type: "u32" },
      kvTypeK: { offset: 56, bytes: 4, type: "u32" },
      kvTypeV: { offset: 60, bytes: 4, type: "u32" },
    },
  },
  Attend: {
    size: 96,
    fields: {
      q: { offset: 0, bytes: 8, type: "u64" },
      out: { offset: 8, bytes: 8, type: "u64" },
      kv: { offset: 16, bytes: 8, type: "u64" },
      pageBytes: { offset: 24, bytes: 8, type: "u64" },
      layerOffset: { offset: 32, bytes: 8, type: "u64" },
      partials: { offset: 40, bytes: 8, type: "u64" },
      partialsBytes: { offset: 48, bytes: 8, type: "u64" },
      qStride: { offset: 56, bytes: 4, type: "u32" },
      outStride: { offset: 60, bytes: 4, type: "u32" },
      heads: { offset: 64, bytes: 4, type: "u32" },
      kvHeads: { offset: 68, bytes: 4, type: "u32" },
      headDim: { offset: 72, bytes: 4, type: "u32" },
      kvTypeK: { offset: 76, bytes: 4, type: "u32" },
      kvTypeV: { offset: 80, bytes: 4, type: "u32" },
      scale: { offset: 84, bytes: 4, type: "f32" },
      combined: { offset: 88, bytes: 4, type: "u32" },
    },
  },
  Elementwise: {
    size: 56,
    fields: {
      a: { offset: 0, bytes: 8, type: "u64" },
      b: { offset: 8, bytes: 8, type: "u64" },
      out: { offset: 16, bytes: 8, type: "u64" },
      aStride: { offset: 24, bytes: 4, type: "u32" },
      bStride: { offset: 28, bytes: 4, type: "u32" },
      outStride: { offset: 32, bytes: 4, type: "u32" },
      columns: { offset: 36, bytes: 4, type: "u32" },
      kind: { offset: 40, bytes: 4, type: "u32" },
      activation: { offset: 44, bytes: 4, type: "u32" },
      scale: { offset: 48, bytes: 4, type: "f32" },
      rows: { offset: 52, bytes: 4, type: "u32" },
    },
  },
  TopK: {
    size: 48,
    fields: {
      logits: { offset: 0, bytes: 8, type: "u64" },
      ids: { offset: 8, bytes: 8, type: "u64" },
      values: { offset: 16, bytes: 8, type: "u64" },
      stats: { offset: 24, bytes: 8, type: "u64" },
      stride: { offset: 32, bytes: 4, type: "u32" },
      columns: { offset: 36, bytes: 4, type: "u32" },
      k: { offset: 40, bytes: 4, type: "u32" },
    },
  },
  Route: {
    size: 56,
    fields: {
      logits: { offset: 0, bytes: 8, type: "u64" },
      ids: { offset: 8, bytes: 8, type: "u64" },
      weights: { offset: 16, bytes: 8, type: "u64" },
      stride: { offset: 24, bytes: 4, type: "u32" },
      experts: { offset: 28, bytes: 4, type: "u32" },
      topK: { offset: 32, bytes: 4, type: "u32" },
      kind: { offset: 36, bytes: 4, type: "u32" },
      normalize: { offset: 40, bytes: 4, type: "u32" },
      targets: { offset: 48, bytes: 8, type: "u64" },
    },
  },
  Probe: {
    size: 32,
    fields: {
      memory: { offset: 0, bytes: 8, type: "u64" },
      bytes: { offset: 8, bytes: 8, type: "u64" },
      result: { offset: 16, bytes: 8, type: "u64" },
      steps: { offset: 24, bytes: 4, type: "u32" },
    },
  },
  PackSource: {
    size: 16,
    fields: {
      values: { offset: 0, bytes: 8, type: "u64" },
      rows: { offset: 8, bytes: 4, type: "u32" },
      k: { offset: 12, bytes: 4, type: "u32" },
    },
  },
  Entry: {
    size: 72,
    fields: {
      op: { offset: 0, bytes: 8, type: "u64" },
      format: { offset: 8, bytes: 8, type: "u64" },
      run: { offset: 16, bytes: 8, type: "u64" },
      units: { offset: 24, bytes: 8, type: "u64" },
      packedBytes: { offset: 32, bytes: 8, type: "u64" },
      pack: { offset: 40, bytes: 8, type: "u64" },
      unpack: { offset: 48, bytes: 8, type: "u64" },
      input: { offset: 56, bytes: 4, type: "u32" },
      priority: { offset: 60, bytes: 4, type: "u32" },
      grain: { offset: 64, bytes: 4, type: "u32" },
      reserved: { offset: 68, bytes: 4, type: "u32" },
    },
  },
  Library: {
    size: 48,
    fields: {
      abi: { offset: 0, bytes: 4, type: "u32" },
      size: { offset: 4, bytes: 4, type: "u32" },
      name: { offset: 8, bytes: 8, type: "u64" },
      isa: { offset: 16, bytes: 8, type: "u64" },
      entries: { offset: 24, bytes: 8, type: "u64" },
      entryCount: { offset: 32, bytes: 4, type: "u32" },
      entrySize: { offset: 36, bytes: 4, type: "u32" },
      host: { offset: 40, bytes: 8, type: "u64" },
    },
  },
  Host: {
    size: 88,
    fields: {
      size: { offset: 0, bytes: 4, type: "u32" },
      features: { offset: 4, bytes: 4, type: "u32" },
      poolCreate: { offset: 8, bytes: 8, type: "u64" },
      poolDestroy: { offset: 16, bytes: 8, type: "u64" },
      run: { offset: 24, bytes: 8, type: "u64" },
      alloc: { offset: 32, bytes: 8, type: "u64" },
      free: { offset: 40, bytes: 8, type: "u64" },
      map: { offset: 48, bytes: 8, type: "u64" },
      unmap: { offset: 56, bytes: 8, type: "u64" },
      copy: { offset: 64, bytes: 8, type: "u64" },
      pack: { offset: 72, bytes: 8, type: "u64" },
      ropeTable: { offset: 80, bytes: 8, type: "u64" },
    },
  },
  PackJob: {
    size: 64,
    fields: {
      source: { offset: 0, bytes: 8, type: "u64" },
      sourceBytes: { offset: 8, bytes: 8, type: "u64" },
      unpack: { offset: 16, bytes: 8, type: "u64" },
      pack: { offset: 24, bytes: 8, type: "u64" },
      out: { offset: 32, bytes: 8, type: "u64" },
      n: { offset: 40, bytes: 4, type: "u32" },
      k: { offset: 44, bytes: 4, type: "u32" },
      firstBlock: { offset: 48, bytes: 4, type: "u32" },
      blockStep: { offset: 52, bytes: 4, type: "u32" },
      float: { offset: 56, bytes: 4, type: "u32" },
      totalRows: { offset: 60, bytes: 4, type: "u32" },
    },
  },
} as const;
