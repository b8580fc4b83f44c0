// Generated from kernels-zig/abi.zig by `zig build header`: what a kernel library includes.
#ifndef WRINKLEFREE_H
#define WRINKLEFREE_H
#include <stdint.h>

#define WF_VERSION 1u
#define WF_PAGE_POSITIONS 32u
#define WF_SPAN_POSITIONS 128u
#define WF_BLOCK_ROWS 16u
#define WF_ARGS_BYTES 192u
#define WF_ROWS_STEP 0u
#define WF_ROWS_LOGITS 1u
#define WF_ACTIVATION_NONE 0u
#define WF_ACTIVATION_RELU2 1u
#define WF_ACTIVATION_SILU 2u
#define WF_ACTIVATION_GELU 3u
#define WF_ACTIVATION_SOFTCAP 4u
#define WF_INPUT_F32 0u
#define WF_INPUT_I8_ROW 1u
#define WF_INPUT_I8_BLOCK 2u
#define WF_KV_TYPE_F16 0u
#define WF_KV_TYPE_I8 1u
#define WF_ROUTE_KIND_SOFTMAX 0u
#define WF_ROUTE_KIND_FIXED 1u
#define WF_ROUTE_KIND_SIGMOID 2u
#define WF_EMBED_FORMAT_F32 0u
#define WF_EMBED_FORMAT_F16 1u
#define WF_EMBED_FORMAT_BF16 2u
#define WF_EMBED_FORMAT_Q8_0 3u
#define WF_EMBED_FORMAT_Q6_K 4u
#define WF_PACK_ERROR_NONE 0u
#define WF_PACK_ERROR_INVALID_CODE 1u
#define WF_PACK_ERROR_OUT_OF_MEMORY 2u
#define WF_PACK_ERROR_INVALID_JOB 3u
typedef struct wf_step wf_step_t;
typedef struct wf_thread wf_thread_t;
typedef struct wf_op wf_op_t;
typedef struct wf_row_scale wf_row_scale_t;
typedef struct wf_embed wf_embed_t;
typedef struct wf_norm wf_norm_t;
typedef struct wf_linear wf_linear_t;
typedef struct wf_rope wf_rope_t;
typedef struct wf_store wf_store_t;
typedef struct wf_attend wf_attend_t;
typedef struct wf_elementwise wf_elementwise_t;
typedef struct wf_top_k wf_top_k_t;
typedef struct wf_route wf_route_t;
typedef struct wf_head wf_head_t;
typedef struct wf_probe wf_probe_t;
typedef struct wf_group wf_group_t;
typedef struct wf_gather wf_gather_t;
typedef struct wf_experts wf_experts_t;
typedef struct wf_scatter wf_scatter_t;
typedef struct wf_pack_source wf_pack_source_t;
typedef struct wf_entry wf_entry_t;
typedef struct wf_library wf_library_t;
typedef struct wf_host wf_host_t;
typedef struct wf_pack_job wf_pack_job_t;

typedef uint32_t (*wf_units_fn)(const wf_op_t *, const wf_step_t *);
typedef void (*wf_run_fn)(const wf_op_t *, const wf_step_t *, const wf_thread_t *, uint32_t, uint32_t);
typedef void (*wf_pack_fn)(const wf_pack_source_t *, uint32_t, uint32_t, uint64_t);
typedef uint64_t (*wf_packed_bytes_fn)(uint32_t, uint32_t);
typedef uint32_t (*wf_unpack_fn)(uint64_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t);

struct wf_step {
    uint32_t rows;
    uint32_t sequences;
    uint32_t logit_rows;
    uint32_t max_pages;
    uint64_t tokens;
    uint64_t positions;
    uint64_t row_sequence;
    uint64_t sequence_rows;
    uint64_t pages;
    uint64_t logit_index;
    uint32_t threads;
    uint32_t reserved;
};

struct wf_thread {
    uint32_t index;
    uint32_t count;
    uint64_t scratch;
    uint64_t scratch_bytes;
};

struct wf_op {
    uint64_t run;
    uint64_t units;
    uint32_t grain;
    uint32_t tag;
    uint8_t args[192];
};

struct wf_row_scale {
    float inverse;
    int32_t sum;
};

struct wf_embed {
    uint64_t table;
    uint64_t row_bytes;
    uint64_t out;
    uint32_t columns;
    uint32_t out_stride;
    uint32_t format;
    float scale;
};

struct wf_norm {
    uint64_t in;
    uint64_t weight;
    uint64_t out;
    uint64_t q;
    uint64_t q_scale;
    uint32_t in_stride;
    uint32_t out_stride;
    uint32_t q_stride;
    uint32_t q_block;
    uint32_t columns;
    uint32_t groups;
    float epsilon;
    uint32_t rows;
    uint32_t multiplier;
    uint64_t weight_index;
};

struct wf_linear {
    uint64_t x;
    uint64_t x_scale;
    uint64_t weight;
    uint64_t scale;
    uint64_t bias;
    uint64_t add;
    uint64_t out;
    uint32_t x_stride;
    uint32_t out_stride;
    uint32_t add_stride;
    uint32_t n;
    uint32_t k;
    uint32_t group;
    uint32_t gate;
    uint32_t rows;
    float multiplier;
    uint32_t q_block;
};

struct wf_rope {
    uint64_t q;
    uint64_t k;
    uint64_t table;
    uint32_t q_stride;
    uint32_t k_stride;
    uint32_t heads_q;
    uint32_t heads_k;
    uint32_t head_dim;
    uint32_t dimensions;
    uint32_t interleaved;
};

struct wf_store {
    uint64_t k;
    uint64_t v;
    uint64_t kv;
    uint64_t page_bytes;
    uint64_t layer_offset;
    uint32_t k_stride;
    uint32_t v_stride;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t kv_type_k;
    uint32_t kv_type_v;
};

struct wf_attend {
    uint64_t q;
    uint64_t out;
    uint64_t kv;
    uint64_t page_bytes;
    uint64_t layer_offset;
    uint64_t partials;
    uint64_t partials_bytes;
    uint32_t q_stride;
    uint32_t out_stride;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t kv_type_k;
    uint32_t kv_type_v;
    float scale;
    uint32_t combined;
};

struct wf_elementwise {
    uint64_t a;
    uint64_t b;
    uint64_t out;
    uint32_t a_stride;
    uint32_t b_stride;
    uint32_t out_stride;
    uint32_t columns;
    uint32_t kind;
    uint32_t activation;
    float scale;
    uint32_t rows;
    uint32_t multiplier;
};

struct wf_top_k {
    uint64_t logits;
    uint64_t ids;
    uint64_t values;
    uint64_t stats;
    uint32_t stride;
    uint32_t columns;
    uint32_t k;
};

struct wf_route {
    uint64_t logits;
    uint64_t ids;
    uint64_t weights;
    uint32_t stride;
    uint32_t experts;
    uint32_t top_k;
    uint32_t kind;
    uint32_t normalize;
    float scale;
    uint64_t targets;
    uint64_t bias;
    uint32_t groups;
    uint32_t groups_used;
};

struct wf_head {
    uint64_t x;
    uint64_t weight;
    uint64_t plane;
    uint64_t work;
    uint64_t logits;
    uint64_t ids;
    uint64_t values;
    uint64_t counts;
    uint32_t x_stride;
    uint32_t logits_stride;
    uint32_t n;
    uint32_t k;
    uint32_t top;
    float multiplier;
    uint64_t masks;
    uint32_t first_block;
    uint32_t blocks;
};

struct wf_probe {
    uint64_t memory;
    uint64_t bytes;
    uint64_t result;
    uint32_t steps;
};

struct wf_group {
    uint64_t ids;
    uint64_t starts;
    uint64_t slots;
    uint64_t row_of;
    uint64_t expert_of;
    uint64_t counts;
    uint64_t probabilities;
    uint64_t logits;
    uint32_t stride;
    uint32_t experts;
    uint32_t top_k;
};

struct wf_gather {
    uint64_t in;
    uint64_t out;
    uint64_t index;
    uint64_t scale_in;
    uint64_t scale_out;
    uint32_t in_stride;
    uint32_t out_stride;
    uint32_t bytes;
    uint32_t multiplier;
};

struct wf_experts {
    uint64_t x;
    uint64_t x_scale;
    uint64_t weight;
    uint64_t scale;
    uint64_t bias;
    uint64_t add;
    uint64_t out;
    uint32_t x_stride;
    uint32_t out_stride;
    uint32_t add_stride;
    uint32_t n;
    uint32_t k;
    uint32_t group;
    uint32_t gate;
    uint32_t rows;
    float multiplier;
    uint32_t q_block;
    uint64_t run;
    uint64_t units;
    uint64_t starts;
    uint64_t weight_stride;
    uint64_t scale_stride;
    uint64_t bias_stride;
    uint32_t experts;
    uint32_t top_k;
    uint64_t residents;
    uint64_t resident_run;
    uint64_t resident_units;
};

struct wf_scatter {
    uint64_t in;
    uint64_t slots;
    uint64_t weights;
    uint64_t add;
    uint64_t out;
    uint32_t in_stride;
    uint32_t add_stride;
    uint32_t out_stride;
    uint32_t columns;
    uint32_t top_k;
};

struct wf_pack_source {
    uint64_t values;
    uint32_t rows;
    uint32_t k;
};

struct wf_entry {
    const char *op;
    const char *format;
    void (*run)(const wf_op_t *, const wf_step_t *, const wf_thread_t *, uint32_t, uint32_t);
    uint32_t (*units)(const wf_op_t *, const wf_step_t *);
    uint64_t (*packed_bytes)(uint32_t, uint32_t);
    void (*pack)(const wf_pack_source_t *, uint32_t, uint32_t, uint64_t);
    uint32_t (*unpack)(uint64_t, uint32_t, uint32_t, uint32_t, uint32_t, uint64_t);
    uint32_t input;
    uint32_t priority;
    uint32_t grain;
    uint32_t reserved;
};

struct wf_library {
    uint32_t abi;
    uint32_t size;
    const char *name;
    const char *isa;
    const wf_entry_t *entries;
    uint32_t entry_count;
    uint32_t entry_size;
    const wf_host_t *host;
};

struct wf_host {
    uint32_t size;
    uint32_t features;
    uint64_t (*pool_create)(uint32_t, uint64_t);
    void (*pool_destroy)(uint64_t);
    void (*run)(uint64_t, uint64_t, uint32_t, uint64_t, uint64_t);
    uint64_t (*alloc)(uint64_t);
    void (*free)(uint64_t, uint64_t);
    int64_t (*map)(const char *, uint64_t);
    void (*unmap)(uint64_t, uint64_t);
    void (*copy)(uint64_t, uint64_t, uint64_t);
    uint32_t (*pack)(uint64_t, uint64_t);
    void (*rope_table)(uint64_t, uint32_t, uint32_t, double, double, uint64_t, float);
    uint64_t (*lost_bytes)(void);
    void (*release)(uint64_t, uint64_t);
};

struct wf_pack_job {
    uint64_t source;
    uint64_t source_bytes;
    uint64_t unpack;
    uint64_t pack;
    uint64_t out;
    uint32_t n;
    uint32_t k;
    uint32_t first_block;
    uint32_t block_step;
    uint32_t float_;
    uint32_t total_rows;
};

#ifdef __cplusplus
extern "C"
#endif
const wf_library_t *wf_library(void);
#endif
