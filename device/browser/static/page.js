// The page's side of device/browser/page.py: runs the acoustic model, sends sound, shows text.
import * as ort from "./runtime/ort.webgpu.bundle.min.mjs";

const RATE = 16000;
const BLOCK = RATE / 10;
const [WINDOW, POSTERIORS, SOUND] = ["w", "p", "s"].map((letter) => letter.charCodeAt(0));
const element = (id) => document.getElementById(id);
const status = (text) => { element("status").textContent = text; };

ort.env.wasm.numThreads = 1; // more needs cross-origin isolation
ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.asyncify.wasm", import.meta.url).href };
ort.env.logLevel = "error";

async function load() {
  const wanted = new URLSearchParams(location.search).get("provider");
  const adapter = wanted === "wasm" ? null : await navigator.gpu?.requestAdapter();
  const failures = [];
  for (const provider of adapter ? ["webgpu", "wasm"] : ["wasm"]) {
    if (wanted && wanted !== provider) continue;
    try {
      const onGpu = provider === "webgpu" ? { preferredOutputLocation: "gpu-buffer" } : {};
      const encoder = await ort.InferenceSession.create("encoder.onnx", { executionProviders: [provider], ...onGpu });
      const head = await ort.InferenceSession.create("head.onnx", { executionProviders: [provider] });
      const info = adapter?.info;
      const name = info ? [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") : "";
      return { encoder, head, about: { provider, adapter: provider === "webgpu" ? name : "" } };
    } catch (error) {
      failures.push(`${provider}: ${error.message ?? error}`);
    }
  }
  throw new Error(failures.join("; ") || `${wanted}: not available in this browser`);
}

async function compute({ encoder, head }, window) {
  const { shape } = encoder.inputMetadata[0];
  const input = new ort.Tensor("float32", window, shape);
  const hidden = (await encoder.run({ [encoder.inputNames[0]]: input }))[encoder.outputNames[0]];
  const answer = (await head.run({ [head.inputNames[0]]: hidden }))[head.outputNames[0]];
  hidden.dispose();
  return answer.data;
}

function tagged(kind, values) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const message = new Uint8Array(bytes.length + 1);
  message[0] = kind;
  message.set(bytes, 1);
  return message;
}

function samples(values) {
  return Int16Array.from(values, (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
}

class Microphone {
  async start(send) {
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    this.context = new AudioContext({ sampleRate: RATE });
    await this.context.audioWorklet.addModule("capture.js");
    const capture = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => send(samples(data));
    this.context.createMediaStreamSource(this.stream).connect(capture);
  }

  async stop() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
  }
}

async function decoded(file) {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  const offline = new OfflineAudioContext(1, sound.length, RATE);
  const source = offline.createBufferSource();
  source.buffer = sound;
  source.connect(offline.destination);
  source.start();
  return samples((await offline.startRendering()).getChannelData(0));
}

function show(message) {
  if ("text" in message) {
    element("text").textContent = message.text;
    element("partial").textContent = "";
  } else if ("partial" in message) {
    element("partial").textContent = message.partial;
  } else if (message.final) {
    element("partial").textContent = "";
    document.body.dataset.finals = 1 + Number(document.body.dataset.finals ?? 0);
    ready(true);
  } else if ("refused" in message) {
    status(`Refused: ${message.refused}`);
  }
}

function ready(is) {
  element("file").disabled = !is;
  element("microphone").disabled = !is;
  element("copy").disabled = !element("text").textContent;
}

function controls(socket) {
  const send = (values) => socket.send(tagged(SOUND, values));
  let microphone = null;
  element("microphone").onclick = async () => {
    const button = element("microphone");
    try {
      if (microphone) {
        await microphone.stop();
        microphone = null;
        button.textContent = "Start the microphone";
        ready(false);
        socket.send(JSON.stringify({ end: true }));
      } else {
        microphone = new Microphone();
        await microphone.start(send);
        button.textContent = "Stop the microphone";
        element("file").disabled = true;
      }
      button.setAttribute("aria-pressed", String(Boolean(microphone)));
    } catch (error) {
      microphone = null;
      status(`No microphone: ${error.message}. Allow this page to use it, and try again.`);
    }
  };
  element("file").onchange = async () => {
    const [file] = element("file").files;
    if (!file) return;
    ready(false);
    try {
      const sound = await decoded(file);
      for (let begin = 0; begin < sound.length; begin += BLOCK) send(sound.slice(begin, begin + BLOCK));
      socket.send(JSON.stringify({ end: true }));
    } catch (error) {
      status(`${file.name} cannot be decoded by this browser: ${error.message}`);
      ready(true);
    }
  };
  element("copy").onclick = () => navigator.clipboard.writeText(element("text").textContent);
}

async function main() {
  const socket = new WebSocket(`ws://${location.host}/work`);
  socket.binaryType = "arraybuffer";
  const models = load();
  socket.onmessage = async ({ data }) => {
    if (typeof data === "string") {
      show(JSON.parse(data));
      return;
    }
    try {
      if (new Uint8Array(data)[0] !== WINDOW) return;
      socket.send(tagged(POSTERIORS, await compute(await models, new Float32Array(data.slice(1)))));
    } catch (error) {
      socket.send(JSON.stringify({ error: String(error.message ?? error) }));
    }
  };
  socket.onclose = () => { status("The server has ended. Start it again and reload this page."); ready(false); };
  await new Promise((resolve) => { socket.onopen = resolve; });
  try {
    const { about } = await models;
    socket.send(JSON.stringify({ hello: about }));
    status(about.provider === "webgpu" ? `Ready: WebGPU on ${about.adapter || "this GPU"}` : "Ready: WebAssembly; no WebGPU here");
    controls(socket);
    ready(true);
  } catch (error) {
    status(`The models cannot be run: ${error.message}`);
    socket.send(JSON.stringify({ error: String(error.message ?? error) }));
  }
}

main();
