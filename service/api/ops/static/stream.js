const AHEAD = 8, KEPT_BYTES = 4096, RATE = 16000, SHOWN = { input: 1200, output: 300 };
const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };
const width = (tensor) => tensor.shape.reduce((n, axis) => (axis > 0 ? n * axis : n), 1);
let models = [], stream = null, stopSource = null;

class Stream {
  // `position`: the last one that was answered. `pending`: the frames sent since then, in order.
  constructor({ name, inputs, outputs }) {
    Object.assign(this, { name, id: null, position: 0, pending: [], samples: [] });
    Object.assign(this, { F: width(inputs[0]), O: width(outputs[0]), input: [], output: [] });
    this.connect();
  }
  connect() {
    const place = this.id ? `sessions/${this.id}` : `models/${encodeURIComponent(this.name)}`;
    const query = `replies=binary&${this.id ? `position=${this.position}` : "ttl_s=60"}`;
    const url = `${location.origin.replace("http", "ws")}/v1/${place}/stream?${query}`;
    // A page sets no headers on a WebSocket, so the key goes as a subprotocol, in base64url.
    const key = btoa(at("key").value).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const socket = this.socket = new WebSocket(url, key ? ["carousel.v1", `bearer.${key}`] : []);
    Object.assign(socket, { binaryType: "arraybuffer", onclose: ({ code }) => this.lose(code) });
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.read(JSON.parse(data))
      : this.answer(new Float32Array(data)));
  }
  lose(code) {
    this.ready = false;
    if (this !== stream) return;
    if (code >= 4400) return stop(at("status").textContent); // a new one would do no better
    say(`the connection broke (${code}); connecting again`);
    setTimeout(() => this === stream && this.connect(), 500);
  }
  read({ error, session_id: id, position }) {
    say(error ? `${error.code}: ${error.detail}` : `session ${id}`);
    if (error && this.ready) {
      // Frames behind a refused one are refused as well: begin anew from where the session stands.
      Object.assign(this, { ready: false, pending: [], position: error.position });
      this.socket.close(3000);
    }
    if (error) return;
    Object.assign(this, { id, ready: true });
    // Frames that were done before a break are answered again by themselves.
    for (const frame of this.pending) if (frame.start >= position) this.socket.send(frame.data);
    this.send();
  }
  answer(values) {
    const frame = this.pending.shift() ?? { start: this.position, T: values.length / this.O };
    this.position = frame.start + frame.T;
    at("steps").textContent = Number(at("steps").textContent) + frame.T;
    this.output = [...this.output, ...values].slice(-SHOWN.output * this.O);
    this.send();
  }
  feed(samples) {
    this.input = [...this.input, ...samples].slice(-SHOWN.input);
    this.samples = [...this.samples, ...samples].slice(-(RATE + this.F)); // a second at most waits
    this.send();
    for (const [id, channels] of [["input", 1], ["output", this.O]]) draw(id, this[id], channels);
  }
  send() {
    // What is unanswered is what the server keeps for a resume: eight replies, 4 KiB together.
    const most = Math.floor(KEPT_BYTES / AHEAD / 4 / this.O), ahead = most ? AHEAD : 1;
    while (this.ready && this.pending.length < ahead && this.samples.length >= this.F) {
      const T = Math.min(Math.floor(this.samples.length / this.F), most || 1);
      const data = new Float32Array(this.samples.splice(0, T * this.F)), last = this.pending.at(-1);
      this.pending.push({ start: last ? last.start + last.T : this.position, T, data });
      this.socket.send(data);
    }
  }
}

function draw(id, values, channels) {
  const { width: w, height: h } = at(id), pen = at(id).getContext("2d");
  const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  pen.clearRect(0, 0, w, h);
  for (let c = 0; c < Math.min(channels, 4); c++) {
    const line = new Path2D();
    for (let i = 0; i * channels + c < values.length; i++) {
      line.lineTo(i * w / SHOWN[id], h * (0.5 - 0.45 * values[i * channels + c] / top));
    }
    pen.strokeStyle = `hsl(${90 * c + 210} 80% 40%)`;
    pen.stroke(line);
  }
}

async function list() {
  const headers = at("key").value ? { authorization: `Bearer ${at("key").value}` } : {};
  const body = await (await fetch("/v1/models", { headers })).json();
  models = (body.models ?? []).filter((m) => m.streaming === "step" && [m.inputs, m.outputs]
    .every((tensors) => tensors.length === 1 && tensors[0].dtype === "float32"));
  at("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  at("start").disabled = !models.length;
  say(body.detail ?? (models.length ? "ready" : "no model here takes floats step by step"));
}

async function listen(feed) {
  if (at("source").value === "sine") {
    let n = 0;
    const block = () => Array.from({ length: RATE / 25 }, () => Math.sin(n++ / 12));
    const timer = setInterval(() => feed(block()), 40);
    return () => clearInterval(timer);
  }
  const media = await navigator.mediaDevices.getUserMedia({ audio: true });
  const context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule("/examples/stream.js");
  const node = new AudioWorkletNode(context, "samples");
  node.port.onmessage = ({ data }) => feed(data);
  context.createMediaStreamSource(media).connect(node);
  return () => { media.getTracks().forEach((track) => track.stop()); context.close(); };
}

async function start() {
  [at("start").disabled, at("stop").disabled] = [true, false];
  stream = new Stream(models[at("model").selectedIndex]);
  stopSource = await listen((block) => stream?.feed(block)).catch(({ message }) => stop(message));
}

function stop(reason) {
  stopSource?.();
  stream?.socket.close(1000);
  [stream, at("start").disabled, at("stop").disabled] = [null, false, true];
  say(reason);
}

// The page loads this file, and so does its audio thread, which only passes samples on.
globalThis.registerProcessor?.("samples", class extends AudioWorkletProcessor {
  process([[samples]]) { return !samples || !this.port.postMessage(samples.slice()); }
});
if (globalThis.document) {
  [at("start").onclick, at("stop").onclick] = [start, () => stop("stopped")];
  list(); at("key").onchange = list;
}
