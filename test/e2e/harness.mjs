// Starts what the browser tests need: the built program's demo, fixtures, and
// Debian's Chromium with a camera that shows a file.
import { execFile, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { still } from "./still.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const program = process.env.KOSMOSCOPE_PROGRAM ?? join(root, "bin/kosmoscope");
const axe = readFileSync(join(here, "node_modules/axe-core/axe.min.js"), "utf8");

// Pictures of every page go here when SHOTS names a folder.
const shots = process.env.SHOTS;

async function freeBase() {
  const free = (port) =>
    new Promise((done) => {
      const s = createServer();
      s.once("error", () => done(false));
      s.listen(port, "127.0.0.1", () => s.close(() => done(true)));
    });
  for (let base = 20000; base < 30000; base += 7) {
    if ((await Promise.all([0, 1, 2, 3, 4, 5].map((i) => free(base + i)))).every(Boolean)) return base;
  }
  throw new Error("no six free ports in a row");
}

// World is one running demo with its fixtures; more are flags of the demo.
export class World {
  static async start(...more) {
    const w = new World();
    w.dir = mkdtempSync(join(tmpdir(), "kosmoscope-e2e-"));
    w.fixtures = join(w.dir, "fixtures");
    execFileSync("go", ["run", "./test/fixtures/cmd", w.fixtures], { cwd: root, stdio: "inherit" });
    const readyFile = (w.readyFile = join(w.dir, "ready.json"));
    const base = String(await freeBase());
    w.demo = spawn(program, ["demo", "--port-base", base, "--data", join(w.dir, "data"), "--ready-file", readyFile, ...more], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    w.demo.stderr.on("data", (d) => (said += d));
    const ended = new Promise((done) => w.demo.once("exit", done));
    w.ended = ended;
    const deadline = Date.now() + 90_000;
    while (!existsSync(readyFile)) {
      if (w.demo.exitCode !== null || Date.now() > deadline) throw new Error(`demo is not up:\n${said}`);
      await new Promise((r) => setTimeout(r, 50));
    }
    w.ready = JSON.parse(readFileSync(readyFile, "utf8"));
    w.browsers = [];
    return w;
  }

  // close ends the browsers, all but that of a context that is still needed.
  async close(kept) {
    const browser = kept?.browser();
    await Promise.all(this.browsers.filter((b) => b !== browser).map((b) => b.close()));
    this.browsers = browser ? [browser] : [];
  }

  async stop() {
    await this.close();
    this.demo.kill("SIGINT");
    const code = await this.ended;
    rmSync(this.dir, { recursive: true, force: true });
    assert.equal(code, 0, "demo ends cleanly on Ctrl-C");
  }

  fixture(name) {
    return join(this.fixtures, name);
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
    const deadline = Date.now() + 30_000;
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
  async frames(kind, { seed = 1 } = {}) {
    const folder = this.fixture(`${kind}-${seed}`);
    await promisify(execFile)(program, ["engine", "specimen", "--out", folder, "--kind", kind, "--seed", String(seed), "--portrait", this.fixture("selfie.jpg")]);
    return folder;
  }

  // enrol has the holder of the passport recognised as one more user, without a browser.
  enrol(user) {
    const args = ["prove", "--ready-file", this.readyFile, "--user-identifier", user, "--enrol", "--liveness", "none"];
    execFileSync(program, [...args, "--document", this.fixture("passport.jpg"), "--selfie", this.fixture("selfie.jpg")], { stdio: "ignore" });
  }

  // browser starts a Chromium of its own; camera is the fixture that it shows,
  // none means a machine without a camera.
  async browser(camera, options = {}) {
    const args = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
    if (camera) {
      args.push(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        `--use-file-for-fake-video-capture=${this.fixture(camera)}`,
      );
    }
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args, chromiumSandbox: false });
    this.browsers.push(browser);
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 390, height: 844 }, ...options });
    context.setDefaultTimeout(20_000);
    return context;
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
  const { violations } = await page.evaluate(() => globalThis.axe.run());
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
