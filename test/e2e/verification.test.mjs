import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look } from "./harness.mjs";
import { choose, consented, following, held, id, result, status } from "./person.mjs";

let w;
before(async () => (w = await World.start()));
after(() => w?.stop());

// opened opens the link and agrees; it returns the hand-off page and the address of the
// capture page.
async function opened(context, start) {
  const page = await context.newPage();
  await page.goto(start.session_url);
  assert.ok(!page.url().includes(start.session_url.split("/").pop()), "the secret has left the address bar");
  return { page, capture: await consented(page) };
}

// photograph takes one photo with the camera and goes on.
async function photograph(page) {
  await page.locator(id("use-camera")).click();
  await page.locator(id("take")).click();
  await page.locator(id("continue")).click();
}

// byCamera ends with a look at the verdict.
async function byCamera(selfie, verdict) {
  const start = await w.node("idv", { document_types: "passport", liveness_mode: "none", user_identifier: "jane@example.com" });
  const desk = await w.browser("passport.mjpeg");
  const { page, capture } = await opened(desk, start);
  const document = await following(page, page.locator(id("open-here")));
  await document.locator(id("start")).click();
  await photograph(document);

  // The person turns the camera round: another Chromium whose camera shows a face.
  const turned = await w.browser(selfie);
  const face = await turned.newPage();
  await face.goto(capture);
  await photograph(face);
  await held(face, `${w.ready.bridge_url}/**`, async () => {
    await face.locator(id("submit")).click();
    await result(face, verdict);
    await look(face, `capture-${verdict}`);
  });
  return { start, page };
}

test("the person on the passport, by camera", async () => {
  const { start, page } = await byCamera("selfie.mjpeg", "success");
  await status(page, "verified");
  await look(page, "handoff-verified");
  const r = await w.result(start.session_id);
  assert.equal(r.status, "verified");
  assert.equal(r.claims.family_name, "ERIKSSON");
  assert.equal(r.verified_claims.claims.birthdate, "1974-08-12");
});

test("another person, by camera", async () => {
  const { start, page } = await byCamera("other.mjpeg", "failed");
  await page.locator(`${id("status")}[data-reason="face_mismatch"]`).waitFor();
  await look(page, "handoff-failed");
  const r = await w.result(start.session_id);
  assert.deepEqual([r.status, r.reason, r.verified_claims, r.claims], ["failed", "face_mismatch", null, null]);
});

for (const [document, status, reason] of [
  ["altered.jpg", "failed", "mrz_check_digit"],
  ["expired.jpg", "failed", "document_expired"],
]) {
  test(`${document}, from a file`, async () => {
    const start = await w.node("idv", { document_types: ["passport"], liveness_mode: "none" });
    const context = await w.browser();
    const { page, capture } = await opened(context, start);
    const tab = await context.newPage();
    await tab.goto(capture);
    await tab.locator(id("start")).click();
    // Three tries, as a person would, then on with what there is.
    for (let tries = 0; tries < 3; tries++) {
      await choose(tab, "file-document", w.fixture(document));
      await tab.locator("#status.bad, #status.good").waitFor();
      if (await tab.locator(id("continue")).isVisible()) break;
      await tab.locator(id("retake")).click();
    }
    await tab.locator(id("continue")).click();
    await choose(tab, "file-selfie", w.fixture("selfie.jpg"));
    await tab.locator(id("continue")).click();
    await tab.locator(id("submit")).waitFor();
    await look(tab, `capture-review-${reason}`);
    await tab.locator(id("submit")).click();
    await result(tab, "failed");
    await page.locator(`${id("status")}[data-reason="${reason}"]`).waitFor();
    const r = await w.result(start.session_id);
    assert.deepEqual([r.status, r.reason], [status, reason]);
  });
}

test("without JavaScript, with an identity card of two sides", async () => {
  const start = await w.node("idv", { document_types: ["passport", "id_card"], liveness_mode: "none" });
  const context = await w.browser(undefined, { javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(start.session_url);
  await page.locator(id("doc-id_card")).check();
  await page.locator(id("consent")).check();
  await page.locator(id("start")).click();
  const capture = await page.locator(id("open-here")).getAttribute("href");
  const tab = await context.newPage();
  await tab.goto(capture);
  await tab.locator(id("start")).click();
  for (const [input, file] of [
    ["file-document", "idcard.jpg"],
    ["file-document-back", "idcard-back.jpg"],
    ["file-selfie", "selfie.jpg"],
  ]) {
    await tab.locator(id(input)).setInputFiles(w.fixture(file));
    await tab.locator(id("upload")).click(); // a good photo leads on by itself
  }
  await tab.locator(id("submit")).click();
  await result(tab, "success");
  assert.equal((await w.result(start.session_id)).status, "verified");
});

test("over to a phone, and back to where the person came from", async () => {
  const callback = `${w.ready.bridge_url}/`;
  const start = await w.node("idv", {
    document_types: "passport", liveness_mode: "none", user_identifier: "jane@example.com", callback_url: callback,
  });
  const desk = await w.browser();
  const page = await desk.newPage();
  await page.goto(start.session_url);
  await look(page, "handoff-consent");
  assert.equal(await page.locator(id("application")).first().innerText(), "Demo shop");
  assert.match(await page.locator(id("account")).first().innerText(), /^j•••@example\.com$/);
  await page.locator(id("consent")).check();
  await page.locator(id("start")).click();
  await page.locator(id("use-phone")).waitFor();
  await look(page, "handoff-continue");
  await page.locator(id("use-phone")).click();
  await page.locator(id("qr")).waitFor();
  await look(page, "handoff-qr");
  const link = (await page.locator(id("phone-link")).innerText()).trim();

  // Opened where it is shown, the link changes nothing and stays good.
  const own = await desk.newPage();
  await own.goto(link);
  assert.equal(own.url(), `${w.ready.bridge_url}/v/${start.session_id}`);
  await own.locator(id("use-phone")).waitFor();
  await own.close();

  const phone = await w.browser("selfie.mjpeg");
  const mobile = await phone.newPage();
  await mobile.goto(link);
  await look(mobile, "handoff-phone");
  const capture = await mobile.locator(id("open-here")).getAttribute("href");
  const stranger = await (await w.browser()).newPage();
  assert.equal((await stranger.goto(link)).status(), 404, "the phone's link is good once");
  assert.equal((await stranger.goto(start.session_url)).status(), 403, "the link belongs to its first browser");
  await look(stranger, "handoff-refused");

  const tab = await phone.newPage();
  await tab.goto(capture);
  await look(tab, "capture-start");
  await tab.locator(id("start")).click();
  await tab.locator(id("file-document")).waitFor({ state: "attached" });
  await look(tab, "capture-document");
  await choose(tab, "file-document", w.fixture("passport.jpg"));
  await tab.locator("#status.good").waitFor();
  await look(tab, "capture-document-good");
  await tab.locator(id("continue")).click();
  await tab.locator(id("use-camera")).click();
  await tab.locator(id("take")).waitFor();
  await look(tab, "capture-selfie-camera");
  await tab.locator(id("take")).click();
  await tab.locator(id("continue")).click();
  await tab.locator(id("submit")).click();
  await result(tab, "success");
  await page.waitForURL(`${callback}?session_id=${start.session_id}`);
});

test("the person says no", async () => {
  const start = await w.node("idv", { liveness_mode: "none" });
  const page = await (await w.browser()).newPage();
  await page.goto(start.session_url);
  await page.locator(id("decline")).click();
  await page.locator(`${id("status")}[data-reason="declined"]`).waitFor();
  const r = await w.result(start.session_id);
  assert.deepEqual([r.status, r.reason], ["abandoned", "declined"]);
});
