// The console, as an operator meets it: the policy is edited, tried, replayed, published
// and taken back, and the next login behaves accordingly.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { World, lookEverywhere, program } from "./harness.mjs";

let w;
before(async () => {
  w = await World.start("--step-up-liveness", "none");
});
after(() => w?.stop());
afterEach(() => w.close());

const berlin = "78.55.20.10";
const sydney = "49.180.20.30";

// run is one of the program's commands about the bridge.
const run = (...args) => execFileSync(program, [...args, "--config", join(w.ready.data, "kosmoscope.yaml"), "--json"], { encoding: "utf8" });

// login has one weighed, as a flow does, on a device that Descope knows, or not.
const login = (user, ip, known, more = {}) => w.node("risk", { user_identifier: user, ip, known_device: known, trusted_device: known, scopes: ["openid"], ...more });

async function familiar(user) {
  const d = await login(user, berlin, true);
  assert.equal(d.decision, "allow");
  assert.equal((await w.node("risk/outcome", { decision_id: d.decision_id, outcome: "success" })).learned, true);
}

// signIn opens the console with a link of its own.
async function signIn(role, name = "Ann") {
  const { link } = JSON.parse(run("console", "link", "--role", role, "--name", name));
  const context = await w.browser(undefined, { viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const said = [];
  page.on("pageerror", (e) => said.push(String(e)));
  page.on("console", (m) => m.type() === "error" && said.push(m.text()));
  await page.goto(link);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  return { context, page, said, link };
}

const said = (page, text) => page.locator(".said").filter({ hasText: text }).waitFor();
const ask = (page) => page.getByRole("group", { name: "Ask for a face when any of these holds" });

// onlyNewCountry makes the draft ask for nothing but a new country.
async function onlyNewCountry(page) {
  const checked = page.getByRole("tabpanel").getByRole("checkbox", { checked: true });
  await checked.first().waitFor(); // all are there
  while (await checked.count()) await checked.first().uncheck();
  await ask(page).getByRole("checkbox", { name: "the country is new" }).check();
}

test("from opening the console to a new policy in force, and back", async (t) => {
  await familiar("ada@shop.example");
  assert.equal((await login("ada@shop.example", berlin, false)).decision, "step_up");

  const begun = performance.now();
  const { page, said: wrong } = await signIn("operator");
  await ask(page).waitFor();
  await onlyNewCountry(page);
  await page.getByRole("button", { name: "Publish…" }).click();
  const dialog = page.getByRole("dialog", { name: "Publish the draft" });
  await dialog.getByRole("textbox", { name: "Comment" }).fill("Only the country counts.");
  await dialog.getByRole("button", { name: "Publish", exact: true }).click();
  await said(page, "Version 1 is published and holds.");
  t.diagnostic(`from opening the console to "step up when the country is new" in force: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  await lookEverywhere(page, "console-policy");

  // The next login.
  const known = await login("ada@shop.example", berlin, false);
  assert.deepEqual([known.decision, known.policy_version], ["allow", 1]);
  const abroad = await login("ada@shop.example", sydney, true);
  assert.deepEqual([abroad.decision, abroad.reasons], ["step_up", ["geo_anomaly"]]);

  // And back, with one click and a confirmation.
  await page.getByRole("button", { name: "Roll back to the preset" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back", exact: true }).click();
  await said(page, "Rolled back to version 0, as version 2.");
  const after = await login("ada@shop.example", berlin, false);
  assert.deepEqual([after.decision, after.policy_version], ["step_up", 2]);
  assert.deepEqual(wrong, []);
});

test("a draft is tried, replayed, and seen in the graph, before it is published in shadow", async () => {
  await familiar("grace@shop.example");
  await login("grace@shop.example", berlin, false);
  const { page, said: wrong } = await signIn("operator");
  await ask(page).waitFor();
  await onlyNewCountry(page);

  // Tried on a made-up login.
  const result = page.getByRole("region", { name: "Result", exact: true });
  await page.getByLabel("Is the network familiar?").selectOption("no");
  await page.getByLabel("Is the country familiar?").selectOption("no");
  await page.getByRole("button", { name: "Try it" }).click();
  await result.getByText("Ask for a face").first().waitFor();
  await result.getByRole("row", { name: /New country fired/ }).waitFor();
  await lookEverywhere(page, "console-try");

  // Replayed over what was recorded: the new device would not be asked any more.
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  const replay = page.getByRole("region", { name: "Replay result" });
  await replay.getByText(/Of \d+ logins the draft is stricter with/).waitFor();
  await replay.getByText("g•••@shop.example").waitFor();
  await replay.getByRole("row", { name: /The draft/ }).waitFor();

  // The path is lit up in the graph.
  await page.getByRole("tab", { name: "Graph" }).click();
  await page.locator(".react-flow__node").first().waitFor();
  await lookEverywhere(page, "console-graph");

  // The draft survives that the page is loaded again.
  await page.reload();
  await page.getByText("You have a draft that is not published.").waitFor();
  await page.getByRole("button", { name: "Publish…" }).click();
  const dialog = page.getByRole("dialog", { name: "Publish the draft" });
  await dialog.getByRole("radio", { name: "Shadow" }).check();
  await lookEverywhere(page, "console-publish");
  await dialog.getByRole("button", { name: "Publish", exact: true }).click();
  await said(page, "is published in shadow.");

  // It does not act, and is recorded.
  const d = await login("grace@shop.example", berlin, false);
  assert.equal(d.decision, "step_up");
  await page.getByRole("link", { name: "Decisions" }).click();
  await page.getByRole("row", { name: /shadow: Let through/ }).first().waitFor();
  await lookEverywhere(page, "console-decisions");
  await page.goto(`${page.url().split("#")[0]}#/decisions/${d.decision_id}`);
  await page.getByRole("heading", { name: "Why: asked for a face" }).waitFor();
  await page.getByRole("row", { name: /New device fired/ }).waitFor();
  await page.locator(".react-flow__node").first().waitFor();
  await lookEverywhere(page, "console-why");
  assert.deepEqual(wrong, []);

  // The same on the command line.
  const explained = JSON.parse(run("explain", d.decision_id));
  assert.deepEqual([explained.decision, explained.shadow_decision, explained.result.decision, explained.user], ["step_up", "allow", "step_up", "g•••@shop.example"]);
});

test("two people at once: nobody's version is overwritten unseen", async () => {
  const ann = await signIn("operator", "Ann");
  const bob = await signIn("operator", "Bob");
  for (const { page } of [ann, bob]) {
    await ask(page).waitFor();
    await ask(page).getByRole("checkbox", { name: "the time of day is unusual" }).check();
    await page.getByRole("button", { name: "Publish…" }).click();
  }
  await ann.page.getByRole("dialog").getByRole("button", { name: "Publish", exact: true }).click();
  await said(ann.page, "is published and holds.");
  await bob.page.getByRole("dialog").getByRole("button", { name: "Publish", exact: true }).click();
  await bob.page.getByText(/Somebody else published version \d+ meanwhile/).waitFor();
  await bob.page.getByRole("button", { name: "Keep the draft and publish over it" }).click();
  await bob.page.getByRole("dialog").getByRole("button", { name: "Publish", exact: true }).click();
  await said(bob.page, "is published and holds.");
});

test("a viewer looks and tries, and publishes nothing; a link is good once", async () => {
  const { page, link, context } = await signIn("viewer", "Vera");
  await page.getByText("You are signed in as a viewer").waitFor();
  await ask(page).waitFor();
  await ask(page).getByRole("checkbox", { name: "the time of day is unusual" }).setChecked(false);
  assert.equal(await page.getByRole("button", { name: "Publish…" }).isDisabled(), true);
  assert.equal(await page.getByRole("button", { name: /^Roll back/ }).first().isDisabled(), true);
  const refused = await page.evaluate(async () => {
    const { csrf } = await (await fetch("/console/api/session")).json();
    const res = await fetch("/console/api/t/demo/policy/rollback", { method: "POST", headers: { "Content-Type": "application/json", "X-Kosmoscope-Csrf": csrf }, body: JSON.stringify({ to: 0, base: 1 }) });
    return res.status;
  });
  assert.equal(refused, 403);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText(/kosmoscope console link/).first().waitFor();
  const again = await context.newPage();
  await again.goto(link);
  await again.getByRole("button", { name: "Sign in" }).click();
  await again.getByRole("alert").waitFor();
});

test("by keyboard alone", async () => {
  const { page } = await signIn("operator");
  await ask(page).waitFor();
  await page.getByRole("tab", { name: "Form" }).focus();
  await page.keyboard.press("ArrowRight");
  await page.locator(".react-flow__node").first().waitFor();
  await page.keyboard.press("ArrowLeft");
  const box = ask(page).getByRole("checkbox", { name: "nobody has signed in for long" });
  await box.focus();
  const before = await box.isChecked();
  await page.keyboard.press("Space");
  assert.equal(await box.isChecked(), !before);
  const publish = page.getByRole("button", { name: "Publish…", disabled: false }); // once the draft is checked
  await publish.waitFor();
  await publish.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
});
