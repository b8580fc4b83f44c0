# The litespark-inference side of the comparison: random weights of a shape, timing commands on stdin as JSON lines.
import json
import os
import sys
import time

shape = json.loads(sys.argv[1])
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[2]

import numpy as np  # noqa: E402  (after the number of threads is set)
from litespark_inference.torchless import kernel  # noqa: E402
from litespark_inference.torchless.model import (  # noqa: E402
    BitNetConfig,
    PackedBitNetModel,
    PackedLayer,
    PackedProjection,
)
from litespark_inference.torchless.runtime import (  # noqa: E402
    forward_one,
    forward_prefill,
    init_state,
)

random = np.random.default_rng(1)
hidden, inner = shape["hidden"], shape["feedForward"]
kv = shape["kvHeads"] * shape["headDim"]


def projection(rows, columns):
    """What its loader makes of a ternary matrix: four codes 0..2 a byte, one scale."""
    trits = random.integers(0, 3, (4, rows, columns // 4), dtype=np.uint8)
    packed = trits[0] | trits[1] << 2 | trits[2] << 4 | trits[3] << 6
    sums = np.zeros(rows, dtype=np.int32)
    return PackedProjection(packed, sums, 0.01, in_features=columns, out_features=rows)


def norm(columns):
    """Ones in bf16, as its checkpoint stores them."""
    return np.full(columns, 0x3F80, dtype=np.uint16)


def layer():
    return PackedLayer(
        q_proj=projection(hidden, hidden),
        k_proj=projection(kv, hidden),
        v_proj=projection(kv, hidden),
        o_proj=projection(hidden, hidden),
        gate_proj=projection(inner, hidden),
        up_proj=projection(inner, hidden),
        down_proj=projection(hidden, inner),
        input_norm=norm(hidden),
        post_attn_norm=norm(hidden),
        attn_sub_norm=norm(hidden),
        ffn_sub_norm=norm(inner),
    )


vocabulary = shape["vocabulary"]
model = PackedBitNetModel(
    config=BitNetConfig(
        hidden_size=hidden,
        num_layers=shape["layers"],
        num_heads=shape["heads"],
        num_kv_heads=shape["kvHeads"],
        intermediate_size=inner,
        vocab_size=vocabulary,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
    ),
    embed_tokens=None,
    final_norm=norm(hidden),
    layers=[layer() for _ in range(shape["layers"])],
    embed_int4=random.integers(0, 256, (vocabulary, hidden // 2), dtype=np.uint8),
    embed_scale=np.full(vocabulary, 0.01, dtype=np.float32),
)


def ids(count):
    return [(i * 7919 + 13) % min(vocabulary, 100_000) for i in range(count)]


def prefill(count):
    state = init_state(model, t_max=count + 1)
    start = time.perf_counter()
    int(np.argmax(forward_prefill(model, state, ids(count))))
    return time.perf_counter() - start


def decode(depth, steps):
    state = init_state(model, t_max=depth + steps + 1)
    if depth > 0:
        state.cache_k[:, :depth] = state.cache_v[:, :depth] = 0.1
        state.pos = depth
    token = int(np.argmax(forward_one(model, state, 5)))
    start = time.perf_counter()
    for _ in range(steps):
        token = int(np.argmax(forward_one(model, state, token)))
    return time.perf_counter() - start


def say(value):
    print(json.dumps(value), flush=True)


say({"ready": True, "about": {"openmp": kernel.has_omp(), "threads": kernel.max_threads()}})
for line in sys.stdin:
    command = json.loads(line)
    if command["test"] == "prefill":
        seconds = prefill(command["tokens"])
    else:
        seconds = decode(command["depth"], command["steps"])
    say({"ms": 1000 * seconds})
