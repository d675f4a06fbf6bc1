// Descope's published backend SDK against the local Descope: every step is named, and
// the first that is not as it should be ends the run. Arguments: base URL, project id,
// management key, tokens as JSON.
import assert from "node:assert/strict";
import DescopeSdk from "@descope/node-sdk";

const [baseUrl, projectId, managementKey, given] = process.argv.slice(2);
const tokens = JSON.parse(given);
const quiet = { log() {}, warn() {}, error() {}, debug() {} };
const sdk = DescopeSdk({ projectId, baseUrl, managementKey, logger: quiet });
const user = sdk.management.user;

const begun = Date.now();
const done = [];
const step = async (name, run) => {
  try {
    await run();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exit(1);
  }
  done.push(name);
};
const ok = (answer) => {
  assert.equal(answer.ok, true, JSON.stringify(answer.error));
  return answer.data;
};
const refused = (answer, status, code) => {
  assert.equal(answer.ok, false, "was not refused");
  assert.equal(answer.code, status);
  assert.equal(answer.error.errorCode, code);
  assert.ok(answer.error.errorMessage && answer.error.errorDescription);
};

await step("a session is valid", async () => {
  const { token } = await sdk.validateSession(tokens.session);
  assert.equal(token.iss, projectId);
  assert.equal(token.drn, "DS");
  assert.deepEqual(token.amr, ["email"]);
  assert.equal(token.su, undefined);
  assert.equal(token.kosmos_ial, "IAL2");
  assert.equal(sdk.validateRoles({ token }, ["member"]), true);
  assert.equal(sdk.validateRoles({ token }, ["admin"]), false);
});
await step("a stepped-up session says so", async () => {
  const { token } = await sdk.validateSession(tokens.steppedUp);
  assert.equal(token.su, true);
});
await step("tokens that are none are refused", async () => {
  for (const name of ["foreign", "expired", "tampered", "otherProject"]) {
    await assert.rejects(sdk.validateSession(tokens[name]), /session validation failed/, name);
  }
});
await step("a session is refreshed", async () => {
  const { jwt, token } = await sdk.refreshSession(tokens.refresh);
  assert.notEqual(jwt, tokens.session);
  assert.equal(token.drn, "DS");
  assert.equal(token.kosmos_ial, "IAL2");
  const again = await sdk.validateAndRefreshSession(tokens.expired, tokens.refresh);
  assert.equal(again.token.sub, token.sub);
  assert.equal(ok(await sdk.me(tokens.refresh)).userId, token.sub);
  assert.equal(ok(await sdk.history(tokens.refresh)).length, 2);
});
await step("a session ends", async () => {
  ok(await sdk.logout(tokens.refresh));
  await assert.rejects(sdk.refreshSession(tokens.refresh), /refresh token validation failed/);
  refused(await sdk.me(tokens.refresh), 401, "E061103");
});

let bob;
await step("attributes are defined", async () => {
  const list = ok(await user.createCustomAttributes([{ name: "kosmosStatus", type: 1, displayName: "Status" }, { name: "kosmosScore", type: 2 }]));
  assert.ok(list.some((a) => a.name === "kosmosStatus" && a.type === 1));
  assert.ok(ok(await user.getCustomAttributes()).length >= 2);
});
await step("a user is created", async () => {
  bob = ok(await user.create("bob@example.org", { email: "bob@example.org", displayName: "Bob", roles: ["member"], customAttributes: { kosmosScore: 3 } }));
  assert.match(bob.userId, /^U2[0-9A-Za-z]+$/);
  assert.deepEqual(bob.loginIds, ["bob@example.org"]);
  assert.equal(bob.name, "Bob");
  assert.deepEqual(bob.roleNames, ["member"]);
  refused(await user.create("bob@example.org"), 400, "E062107");
  ok(await user.createTestUser("test@example.org"));
});
await step("a user is loaded", async () => {
  assert.deepEqual(ok(await user.load("bob@example.org")), bob);
  assert.deepEqual(ok(await user.load(bob.userId)), bob);
  assert.deepEqual(ok(await user.loadByUserId(bob.userId)), bob);
  assert.deepEqual(ok(await user.loadUsers([bob.userId])), [bob]);
  refused(await user.load("nobody"), 404, "E112102");
});
await step("users are found", async () => {
  assert.deepEqual(ok(await user.search({ loginIds: ["bob@example.org"] })), { users: [bob], total: 1 });
  assert.deepEqual(ok(await user.search({ customAttributes: { kosmosScore: 3 }, roles: ["member"] })).users, [bob]);
  assert.equal(ok(await user.search({ text: "test@" })).total, 0);
  assert.equal(ok(await user.searchTestUsers({ text: "test@" })).total, 1);
  const sorted = ok(await user.search({ sort: [{ field: "email", desc: true }], limit: 1 }));
  assert.equal(sorted.users[0].email, "bob@example.org");
  assert.equal(sorted.total, 2);
});
await step("a user is patched", async () => {
  const patched = ok(await user.patch("bob@example.org", { givenName: "Robert", customAttributes: { kosmosStatus: "verified" } }));
  assert.equal(patched.givenName, "Robert");
  assert.equal(patched.name, "Bob");
  assert.deepEqual(patched.customAttributes, { kosmosScore: 3, kosmosStatus: "verified" });
  const one = ok(await user.updateCustomAttribute(bob.userId, "kosmosStatus", "failed"));
  assert.equal(one.customAttributes.kosmosStatus, "failed");
  refused(await user.updateCustomAttribute(bob.userId, "nothing", "x"), 400, "E011003");
});
await step("a user is changed piece by piece", async () => {
  assert.equal(ok(await user.updateEmail("bob@example.org", "b@example.org", true)).verifiedEmail, true);
  assert.equal(ok(await user.updatePhone("bob@example.org", "+4930123", false)).phone, "+4930123");
  assert.equal(ok(await user.updateDisplayName("bob@example.org", "Bobby")).name, "Bobby");
  assert.deepEqual(ok(await user.setRoles("bob@example.org", ["a"])).roleNames, ["a"]);
  assert.deepEqual(ok(await user.addRoles("bob@example.org", ["b", "a"])).roleNames, ["a", "b"]);
  assert.deepEqual(ok(await user.removeRoles("bob@example.org", ["a"])).roleNames, ["b"]);
  assert.deepEqual(ok(await user.updateLoginId("bob@example.org", "bob2@example.org")).loginIds, ["bob2@example.org"]);
  const over = ok(await user.update("bob2@example.org", { email: "b2@example.org", displayName: "B" }));
  assert.equal(over.phone, "");
  assert.deepEqual(over.customAttributes, {});
  assert.equal(over.userId, bob.userId);
});
await step("sessions are made by a backend", async () => {
  const up = ok(await sdk.management.jwt.signUp("eve@example.org", { name: "Eve" }, { customClaims: { k: "v" } }));
  assert.equal(up.firstSeen, true);
  assert.equal((await sdk.validateSession(up.sessionJwt)).token.k, "v");
  refused(await sdk.management.jwt.signIn("eve@example.org", { stepup: true }), 400, "E011003");
  const stepped = ok(await sdk.management.jwt.signIn("eve@example.org", { stepup: true, jwt: up.refreshJwt }));
  assert.equal((await sdk.validateSession(stepped.sessionJwt)).token.su, true);
  const both = ok(await sdk.management.jwt.signUpOrIn("eve@example.org"));
  assert.equal(both.user.name, "Eve");
  const { jwt } = ok(await sdk.management.jwt.update(both.sessionJwt, { more: true }));
  assert.equal((await sdk.validateSession(jwt)).token.more, true);
  ok(await user.logoutUser("eve@example.org"));
  await assert.rejects(sdk.refreshSession(both.refreshJwt));
});
await step("a user is disabled", async () => {
  const { refreshJwt } = ok(await sdk.management.jwt.signIn("eve@example.org"));
  assert.equal(ok(await user.deactivate("eve@example.org")).status, "disabled");
  await assert.rejects(sdk.refreshSession(refreshJwt));
  assert.equal((await sdk.management.jwt.signIn("eve@example.org")).ok, false);
  assert.equal(ok(await user.activate("eve@example.org")).status, "enabled");
});
await step("the history is told", async () => {
  const logins = ok(await user.history([tokens.userId]));
  assert.equal(logins.length, 2);
  assert.equal(logins[0].ip, "78.55.20.10");
  assert.equal(logins[0].country, "DE");
  const devices = ok(await user.listTrustedDevices([tokens.userId]));
  assert.equal(devices.length, 1);
  ok(await user.removeTrustedDevices(tokens.userId, [devices[0].id]));
  assert.deepEqual(ok(await user.listTrustedDevices([tokens.userId])), []);
});
await step("flows go out and in", async () => {
  const { flow } = ok(await sdk.management.flow.export("sign-in"));
  assert.equal(flow.flowId, "sign-in");
  ok(await sdk.management.flow.import("copy", { ...flow, flowId: "copy" }));
  const { flows, total } = ok(await sdk.management.flow.list());
  assert.deepEqual(flows.map((f) => f.id), ["copy", "mail", "sign-in"]);
  assert.equal(total, 3);
  ok(await sdk.management.flow.delete(["copy"]));
  refused(await sdk.management.flow.export("copy"), 404, "E102001");
  refused(await sdk.management.flow.import("old", { id: "old", dsl: {} }), 400, "E011003");
  refused(await sdk.management.flow.run("sign-in"), 400, "E102003");
  const { flow: mail } = ok(await sdk.management.flow.export("mail"));
  assert.equal(mail.metadata.management, true);
  assert.deepEqual(ok(await sdk.management.flow.run("mail", { input: { login_id: "bob2@example.org" } })), { to: "bob2@example.org" });
});
await step("a user is deleted, and the audit trail says so", async () => {
  ok(await user.deleteByUserId(bob.userId));
  refused(await user.load(bob.userId), 404, "E112102");
  ok(await sdk.management.audit.createEvent({ action: "KosmosIdvCompleted", type: "info", actorId: "bridge", tenantId: "T", data: { status: "verified" } }));
  const { audits, total } = ok(await sdk.management.audit.searchAll({ actions: ["UserDeleted", "KosmosIdvCompleted"], from: begun }));
  assert.equal(total, 2);
  assert.deepEqual(audits.map((a) => a.action), ["KosmosIdvCompleted", "UserDeleted"]);
  assert.deepEqual(audits[0].data, { status: "verified" });
  assert.equal(audits[1].userId, bob.userId);
  assert.ok(Math.abs(audits[0].occurred - Date.now()) < 3600_000);
});
await step("another project and another key are refused", async () => {
  const foreign = DescopeSdk({ projectId: "P2bbbbbbbbbbbbbbbbbbbbbbbbbb", baseUrl, managementKey, logger: quiet });
  refused(await foreign.management.user.load("eve@example.org"), 401, "E074101");
  await assert.rejects(foreign.validateSession(tokens.session));
  const guess = DescopeSdk({ projectId, baseUrl, managementKey: `${managementKey}x`, logger: quiet });
  refused(await guess.management.user.load("eve@example.org"), 401, "E074101");
});
await step("what is not here says so", async () => {
  refused(await sdk.management.tenant.loadAll(), 404, "E011006");
});
console.log(done.length);
