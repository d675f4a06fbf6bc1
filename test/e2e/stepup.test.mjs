import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { World, look, lookEverywhere } from "./harness.mjs";
import { app, choose, consented, following, held, id, insist, renewed, result, showFace, status, tabTo } from "./person.mjs";

let w;
before(async () => (w = await World.start("--step-up-liveness", "none"))); // a still face; live.test.mjs has the other
after(() => w?.stop());
afterEach(() => w.close(waiting));

const user = "jane@example.com";
const second = "june@example.com"; // the same person again: nobody is asked more than ten times in ten minutes

// Begun early, looked at in the end, because they take their time.
let waiting, expiring, lasting;

// challenge calls the Step-Up node and opens the link.
async function challenge(context, more = {}) {
  const c = await w.node("stepup", { user_identifier: user, ...more });
  assert.equal(c.status, "pending", JSON.stringify(c));
  const page = await context.newPage();
  await page.goto(c.challenge_url);
  await page.locator(id("open-here")).waitFor();
  assert.equal(page.url(), `${w.ready.bridge_url}/c/${c.challenge_id}`, "the secret has left the address bar");
  return { ...c, page };
}

// here goes on to the authenticator, which opens beside the page.
async function here(page) {
  const tab = await app(page);
  assert.equal(new URL(tab.url()).origin, `https://${w.ready.kosmos.dns}`);
  return tab;
}

// verify proves somebody as a user through the pages, with the box of its own
// ticked if enrol says so; the document is a file, the face is before the camera.
async function verify(context, document, enrol) {
  const start = await w.node("idv", { document_types: "passport", liveness_mode: "none", user_identifier: user });
  const page = await context.newPage();
  await page.goto(start.session_url);
  await consented(page);
  const tab = await following(page, page.locator(id("open-here")));
  const box = tab.locator(id("enrol"));
  assert.equal(await box.isChecked(), false, "nobody agrees by doing nothing");
  if (enrol) {
    await box.check();
    await look(tab, "capture-start-enrol");
  }
  await tab.locator(id("start")).click();
  await choose(tab, "file-document", w.fixture(document));
  await tab.locator("#status.good").waitFor();
  await tab.locator(id("continue")).click();
  await tab.locator(id("use-camera")).click();
  await tab.locator(id("take")).click();
  await tab.locator(id("continue")).click();
  await tab.locator(id("submit")).click();
  await tab.locator(id("result")).waitFor();
  return { page, outcome: await w.result(start.session_id) };
}

test("a person is verified without the box, and cannot step up", async () => {
  const { outcome } = await verify(await w.browser("selfie.mjpeg"), "passport.jpg", false);
  assert.deepEqual([outcome.status, outcome.enrolled], ["verified", false]);
  const c = await w.node("stepup", { user_identifier: user });
  assert.deepEqual([c.status, c.reason, c.challenge_url], ["refused", "user_not_enrolled", null]);
});

test("the person agrees to be recognised", async () => {
  const { outcome } = await verify(await w.browser("selfie.mjpeg"), "passport.jpg", true);
  assert.deepEqual([outcome.status, outcome.enrolled], ["verified", true]);
  w.enrol(second);
  waiting = await w.browser();
  expiring = await challenge(waiting, { user_identifier: second, timeout_seconds: 30 });
  lasting = await challenge(waiting, { user_identifier: second, timeout_seconds: 900 });
});

test("the same person, by camera, and back to where they came from", async () => {
  const context = await w.browser("selfie.mjpeg");
  const callback = `${w.ready.bridge_url}/`;
  const asked = {
    callback_url: callback, reason_code: "new_device", decision_id: "decision-17",
    transaction: "Pay 12.00 EUR to <b>Example Boats</b>\nfor the weekend",
  };
  // What is looked at for long is not answered: there is a minute for that.
  const { page } = await challenge(context, { ...asked, user_identifier: second });
  assert.equal(await page.locator(id("application")).first().innerText(), "Demo shop");
  assert.equal(await page.locator(id("account")).first().innerText(), "j•••@example.com");
  assert.equal(await page.locator(id("transaction")).innerText(), asked.transaction);
  assert.match(await page.locator(id("why")).innerText(), /new for your account/);
  assert.match(await page.locator(id("warning")).innerText(), /because somebody sent it to you/);
  await lookEverywhere(page, "challenge");
  const tab = await here(page);
  assert.equal(await tab.locator(id("application")).innerText(), "Demo shop");
  assert.equal(await tab.locator(id("account-shown")).innerText(), "j•••@example.com");
  await lookEverywhere(tab, "authenticator");
  await tab.close();

  const ours = await challenge(context, asked);
  await held(ours.page, `${callback}?**`, async () => {
    const face = await here(ours.page);
    await face.locator(id("account")).fill(user);
    await face.locator(id("use-camera")).click();
    await face.locator(id("take")).waitFor();
    await look(face, "authenticator-camera");
    await face.locator(id("take")).click();
    await result(face, "match");
    await look(face, "authenticator-match");
    await status(ours.page, "match");
    await look(ours.page, "challenge-match");
  });
  await ours.page.waitForURL(`${callback}?challenge_id=${ours.challenge_id}`);
  const r = await w.outcome(ours.challenge_id);
  assert.deepEqual(
    [r.match_result, r.reason, r.confidence_basis, r.liveness_mode, r.decision_id],
    ["match", null, "provider_score", "none", "decision-17"],
  );
  assert.ok(r.confidence > 0.5 && r.confidence <= 1, `confidence ${r.confidence}`);

  // This device knows its account from now on.
  const again = await challenge(context);
  const next = await here(again.page);
  assert.equal(await next.locator(id("account")).inputValue(), user);
  await next.locator(id("use-camera")).click();
  await next.locator(id("take")).click();
  await result(next, "match");
  assert.equal((await w.outcome(again.challenge_id)).match_result, "match");
});

test("another person, by camera, until nobody may try any more", async () => {
  const context = await w.browser("other.mjpeg");
  const seen = await here((await challenge(context, { user_identifier: second })).page);
  await showFace(seen, second);
  await seen.locator("#left", { hasText: "2 attempts left." }).waitFor();
  await lookEverywhere(seen, "authenticator-mismatch");
  await seen.close();

  const { page, challenge_id } = await challenge(context);
  const tab = await here(page);
  await showFace(tab, user);
  await insist(tab, async () => assert.match(await tab.locator(id("status")).innerText(), /light.*glasses/));
  await result(tab, "refused");
  await look(tab, "authenticator-refused");
  await status(page, "no_match");
  await lookEverywhere(page, "challenge-no-match");
  const r = await w.outcome(challenge_id);
  assert.deepEqual([r.match_result, r.reason], ["no_match", "face_mismatch"]);
  for (const p of [page, tab]) assert.doesNotMatch(await p.locator("main").innerText(), /\d[.,]\d|%|score/, "how close it was is nobody's business");
});

test("the phone takes over by the short link", async () => {
  const desk = await w.browser(undefined, { viewport: { width: 1280, height: 900 } });
  const callback = `${w.ready.bridge_url}/`;
  const begun = Date.now();
  const { page, challenge_id, challenge_url } = await challenge(desk, { callback_url: callback });
  await page.locator(id("use-phone")).click();
  const link = (await page.locator(id("phone-link")).innerText()).trim();
  await look(page, "challenge-short-link");

  // Opened where it is shown, the link changes nothing and stays good.
  const secret = link.split("/p/")[1];
  for (const typed of [link, `${w.ready.bridge_url}/p/${secret.replaceAll("-", "")}`]) {
    const own = await desk.newPage();
    await own.goto(typed);
    assert.equal(own.url(), `${w.ready.bridge_url}/c/${challenge_id}`);
    await own.locator('#page[data-step="answer"]').waitFor();
    await own.locator(id("use-phone")).waitFor();
    await own.close();
  }

  // Typed as people type.
  const phone = await w.browser("selfie.mjpeg", { isMobile: true, hasTouch: true });
  const mobile = await phone.newPage();
  await mobile.goto(`${w.ready.bridge_url}/p/${secret.toUpperCase().replaceAll("-", " ")}`);
  await mobile.locator(id("open-here")).waitFor();
  await lookEverywhere(mobile, "challenge-phone");
  await page.locator('#page[data-step="elsewhere"]').waitFor();
  await look(page, "challenge-elsewhere");
  const stranger = await (await w.browser()).newPage();
  assert.equal((await stranger.goto(link)).status(), 404, "the short link is good once");
  assert.equal((await stranger.goto(challenge_url)).status(), 403, "the link belongs to its first browser");
  await look(stranger, "challenge-refused");

  if (Date.now() - begun > 25_000) await renewed(mobile); // it does not say how long it is good for
  const tab = await here(mobile);
  await showFace(tab, user);
  await result(tab, "match");
  await status(mobile, "match");
  await look(mobile, "challenge-phone-match");
  await page.waitForURL(`${callback}?challenge_id=${challenge_id}`);
  assert.equal((await w.outcome(challenge_id)).match_result, "match");
});

test("the phone scans the code of the app", async () => {
  const { page, challenge_id } = await challenge(await w.browser(undefined, { viewport: { width: 1280, height: 900 } }));
  await page.locator(id("scan")).waitFor();
  // What the code holds is what the link beside it leads to.
  const code = await page.locator(id("open-here")).getAttribute("href");
  const phone = await w.browser("selfie.mjpeg", { isMobile: true, hasTouch: true });
  const tab = await phone.newPage();
  await tab.goto(code);
  await showFace(tab, user);
  await result(tab, "match");
  await status(page, "match");
  assert.equal((await w.outcome(challenge_id)).match_result, "match");
});

test("the person says that it was not them", async () => {
  const context = await w.browser("selfie.mjpeg");
  const ours = await challenge(context, { user_identifier: second });
  await ours.page.locator(id("decline")).click();
  await status(ours.page, "failed");
  await look(ours.page, "challenge-declined");
  assert.deepEqual(await end(ours), ["error", "declined"]);

  const theirs = await challenge(context, { user_identifier: second });
  const tab = await here(theirs.page);
  await tab.locator(id("decline")).click();
  await result(tab, "refused");
  await look(tab, "authenticator-declined");
  await status(theirs.page, "failed");
  assert.deepEqual(await end(theirs), ["error", "declined"]);
});

const end = async ({ challenge_id }) => {
  const r = await w.outcome(challenge_id);
  return [r.match_result, r.reason];
};

test("with the keyboard alone", async () => {
  const context = await w.browser("selfie.mjpeg");
  const { page, challenge_id } = await challenge(context);
  await tabTo(page, "open-here");
  const [tab] = await Promise.all([context.waitForEvent("page"), page.keyboard.press("Enter")]);
  await tab.locator(id("use-camera")).waitFor();
  await tabTo(tab, "account");
  await tab.keyboard.type(user);
  await tabTo(tab, "use-camera");
  await tab.keyboard.press("Space");
  await tab.locator(`${id("take")}:focus`).waitFor();
  await tab.keyboard.press("Enter");
  await result(tab, "match");
  await status(page, "match");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1", "what is new has the focus");
  assert.equal((await w.outcome(challenge_id)).match_result, "match");
});

test("without JavaScript, with a photo from a file", async () => {
  const context = await w.browser(undefined, { javaScriptEnabled: false });
  const { page, challenge_id } = await challenge(context);
  const tab = await context.newPage();
  await tab.goto(await page.locator(id("open-here")).getAttribute("href"));
  const send = async (file) => {
    await tab.locator(id("account")).fill(user);
    await tab.locator(id("file-selfie")).setInputFiles(w.fixture(file));
    await tab.locator(id("send")).click();
  };
  await send("nobody.jpg");
  await tab.locator(`${id("status")}.bad`, { hasText: /face/i }).waitFor();
  await send("selfie.jpg");
  await result(tab, "match");
  await status(page, "match"); // the page loads itself again
  assert.equal((await w.outcome(challenge_id)).match_result, "match");
});

test("somebody with a good passport of their own cannot take the LiveID over", async () => {
  w.specimen("mallory.jpg", "--portrait", w.fixture("other.jpg"), "--surname", "MALLORY", "--given-names", "EVE", "--number", "E00007731");
  const { page, outcome } = await verify(await w.browser("other.mjpeg"), "mallory.jpg", true);
  assert.deepEqual([outcome.status, outcome.reason, outcome.verified_claims], ["failed", "enrolment_conflict", null]);
  await page.locator(`${id("status")}[data-reason="enrolment_conflict"]`).waitFor();
  await look(page, "handoff-conflict");

  const victim = await w.browser("selfie.mjpeg");
  const c = await challenge(victim);
  const tab = await here(c.page);
  await showFace(tab, user);
  await result(tab, "match");
  assert.deepEqual(await end(c), ["match", null]);
});

test("what nobody answers expires, and says so", async () => {
  const { page } = expiring;
  await status(page, "expired");
  await lookEverywhere(page, "challenge-expired");
  assert.deepEqual(await end(expiring), ["expired", "time_limit"]);
});

test("the code of the app is replaced before it is too old, without a word from the person", async () => {
  const { page } = lasting;
  await page.locator('#page[data-session]:not([data-session="1"], [data-session="none"])').waitFor({ timeout: 120_000 });
  await page.locator(id("scan")).waitFor();
  await look(page, "challenge-renewed");
  await status(page, "pending");
});
