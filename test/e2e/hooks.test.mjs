// Door C's two hooks in a browser: the local Descope runs the flows that are shipped, and
// asks the bridge before a login and after a registration.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import createDescope from "@descope/node-sdk";
import { World, look, lookEverywhere } from "./harness.mjs";
import { inject, persist } from "./live.mjs";

let w, descope, home, userId;
before(async () => {
  w = await World.start("--step-up-liveness", "none"); // step-ups take a still face; live.test.mjs has the other
  const { base_url: baseUrl, project_id: projectId, management_key: managementKey } = w.ready.descope;
  descope = createDescope({ projectId, baseUrl, managementKey });
});
after(() => w?.stop());
afterEach(() => w.close(home));

const id = (name) => `[data-testid="${name}"]`;
const email = "ada@shop.example";
const nobody = "nobody@shop.example";
const berlin = "78.55.20.10";
const sydney = "49.180.20.30";
const lisbon = "85.240.10.10";

const lab = async (path) => (await fetch(`${w.ready.descope.base_url}/lab/api/${path}`)).json();

async function from(context, login) {
  const res = await context.request.put(`${w.ready.descope.base_url}/lab/api/login`, { data: { device: "", ip: berlin, ...login } });
  assert.equal(res.status(), 200, await res.text());
}

async function fault(f) {
  const res = await fetch(`${w.ready.descope.base_url}/lab/api/faults`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(f) });
  assert.equal(res.status, 201, await res.text());
}

// asked says which endpoints of the bridge a flow has called while something was done.
async function asked(what) {
  const known = new Set((await lab("calls")).map((c) => c.id));
  await what();
  const calls = (await lab("calls")).filter((c) => !known.has(c.id) && c.flow.startsWith("kosmos-")).reverse();
  return calls.map((c) => new URL(c.url, w.ready.bridge_url).pathname.replace("/descope/v1", ""));
}

const button = (page, name) => page.getByRole("button", { name, exact: true }).last();
const screenText = (page) => page.locator("descope-wc").innerText();

async function shown(page, text) {
  const heading = await page.locator("descope-wc").getByText(text, { exact: true }).elementHandle();
  await page.waitForFunction((e) => {
    for (let at = e; at; at = at.assignedSlot ?? at.parentNode ?? at.host) {
      if (at instanceof Element && getComputedStyle(at).opacity !== "1") return false;
    }
    return !document.querySelector("descope-wc").shadowRoot.querySelector("descope-button[loading=true], descope-button[disabled=true]");
  }, heading);
}

// begin enters an address, and waits for what comes.
async function begin(page, path, who, then = "Check your e-mail") {
  await page.goto(`${w.ready.app_url}${path}`);
  await page.getByLabel("E-mail address").fill(who);
  await button(page, "Continue").click();
  await shown(page, then);
}

async function enter(page, digits) {
  const boxes = page.locator("descope-passcode input");
  for (const [i, digit] of [...digits].entries()) await boxes.nth(i).press(digit);
  await button(page, "Continue").click();
}

// wrong enters a code that nobody was sent.
async function wrong(page) {
  await enter(page, "000000");
  await page.locator("descope-wc").getByText("This code is not the one that was sent").waitFor();
}

const mailed = async (to) => (await lab("mail")).find((m) => m.to === to)?.code;

async function identify(page, path, who = email) {
  await begin(page, path, who);
  await enter(page, await mailed(who));
}

async function opened(context, page) {
  const [tab] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Open the page" }).click()]);
  return tab;
}

// prove goes through the pages of a proofing, from the hand-off page on.
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

async function showFace(context, challenge) {
  const [tab] = await Promise.all([context.waitForEvent("page"), challenge.locator(id("open-here")).click()]);
  await tab.locator(id("account")).fill(userId);
  await tab.locator(id("use-camera")).click();
  await tab.locator(id("take")).click();
  return tab;
}

async function session(context) {
  const cookie = (await context.cookies(w.ready.app_url)).find((c) => c.name === "shop_session");
  return cookie ? (await descope.validateSession(cookie.value)).token : null;
}

const arrived = (page) => page.waitForURL(`${w.ready.app_url}/account`);

test("who has just registered is told to prove who they are, and gets in after that", async () => {
  const context = (home = await w.browser());
  await inject(context, await w.frames("head"), { lasts: 12_000 });
  await from(context, {});
  const page = await context.newPage();
  const calls = await asked(async () => {
    await page.goto(w.ready.app_url);
    await page.locator(id("hooks-signup")).click();
    await page.waitForURL(`${w.ready.app_url}/hooks/signup`);
    await identify(page, "/hooks/signup");
    await shown(page, "Prove who you are");
    await lookEverywhere(page, "descope-post-registration");
    await button(page, "I am done").click();
    await shown(page, "Not finished yet");
    await look(page, "descope-post-registration-pending");
    assert.equal(await session(context), null);
    const handoff = await opened(context, page);
    await prove(context, handoff, true);
    await page.bringToFront();
    await button(page, "Look again").click();
    await arrived(page);
  });
  assert.deepEqual([calls[0], calls.includes("/idv")], ["/hooks/post-registration", false], "the hook itself began the verification");
  const token = await session(context);
  userId = token.sub;
  assert.deepEqual([token.kosmos_status, token.su], ["verified", undefined]);
  const { data: user } = await descope.management.user.load(email);
  assert.deepEqual([user.userId, user.customAttributes.kosmosStatus, user.familyName], [userId, "verified", "ERIKSSON"]);
});

test("who was verified before cannot come in by registering again", async () => {
  const context = await w.browser();
  await from(context, {});
  const page = await context.newPage();
  await identify(page, "/hooks/signup");
  await shown(page, "You have done this already");
  assert.equal(await session(context), null);
});

test("a bridge that does not answer: whoever registers is proofed all the same", async () => {
  const context = await w.browser();
  await from(context, {});
  const page = await context.newPage();
  await fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 1 });
  const calls = await asked(async () => {
    await identify(page, "/hooks/signup", "joan@shop.example");
    await shown(page, "Prove who you are");
  });
  assert.deepEqual(calls.slice(-1), ["/idv"]);
  assert.equal(await session(context), null);
});

test("on a device that is known the hook says continue, and a code is enough", async () => {
  const page = await home.newPage();
  const calls = await asked(async () => {
    await page.goto(w.ready.app_url);
    await identify(page, "/hooks/login");
    await arrived(page);
  });
  assert.deepEqual(calls, ["/hooks/pre-login", "/risk/outcome"]);
  const token = await session(home);
  assert.deepEqual([token.sub, token.su], [userId, undefined]);
});

test("on a new device the challenge is there before the login, and shown only after it", async () => {
  for (const [camera, passes] of [
    ["other.mjpeg", false],
    ["selfie.mjpeg", true],
  ]) {
    const context = await w.browser(camera);
    await from(context, { device: "new" });
    const page = await context.newPage();
    const calls = await asked(async () => {
      await begin(page, "/hooks/login", email);
      assert.doesNotMatch(await page.content(), /\/c\//, "nobody sees a link before they have signed in");
      await enter(page, await mailed(email));
      await shown(page, "Show that it is you");
      if (!passes) await lookEverywhere(page, "descope-pre-login");
      const challenge = await opened(context, page);
      const tab = await showFace(context, challenge);
      for (const left of passes ? [] : ["2 attempts left.", "One attempt left."]) {
        await tab.locator("#left", { hasText: left }).waitFor();
        await tab.locator(id("retake")).click();
        await tab.locator(id("take")).click();
      }
      await tab.locator(`${id("result")}[data-status="${passes ? "match" : "refused"}"]`).waitFor();
      await challenge.locator(`${id("status")}[data-status="${passes ? "match" : "no_match"}"]`).waitFor();
      await page.bringToFront();
      await button(page, "I am done").click();
      await (passes ? arrived(page) : shown(page, "We could not confirm that it is you"));
    });
    assert.deepEqual(calls, ["/hooks/pre-login", "/stepup/result", ...(passes ? ["/risk/outcome"] : [])], "the hook itself opened the challenge");
    const token = await session(context);
    assert.deepEqual([token?.sub, token?.su], passes ? [userId, true] : [undefined, undefined]);
  }
});

test("the face alone lets nobody in", async () => {
  const context = await w.browser("selfie.mjpeg");
  await from(context, { device: "new" });
  const { action, challenge_url } = await w.node("hooks/pre-login", { identifier: userId, ip: berlin });
  assert.equal(action, "step_up");
  const challenge = await context.newPage();
  await challenge.goto(challenge_url);
  const tab = await showFace(context, challenge);
  await tab.locator(`${id("result")}[data-status="match"]`).waitFor();
  const page = await context.newPage();
  await begin(page, "/hooks/login", email);
  await wrong(page);
  assert.equal(await session(context), null);
});

test("an account that is not there looks like one that is", async () => {
  const pages = [];
  for (const who of [email, nobody]) {
    const context = await w.browser();
    await from(context, { device: "new" });
    const page = await context.newPage();
    const calls = await asked(() => begin(page, "/hooks/login", who));
    assert.deepEqual(calls, ["/hooks/pre-login"]);
    pages.push(await screenText(page));
    if (who !== nobody) continue;
    await look(page, "descope-pre-login-code");
    await wrong(page);
    assert.equal(await session(context), null);
  }
  assert.equal(pages[0], pages[1]);
  assert.equal(await mailed(nobody), undefined, "and no mail goes out");
});

test("a bridge that does not answer: the face is asked for after the login", async () => {
  const context = await w.browser("selfie.mjpeg");
  await from(context, { device: "new" });
  const page = await context.newPage();
  await fault({ target: "connector:1Kosmos Bridge", kind: "status", status: 503, count: 1 });
  const calls = await asked(async () => {
    await identify(page, "/hooks/login");
    await shown(page, "Show that it is you");
  });
  assert.deepEqual(calls.slice(-1), ["/stepup"]);
  assert.equal(await session(context), null);
});

test("too many tries for one address from one network: refused, and only there", async () => {
  const who = "eve@shop.example";
  let action;
  for (let i = 0; i < 60 && action !== "deny"; i++) ({ action } = await w.node("hooks/pre-login", { identifier: who, ip: sydney }));
  assert.equal(action, "deny");
  const context = await w.browser();
  await from(context, { device: "new", ip: sydney });
  const page = await context.newPage();
  await begin(page, "/hooks/login", who, "We cannot let you in now");
  await lookEverywhere(page, "descope-pre-login-denied");
  await button(page, "Start over").click();
  await from(context, { device: "new", ip: lisbon });
  await begin(page, "/hooks/login", who);
});
