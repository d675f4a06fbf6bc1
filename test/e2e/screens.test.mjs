// Every component that a screen of a flow can have, as Descope's own web component
// shows it from the local Descope: visible, named, worked by keyboard, and without a
// word to anybody outside this machine.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { launch, lookEverywhere, visitor } from "./harness.mjs";
import { button, digits, holds, onward, shown, usable } from "./screen.mjs";

const root = resolve(import.meta.dirname, "../..");
const web = process.env.KOSMOSCOPE_WEB ?? join(root, "bin/web");
let dir, server, at, browser;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "kosmoscope-screens-"));
  const program = join(dir, "screenstest");
  execFileSync("go", ["build", "-o", program, "./internal/sandbox/descope/screens/screenstest"], { cwd: root, stdio: "inherit" });
  server = spawn(program, [web], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await Promise.race([
    new Promise((done) => createInterface({ input: server.stdout }).once("line", (l) => done([l]))),
    new Promise((_, no) => server.once("exit", (code) => no(new Error(`screenstest ended with ${code}`)))),
  ]);
  at = JSON.parse(line);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.stdin.end();
  rmSync(dir, { recursive: true, force: true });
});

test("a flow of every component, by keyboard, in Descope's own client", async () => {
  const context = await visitor(browser);
  const outside = [];
  const said = [];
  const polls = [];
  context.on("request", (r) => {
    const url = new URL(r.url());
    if (!["127.0.0.1", "localhost"].includes(url.hostname) && !["data:", "blob:"].includes(url.protocol)) outside.push(r.url());
    if (url.pathname === "/v1/flow/next" && r.postDataJSON()?.interactionId === "polling") polls.push(r);
  });
  const page = await context.newPage();
  page.on("pageerror", (e) => said.push(String(e)));
  page.on("console", (m) => m.type() === "error" && said.push(m.text()));
  // send does what sends something, and waits for the screen that comes.
  const send = async (act) => {
    const [sent] = await Promise.all([page.waitForRequest((r) => r.url().endsWith("/v1/flow/next")), onward(page, act)]);
    return sent.postDataJSON();
  };
  const enter = () => page.keyboard.press("Enter");

  await page.goto(at.page);
  await page.getByRole("heading", { name: "Sign in", level: 1 }).waitFor();
  await usable(page);
  assert.deepEqual(await page.evaluate(() => globalThis.seen.map((e) => e.name)), ["ready"]);
  const mail = page.getByRole("textbox", { name: "E-mail address" });
  await page.getByRole("textbox", { name: "Name on the badge" }).waitFor();
  await button(page, "Continue").waitFor();
  await button(page, "Not now").waitFor();
  await lookEverywhere(page, "screen-fields");

  // A required field that is empty is told of, and nothing is sent.
  const early = [];
  page.on("request", (r) => r.url().endsWith("/v1/flow/next") && early.push(r));
  await mail.focus();
  await page.keyboard.press("Enter");
  await page.locator("descope-email-field[invalid=true]").waitFor();
  assert.equal(early.length, 0);

  // A button that asks for no validation goes on all the same, and brings its constant
  // along; what comes is the same screen again.
  const later = await send(() => button(page, "Not now").click());
  assert.equal(later.interactionId, "later");
  assert.equal(later.input.reason, "later");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();

  await mail.click();
  await page.keyboard.type("new@example.org");
  await holds(page, "email", "new@example.org");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Ada");
  await holds(page, "nickname", "Ada");
  const { interactionId, input } = await send(enter);
  assert.equal(interactionId, "continue");
  assert.equal(input.email, "new@example.org");
  assert.equal(input.nickname, "Ada");

  await page.getByRole("heading", { name: "Enter the code", level: 2 }).waitFor();
  await page.getByText("We sent it to n***.").waitFor();
  const alert = page.getByRole("alert");
  assert.equal(await alert.isVisible(), false, "no error yet");
  await digits(page, "999999");
  await send(enter);
  await alert.filter({ hasText: /code/i }).waitFor();
  await lookEverywhere(page, "screen-code");
  await digits(page, "123456");
  assert.equal((await send(enter)).input.code, "123456");

  await page.getByRole("heading", { name: "Prove that it is you" }).waitFor();
  await page.getByText(`Open this on your phone, <b>"you" & {{user}}</b>.`).waitFor();
  const picture = page.locator("descope-image[aria-label='Code for your phone'][role=img]");
  await picture.waitFor();
  const { loaded, width } = await picture.locator("img").evaluate(async (i) => {
    await i.decode();
    return { loaded: i.naturalWidth, width: i.getBoundingClientRect().width };
  });
  assert.equal(loaded, 256);
  assert.ok(width > 150, `the picture is ${width} wide`);
  const link = page.getByRole("link", { name: "Or open it here" });
  assert.equal(await link.getAttribute("href"), `${at.elsewhere}?a=1&b=%22`);
  assert.equal(await link.getAttribute("target"), "_blank");
  await lookEverywhere(page, "screen-link");
  await link.focus();
  const [tab] = await Promise.all([context.waitForEvent("page"), page.keyboard.press("Enter")]);
  await tab.getByRole("heading", { name: "Elsewhere" }).waitFor();
  assert.equal(await tab.evaluate(() => globalThis.opener), null);
  await tab.close();

  await button(page, "I am done").focus();
  await page.keyboard.press("Space");
  await shown(page, "One moment");
  await page.getByRole("progressbar", { name: "Waiting" }).waitFor();
  await lookEverywhere(page, "screen-polling");
  await page.waitForFunction(() => globalThis.seen.some((e) => e.name === "success"));
  assert.ok(polls.length >= 3, `${polls.length} polls`);
  const seen = await page.evaluate(() => globalThis.seen);
  assert.deepEqual(seen.map((e) => e.name), ["ready", "success"]);
  assert.match(seen[1].detail.sessionJwt, /^session-U/);

  assert.deepEqual(outside, [], "nothing is asked of anybody outside");
  // What is expected: the wrong code, tokens that are none, and theme="os", which the
  // client takes and complains of.
  const odd = said.filter((s) => !/This code is not the one|InvalidTokenError|Supported theme values/i.test(s));
  assert.deepEqual(odd, []);
  await context.close();
});

test("the same files, asked for by hand", async () => {
  const config = await fetch(`${at.descope}/pages/P2kosmoscopescreenstestAAAAA/v2-beta/config.json`, { headers: { Origin: at.page } });
  assert.equal(config.headers.get("access-control-allow-origin"), "*");
  assert.equal(config.headers.get("cache-control"), "no-store");
  const { componentsVersion } = await config.json();
  const index = await fetch(`${at.descope}/npm/@descope/web-components-ui@${componentsVersion}/dist/umd/index.js`);
  assert.equal(index.status, 200);
  assert.match(index.headers.get("cache-control"), /immutable/);
});
