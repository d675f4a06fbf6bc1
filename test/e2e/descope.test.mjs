// Both mission flows, as a customer's people meet them: the shop, Descope's own web
// component, the flow files that are shipped, the bridge, the local 1Kosmos and the
// engine. The sessions that come out are checked with Descope's own SDK.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look, lookEverywhere } from "./harness.mjs";
import { inject } from "./live.mjs";
import { app, id, insist, prove, result, showFace, status } from "./person.mjs";
import { address, button, shown, usable } from "./screen.mjs";
import { Shop, berlin, office, sydney } from "./shop.mjs";

let w, head, shop, home;
before(async () => {
  w = await World.start("--step-up-liveness", "none"); // step-ups take a still face; live.test.mjs has the other
  head = await w.frames("head");
  shop = new Shop(w.ready);
});
after(() => w?.stop());
afterEach(() => w.close(home));

const email = "ada@shop.example";
let userId;

test("sign up, and get proofed: only then there is an account to enter", async () => {
  const context = (home = await w.browser());
  await inject(context, head);
  await shop.from(context, {});
  const page = await context.newPage();
  await page.goto(`${shop.url}/signup`);
  await page.getByLabel("E-mail address").waitFor();
  await lookEverywhere(page, "descope-signup");
  await shop.named(page, email);
  await look(page, "descope-code");
  await shop.enter(page, await shop.mailed(email));
  await shown(page, "Prove who you are");
  await lookEverywhere(page, "descope-prove");

  // Going on without having been there leads nowhere.
  await button(page, "I am done").click();
  await shown(page, "Not finished yet");
  assert.equal(await shop.session(context), null);

  const handoff = await shop.opened(page);
  await prove(w, handoff, true);
  await status(handoff, "verified");
  await page.bringToFront();
  await button(page, "Look again").click();
  await shop.arrived(page);
  assert.match(await page.locator(id("proofed")).innerText(), /^yes/);
  await lookEverywhere(page, "shop-account");
  const token = await shop.session(context);
  userId = token.sub;
  assert.deepEqual([token.kosmos_status, token.su, token.amr.includes("email")], ["verified", undefined, true]);

  const { data: user } = await shop.users.load(email);
  assert.equal(user.userId, userId);
  assert.equal(user.customAttributes.kosmosStatus, "verified");
  assert.equal(user.familyName, "ERIKSSON");
});

test("from the device and the network that are known nothing more is asked", async () => {
  const page = await home.newPage();
  await shop.begin(page, "/login", email);
  await look(page, "descope-code-login");
  await shop.enter(page, await shop.mailed(email));
  await shop.arrived(page);
  const token = await shop.session(home);
  assert.deepEqual([token.sub, token.su], [userId, undefined]);
});

test("what a next loses on its way is not done twice", async () => {
  const context = await w.browser("selfie.mjpeg");
  await shop.from(context, {});
  await context.addCookies((await home.cookies()).filter((c) => c.name === "kosmoscope_lab_device"));
  const page = await context.newPage();
  await shop.fault({ target: "runtime:next", kind: "duplicate", count: 3 });
  await shop.identify(page, "/login", email);
  await shop.arrived(page);
  assert.equal((await shop.session(context)).sub, userId);
});

test("a sensitive action needs a session in which the face was shown", async () => {
  const page = await home.newPage();
  await page.goto(`${shop.url}/account`);
  const refused = page.waitForResponse((r) => r.url().endsWith("/refund"));
  await page.locator(id("refund-1042")).click();
  assert.match((await refused).headers()["www-authenticate"], /insufficient_user_authentication/);
  await lookEverywhere(page, "shop-step-up");
  await page.locator(id("step-up")).click();
  await shop.named(page, email);
  await shop.enter(page, await shop.mailed(email));
  await shown(page, "Show that it is you");
  await lookEverywhere(page, "descope-step-up");
  const challenge = await shop.opened(page);
  const tab = await app(challenge);
  await showFace(tab, userId);
  await result(tab, "match");
  await status(challenge, "match");
  await page.bringToFront();
  await button(page, "I am done").click();
  await shop.arrived(page);
  const token = await shop.session(home);
  assert.deepEqual([token.sub, token.su], [userId, true]);
  await page.locator(id("refund-1042")).click();
  await page.locator(id("refunded")).waitFor();
});

// Each from a browser of its own. The person whose face is known passes; somebody
// else, who can read the mail, does not.
for (const [what, login, hours] of [
  ["a new device", { ip: berlin, device: "new" }, 0],
  ["an unfamiliar network", { ip: office }, 0],
  ["the other side of the world an hour later", { ip: sydney }, 1],
]) {
  test(`${what}: the face is asked for, and decides`, async () => {
    // The device that is known, but for the new one.
    const cookies = (await home.cookies()).filter((c) => c.name === "kosmoscope_lab_device");
    for (const [camera, passes] of [
      ["other.mjpeg", false],
      ["selfie.mjpeg", true],
    ]) {
      const context = await w.browser(camera);
      await context.addCookies(cookies);
      await shop.from(context, { ...login, hours_later: hours });
      const page = await context.newPage();
      await shop.identify(page, "/login", email);
      await shown(page, "Show that it is you");
      const challenge = await shop.opened(page);
      const tab = await app(challenge);
      await showFace(tab, userId);
      if (!passes) await insist(tab);
      await result(tab, passes ? "match" : "refused");
      await status(challenge, passes ? "match" : "no_match");
      await page.bringToFront();
      await button(page, "I am done").click();
      if (passes) {
        await shop.arrived(page);
        assert.equal((await shop.session(context)).su, true);
      } else {
        await shown(page, "We could not confirm that it is you");
        if (login.device) await lookEverywhere(page, "descope-no-match"); // the others look the same
        assert.equal(await shop.session(context), null);
        assert.equal(await page.evaluate(() => localStorage.getItem("DS")), null);
      }
    }
  });
}

test("proofing by redirect: Descope sends the browser, and gets it back", async () => {
  const who = "grace@shop.example";
  const context = await w.browser();
  await inject(context, head);
  await shop.from(context, {});
  const page = await context.newPage();
  await shop.begin(page, "/prove", who);
  await look(page, "descope-code-prove");
  await shop.enter(page, await shop.mailed(who));
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/**`);
  await prove(w, page, false);
  await shop.arrived(page);
  const token = await shop.session(context);
  assert.equal(token.kosmos_status, "verified");
  const { data: user } = await shop.users.load(who);
  assert.equal(user.userId, token.sub);
});

test("proofing by redirect, declined: nobody is signed in", async () => {
  const who = "joan@shop.example";
  const context = await w.browser();
  await shop.from(context, {});
  const page = await context.newPage();
  await shop.identify(page, "/prove", who);
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/**`);
  await page.locator(id("decline")).click();
  await page.waitForURL(`${shop.url}/prove**`);
  await shown(page, "You stopped the check");
  await look(page, "descope-declined");
  assert.equal(await shop.session(context), null);
});

test("a bridge that does not answer lets nobody through, and the person can go on later", async () => {
  const context = await w.browser("selfie.mjpeg");
  await shop.from(context, { device: "new" });
  await shop.fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 2 }); // the risk cannot be weighed, so the face is asked for; nor can that be
  const page = await context.newPage();
  await shop.identify(page, "/login", email);
  await shown(page, "One moment, please");
  assert.equal(await shop.session(context), null);
  await button(page, "Try again").click();
  await shown(page, "Show that it is you");
});

// Chromium sends a request again by itself when its connection is cut.
test("an answer that is lost on its way: the work is done once, and the person goes on", async () => {
  const mails = async () => (await shop.lab("mail")).filter((m) => m.to === email).length;
  const context = await w.browser();
  await shop.from(context, {});
  const page = await context.newPage();
  await page.goto(`${shop.url}/login`);
  await usable(page);
  await address(page, email);
  const before = await mails();
  await shop.fault({ target: "runtime:next", kind: "lost", count: 1 });
  await button(page, "Continue").click();
  await shown(page, "Check your e-mail");
  assert.deepEqual(await shop.lab("faults"), [], "an answer was lost");
  assert.equal(await mails(), before + 1);
  await shop.enter(page, await shop.mailed(email));
  await shown(page, "Show that it is you"); // a browser that nobody knows
});
