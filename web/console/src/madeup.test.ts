import assert from "node:assert/strict";
import { test } from "node:test";
import { observation, starts } from "./madeup.ts";

const now = new Date("2026-11-29T08:00:00Z");
const of = (title: string) => starts.find((s) => s.title === title)!.login;

test("what cannot be told is not said", () => {
  const o = observation(of("nothing can be told"), now);
  for (const name of ["device_known", "address_seen", "network_seen", "as_seen", "country_seen", "vpn", "bot"]) assert.equal(o[name], null, name);
  for (const name of ["device_source", "address", "country", "scopes_given", "travels", "last_login", "window", "hour_samples", "listed", "risk_score", "proofing_known"]) {
    assert.equal(name in o, false, name);
  }
});

test("a speed is one whatever error of the places is taken off", () => {
  const [t] = observation({ ...of("a usual one"), kmh: "900" }, now).travels as { km: number; hours: number }[];
  for (const error of [0, 200, 400]) assert.ok(Math.abs((t!.km - error) / t!.hours - 900) <= 20);
});

test("times are counted back from now", () => {
  const o = observation({ ...of("a usual one"), dormant: "2", proofed: "3" }, now);
  assert.deepEqual([o.last_login, o.proofed_at, o.proofing_known], ["2026-11-27T08:00:00.000Z", "2026-11-29T05:00:00.000Z", true]);
});
