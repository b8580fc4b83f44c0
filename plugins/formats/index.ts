// The storage formats that are built in.
import { definePlugin, type Plugin } from "../../core/index.ts";
import { iq1_bn, iq2_bn } from "./bn.ts";
import { bf16, f16, f32 } from "./float.ts";
import { hfPacked } from "./hf-packed.ts";
import { i2_s } from "./i2-s.ts";
import { pq2_0, q2_0, q2_0_g128 } from "./q2-0.ts";
import { q4_0, q4_1 } from "./q4.ts";
import { q6_k } from "./q6-k.ts";
import { q8_0 } from "./q8-0.ts";
import { sglang } from "./sglang.ts";
import { tl1 } from "./tl1.ts";
import { tl2 } from "./tl2.ts";
import { tq1_0, tq2_0 } from "./tq.ts";

const plugin: Plugin = definePlugin({
  name: "formats",
  quantizers: [
    f32,
    f16,
    bf16,
    i2_s,
    hfPacked,
    sglang,
    tq1_0,
    tq2_0,
    iq1_bn,
    iq2_bn,
    tl1,
    tl2,
    q2_0,
    q2_0_g128,
    pq2_0,
    q8_0,
    q6_k,
    q4_0,
    q4_1,
  ],
});

export default plugin;
