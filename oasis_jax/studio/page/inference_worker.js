// Runs an ONNX model beside the page, which so stays responsive. A message {number, start: {runtime, wasm, model}} loads it, {number, feeds} runs it;
// the answer is {number, ...} with {data, dims} of the output, or {error}. The runtime is onnxruntime-web as the address of a module.

let ort;
let session;

async function start({ runtime, wasm, model }) {
  ort = await import(runtime);
  ort.env.wasm.numThreads = 1; // several need headers of a server
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return {};
}

async function run(feeds) {
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]));
  const { image } = await session.run(tensors);
  const { data, dims } = image;
  return { data: data.slice(), dims };
}

self.onmessage = async ({ data: { number, start: parts, feeds } }) => {
  try {
    self.postMessage({ number, ...(await (parts ? start(parts) : run(feeds))) });
  } catch (error) {
    self.postMessage({ number, error: String(error?.message ?? error) });
  }
};
