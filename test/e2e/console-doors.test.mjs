// The console's pages of doors B and C: somebody makes a client and an endpoint, puts
// what is shown once to use, and changes what an event leads to. The server is
// consoletest: real use cases over a store of its own, and nobody to be proofed.
import { after, afterEach, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { launch, lookEverywhere, visitor } from "./harness.mjs";

const root = resolve(import.meta.dirname, "../..");
let dir, server, lines, first, browser;
const contexts = [];

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "kosmoscope-doors-"));
  const program = join(dir, "consoletest");
  execFileSync("go", ["build", "-o", program, "./internal/console/consoletest"], { cwd: root, stdio: "inherit" });
  server = spawn(program, [], { stdio: ["pipe", "pipe", "ignore"] });
  const ended = new Promise((_, no) => server.once("exit", (code) => no(new Error(`consoletest ended with ${code}`))));
  ended.catch(() => {}); // at the end it may
  lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  first = JSON.parse((await Promise.race([lines.next(), ended])).value);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.stdin.end();
  rmSync(dir, { recursive: true, force: true });
});

afterEach(async () => {
  await Promise.all(contexts.splice(0).map((c) => c.close()));
});

// open signs somebody in and opens a page of the console.
async function open(role, where) {
  server.stdin.write("\n");
  const links = JSON.parse((await lines.next()).value);
  const context = await visitor(browser, { viewport: { width: 1280, height: 900 } });
  contexts.push(context);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(first.url).origin });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (e) => wrong.push(String(e)));
  page.on("console", (m) => m.type() === "error" && !m.text().startsWith("Failed to load resource") && wrong.push(m.text()));
  await page.goto(role === "viewer" ? links.viewer : links.link);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.goto(`${first.url}#/${where}`);
  return { page, wrong };
}

// left goes on from a field, and waits for what is said of it: that moves what is below, and
// would take the button from under the pointer.
async function left(page, field, wrong) {
  await field.press("Tab");
  await (wrong ? field.and(page.locator("[aria-invalid=true]")).waitFor() : page.getByText(/to be corrected:$/).waitFor({ state: "detached" }));
}

const said = (page, text) => page.locator(".said").filter({ hasText: text }).waitFor();

test("a client is made, its secret is shown once, and what its side needs can be copied", async () => {
  const { page, wrong } = await open("operator", "clients");
  await page.getByRole("link", { name: "The shop", exact: true }).waitFor();
  await page.getByRole("heading", { name: "Signing keys" }).waitFor();
  await page.getByText("signs").first().waitFor();
  await lookEverywhere(page, "clients");
  await page.getByRole("button", { name: "New client…" }).click();
  await lookEverywhere(page, "clients-presets");
  await page.getByRole("link", { name: "Descope: face check" }).click();

  // What is wrong is said at its field.
  const redirect = page.getByRole("textbox", { name: /^Redirect addresses/ });
  await redirect.fill("http://login.example/cb");
  await left(page, redirect, true);
  await page.getByRole("button", { name: "Make the client" }).click();
  await page.getByText("2 things are to be corrected:").waitFor();
  assert.equal(await redirect.getAttribute("aria-invalid"), "true");
  await lookEverywhere(page, "client-wrong");
  await page.getByRole("alert").getByRole("button", { name: "Name:" }).click();
  await page.keyboard.type("Back office"); // the focus is there
  await redirect.fill("https://login.example/cb");
  const name = page.getByRole("textbox", { name: "Client ID" });
  await name.fill("back-office");
  await left(page, name, false);
  await page.getByRole("button", { name: "Make the client" }).click();

  const once = page.getByRole("region", { name: "The secret of Back office" });
  await once.waitFor();
  const secret = await once.locator("code").textContent();
  assert.equal(secret.length, 43);
  await once.getByRole("button", { name: "Copy the secret" }).click();
  await once.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
  await lookEverywhere(page, "client-made");
  await page.getByRole("button", { name: "Copy Issuer" }).click();
  await page.getByRole("region", { name: "What to set at the other side" }).getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${new URL(first.url).origin}/federation/acme`);

  // It is gone from the page, and from what the server says.
  await page.reload();
  await page.getByRole("heading", { name: "Secrets" }).waitFor();
  assert.equal((await page.content()).includes(secret), false);
  const list = await page.evaluate(async () => (await fetch("/console/api/t/acme/clients")).text());
  assert.equal(list.includes(secret), false);

  // Another one takes its place.
  await page.getByRole("button", { name: "Add a secret" }).click();
  await page.getByRole("region", { name: "The secret of Back office" }).waitFor();
  await page.getByRole("button", { name: "I have it: hide it" }).click();
  await page.getByRole("button", { name: /^End the secret of/ }).first().click();
  await page.getByLabel("It ends").selectOption("0");
  await page.getByRole("button", { name: "End it" }).click();
  await said(page, "The secret does not hold any more.");
  await page.getByText("ended", { exact: false }).first().waitFor();

  await page.getByRole("button", { name: "Disable" }).click();
  await said(page, "The client is disabled");
  await page.getByRole("button", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete the client" }).click();
  await page.getByRole("heading", { name: "Clients", exact: true }).waitFor();
  await page.getByRole("link", { name: "The shop", exact: true }).waitFor();
  await page.getByRole("link", { name: "Back office", exact: true }).waitFor({ state: "detached" });
  assert.deepEqual(wrong, []);
});

test("every preset is a form without faults, and a client of the configuration is read-only", async () => {
  const { page, wrong } = await open("operator", "clients/shop-file");
  await page.getByText("which alone changes it").waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Name", exact: true }).isDisabled(), true);
  assert.equal(await page.getByRole("button", { name: "Save" }).count(), 0);
  for (const preset of ["descope-saml", "okta", "entra", "saml"]) {
    await page.goto(`${first.url}#/clients/new/${preset}`);
    await page.getByRole("button", { name: "Make the client" }).waitFor();
    await lookEverywhere(page, `client-${preset}`);
  }
  assert.deepEqual(wrong, []);
});

test("two people at once: nobody's change is overwritten unseen", async () => {
  const [ann, bob] = [await open("operator", "clients/shop"), await open("operator", "clients/shop")];
  for (const { page } of [ann, bob]) await page.getByRole("textbox", { name: "Consent text" }).fill("We want to know that it is you.");
  await ann.page.getByRole("button", { name: "Save" }).click();
  await said(ann.page, "The client is saved.");
  await bob.page.getByRole("button", { name: "Save" }).click();
  await bob.page.getByText("Somebody else changed this client meanwhile.").waitFor();
  await bob.page.getByRole("button", { name: "Drop my changes and load theirs" }).click();
  await said(bob.page, "This is the client as it is now.");
});

test("the keys are rotated once, whoever presses", async () => {
  const [ann, bob] = [await open("operator", "clients"), await open("operator", "clients")];
  for (const { page } of [ann, bob]) await page.getByRole("button", { name: "Rotate the keys of OpenID Connect…" }).click();
  for (const [{ page }, words] of [[ann, "The keys are rotated"], [bob, "Somebody else rotated the keys meanwhile"]]) {
    await page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    await page.getByText(words).waitFor();
  }
  // One that leaked goes at once, and is not in the list any more.
  const row = ann.page.getByRole("row").filter({ hasText: "retiring" }).first();
  const kid = await row.locator("code").getAttribute("title");
  await row.getByRole("button", { name: "Withdraw the key" }).click();
  await ann.page.getByRole("dialog").getByRole("button", { name: "Withdraw it" }).click();
  await ann.page.getByText("The key is withdrawn.").waitFor();
  await ann.page.locator(`code[title="${kid}"]`).waitFor({ state: "detached" });
});

test("an endpoint is made, tested, and what was sent is in the log", async () => {
  const { page, wrong } = await open("operator", "endpoints");
  await page.getByRole("link", { name: "New endpoint…" }).click();
  const address = page.getByRole("textbox", { name: "Address" });
  await address.fill("http://10.0.0.1/hook");
  await left(page, address, true);
  await page.getByRole("button", { name: "Make the endpoint" }).click();
  await page.getByText("2 things are to be corrected:").waitFor();
  await lookEverywhere(page, "endpoint-wrong");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Our CRM");
  await address.fill(`${new URL(first.url).origin}/sink/200`);
  await page.getByRole("checkbox", { name: "It may be in a private network" }).check();
  await page.getByRole("button", { name: "Add a header" }).click();
  await page.getByRole("textbox", { name: "Name of header 1" }).fill("X-Key");
  const value = page.getByLabel("Value of header 1");
  await value.fill("a secret header");
  await left(page, value, false);
  await page.getByRole("button", { name: "Make the endpoint" }).click();
  const once = page.getByRole("region", { name: "The signing secret for the receiver" });
  const secret = await once.locator("code").textContent();
  assert.match(secret, /^whsec_/);
  await lookEverywhere(page, "endpoint-made");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("heading", { name: "The test arrived" }).waitFor();
  await page.getByText("this is the receiver, and says 200").waitFor();
  assert.equal((await page.content()).includes("a secret header"), false);
  await lookEverywhere(page, "endpoint-test");

  // One that fails says so.
  await address.fill(`${new URL(first.url).origin}/sink/500`);
  await page.getByRole("button", { name: "Save" }).click();
  await said(page, "The endpoint is saved.");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByRole("heading", { name: "The test did not arrive" }).waitFor();
  await page.getByRole("link", { name: "In the log" }).click();
  await page.getByText("Answered 500").waitFor();
  await lookEverywhere(page, "delivery");
  await page.getByRole("button", { name: "Replay" }).click();
  await page.getByText("It was not tried yet.").waitFor();
  await page.getByRole("link", { name: "Endpoints", exact: true }).click();
  await page.getByRole("row", { name: /endpoint\.test replay/ }).waitFor();
  await lookEverywhere(page, "endpoints");
  await page.getByLabel("State").selectOption("failed");
  await page.getByRole("button", { name: "Replay all of these…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
  await said(page, "were tests or replays");
  assert.deepEqual(wrong, []);

  // A viewer sees that something was sent, and not what.
  const viewer = (await open("viewer", "endpoints")).page;
  await viewer.getByText("You are signed in as a viewer").waitFor();
  assert.equal(await viewer.getByRole("link", { name: "New endpoint…" }).count(), 0);
  await viewer.getByRole("row", { name: /endpoint\.test test.*failed/ }).getByRole("link").click();
  await viewer.getByText("Operators alone see what was sent").waitFor();
  assert.equal((await viewer.content()).includes("this is the receiver"), false);
});

test("a rule is written, run dry, published, and taken back; an event shows what came of it", async () => {
  const { page, wrong } = await open("operator", "rules");
  await page.getByRole("button", { name: "Add a rule" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("People of ours");
  await page.getByLabel("Another event").fill("UserCreated");
  await page.keyboard.press("Enter");
  const condition = page.getByRole("textbox", { name: "If (empty: always)" });
  await condition.fill('event.emial_domain == "example.com"');
  await page.getByText("One thing keeps the draft from being published:").waitFor();
  await lookEverywhere(page, "rule-wrong");
  await condition.fill(' == "example.com"');
  await condition.press("Home");
  await page.getByText("What it can name").click();
  await page.getByRole("button", { name: "Insert event.email_domain" }).click();
  assert.equal(await condition.inputValue(), 'event.email_domain == "example.com"');
  await page.getByRole("button", { name: "Run it dry" }).click();
  await page.getByRole("row", { name: "People of ours 2 1 1 1 notify: 1 × such as event 1" }).waitFor();
  await lookEverywhere(page, "rules-dry");

  // The draft survives that the page is loaded again.
  await page.reload();
  await page.getByText("You have a draft that is not published.").waitFor();
  await page.getByRole("button", { name: "Publish…" }).click();
  const dialog = page.getByRole("dialog", { name: "Publish the rules" });
  await dialog.getByText(/"People of ours" added/).waitFor();
  await lookEverywhere(page, "rules-publish");
  await dialog.getByRole("button", { name: "Publish", exact: true }).click();
  await said(page, "Version 2 is published and holds.");
  await page.getByRole("button", { name: "Roll back to version 1" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Roll back", exact: true }).click();
  await said(page, "Rolled back to version 1, as version 3.");

  await page.getByRole("link", { name: "Events" }).click();
  await page.getByRole("heading", { name: "What needs somebody to look" }).waitFor();
  await page.getByRole("row", { name: /UserDeleted/ }).waitFor();
  assert.equal((await page.content()).includes("grace@example.com"), false);
  await lookEverywhere(page, "events");
  await page.getByRole("link", { name: "the event" }).click();
  await page.getByText("grace@example.com").waitFor();
  await lookEverywhere(page, "event");
  await page.getByRole("button", { name: /^Do it again/ }).click();
  await said(page, "It will be done again.");
  assert.deepEqual(wrong, []);
});

test("by keyboard alone", async () => {
  const { page } = await open("operator", "clients");
  const make = page.getByRole("button", { name: "New client…", disabled: false });
  await make.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Another OpenID Connect client" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("textbox", { name: "Name", exact: true }).focus();
  await page.keyboard.type("By keyboard");
  await page.getByRole("textbox", { name: /^Redirect addresses/ }).focus();
  await page.keyboard.type("https://keys.example/cb");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.field), "oidc.post_logout_redirect_uris");
  await page.getByRole("textbox", { name: "Name", exact: true }).focus();
  await page.keyboard.press("Enter"); // sends the form
  await page.getByRole("heading", { name: "The secret of By keyboard" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "The secret of By keyboard");
});
