//! The contract between TypeScript and native code: library table, ops, arguments, step header.
//! The single truth: header.zig writes include/wrinklefree.h and core/native/abi.ts from it.
//! All structs are little-endian C layout; addresses are u64; a table starts with its size so that
//! it can grow.

/// Version of this contract. A library with another version is refused.
pub const version: u32 = 1;

/// Positions in one page of the KV cache.
pub const page_positions: u32 = 32;

/// Positions of a span, in which attention is reduced; spans are then merged in ascending order.
pub const span_positions: u32 = 128;

/// Rows of a weight matrix that every packed layout interleaves.
pub const block_rows: u32 = 16;

/// What changes from step to step. Written by TypeScript before each run.
pub const Step = extern struct {
    /// Tokens in this step, all sequences together; 1..max_rows of the tape.
    rows: u32,
    /// Sequences with rows in this step.
    sequences: u32,
    /// Rows whose logits are wanted; 0..max_logit_rows.
    logit_rows: u32,
    /// Stride of `pages`: page-table entries kept for each sequence.
    max_pages: u32,
    /// [rows] u32 token ids.
    tokens: u64,
    /// [rows] u32 position of each row in its sequence.
    positions: u64,
    /// [rows] u32 index of the row's sequence, 0..sequences-1. Rows of a sequence are adjacent
    /// and ascending.
    row_sequence: u64,
    /// [sequences + 1] u32 first row of each sequence.
    sequence_rows: u64,
    /// [sequences][max_pages] u32 page numbers.
    pages: u64,
    /// [logit_rows] u32 row indices.
    logit_index: u64,
    /// Threads of the pool, written by the executor: how many pieces work is worth cutting into.
    threads: u32 = 1,
    reserved: u32 = 0,
};

/// Per-thread scratch given to an op.
pub const Thread = extern struct {
    index: u32,
    count: u32,
    scratch: u64,
    scratch_bytes: u64,
};

/// Units of work that an op has in this step; the executor hands out ranges of them to threads.
pub const UnitsFn = *const fn (op: *const Op, step: *const Step) callconv(.c) u32;
/// Does units begin..end-1. Results must not depend on how units are cut or on which thread
/// runs them.
pub const RunFn = *const fn (
    op: *const Op,
    step: *const Step,
    thread: *const Thread,
    begin: u32,
    end: u32,
) callconv(.c) void;

pub const args_bytes = 192;

/// One entry of the tape.
pub const Op = extern struct {
    run: u64,
    units: u64,
    /// Smallest number of adjacent units worth handing out at once (at least 1).
    grain: u32,
    /// Index of the op's name in the recorder's listing; for timing.
    tag: u32,
    /// One of the argument structs below.
    args: [args_bytes]u8 align(8),
};

/// Which rows an op works on.
pub const Rows = enum(u32) { step = 0, logits = 1 };
pub const Activation = enum(u32) { none = 0, relu2 = 1, silu = 2, gelu = 3, softcap = 4 };
/// How a linear layout wants its input.
pub const Input = enum(u32) {
    /// [rows][stride] f32
    f32 = 0,
    /// [rows][stride] i8 with RowScale[rows] (one scale a token)
    i8_row = 1,
    /// [rows][stride] i8 with RowScale[rows][ceil(k/block)] (one scale per `block` elements of
    /// a token)
    i8_block = 2,
};

/// Scale and sum of a quantized activation row (or block of one): x ~ q * inverse, inverse =
/// max(|x|max, 1e-5) / 127.
pub const RowScale = extern struct {
    inverse: f32,
    sum: i32,
};

/// Element type of KV pages.
pub const KvType = enum(u32) { f16 = 0, i8 = 1 };

pub const args = struct {
    /// out[r] = embedding row of token r, to f32. `table` is [vocab] rows in `format`
    /// (EmbedFormat), `row_bytes` apart.
    pub const Embed = extern struct {
        table: u64,
        row_bytes: u64,
        out: u64,
        columns: u32,
        out_stride: u32,
        format: u32,
        scale: f32,
    };
    /// RMSNorm of each of `groups` runs of `columns` elements of a row, with weight [columns]
    /// f32 (0: no weight);
    /// f32 result to `out` (0: none), i8 result to `q` with RowScale to `q_scale` (0: none; one
    /// block of `q_block`, 0 = whole row).
    /// With epsilon < 0 no normalization: quantize only. rows = logits gathers input row
    /// logit_index[i] to output row i.
    /// i8 rows are zero-padded to q_stride.
    pub const Norm = extern struct {
        in: u64,
        weight: u64,
        out: u64,
        q: u64,
        q_scale: u64,
        in_stride: u32,
        out_stride: u32,
        q_stride: u32,
        q_block: u32,
        columns: u32,
        groups: u32,
        epsilon: f32,
        rows: u32,
        /// Rows of this op for each row of the step (slots of experts); 0 = 1. Only for rows = step.
        multiplier: u32,
        /// u32 of each row: which row of weight [..][columns] it is multiplied with; 0: the first.
        weight_index: u64,
    };
    /// y = (x W^T) * scale (+ bias) (+ add); W packed by the entry's `pack`. With gate != none,
    /// rows of W come as alternating
    /// blocks of 16 (gate, up) and out has n/2 columns: act(gate) * up. `scale` is f32 [n] (one
    /// a row of W), or [n][k/group].
    pub const Linear = extern struct {
        x: u64,
        x_scale: u64,
        weight: u64,
        scale: u64,
        bias: u64,
        add: u64,
        out: u64,
        x_stride: u32,
        out_stride: u32,
        add_stride: u32,
        n: u32,
        k: u32,
        group: u32,
        gate: u32,
        rows: u32,
        multiplier: f32,
        q_block: u32,
    };
    /// Rotates `heads_q` heads of q and `heads_k` heads of k in place; table is f32
    /// [context][dimensions/2][2] (cos, sin).
    pub const Rope = extern struct {
        q: u64,
        k: u64,
        table: u64,
        q_stride: u32,
        k_stride: u32,
        heads_q: u32,
        heads_k: u32,
        head_dim: u32,
        dimensions: u32,
        interleaved: u32,
    };
    /// Writes k and v [rows][kv_heads * head_dim] of this step into the layer's part of the
    /// sequence's pages.
    pub const Store = extern struct {
        k: u64,
        v: u64,
        kv: u64,
        page_bytes: u64,
        layer_offset: u64,
        k_stride: u32,
        v_stride: u32,
        kv_heads: u32,
        head_dim: u32,
        kv_type_k: u32,
        kv_type_v: u32,
    };
    /// Causal attention over pages: softmax(q k^T * scale) v for each row and head; heads is a
    /// multiple of kv_heads, 128-fold at most. Where `combined`
    /// is 1 an "attend_combine" op with the same arguments follows: then the spans of long contexts
    /// may be split over threads, with `partials` as scratch (f32 [rows][heads][spans][head_dim
    /// rounded up to 16, + 16], spans of 128 positions; split where that fits partials_bytes).
    pub const Attend = extern struct {
        q: u64,
        out: u64,
        kv: u64,
        page_bytes: u64,
        layer_offset: u64,
        partials: u64,
        partials_bytes: u64,
        q_stride: u32,
        out_stride: u32,
        heads: u32,
        kv_heads: u32,
        head_dim: u32,
        kv_type_k: u32,
        kv_type_v: u32,
        scale: f32,
        combined: u32,
    };
    /// out = a (op) b elementwise: kind 0 a + b * scale, 1 a * b, 2 activation(a), 3
    /// activation(a) * b, 4 a * sigmoid(b[row][0]).
    pub const Elementwise = extern struct {
        a: u64,
        b: u64,
        out: u64,
        a_stride: u32,
        b_stride: u32,
        out_stride: u32,
        columns: u32,
        kind: u32,
        activation: u32,
        scale: f32,
        rows: u32,
        /// As in Norm.
        multiplier: u32,
    };
    /// The k largest of each logit row, descending, ties to the lower id: ids u32
    /// [logit_rows][k], values f32 [logit_rows][k],
    /// and per row f32 {max, log(sum exp(x - max))}.
    pub const TopK = extern struct {
        logits: u64,
        ids: u64,
        values: u64,
        stats: u64,
        stride: u32,
        columns: u32,
        k: u32,
    };
    /// Router: logits [rows][experts] to expert ids u32 [rows][top_k] and weights f32
    /// [rows][top_k]. Scores are the softmax or the sigmoid of the logits (RouteKind); chosen are
    /// the largest of score + `bias` f32 [experts] (0: none) within the `groups_used` best of
    /// `groups` groups of equal size (0: no groups), of which the two largest members' sum tells the
    /// rank. A weight is the chosen one's score, with `normalize` divided by their sum, times
    /// `scale`. Limits: 4096 experts.
    pub const Route = extern struct {
        logits: u64,
        ids: u64,
        weights: u64,
        stride: u32,
        experts: u32,
        top_k: u32,
        kind: u32,
        normalize: u32,
        scale: f32,
        targets: u64,
        bias: u64,
        groups: u32,
        groups_used: u32,
    };
    /// The exact `top` largest logits without reading every weight. `weight` is a float linear layout
    /// (the op's format), `plane` the coarse copy of it that head_columns and head_pack made (each run
    /// once, before; bytes: the entry's packed_bytes), `work` scratch (packed_bytes of head_screen for
    /// each logit row). Five ops in this order: head_prepare, head_screen, head_threshold, head_rescore,
    /// head_top. `logits` f32 [logit_rows][logits_stride] (0: none) gets the exact logits of every row
    /// that may be among the top ones, and minus infinity elsewhere; `ids` u32 and `values` f32
    /// [logit_rows][top] (0: none) the top ones, descending, ties to the lower id; `counts` u32
    /// [logit_rows] (0: none) how many rows were evaluated exactly. multiplier > 0. `masks` u64
    /// [logit_rows] (0: none): address of a row's mask (0: all), u32 words whose bit i & 31 of word
    /// i >> 5 tells whether token i may be among the top ones; where fewer than `top` may, the rest of
    /// `ids` and `values` means nothing. head_pack makes `blocks` blocks of 16 rows from `first_block`
    /// (0 blocks: all).
    pub const Head = extern struct {
        x: u64,
        weight: u64,
        plane: u64,
        work: u64,
        logits: u64,
        ids: u64,
        values: u64,
        counts: u64,
        x_stride: u32,
        logits_stride: u32,
        n: u32,
        k: u32,
        top: u32,
        multiplier: f32,
        masks: u64,
        first_block: u32,
        blocks: u32,
    };
    /// Measures the machine: format "read" sums `bytes` (>= 64 KiB) at `memory`, in units
    /// of 64 KiB each; format "int8" does `steps` rounds of dot products in each of 64 units
    /// (see ops/probe.zig for their size). `result` u64 [256]: one word a thread.
    pub const Probe = extern struct {
        memory: u64,
        bytes: u64,
        result: u64,
        steps: u32,
    };
    /// Sorts a step's choices of experts: slot s belongs to row row_of[s] and expert expert_of[s],
    /// ascending by expert, then row. starts[e]..starts[e + 1] - 1 are the slots of expert e;
    /// slots [rows][top_k] says where each choice went. counts u64 [experts] (0: none) grows by the
    /// tokens of each expert, probabilities f64 [experts] (0: none) by the softmax of the router's
    /// logits [rows][stride].
    pub const Group = extern struct {
        ids: u64,
        starts: u64,
        slots: u64,
        row_of: u64,
        expert_of: u64,
        counts: u64,
        probabilities: u64,
        logits: u64,
        stride: u32,
        experts: u32,
        top_k: u32,
    };
    /// Row i of `out` = row index[i] of `in`, for step.rows * multiplier rows of `bytes` bytes;
    /// strides are bytes. RowScale scale_in [rows] to scale_out along (0: none).
    pub const Gather = extern struct {
        in: u64,
        out: u64,
        index: u64,
        scale_in: u64,
        scale_out: u64,
        in_stride: u32,
        out_stride: u32,
        bytes: u32,
        multiplier: u32,
    };
    /// A Linear for each expert that has slots, over its slots' rows of x and out: `weight`, `scale`
    /// and `bias` of expert e lie e strides (bytes) further. `run` and `units` are the functions of
    /// the linear's own entry. The fields up to q_block are Linear's, `rows` is 0. Experts with an
    /// address in `residents` u64 [experts] (0: none) have their weights there instead, in the layout
    /// of the linear entry whose functions are resident_run and resident_units.
    pub const Experts = extern struct {
        x: u64,
        x_scale: u64,
        weight: u64,
        scale: u64,
        bias: u64,
        add: u64,
        out: u64,
        x_stride: u32,
        out_stride: u32,
        add_stride: u32,
        n: u32,
        k: u32,
        group: u32,
        gate: u32,
        rows: u32,
        multiplier: f32,
        q_block: u32,
        run: u64,
        units: u64,
        starts: u64,
        weight_stride: u64,
        scale_stride: u64,
        bias_stride: u64,
        experts: u32,
        top_k: u32,
        residents: u64,
        resident_run: u64,
        resident_units: u64,
    };
    /// out[r] = sum over a row's choices i of weights[r][i] * in[slots[r][i]], in order of i (the
    /// first product rounded, later ones fused), then + add (0: none).
    pub const Scatter = extern struct {
        in: u64,
        slots: u64,
        weights: u64,
        add: u64,
        out: u64,
        in_stride: u32,
        add_stride: u32,
        out_stride: u32,
        columns: u32,
        top_k: u32,
    };
};

/// Route.kind: scores by softmax or by sigmoid, or fixed `targets` u32 [top_k] (0: experts
/// 0..top_k-1) of weight 1/top_k.
pub const RouteKind = enum(u32) { softmax = 0, fixed = 1, sigmoid = 2 };

/// Storage of an embedding table.
pub const EmbedFormat = enum(u32) { f32 = 0, f16 = 1, bf16 = 2, q8_0 = 3, q6_k = 4 };

/// Where a linear's rows come from when it is packed.
pub const PackSource = extern struct {
    /// Trits i8 [rows][k], or f32 [rows][k] for float layouts.
    values: u64,
    rows: u32,
    k: u32,
};

/// Packs rows of a matrix (a multiple of 16, but for the last call) into `out`, at the place of
/// `first_row`.
pub const PackFn = *const fn (
    source: *const PackSource,
    first_row: u32,
    n: u32,
    out: u64,
) callconv(.c) void;
/// Bytes of the packed form of [n][k].
pub const PackedBytesFn = *const fn (n: u32, k: u32) callconv(.c) u64;
/// Decodes rows first_row..first_row+rows-1 of a stored tensor [n][k] to trits i8 [rows][k];
/// returns 0, or 1 for an invalid code.
pub const UnpackFn = *const fn (
    bytes: u64,
    n: u32,
    k: u32,
    first_row: u32,
    rows: u32,
    out: u64,
) callconv(.c) u32;

/// An op implementation that a library offers.
pub const Entry = extern struct {
    /// "linear", "norm", ... or "unpack".
    op: [*:0]const u8,
    /// Layout of a linear ("t2", "t5", "f16"...), storage format of an unpack ("i2_s"), else "".
    format: [*:0]const u8 = "",
    run: ?RunFn = null,
    units: ?UnitsFn = null,
    packed_bytes: ?PackedBytesFn = null,
    pack: ?PackFn = null,
    unpack: ?UnpackFn = null,
    /// Input (of a linear layout).
    input: Input = .f32,
    /// Higher wins among entries that fit.
    priority: u32 = 0,
    grain: u32 = 1,
    reserved: u32 = 0,
};

/// What `wf_library()` returns.
pub const Library = extern struct {
    abi: u32,
    size: u32,
    name: [*:0]const u8,
    /// "generic", "avx2", "avx512", "neon".
    isa: [*:0]const u8,
    entries: [*]const Entry,
    entry_count: u32,
    entry_size: u32,
    /// Functions of the runtime (null in a third party's library).
    host: ?*const Host,
};

/// The runtime's own functions, called by TypeScript.
pub const Host = extern struct {
    size: u32,
    /// Bit set of CPU features, see cpu.zig.
    features: u32,
    /// Starts a pool of `threads` threads (the caller is thread 0), scratch_bytes each. Returns
    /// its address or 0.
    pool_create: *const fn (threads: u32, scratch_bytes: u64) callconv(.c) u64,
    pool_destroy: *const fn (pool: u64) callconv(.c) void,
    /// Runs a tape of `count` Ops; nanoseconds per op are added to times u64[count] unless it is 0.
    run: *const fn (pool: u64, ops: u64, count: u32, step: u64, times: u64) callconv(.c) void,
    /// Zeroed memory on huge pages where possible; 0 when there is none.
    alloc: *const fn (bytes: u64) callconv(.c) u64,
    free: *const fn (address: u64, bytes: u64) callconv(.c) void,
    /// Maps a file read-only; returns its address or a negated errno.
    map: *const fn (path: [*:0]const u8, bytes: u64) callconv(.c) i64,
    unmap: *const fn (address: u64, bytes: u64) callconv(.c) void,
    copy: *const fn (to: u64, from: u64, bytes: u64) callconv(.c) void,
    /// Decodes and packs a whole matrix on all threads: unpack fn (0: values are trits i8 or
    /// f32 already), pack fn, PackJob.
    pack: *const fn (pool: u64, job: u64) callconv(.c) u32,
    /// Fills a rope table f32 [positions][dimensions/2][2]: cos and sin of p *
    /// theta^(-2i/dimensions) * factor, times magnitude;
    /// factors f32 [dimensions/2] divides frequencies (0: none).
    rope_table: *const fn (
        out: u64,
        positions: u32,
        dimensions: u32,
        theta: f64,
        scale: f64,
        factors: u64,
        magnitude: f32,
    ) callconv(.c) void,
    /// Bytes of mapped files that were read after others had cut them off; zeros were given.
    lost_bytes: *const fn () callconv(.c) u64,
    /// Gives back the memory of a mapped file's whole pages in a range; they are read again when
    /// touched. Does nothing to other memory.
    release: *const fn (address: u64, bytes: u64) callconv(.c) void,
};

/// Job of Host.pack: `n` rows of `k` values at `source` become 16-row blocks first_block + b *
/// block_step of the
/// packed matrix at `out`. unpack 0: the source holds trits i8 [n][k] (float 0) or f32 [n][k]
/// (float 1); else it is
/// a stored tensor that the unpack function decodes to that. Host.pack returns 0, or a PackError.
pub const PackJob = extern struct {
    source: u64,
    source_bytes: u64,
    unpack: u64,
    pack: u64,
    out: u64,
    n: u32,
    k: u32,
    first_block: u32,
    block_step: u32,
    float: u32,
    /// Rows of the whole packed matrix; what the pack function gets as n.
    total_rows: u32,
};

/// What Host.pack returns.
pub const PackError = enum(u32) { none = 0, invalid_code = 1, out_of_memory = 2, invalid_job = 3 };
