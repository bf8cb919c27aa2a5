// The compiler's side of a worker: requests are JSON texts that are written into its memory.

let wasm = null;
const encoder = new TextEncoder(), decoder = new TextDecoder();

function call(request) {
  const bytes = encoder.encode(request);
  const at = wasm.request(bytes.length);
  new Uint8Array(wasm.memory.buffer, at, bytes.length).set(bytes);
  const length = wasm.call();
  return decoder.decode(new Uint8Array(wasm.memory.buffer, wasm.answer(), length));
}

self.onmessage = ({ data }) => {
  if (data.module) {
    wasm = new WebAssembly.Instance(data.module, {}).exports;
    return;
  }
  try {
    let answer = "{}";
    for (const request of data.requests) answer = call(request);
    self.postMessage({ id: data.id, answer });
  } catch (error) {
    // A panic ends the instance: nothing more can be asked of it.
    self.postMessage({ id: data.id, failed: String(error) });
  }
};
