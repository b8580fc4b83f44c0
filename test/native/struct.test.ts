// Structs are written and read back by the generated layouts.
import { expect, test } from "bun:test";
import { layouts } from "../../core/native/abi.ts";
import { readStruct, writeStruct } from "../../core/native/struct.ts";

const view = new DataView(new ArrayBuffer(512));

test("what is written is read back, what is left out is zero", () => {
  new Uint8Array(view.buffer).fill(255);
  const values = { in: 2 ** 52 + 2, columns: 2 ** 32 - 1, epsilon: 0.5 };
  writeStruct(view, 8, layouts.Norm, values);
  const read = readStruct(view, 8, layouts.Norm);
  expect(read).toMatchObject(values);
  expect(read.weight).toBe(0);
  expect(view.getUint8(7)).toBe(255);
  expect(view.getUint8(8 + layouts.Norm.size)).toBe(255);
});

test("signed and floating fields", () => {
  writeStruct(view, 0, layouts.RowScale, { inverse: -0.25, sum: -7 });
  expect(readStruct(view, 0, layouts.RowScale)).toEqual({ inverse: -0.25, sum: -7 });
});

test("an unknown field and a value out of range are errors", () => {
  const write = (values: object) => () => writeStruct(view, 0, layouts.Step, values);
  expect(write({ lines: 1 })).toThrow("no field lines");
  expect(write({ rows: -1 })).toThrow("field rows: -1 is out of the range of u32");
  expect(write({ rows: 2 ** 32 })).toThrow("out of the range");
  expect(write({ rows: 1.5 })).toThrow("1.5 is not a u32");
  expect(write({ tokens: 2 ** 53 })).toThrow("is not a u64");
  expect(write({ tokens: "8" })).toThrow("is not a u64");
});

test("every argument struct fits an op", () => {
  for (const name of ["Embed", "Norm", "Linear", "Rope", "Store", "Attend", "Route"] as const) {
    expect(layouts[name].size).toBeLessThanOrEqual(layouts.Op.fields.args.bytes);
  }
});
