// Measures @vladmandic/human beside the engine: detection, mesh and embedding of every
// JPEG in a folder, on its WebAssembly backend (tfjs-node needs a download that npm does
// not bring). Run by `go test ./bench/faces -run Figures -peer FOLDER`; see faces_test.go.
//
//   node peer.mjs NODE_MODULES PICTURES > answer.json
import { createRequire } from 'node:module';
import { readFileSync, readdirSync } from 'node:fs';
import { resolve, join } from 'node:path';

const [packages, pictures] = [resolve(process.argv[2]), resolve(process.argv[3])];
const load = createRequire(join(packages, 'peer.js'));
const tf = load('@tensorflow/tfjs-core');
const wasm = load('@tensorflow/tfjs-backend-wasm');
const jpeg = load('jpeg-js');

// Models and WebAssembly lie in the packages; the library would fetch both over HTTP.
globalThis.fetch = async (url) => new Response(readFileSync(String(url).replace('file://', '')), {
  headers: { 'content-type': String(url).endsWith('.wasm') ? 'application/wasm' : 'application/octet-stream' },
});
wasm.setWasmPaths(join(packages, '@tensorflow/tfjs-backend-wasm/dist/') + '/');
const { Human } = load(join(packages, '@vladmandic/human/dist/human.node-wasm.js'));
const human = new Human({
  backend: 'wasm', modelBasePath: 'file://' + join(packages, '@vladmandic/human/models/'), wasmPath: join(packages, '@tensorflow/tfjs-backend-wasm/dist/'),
  debug: false, cacheSensitivity: 0, filter: { enabled: false }, body: { enabled: false }, hand: { enabled: false }, object: { enabled: false }, gesture: { enabled: false },
  face: { enabled: true, detector: { rotation: true, maxDetected: 10 }, mesh: { enabled: true }, description: { enabled: true },
    iris: { enabled: false }, emotion: { enabled: false }, antispoof: { enabled: false }, liveness: { enabled: false } },
});
await human.load();
await tf.ready();

const files = readdirSync(pictures).filter((f) => f.endsWith('.jpg')).sort();
const answer = { version: human.version, backend: tf.getBackend(), simd: tf.env().get('WASM_HAS_SIMD_SUPPORT'), pictures: [], similarity: [] };
const embeddings = [];
async function look(file) {
  const bytes = readFileSync(join(pictures, file));
  const start = performance.now();
  const raw = jpeg.decode(bytes, { useTArray: true, formatAsRGBA: false });
  const decoded = performance.now();
  const tensor = tf.tensor4d(raw.data, [1, raw.height, raw.width, 3], 'int32');
  const result = await human.detect(tensor);
  tf.dispose(tensor);
  if (result.error) throw new Error(result.error);
  return { decode: decoded - start, judge: performance.now() - decoded, faces: result.face };
}
for (let i = 0; i < 3; i++) await look(files[0]);
const begun = process.cpuUsage();
for (const file of files) {
  const seen = await look(file);
  const largest = seen.faces.toSorted((a, b) => b.box[2] * b.box[3] - a.box[2] * a.box[3])[0];
  answer.pictures.push({ file, faces: seen.faces.length, decode_ms: seen.decode, judge_ms: seen.judge });
  embeddings.push(largest?.embedding ?? null);
}
const used = process.cpuUsage(begun);
answer.cpu_ms = (used.user + used.system) / 1000 / files.length;
answer.peak_mb = process.resourceUsage().maxRSS / 1000;
answer.similarity = embeddings.map((a) => embeddings.map((b) => (a && b ? human.match.similarity(a, b) : -1)));
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
