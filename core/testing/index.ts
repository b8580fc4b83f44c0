// Conformance suites for plugin authors, `wrinklefree/testing`: each throws where an interface is broken.
export { type KernelReport, type KernelTestOptions, testKernel } from "./kernel.ts";
export { type LoaderTestOptions, testLoader } from "./loader.ts";
export { type MakeValues, type QuantizerTestOptions, testQuantizer } from "./quantizer.ts";
export { type RouterTestOptions, testRouter } from "./router.ts";
export { testSampler } from "./sampler.ts";
