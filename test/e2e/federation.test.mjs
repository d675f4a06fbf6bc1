// Door B in a browser: the local Descope sends people to us as an identity provider, by
// OpenID Connect and by SAML, and what we sign lands on its user.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look, lookEverywhere } from "./harness.mjs";
import { inject } from "./live.mjs";
import { app, id, insist, prove, result, showFace, status } from "./person.mjs";
import { button, shown } from "./screen.mjs";
import { Shop } from "./shop.mjs";

let w, shop, home, userId;
before(async () => {
  w = await World.start("--step-up-liveness", "none"); // step-ups take a still face; live.test.mjs has the other
  shop = new Shop(w.ready);
});
after(() => w?.stop());
afterEach(() => w.close(home));

const email = "ada@shop.example";

test("by OpenID Connect a proofing lands on the Descope user: status, level, claims", async () => {
  const context = await w.browser();
  await inject(context, await w.frames("head"));
  const page = await context.newPage();
  await page.goto(`${shop.url}/federated/prove`);
  await shown(page, "Prove who you are");
  await lookEverywhere(page, "descope-federated-prove");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/v/*`);
  assert.match(await page.locator(id("application")).first().innerText(), /Tallow & Wick/);
  await prove(w, page, false);
  await shop.arrived(page);
  const token = await shop.session(context);
  assert.equal(token.kosmos_status, "verified");
  const { data: user } = await shop.users.loadByUserId(token.sub);
  assert.deepEqual([user.customAttributes.kosmosStatus, user.customAttributes.kosmosIal], ["verified", "none"]);
  assert.deepEqual([user.familyName, user.email ?? ""], ["ERIKSSON", ""], "proofing alone gives claims, and no e-mail");
});

test("declined: nobody is signed in", async () => {
  const context = await w.browser();
  const page = await context.newPage();
  await page.goto(`${shop.url}/federated/prove`);
  await shown(page, "Prove who you are");
  await button(page, "Continue").click();
  await page.waitForURL(`${w.ready.bridge_url}/v/*`);
  await page.locator(id("decline")).click();
  await page.waitForURL(`${shop.url}/federated/prove**`);
  await shown(page, "Prove who you are");
  assert.equal(await shop.session(context), null);
});

test("an account whose face is known, for what follows", async () => {
  const context = (home = await w.browser());
  await inject(context, await w.frames("head"));
  const page = await context.newPage();
  await shop.identify(page, "/signup", email);
  await shown(page, "Prove who you are");
  const tab = await shop.opened(page);
  await prove(w, tab, true);
  await status(tab, "verified");
  await page.bringToFront();
  await button(page, "I am done").click();
  await shop.arrived(page);
  userId = (await shop.session(context)).sub;
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
      await shop.identify(page, path, email);
      await shown(page, "Show that it is you");
      await button(page, "Continue").click();
      await page.waitForURL(`${w.ready.bridge_url}/c/*`);
      await look(page, `federated-challenge-${how.replace(/\W/g, "-")}`);
      const tab = await app(page);
      await showFace(tab, userId);
      if (!passes) await insist(tab);
      await result(tab, passes ? "match" : "refused");
      await page.bringToFront();
      if (passes) {
        await shop.arrived(page);
        const token = await shop.session(context);
        assert.deepEqual([token.sub, token.su], [userId, true]);
      } else {
        await page.waitForURL(`${shop.url}${path}**`);
        await shown(page, "Show that it is you");
        assert.equal(await shop.session(context), null);
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
