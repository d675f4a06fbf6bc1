// Both mission flows, as a customer's people meet them: the shop, Descope's own web
// component, the flow files that are shipped, the bridge, the local 1Kosmos and the
// engine. The sessions that come out are checked with Descope's own SDK.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import createDescope from "@descope/node-sdk";
import { World, look, lookEverywhere } from "./harness.mjs";
import { inject, persist } from "./live.mjs";

let w, head, descope, home;
before(async () => {
  w = await World.start("--step-up-liveness", "none"); // step-ups take a still face; live.test.mjs has the other
  head = await w.frames("head");
  const { base_url: baseUrl, project_id: projectId, management_key: managementKey } = w.ready.descope;
  descope = createDescope({ projectId, baseUrl, managementKey });
});
after(() => w?.stop());
afterEach(() => w.close(home));

const id = (name) => `[data-testid="${name}"]`;
const email = "ada@shop.example";
const berlin = "78.55.20.10";
const office = "80.129.160.20"; // Berlin, another provider
const sydney = "49.180.20.30";

// from puts a browser somewhere, as the test panel does.
async function from(context, login) {
  const res = await context.request.put(`${w.ready.descope.base_url}/lab/api/login`, { data: { device: "", ip: berlin, ...login } });
  assert.equal(res.status(), 200, await res.text());
}

// mailed is the newest code that was sent to somebody.
async function mailed(to) {
  const res = await fetch(`${w.ready.descope.base_url}/lab/api/mail`);
  const mail = (await res.json()).find((m) => m.to === to);
  assert.ok(mail, `no mail to ${to}`);
  return mail.code;
}

// Descope's button has another one in it, which is the one to press.
const button = (page, name) => page.getByRole("button", { name, exact: true }).last();

// shown waits for the screen with a heading, until it has faded in and can be used.
async function shown(page, text) {
  const heading = await page.locator("descope-wc").getByText(text, { exact: true }).elementHandle();
  await page.waitForFunction((e) => {
    for (let at = e; at; at = at.assignedSlot ?? at.parentNode ?? at.host) {
      if (at instanceof Element && getComputedStyle(at).opacity !== "1") return false;
    }
    return !document.querySelector("descope-wc").shadowRoot.querySelector("descope-button[loading=true], descope-button[disabled=true]");
  }, heading);
}

// identify answers the e-mail's code.
async function identify(page, path, who = email) {
  await page.goto(`${w.ready.app_url}${path}`);
  await page.getByLabel("E-mail address").fill(who);
  await button(page, "Continue").click();
  await shown(page, "Check your e-mail");
  await look(page, `descope-code${path.replace(/\W+/g, "-")}`);
  await enter(page, who);
}

// enter types the mailed code, each digit into its box: they lose digits that follow at once.
async function enter(page, who) {
  const boxes = page.locator("descope-passcode input");
  for (const [i, digit] of [...(await mailed(who))].entries()) await boxes.nth(i).press(digit);
  await button(page, "Continue").click();
}

// opened is the tab that a link of the flow opens.
async function opened(context, page) {
  const [tab] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Open the page" }).click()]);
  return tab;
}

// prove goes through the pages of a proofing, from our hand-off page on.
async function prove(context, page, enrol) {
  await page.locator("input[value=passport]").check();
  await page.locator(id("consent")).check();
  await page.locator(id("start")).click();
  const tab = await context.newPage();
  await tab.goto(await page.locator(id("open-here")).getAttribute("href"));
  if (enrol) await tab.locator(id("enrol")).check();
  await tab.locator(id("start")).click();
  await tab.locator(id("file-document")).setInputFiles(w.fixture("passport.jpg"));
  await tab.locator("#status.good").waitFor();
  await tab.locator(id("continue")).click();
  await tab.locator(id("live")).waitFor();
  await persist(tab);
  await tab.locator(id("submit")).click();
  await tab.locator(`${id("result")}[data-status="success"]`).waitFor();
  await page.locator(`${id("status")}[data-status="verified"]`).waitFor();
  await tab.close();
}

// showFace answers a challenge with what is before the camera.
async function showFace(context, page, userId) {
  const [tab] = await Promise.all([context.waitForEvent("page"), page.locator(id("open-here")).click()]);
  await tab.locator(id("account")).fill(userId);
  await tab.locator(id("use-camera")).click();
  await tab.locator(id("take")).click();
  return tab;
}

// known waits until our page says how a challenge ended.
const known = (challenge, state) => challenge.locator(`${id("status")}[data-status="${state}"]`).waitFor();

// session is what the shop has of this browser's session, checked with Descope's SDK.
async function session(context) {
  const cookie = (await context.cookies(w.ready.app_url)).find((c) => c.name === "shop_session");
  if (!cookie) return null;
  const { token } = await descope.validateSession(cookie.value);
  assert.equal(token.drn, "DS");
  return token;
}

const arrived = (page) => page.waitForURL(`${w.ready.app_url}/account`);

// stepUp signs in from where the browser was put, and goes as far as the challenge.
async function stepUp(context, path = "/login") {
  const page = await context.newPage();
  await identify(page, path);
  await shown(page, "Show that it is you");
  return { page, challenge: await opened(context, page) };
}

let userId;

test("sign up, and get proofed: only then there is an account to enter", async () => {
  const context = (home = await w.browser());
  await inject(context, head, { lasts: 12_000 });
  await from(context, {});
  const page = await context.newPage();
  await page.goto(`${w.ready.app_url}/signup`);
  await page.getByLabel("E-mail address").waitFor();
  await lookEverywhere(page, "descope-signup");
  await identify(page, "/signup");
  await shown(page, "Prove who you are");
  await lookEverywhere(page, "descope-prove");

  // Going on without having been there leads nowhere.
  await button(page, "I am done").click();
  await shown(page, "Not finished yet");
  assert.equal(await session(context), null);

  const handoff = await opened(context, page);
  await prove(context, handoff, true);
  await page.bringToFront();
  await button(page, "Look again").click();
  await arrived(page);
  assert.match(await page.locator(id("proofed")).innerText(), /^yes/);
  await lookEverywhere(page, "shop-account");
  const token = await session(context);
  userId = token.sub;
  assert.deepEqual([token.kosmos_status, token.su, token.amr.includes("email")], ["verified", undefined, true]);

  const { data: user } = await descope.management.user.load(email);
  assert.equal(user.userId, userId);
  assert.equal(user.customAttributes.kosmosStatus, "verified");
  assert.equal(user.familyName, "ERIKSSON");
});

test("from the device and the network that are known nothing more is asked", async () => {
  const page = await home.newPage();
  await identify(page, "/login");
  await arrived(page);
  const token = await session(home);
  assert.deepEqual([token.sub, token.su], [userId, undefined]);
});

test("what a next loses on its way is not done twice", async () => {
  const context = await w.browser("selfie.mjpeg");
  await from(context, {});
  await context.addCookies((await home.cookies()).filter((c) => c.name === "kosmoscope_lab_device"));
  const page = await context.newPage();
  await fault({ target: "runtime:next", kind: "duplicate", count: 3 });
  await identify(page, "/login");
  await arrived(page);
  assert.equal((await session(context)).sub, userId);
});

test("a sensitive action needs a session in which the face was shown", async () => {
  const page = await home.newPage();
  await page.goto(`${w.ready.app_url}/account`);
  const refused = page.waitForResponse((r) => r.url().endsWith("/refund"));
  await page.locator(id("refund-1042")).click();
  assert.match((await refused).headers()["www-authenticate"], /insufficient_user_authentication/);
  await lookEverywhere(page, "shop-step-up");
  await page.locator(id("step-up")).click();
  await page.getByLabel("E-mail address").fill(email);
  await button(page, "Continue").click();
  await shown(page, "Check your e-mail");
  await enter(page, email);
  await shown(page, "Show that it is you");
  await lookEverywhere(page, "descope-step-up");
  const challenge = await opened(home, page);
  const tab = await showFace(home, challenge, userId);
  await tab.locator(`${id("result")}[data-status="match"]`).waitFor();
  await known(challenge, "match");
  await page.bringToFront();
  await button(page, "I am done").click();
  await arrived(page);
  const token = await session(home);
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
      await from(context, { ...login, hours_later: hours });
      const { page, challenge } = await stepUp(context);
      const tab = await showFace(context, challenge, userId);
      for (const left of passes ? [] : ["2 attempts left.", "One attempt left."]) {
        await tab.locator("#left", { hasText: left }).waitFor();
        await tab.locator(id("retake")).click();
        await tab.locator(id("take")).click();
      }
      await tab.locator(`${id("result")}[data-status="${passes ? "match" : "refused"}"]`).waitFor();
      await known(challenge, passes ? "match" : "no_match");
      await page.bringToFront();
      await button(page, "I am done").click();
      if (passes) {
        await arrived(page);
        assert.equal((await session(context)).su, true);
      } else {
        await shown(page, "We could not confirm that it is you");
        await lookEverywhere(page, "descope-no-match");
        assert.equal(await session(context), null);
        assert.equal(await page.evaluate(() => localStorage.getItem("DS")), null);
      }
    }
  });
}

test("proofing by redirect: Descope sends the browser, and gets it back", async () => {
  const who = "grace@shop.example";
  const context = await w.browser();
  await inject(context, await w.frames("head", { seed: 2 }), { lasts: 12_000 });
  await from(context, {});
  const page = await context.newPage();
  await identify(page, "/prove", who);
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/**`);
  await prove(context, page, false);
  await arrived(page);
  const token = await session(context);
  assert.equal(token.kosmos_status, "verified");
  const { data: user } = await descope.management.user.load(who);
  assert.equal(user.userId, token.sub);
});

test("proofing by redirect, declined: nobody is signed in", async () => {
  const who = "joan@shop.example";
  const context = await w.browser();
  await from(context, {});
  const page = await context.newPage();
  await identify(page, "/prove", who);
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/**`);
  await page.locator(id("decline")).click();
  await page.waitForURL(`${w.ready.app_url}/prove**`);
  await shown(page, "You stopped the check");
  await look(page, "descope-declined");
  assert.equal(await session(context), null);
});

// fault turns one of the local Descope's knobs.
async function fault(f) {
  const res = await fetch(`${w.ready.descope.base_url}/lab/api/faults`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(f) });
  assert.equal(res.status, 201, await res.text());
}

test("a bridge that does not answer lets nobody through, and the person can go on later", async () => {
  const context = await w.browser("selfie.mjpeg");
  await from(context, { device: "new" });
  await fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 2 }); // the risk cannot be weighed, so the face is asked for; nor can that be
  const page = await context.newPage();
  await identify(page, "/login");
  await shown(page, "One moment, please");
  assert.equal(await session(context), null);
  await button(page, "Try again").click();
  await shown(page, "Show that it is you");
});

// Chromium sends a request again by itself when its connection is cut.
test("an answer that is lost on its way: the work is done once, and the person goes on", async () => {
  const lab = async (path) => (await fetch(`${w.ready.descope.base_url}/lab/api/${path}`)).json();
  const mails = async () => (await lab("mail")).filter((m) => m.to === email).length;
  const context = await w.browser();
  await from(context, {});
  const page = await context.newPage();
  await page.goto(`${w.ready.app_url}/login`);
  await page.getByLabel("E-mail address").fill(email);
  const before = await mails();
  await fault({ target: "runtime:next", kind: "lost", count: 1 });
  await button(page, "Continue").click();
  await shown(page, "Check your e-mail");
  assert.deepEqual(await lab("faults"), [], "an answer was lost");
  assert.equal(await mails(), before + 1);
  await enter(page, email);
  await shown(page, "Show that it is you"); // a browser that nobody knows
});
