/**
 * Runs an ONNX model in a worker, so that the page stays responsive. A message {number, start: {runtime, glue, wasm, model}} loads the
 * model, and {number, feeds} runs it; the answer is {number, ...} with {data, dims} of the output, or {number, error}.
 *
 * The runtime is onnxruntime-web; `runtime` and `glue` are the source texts of its two modules. A page opened from a file has an opaque
 * origin, so its worker can import blob URLs that it created itself, but none that the page created.
 */

let ort;
let session;

const addressOf = (content, type) => URL.createObjectURL(new Blob([content], {type}));

async function start({runtime, glue, wasm, model}) {
  ort = await import(addressOf(runtime, "text/javascript"));
  ort.env.wasm.numThreads = 1; // more threads require cross-origin isolation headers from a server
  ort.env.wasm.wasmPaths = {mjs: addressOf(glue, "text/javascript"), wasm: addressOf(wasm, "application/wasm")};
  session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  return {};
}

async function run(feeds) {
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, {type, data, dims}]) => [name, new ort.Tensor(type, data, dims)]));
  const {image} = await session.run(tensors);
  const {data, dims} = image;
  return {data: data.slice(), dims};
}

self.onmessage = async ({ data: {number, start: parts, feeds} }) => {
  try {
    self.postMessage({number, ...(await (parts ? start(parts) : run(feeds)))});
  } catch (error) {
    self.postMessage({number, error: String(error?.message ?? error)});
  }
};
