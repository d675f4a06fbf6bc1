// Starts what the browser tests need: the built program's demo, fixtures, and
// Debian's Chromium with a camera that shows a file.
import { execFile, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "node:test";
import { promisify } from "node:util";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { number } from "./screen.mjs";
import { still } from "./still.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
export const program = process.env.KOSMOSCOPE_PROGRAM ?? join(root, "bin/kosmoscope");
const axe = readFileSync(join(here, "node_modules/axe-core/axe.min.js"), "utf8");

// patience is how long anything may take, in milliseconds: a bound for what has failed,
// far from what a slow machine needs.
const patience = 60_000;

// Pictures of every page go here when SHOTS names a folder.
const shots = process.env.SHOTS;

// What the pages of a test that failed show, and said, goes here if it names a folder.
const artifacts = process.env.KOSMOSCOPE_E2E_ARTIFACTS;
const visitors = new Map(); // context -> what its pages said

if (artifacts) {
  afterEach(async (t) => {
    for (const [context, said] of t.passed ? [] : visitors) {
      for (const page of context.pages()) {
        mkdirSync(artifacts, { recursive: true });
        const path = join(artifacts, `${t.name.replace(/\W+/g, "-").slice(0, 60)}-${Date.now()}`);
        await page.screenshot({ path: `${path}.png`, timeout: 10_000 }).catch((e) => said.push(`no picture: ${e.message}`));
        writeFileSync(`${path}.txt`, [t.name, page.url(), ...said, ""].join("\n"));
        console.error(`${t.name}: ${page.url()}: ${path}.png, .txt`);
      }
    }
  });
}

// Documents and frames take long to make: the files of a run share a folder of them.
const shared = process.env.KOSMOSCOPE_E2E_FIXTURES;

// Looks for races: browsers that compute so many times slower.
const slower = Number(process.env.KOSMOSCOPE_E2E_SLOWER ?? 1);

async function freeBase() {
  const free = (port) =>
    new Promise((done) => {
      const s = createServer();
      s.once("error", () => done(false));
      s.listen(port, "127.0.0.1", () => s.close(() => done(true)));
    });
  for (let tries = 0; tries < 500; tries++) {
    const base = 20000 + 6 * Math.floor(Math.random() * 2000);
    if ((await Promise.all([0, 1, 2, 3, 4, 5].map((i) => free(base + i)))).every(Boolean)) return base;
  }
  throw new Error("no six free ports in a row");
}

// launch starts a Chromium.
export function launch(...more) {
  const args = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync", ...more];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args, chromiumSandbox: false, timeout: patience });
}

// visitor is somebody of their own in a browser: a phone, unless options say otherwise.
export async function visitor(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 390, height: 844 }, ...options });
  context.setDefaultTimeout(patience);
  await number(context);
  const said = [];
  visitors.set(context, said);
  context.on("console", (m) => said.push(`${m.type()}: ${m.text()}`));
  context.on("close", () => visitors.delete(context));
  if (slower > 1) context.on("page", async (page) => (await context.newCDPSession(page)).send("Emulation.setCPUThrottlingRate", { rate: slower }));
  return context;
}

// World is one running demo with its fixtures; more are flags of the demo.
export class World {
  static async start(...more) {
    const w = new World();
    w.dir = mkdtempSync(join(tmpdir(), "kosmoscope-e2e-"));
    w.made = shared ?? w.dir;
    w.browsers = [];
    try {
      await w.make("fixtures", (dir) => promisify(execFile)("go", ["run", "./test/fixtures/cmd", dir], { cwd: root }));
      // Somebody else may take a port before the demo does.
      for (let tries = 1; !(await w.up(more)); tries++) assert.ok(tries < 5, `demo is not up:\n${w.said}`);
      return w;
    } catch (err) {
      w.demo?.kill("SIGINT");
      await w.ended;
      rmSync(w.dir, { recursive: true, force: true });
      throw err;
    }
  }

  // up runs the demo; false if its ports are taken after all.
  async up(more) {
    this.readyFile = join(this.dir, "ready.json");
    this.said = "";
    const base = String(await freeBase());
    this.demo = spawn(program, ["demo", "--port-base", base, "--data", join(this.dir, "data"), "--ready-file", this.readyFile, ...more], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.demo.stderr.on("data", (d) => (this.said += d));
    this.ended = new Promise((done) => this.demo.once("exit", done));
    const deadline = Date.now() + 4 * patience;
    while (!existsSync(this.readyFile)) {
      if (this.demo.exitCode !== null && this.said.includes("is taken")) return false;
      if (this.demo.exitCode !== null || Date.now() > deadline) throw new Error(`demo is not up:\n${this.said}`);
      await new Promise((r) => setTimeout(r, 50));
    }
    this.ready = JSON.parse(readFileSync(this.readyFile, "utf8"));
    return true;
  }

  // close ends the browsers, all but that of a context that is still needed.
  async close(kept) {
    const browser = kept?.browser();
    await Promise.all(this.browsers.filter((b) => b !== browser).map((b) => b.close()));
    this.browsers = browser ? [browser] : [];
  }

  async stop() {
    try {
      await this.close();
    } finally {
      this.demo.kill("SIGINT");
      const code = await this.ended;
      rmSync(this.dir, { recursive: true, force: true });
      assert.equal(code, 0, `demo ends cleanly on Ctrl-C:\n${this.said}`);
    }
  }

  // make is the path of a folder that whoever needs it first fills.
  async make(name, fill) {
    const path = join(this.made, name);
    if (!existsSync(path)) {
      await fill(`${path}.part`);
      renameSync(`${path}.part`, path);
    }
    return path;
  }

  fixture(name) {
    return join(this.made, "fixtures", name);
  }

  // node calls one of the nodes as a flow would.
  async node(path, body) {
    const res = await fetch(`${this.ready.bridge_url}/descope/v1/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.ready.connector.token}` },
      body: JSON.stringify(body),
    });
    assert.equal(res.status, 200, await res.clone().text());
    return res.json();
  }

  // result asks the result node until it is no longer pending.
  result(id) {
    return this.settled("idv/result", { session_id: id }, (r) => r.status);
  }

  // outcome does the same for a challenge.
  outcome(id) {
    return this.settled("stepup/result", { challenge_id: id }, (r) => r.match_result);
  }

  async settled(path, body, state) {
    const deadline = Date.now() + patience;
    for (;;) {
      const r = await this.node(path, body);
      if (state(r) !== "pending" || Date.now() > deadline) return r;
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  // specimen makes a document, or frames, with the program's own printer.
  specimen(name, ...args) {
    execFileSync(program, ["engine", "specimen", "--out", this.fixture(name), ...args], { stdio: "ignore" });
  }

  // frames renders what a head, or a flat picture of it, shows a camera for every
  // action of a live sequence: a folder of ACTION-NN.jpg.
  frames(kind) {
    return this.make(kind, (dir) => promisify(execFile)(program, ["engine", "specimen", "--out", dir, "--kind", kind, "--portrait", this.fixture("selfie.jpg")]));
  }

  // enrol has the holder of the passport recognised as one more user, without a browser.
  enrol(user) {
    const args = ["prove", "--ready-file", this.readyFile, "--user-identifier", user, "--enrol", "--liveness", "none"];
    execFileSync(program, [...args, "--document", this.fixture("passport.jpg"), "--selfie", this.fixture("selfie.jpg")], { stdio: "ignore" });
  }

  // browser starts a Chromium of its own; camera is the fixture that it shows,
  // none means a machine without a camera.
  async browser(camera, options) {
    const shows = camera ? ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-video-capture=${this.fixture(camera)}`] : [];
    const browser = await launch(...shows);
    this.browsers.push(browser);
    return visitor(browser, options);
  }
}

const schemes = ["light", "dark"];
const devices = [
  ["phone", { width: 390, height: 844 }],
  ["desktop", { width: 1280, height: 900 }],
];

// look checks a page for what a machine can find about accessibility, and keeps
// pictures of it if asked to.
export async function look(page, name) {
  await accessible(page, name);
  if (shots) await everywhere(page, name);
}

// lookEverywhere checks it in light and dark, on a phone and at a desk.
export function lookEverywhere(page, name) {
  return everywhere(page, name, (as) => accessible(page, as));
}

// theirs are faults of Descope's elements that no attribute and no theme of ours can
// mend: a button has another one in it, with the same role.
const theirs = (violation, node) => violation.id === "nested-interactive" && node.html.startsWith("<descope-button ");

async function accessible(page, name) {
  await still(page);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const found = violations.flatMap((v) => v.nodes.filter((n) => !theirs(v, n)).map((n) => `${v.id}: ${n.target.flat().join(" ")} ${n.failureSummary}`));
  assert.deepEqual(found, [], `accessibility of ${name}`);
}

async function everywhere(page, name, check) {
  const before = page.viewportSize();
  for (const scheme of schemes) {
    for (const [device, viewport] of devices) {
      const as = `${name}-${device}-${scheme}`;
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(viewport);
      await check?.(as);
      if (!shots) continue;
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `${as}.png`), fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
}
