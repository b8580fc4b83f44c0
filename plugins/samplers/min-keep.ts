// The option that all truncating samplers share.
import { Type } from "@sinclair/typebox";

export const minKeep = {
  min_keep: Type.Integer({
    default: 0,
    minimum: 0,
    description: "Tokens that every truncating sampler leaves at least.",
  }),
};
