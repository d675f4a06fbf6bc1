// What a person does on our pages and on those of the local 1Kosmos.
import assert from "node:assert/strict";
import { persist } from "./live.mjs";

export const id = (name) => `[data-testid="${name}"]`;

// choose gives a page a photo from a file, once its script is there to see it.
export const choose = (tab, name, file) => tab.locator("html.js").locator(id(name)).setInputFiles(file);

// consented agrees on the hand-off page; it returns the address of the capture page.
export async function consented(page) {
  const consent = page.locator(id("consent"));
  await consent.waitFor(); // and what is above it, is there then
  const passport = page.locator("input[type=radio][value=passport]");
  if (await passport.count()) await passport.check();
  await consent.check();
  await page.locator(id("start")).click();
  return page.locator(id("open-here")).getAttribute("href");
}

// documented goes on to where the face is looked at: the capture page in a tab of its own.
export async function documented(w, page, enrol) {
  const capture = await consented(page);
  const tab = await page.context().newPage();
  await tab.goto(capture);
  if (enrol) await tab.locator(id("enrol")).check();
  await tab.locator(id("start")).click();
  await choose(tab, "file-document", w.fixture("passport.jpg"));
  await tab.locator("#status.good").waitFor();
  await tab.locator(id("continue")).click();
  return tab;
}

// prove goes through all the pages of a proofing with a living face, from the hand-off page on.
export async function prove(w, page, enrol) {
  const tab = await documented(w, page, enrol);
  await tab.locator(id("live")).waitFor();
  await persist(tab);
  await tab.locator(id("submit")).click();
  await tab.locator(`${id("result")}[data-status="success"]`).waitFor();
  await tab.close();
}

// status waits until one of our pages says how it ended.
export const status = (page, state) => page.locator(`${id("status")}[data-status="${state}"]`).waitFor();

// result waits until one of 1Kosmos' does.
export const result = (tab, state) => tab.locator(`${id("result")}[data-status="${state}"]`).waitFor();

// following clicks a link that opens a tab beside the page.
export async function following(page, link) {
  const [tab] = await Promise.all([page.context().waitForEvent("page"), link.click()]);
  return tab;
}

// renewed waits until a challenge page leads to another session of the authenticator.
export async function renewed(page) {
  const session = await page.locator("#page").getAttribute("data-session");
  await page.locator(`#page[data-session]:not([data-session="${session}"], [data-session="none"])`).waitFor({ timeout: 120_000 });
}

// app opens the authenticator beside a challenge page. Its session is good for a minute,
// and another follows: who has little left of this one waits for the next.
export async function app(page) {
  const clock = page.locator("[data-left]");
  if ((await clock.count()) && Number(/(\d+) second/.exec(await clock.innerText())?.[1] ?? 60) < 40) await renewed(page);
  const tab = await following(page, page.locator(id("open-here")));
  await tab.locator(id("decline")).waitFor();
  return tab;
}

// showFace shows the authenticator what is before the camera.
export async function showFace(tab, account) {
  await tab.locator(id("account")).fill(account);
  await tab.locator(id("use-camera")).click();
  await tab.locator(id("take")).click();
}

// insist tries with the wrong face for as long as the authenticator lets one.
export async function insist(tab, between) {
  for (const left of ["2 attempts left.", "One attempt left."]) {
    await tab.locator("#left", { hasText: left }).waitFor();
    await between?.(left);
    await tab.locator(id("retake")).click();
    await tab.locator(id("take")).click();
  }
}

// held keeps a page that leaves for an address by itself where it is, for as long as a
// look at it takes.
export async function held(page, address, look) {
  let go;
  const free = new Promise((done) => (go = done));
  await page.route(address, async (route) => {
    await free;
    await route.continue();
  });
  await look();
  go();
}

// tabTo goes on with the keyboard until something has the focus.
export async function tabTo(page, name) {
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((n) => document.activeElement?.dataset.testid === n, name)) return;
  }
  assert.fail(`the keyboard does not get to ${name}`);
}
