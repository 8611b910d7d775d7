// Runs the front end's WebAssembly: a name and JSON in, JSON out (see wasm/src/lib.rs).

let nnc;

function bytes(at, length) {
  return new Uint8Array(nnc.memory.buffer, at, length);
}

function call(name, request) {
  const encoder = new TextEncoder();
  const head = encoder.encode(name);
  const body = encoder.encode(JSON.stringify(request));
  const at = nnc.nnc_input(head.length + body.length);
  bytes(at, head.length).set(head);
  bytes(at + head.length, body.length).set(body);
  const length = nnc.nnc_call(head.length);
  return JSON.parse(new TextDecoder().decode(bytes(nnc.nnc_output(), length)));
}

self.onmessage = ({ data }) => {
  if (data.module) {
    nnc = new WebAssembly.Instance(data.module, {}).exports;
    return;
  }
  const start = performance.now();
  try {
    const value = call(data.name, data.request);
    self.postMessage({ number: data.number, value, ms: performance.now() - start });
  } catch (fault) {
    let said = "";
    try {
      said = new TextDecoder().decode(bytes(nnc.nnc_output(), nnc.nnc_output_len()));
    } catch {
      // The trap left nothing to read.
    }
    const panic = said.startsWith("panicked") ? said : String(fault);
    self.postMessage({ number: data.number, trap: panic });
  }
};
