// Door C's two hooks in a browser: the local Descope runs the flows that are shipped, and
// asks the bridge before a login and after a registration.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look, lookEverywhere } from "./harness.mjs";
import { inject } from "./live.mjs";
import { app, id, insist, prove, result, showFace, status } from "./person.mjs";
import { button, onward, shown } from "./screen.mjs";
import { Shop, berlin, lisbon, sydney } from "./shop.mjs";

let w, shop, home, userId;
before(async () => {
  w = await World.start("--step-up-liveness", "none"); // step-ups take a still face; live.test.mjs has the other
  shop = new Shop(w.ready);
});
after(() => w?.stop());
afterEach(() => w.close(home));

const email = "ada@shop.example";
const nobody = "nobody@shop.example";

// asked says which endpoints of the bridge a flow has called while something was done.
async function asked(what) {
  const known = new Set((await shop.lab("calls")).map((c) => c.id));
  await what();
  const calls = (await shop.lab("calls")).filter((c) => !known.has(c.id) && c.flow.startsWith("kosmos-")).reverse();
  return calls.map((c) => new URL(c.url, w.ready.bridge_url).pathname.replace("/descope/v1", ""));
}

const screenText = (page) => page.locator("descope-wc").innerText();

// wrong enters a code that nobody was sent.
async function wrong(page) {
  await onward(page, () => shop.enter(page, "000000"));
  await page.locator("descope-wc").getByText("This code is not the one that was sent").waitFor();
}

test("who has just registered is told to prove who they are, and gets in after that", async () => {
  const context = (home = await w.browser());
  await inject(context, await w.frames("head"));
  await shop.from(context, {});
  const page = await context.newPage();
  const calls = await asked(async () => {
    await page.goto(shop.url);
    await page.locator(id("hooks-signup")).click();
    await page.waitForURL(`${shop.url}/hooks/signup`);
    await shop.named(page, email);
    await shop.enter(page, await shop.mailed(email));
    await shown(page, "Prove who you are");
    await lookEverywhere(page, "descope-post-registration");
    await button(page, "I am done").click();
    await shown(page, "Not finished yet");
    await look(page, "descope-post-registration-pending");
    assert.equal(await shop.session(context), null);
    const handoff = await shop.opened(page);
    await prove(w, handoff, true);
    await status(handoff, "verified");
    await page.bringToFront();
    await button(page, "Look again").click();
    await shop.arrived(page);
  });
  assert.deepEqual([calls[0], calls.includes("/idv")], ["/hooks/post-registration", false], "the hook itself began the verification");
  const token = await shop.session(context);
  userId = token.sub;
  assert.deepEqual([token.kosmos_status, token.su], ["verified", undefined]);
  const { data: user } = await shop.users.load(email);
  assert.deepEqual([user.userId, user.customAttributes.kosmosStatus, user.familyName], [userId, "verified", "ERIKSSON"]);
});

test("who was verified before cannot come in by registering again", async () => {
  const context = await w.browser();
  await shop.from(context, {});
  const page = await context.newPage();
  await shop.identify(page, "/hooks/signup", email);
  await shown(page, "You have done this already");
  assert.equal(await shop.session(context), null);
});

test("a bridge that does not answer: whoever registers is proofed all the same", async () => {
  const context = await w.browser();
  await shop.from(context, {});
  const page = await context.newPage();
  await shop.fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 1 });
  const calls = await asked(async () => {
    await shop.identify(page, "/hooks/signup", "joan@shop.example");
    await shown(page, "Prove who you are");
  });
  assert.deepEqual(calls.slice(-1), ["/idv"]);
  assert.equal(await shop.session(context), null);
});

test("on a device that is known the hook says continue, and a code is enough", async () => {
  const page = await home.newPage();
  const calls = await asked(async () => {
    await shop.identify(page, "/hooks/login", email);
    await shop.arrived(page);
  });
  assert.deepEqual(calls, ["/hooks/pre-login"]);
  const token = await shop.session(home);
  assert.deepEqual([token.sub, token.su], [userId, undefined]);
});

test("on a new device the challenge is there before the login, and shown only after it", async () => {
  for (const [camera, passes] of [
    ["other.mjpeg", false],
    ["selfie.mjpeg", true],
  ]) {
    const context = await w.browser(camera);
    await shop.from(context, { device: "new" });
    const page = await context.newPage();
    const calls = await asked(async () => {
      await shop.begin(page, "/hooks/login", email);
      assert.doesNotMatch(await page.content(), /\/c\//, "nobody sees a link before they have signed in");
      await shop.enter(page, await shop.mailed(email));
      await shown(page, "Show that it is you");
      if (!passes) await lookEverywhere(page, "descope-pre-login");
      const challenge = await shop.opened(page);
      const tab = await app(challenge);
      await showFace(tab, userId);
      if (!passes) await insist(tab);
      await result(tab, passes ? "match" : "refused");
      await status(challenge, passes ? "match" : "no_match");
      await page.bringToFront();
      await button(page, "I am done").click();
      await (passes ? shop.arrived(page) : shown(page, "We could not confirm that it is you"));
    });
    assert.deepEqual(calls, ["/hooks/pre-login", "/stepup/result"], "the hook itself opened the challenge");
    const token = await shop.session(context);
    assert.deepEqual([token?.sub, token?.su], passes ? [userId, true] : [undefined, undefined]);
  }
});

test("the face alone lets nobody in", async () => {
  const context = await w.browser("selfie.mjpeg");
  await shop.from(context, { device: "new" });
  const { action, challenge_url } = await w.node("hooks/pre-login", { identifier: userId, ip: berlin });
  assert.equal(action, "step_up");
  const challenge = await context.newPage();
  await challenge.goto(challenge_url);
  const tab = await app(challenge);
  await showFace(tab, userId);
  await result(tab, "match");
  const page = await context.newPage();
  await shop.begin(page, "/hooks/login", email);
  await wrong(page);
  assert.equal(await shop.session(context), null);
});

test("an account that is not there looks like one that is", async () => {
  const pages = [];
  for (const who of [email, nobody]) {
    const context = await w.browser();
    await shop.from(context, { device: "new" });
    const page = await context.newPage();
    const calls = await asked(() => shop.begin(page, "/hooks/login", who));
    assert.deepEqual(calls, ["/hooks/pre-login"]);
    pages.push(await screenText(page));
    if (who !== nobody) continue;
    await look(page, "descope-pre-login-code");
    await wrong(page);
    assert.equal(await shop.session(context), null);
  }
  assert.equal(pages[0], pages[1]);
  assert.equal(await shop.mailed(nobody), undefined, "and no mail goes out");
});

test("a bridge that does not answer: the face is asked for after the login", async () => {
  const context = await w.browser("selfie.mjpeg");
  await shop.from(context, { device: "new" });
  const page = await context.newPage();
  await shop.fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 1 });
  const calls = await asked(async () => {
    await shop.identify(page, "/hooks/login", email);
    await shown(page, "Show that it is you");
  });
  assert.deepEqual(calls.slice(-1), ["/stepup"]);
  assert.equal(await shop.session(context), null);
});

test("too many tries for one address from one network: refused, and only there", async () => {
  const who = "eve@shop.example";
  let action;
  for (let i = 0; i < 60 && action !== "deny"; i++) ({ action } = await w.node("hooks/pre-login", { identifier: who, ip: sydney }));
  assert.equal(action, "deny");
  const context = await w.browser();
  await shop.from(context, { device: "new", ip: sydney });
  const page = await context.newPage();
  await shop.begin(page, "/hooks/login", who, "We cannot let you in now");
  await lookEverywhere(page, "descope-pre-login-denied");
  await button(page, "Start over").click();
  await shop.from(context, { device: "new", ip: lisbon });
  await shop.begin(page, "/hooks/login", who);
});
