// The live step in a browser whose camera is replaced by rendered frames. A head
// that passes is an injection that succeeded: the engine cannot tell it from a
// camera. A flat picture must not pass.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look, lookEverywhere } from "./harness.mjs";
import { ended, frozen, inject, perform, persist } from "./live.mjs";
import { app, consented, documented, id, result, status } from "./person.mjs";

let w, head, flat;
before(async () => {
  w = await World.start();
  [head, flat] = await Promise.all([w.frames("head"), w.frames("flat")]);
});
after(() => w?.stop());
afterEach(() => w.close());

const user = "jane@example.com";

async function camera(dir) {
  const context = await w.browser();
  if (dir) await inject(context, dir);
  return context;
}

// proofing goes as far as the live step.
async function proofing(context, enrol) {
  const start = await w.node("idv", { document_types: "passport", liveness_mode: "active", user_identifier: user });
  const page = await context.newPage();
  await page.goto(start.session_url);
  const tab = await documented(w, page, enrol);
  await tab.locator(id("live")).waitFor();
  return { start, page, tab };
}

// stepUp goes as far as the live step of the authenticator.
async function stepUp(context) {
  const c = await w.node("stepup", { user_identifier: user });
  assert.equal(c.status, "pending", JSON.stringify(c));
  const page = await context.newPage();
  await page.goto(c.challenge_url);
  const tab = await app(page);
  await tab.locator(id("account")).fill(user);
  return { ...c, page, tab };
}

test("active proofing: a rendered head turn passes (an injection that succeeded)", async () => {
  const { start, page, tab } = await proofing(await camera(head), true);
  await lookEverywhere(tab, "live-idle");
  await tab.locator(id("live-start")).click();
  await tab.locator("#live[data-action]:not([data-action=look_straight])").waitFor();
  assert.match(await tab.locator(id("live-count")).innerText(), /^Step [2-5] of 5$/);
  assert.equal(await tab.evaluate(() => document.activeElement.id), "live-action", "a screen reader is where it happens");
  await frozen(tab, () => look(tab, "live-running")); // it goes on to the next page by itself
  await persist(tab, ended(tab));
  await tab.locator(id("submit")).waitFor();
  await look(tab, "live-review");
  await tab.locator(id("submit")).click();
  await result(tab, "success");
  await status(page, "verified");
  const r = await w.result(start.session_id);
  const outcome = (name) => r.checks.find((c) => c.name === name)?.outcome;
  assert.deepEqual([r.status, r.reason, r.enrolled, outcome("liveness"), outcome("liveness_depth")], ["verified", null, true, "pass", "pass"], JSON.stringify(r));
});

test("active proofing: a flat picture that is turned and moved fails", async () => {
  const { start, tab } = await proofing(await camera(flat));
  const said = [];
  for (let tries = 0; tries < 3; tries++) {
    const again = await perform(tab);
    if (again === null) break;
    said.push(again);
    if (tries === 0) await lookEverywhere(tab, "live-again");
  }
  assert.ok(said.length >= 2, `it was asked to try again: ${said}`);
  await result(tab, "failed");
  const r = await w.result(start.session_id);
  assert.deepEqual([r.status, r.verified_claims, r.claims], ["failed", null, null]);
  assert.match(r.reason, /^liveness_(failed|incomplete)$/);
});

test("active step-up: a rendered head turn passes (an injection that succeeded)", async () => {
  const { page, tab, challenge_id } = await stepUp(await camera(head));
  await lookEverywhere(tab, "authenticator-live");
  await persist(tab);
  await result(tab, "match");
  await status(page, "match");
  const r = await w.outcome(challenge_id);
  assert.deepEqual([r.match_result, r.reason, r.liveness_mode], ["match", null, "active"], JSON.stringify(r));
});

test("active step-up: a flat picture that is turned and moved does not pass", async () => {
  const { tab, challenge_id } = await stepUp(await camera(flat));
  for (let tries = 0; tries < 3; tries++) {
    const again = await perform(tab);
    if (again === null) break;
    assert.doesNotMatch(again, /\d[.,]\d|%|score/, "how close it was is nobody's business");
  }
  await result(tab, "refused");
  const r = await w.outcome(challenge_id);
  assert.notEqual(r.match_result, "match", JSON.stringify(r));
  assert.match(r.reason, /^liveness_(failed|incomplete)$/);
});

test("without a camera the page says what to do", async () => {
  const { tab } = await proofing(await camera());
  await tab.locator(id("live-start")).click();
  const status = tab.locator(id("live-status"));
  await tab.locator("#live[data-phase=stopped]").waitFor();
  assert.match(await status.innerText(), /No camera was found.*phone/s);
  await lookEverywhere(tab, "live-no-camera");
});

test("a camera that is taken away in the middle", async () => {
  const { tab } = await proofing(await camera(head));
  await tab.locator(id("live-start")).click();
  await tab.locator("#live[data-phase=on]").waitFor();
  await tab.evaluate(() => {
    const [track] = document.querySelector("#live video").srcObject.getVideoTracks();
    track.dispatchEvent(new Event("ended")); // as a browser does it for a plug that is pulled
  });
  await tab.locator(id("live-status"), { hasText: "The camera was disconnected." }).waitFor();
  assert.equal(await tab.evaluate(() => document.querySelector("#live video").srcObject), null);
});

test("a page that is hidden sends nothing, and goes on when it is back", async () => {
  const context = await camera(head);
  const { tab } = await proofing(context);
  await tab.locator(id("live-start")).click();
  await tab.locator("#live[data-phase=on]").waitFor();
  const hide = (hidden) =>
    tab.evaluate((h) => {
      Object.defineProperty(document, "hidden", { configurable: true, value: h });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await tab.locator("#live[data-phase=paused]").waitFor();
  await tab.waitForFunction(() => document.title.startsWith("Paused: "));
  let sent = 0;
  tab.on("request", (r) => (sent += r.url().includes("/live/frame") ? 1 : 0));
  await tab.waitForTimeout(1000); // several frames' time
  assert.equal(sent, 0);
  const again = tab.waitForRequest((r) => r.url().includes("/live/frame"));
  await hide(false);
  await tab.locator("#live[data-phase=on]").waitFor();
  await again;
});

test("who cannot do it says so, and nothing passes", async () => {
  const { start, tab } = await proofing(await camera(head));
  await tab.locator(id("live-start")).click();
  await tab.locator("#live[data-phase=on]").waitFor();
  await tab.locator(id("live-cannot")).click();
  await tab.locator("#live[data-phase=paused]").waitFor();
  await lookEverywhere(tab, "live-cannot");
  await tab.locator(id("live-decline")).click();
  await tab.locator(id("result")).waitFor();
  const r = await w.result(start.session_id);
  assert.deepEqual([r.status, r.verified_claims], ["abandoned", null]);

  const up = await stepUp(await camera(head));
  await up.tab.locator(id("live-cannot")).click();
  await up.tab.locator(id("live-decline")).click();
  await up.tab.locator(id("result")).waitFor();
  await look(up.tab, "authenticator-cannot");
  assert.notEqual((await w.outcome(up.challenge_id)).match_result, "match");
});

test("without scripts there is no way around", async () => {
  const context = await w.browser(undefined, { javaScriptEnabled: false });
  const start = await w.node("idv", { document_types: "passport", liveness_mode: "active" });
  const tab = await context.newPage();
  await tab.goto(start.session_url);
  await tab.goto(await consented(tab));
  await tab.locator(id("start")).click();
  await tab.locator(id("file-document")).setInputFiles(w.fixture("passport.jpg"));
  await tab.locator(id("upload")).click();
  await tab.locator(id("live-no-script")).waitFor();
  assert.equal(await tab.locator(`${id("file-selfie")}, ${id("submit")}, ${id("continue")}`).count(), 0);
  await tab.locator(id("decline")).click();
  assert.equal((await w.result(start.session_id)).status, "abandoned");
});
