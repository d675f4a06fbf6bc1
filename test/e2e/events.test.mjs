// Door C without any flow step: somebody registers at Descope, and all the rest follows
// from the event. What goes out is checked with the library of Standard Webhooks.
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { World, lookEverywhere, program } from "./harness.mjs";
import { inject } from "./live.mjs";
import { prove, status } from "./person.mjs";
import { Shop } from "./shop.mjs";

const who = "grace@hooks.example"; // the demo's rule is for this domain

let w, descope, receiver;
const told = [];
before(async () => {
  w = await World.start("--step-up-liveness", "none");
  ({ descope } = new Shop(w.ready));
  receiver = createServer((req, res) => {
    let body = "";
    req.on("data", (d) => (body += d));
    req.on("end", () => {
      told.push({ headers: req.headers, body });
      res.end();
    });
  });
  await new Promise((done) => receiver.listen(0, "127.0.0.1", done));
});
after(async () => {
  receiver?.close();
  await w?.stop();
});

// soon waits until something is so, and says what it saw last when it never is.
async function soon(what, look, seconds = 180) {
  let last;
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await new Promise((r) => setTimeout(r, 200))) {
    last = await look();
    if (last) return last;
  }
  assert.fail(`${what}: not within ${seconds} s`);
}

test("from a registration to the mail, the proofing, the attributes, the trail and a signed message", async () => {
  const config = join(w.ready.data, "kosmoscope.yaml");
  const secret = execFileSync(
    program,
    ["endpoint", "add", `http://127.0.0.1:${receiver.address().port}/told`, "--name", "Test", "--allow-private", "--author", "test", "--config", config],
    { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
  ).trim();
  const { data: user } = await descope.management.user.create(who, { email: who, verifiedEmail: true });

  const context = await w.browser();
  await inject(context, await w.frames("head"));
  const inbox = await context.newPage();
  const link = await soon("the mail", async () => {
    const mails = await (await context.request.get(`${w.ready.inbox_url}?to=${who}`)).json();
    return mails[0]?.links.find((l) => l.startsWith(`${w.ready.bridge_url}/v/`));
  });
  await inbox.goto(`${new URL(w.ready.inbox_url).origin}/inbox?to=${who}`);
  await inbox.getByText("Please confirm who you are").first().waitFor();
  await lookEverywhere(inbox, "inbox");

  const page = await context.newPage();
  await page.goto(link);
  await prove(w, page, false);
  await status(page, "verified");

  const attributes = await soon("the attributes", async () => {
    const { data } = await descope.management.user.loadByUserId(user.userId);
    return data.customAttributes?.kosmosIdvStatus && data.customAttributes;
  });
  assert.equal(attributes.kosmosIdvStatus, "verified");
  assert.match(attributes.kosmosVerifiedAt, /^20\d\d-/);

  await soon("the trail", async () => {
    const { data } = await descope.management.audit.search({ actions: ["KosmosIdvCompleted"] });
    return data?.some((e) => e.userId === user.userId);
  });

  const message = await soon("the message", () => told.find((m) => m.body.includes('"verification.ended"')));
  const checked = new Webhook(secret).verify(message.body, message.headers);
  assert.equal(checked.type, "verification.ended");
  assert.equal(checked.data.event.status, "verified");
  assert.throws(() => new Webhook(secret).verify(message.body.replace("verified", "failed"), message.headers));

  // The shop's own tool heard of it, too.
  const sink = await soon("the sink", async () => {
    const list = await (await context.request.get(`${w.ready.app_url}/sink/api/messages`)).json();
    return list.find((m) => m.shape === "standard" && m.type === "verification.ended");
  });
  assert.equal(sink.signed, "good");
  const seen = await context.newPage();
  await seen.goto(`${w.ready.app_url}/sink`);
  await lookEverywhere(seen, "sink");
});

test("a rule of one's own, and who is deleted at Descope is erased here", async () => {
  const config = ["--config", join(w.ready.data, "kosmoscope.yaml")];
  const run = (...args) => execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const rules = JSON.parse(run("rules", "show", ...config));
  rules.push({ id: "told-erased", name: "Tell of who was erased", on: ["subject.erased"], do: [{ do: "notify" }] });
  const file = join(w.dir, "rules.json");
  writeFileSync(file, JSON.stringify(rules));
  assert.match(run("rules", "publish", file, "--author", "test", ...config), /version 2 is in force/);
  await descope.management.user.delete(who);
  const message = await soon("the erasure", () => told.find((m) => m.body.includes('"hook.told-erased"')));
  assert.ok(!message.body.includes(who), "the name of somebody erased goes out");
});
