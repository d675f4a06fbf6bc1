// Door B in a browser: the local Descope sends people to us as an identity provider, by
// OpenID Connect and by SAML, and what we sign lands on its user.
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
const button = (page, name) => page.getByRole("button", { name, exact: true }).last();
const shown = async (page, text) => {
  await page.locator("descope-wc").getByText(text, { exact: true }).waitFor();
  await page.waitForFunction(() => !document.querySelector("descope-wc").shadowRoot.querySelector("descope-button[loading=true], descope-button[disabled=true]"));
};

async function code(to) {
  const mails = await (await fetch(`${w.ready.descope.base_url}/lab/api/mail`)).json();
  return mails.find((m) => m.to === to).code;
}

async function identify(page, path, who) {
  await page.goto(`${w.ready.app_url}${path}`);
  await page.getByLabel("E-mail address").fill(who);
  await button(page, "Continue").click();
  await shown(page, "Check your e-mail");
  const boxes = page.locator("descope-passcode input");
  for (const [i, digit] of [...(await code(who))].entries()) await boxes.nth(i).press(digit);
  await button(page, "Continue").click();
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
  await tab.close();
}

async function session(context) {
  const cookie = (await context.cookies(w.ready.app_url)).find((c) => c.name === "shop_session");
  return cookie ? (await descope.validateSession(cookie.value)).token : null;
}

const arrived = (page) => page.waitForURL(`${w.ready.app_url}/account`);

test("by OpenID Connect a proofing lands on the Descope user: status, level, claims", async () => {
  const context = await w.browser();
  await inject(context, await w.frames("head", { seed: 3 }), { lasts: 12_000 });
  const page = await context.newPage();
  await page.goto(`${w.ready.app_url}/federated/prove`);
  await shown(page, "Prove who you are");
  await lookEverywhere(page, "descope-federated-prove");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/v/*`);
  assert.match(await page.locator(id("application")).first().innerText(), /Tallow & Wick/);
  await prove(context, page, false);
  await arrived(page);
  const token = await session(context);
  assert.equal(token.kosmos_status, "verified");
  const { data: user } = await descope.management.user.loadByUserId(token.sub);
  assert.deepEqual([user.customAttributes.kosmosStatus, user.customAttributes.kosmosIal], ["verified", "none"]);
  assert.deepEqual([user.familyName, user.email ?? ""], ["ERIKSSON", ""], "proofing alone gives claims, and no e-mail");
});

test("declined: nobody is signed in", async () => {
  const context = await w.browser();
  const page = await context.newPage();
  await page.goto(`${w.ready.app_url}/federated/prove`);
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/v/*`);
  await page.locator(id("decline")).click();
  await page.waitForURL(`${w.ready.app_url}/federated/prove**`);
  await shown(page, "Prove who you are");
  assert.equal(await session(context), null);
});

test("an account whose face is known, for what follows", async () => {
  const context = (home = await w.browser());
  await inject(context, await w.frames("head"), { lasts: 12_000 });
  const page = await context.newPage();
  await identify(page, "/signup", email);
  await shown(page, "Prove who you are");
  const [tab] = await Promise.all([context.waitForEvent("page"), page.getByRole("link", { name: "Open the page" }).click()]);
  await prove(context, tab, true);
  await tab.locator(`${id("status")}[data-status="verified"]`).waitFor();
  await page.bringToFront();
  await button(page, "I am done").click();
  await arrived(page);
  userId = (await session(context)).sub;
});

for (const [how, path] of [
  ["OpenID Connect", "/federated/login"],
  ["SAML", "/federated/saml"],
]) {
  test(`by ${how} the face decides: somebody else's does not let in, one's own does`, async () => {
    for (const [camera, passes] of [
      ["other.mjpeg", false],
      ["selfie.mjpeg", true],
    ]) {
      const context = await w.browser(camera);
      const page = await context.newPage();
      await identify(page, path, email);
      await shown(page, "Show that it is you");
      await button(page, "Continue").click();
      await page.waitForURL(`${w.ready.bridge_url}/c/*`);
      await look(page, `federated-challenge-${how.replace(/\W/g, "-")}`);
      const [tab] = await Promise.all([context.waitForEvent("page"), page.locator(id("open-here")).click()]);
      await tab.locator(id("account")).fill(userId);
      await tab.locator(id("use-camera")).click();
      await tab.locator(id("take")).click();
      for (const left of passes ? [] : ["2 attempts left.", "One attempt left."]) {
        await tab.locator("#left", { hasText: left }).waitFor();
        await tab.locator(id("retake")).click();
        await tab.locator(id("take")).click();
      }
      await tab.locator(`${id("result")}[data-status="${passes ? "match" : "refused"}"]`).waitFor();
      await page.bringToFront();
      if (passes) {
        await arrived(page);
        const token = await session(context);
        assert.deepEqual([token.sub, token.su], [userId, true]);
      } else {
        await page.waitForURL(`${w.ready.app_url}${path}**`);
        await shown(page, "Show that it is you");
        assert.equal(await session(context), null);
      }
    }
  });
}

// A relying party that names nobody: our own page asks.
async function authorize(page, params) {
  const { issuer, clients } = w.ready.federation;
  const client = clients.find((c) => c.client_id === "demo-still");
  const q = new URLSearchParams({
    client_id: client.client_id, redirect_uri: client.redirect_uri, response_type: "code", scope: "openid", state: "s1",
    code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256", ...params,
  });
  await page.goto(`${issuer}/authorize?${q}`);
  return client.redirect_uri;
}

test("the page that asks who somebody is: by keyboard, without a name, and back", async () => {
  const context = await w.browser();
  const page = await context.newPage();
  const back = await authorize(page, { acr_values: "urn:kosmoscope:acr:liveid" });
  await page.waitForURL(`${w.ready.bridge_url}/federation/demo/who/*`);
  await lookEverywhere(page, "who-face");
  await page.locator(id("who")).focus();
  await page.keyboard.type("nobody@nowhere.example");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${w.ready.bridge_url}/c/*`); // whether there is such an account does not show
  await authorize(page, { acr_values: "/assurance/ial/2", login_hint: "ada@shop.example" });
  await page.waitForURL(`${w.ready.bridge_url}/federation/demo/who/*`);
  await lookEverywhere(page, "who-level");
  await page.route(`${back}**`, (route) => route.fulfill({ body: "back at the relying party" }));
  await page.locator(id("decline")).click();
  await page.waitForURL(`${back}?**`);
  const q = new URL(page.url()).searchParams;
  assert.deepEqual([q.get("error"), q.get("state"), q.get("iss")], ["access_denied", "s1", w.ready.federation.issuer]);
});

test("what must not be redirected is a page that a person understands", async () => {
  const context = await w.browser();
  const page = await context.newPage();
  await authorize(page, { redirect_uri: "https://evil.example/" });
  assert.ok(page.url().startsWith(w.ready.bridge_url));
  assert.match(await page.locator(id("status")).innerText(), /not one of its own/);
  await lookEverywhere(page, "federation-refused");
});
