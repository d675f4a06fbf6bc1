// The demo's shop, whose people sign in with Descope: what they do in a browser, and what
// the test panel of the local Descope and Descope's own SDK know of it.
import assert from "node:assert/strict";
import createDescope from "@descope/node-sdk";
import { following } from "./person.mjs";
import { address, button, digits, shown, usable } from "./screen.mjs";

export const berlin = "78.55.20.10";
export const office = "80.129.160.20"; // Berlin, another provider
export const sydney = "49.180.20.30";
export const lisbon = "85.240.10.10";

export class Shop {
  constructor({ app_url, descope }) {
    this.url = app_url;
    this.base = descope.base_url;
    this.descope = createDescope({ projectId: descope.project_id, baseUrl: descope.base_url, managementKey: descope.management_key });
    this.users = this.descope.management.user;
  }

  async lab(path) {
    return (await fetch(`${this.base}/lab/api/${path}`)).json();
  }

  // from puts a browser somewhere.
  async from(context, login) {
    const res = await context.request.put(`${this.base}/lab/api/login`, { data: { device: "", ip: berlin, ...login } });
    assert.equal(res.status(), 200, await res.text());
  }

  // fault turns one of the local Descope's knobs.
  async fault(f) {
    const res = await fetch(`${this.base}/lab/api/faults`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(f) });
    assert.equal(res.status, 201, await res.text());
  }

  // mailed is the newest code that was sent to somebody, if any was.
  async mailed(to) {
    return (await this.lab("mail")).find((m) => m.to === to)?.code;
  }

  // begin enters an address, and waits for what comes.
  async begin(page, path, who, then = "Check your e-mail") {
    await page.goto(`${this.url}${path}`);
    await this.named(page, who, then);
  }

  async named(page, who, then = "Check your e-mail") {
    await usable(page);
    await address(page, who);
    await button(page, "Continue").click();
    await shown(page, then);
  }

  // enter answers with a code.
  async enter(page, code) {
    await digits(page, code);
    await button(page, "Continue").click();
  }

  // identify begins, and answers with the code that was mailed.
  async identify(page, path, who) {
    await this.begin(page, path, who);
    await this.enter(page, await this.mailed(who));
  }

  // opened is the tab that a link of the flow opens.
  opened(page) {
    return following(page, page.getByRole("link", { name: "Open the page" }));
  }

  // session is what the shop has of this browser's session, checked with Descope's SDK.
  async session(context) {
    const cookie = (await context.cookies(this.url)).find((c) => c.name === "shop_session");
    if (!cookie) return null;
    const { token } = await this.descope.validateSession(cookie.value);
    assert.equal(token.drn, "DS");
    return token;
  }

  arrived(page) {
    return page.waitForURL(`${this.url}/account`);
  }
}
