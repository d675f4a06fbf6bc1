import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyDocument, PolicyNode } from "../types.ts";
import { leads, refusal } from "./rules.ts";

const parts: PolicyNode[] = [
  { id: "signal", type: "signal" },
  { id: "expression", type: "expression" },
  { id: "any", type: "condition", op: "any" },
  { id: "not", type: "condition", op: "not" },
  { id: "least", type: "condition", op: "at_least" },
  { id: "weight", type: "weight" },
  { id: "combine", type: "combine" },
  { id: "decide", type: "decide" },
].map((n) => ({ ...n, x: 0, y: 0 }) as PolicyNode);

const document = (...edges: [string, string][]): PolicyDocument => ({
  format: 1, name: "", otherwise: "allow", nodes: parts, edges: edges.map(([from, to]) => ({ from, to })),
});

// By the rules of internal/risk/policy/check.go: truths into conditions, weights and
// decisions; numbers into combine and at_least, which also takes a signal.
const fitting: Record<string, string[]> = {
  signal: ["any", "not", "least", "weight", "decide"],
  expression: ["any", "not", "weight", "decide"],
  any: ["not", "weight", "decide"],
  not: ["any", "weight", "decide"],
  least: ["any", "not", "weight", "decide"],
  weight: ["least", "combine"],
  combine: ["least"],
  decide: [],
};

test("every pair is joined only if the types fit", () => {
  for (const a of parts) {
    for (const b of parts) {
      assert.equal(refusal(document(), a.id, b.id) === undefined, fitting[a.id]?.includes(b.id) ?? false, `${a.id} to ${b.id}`);
    }
  }
});

test("one connection only goes into not, at least, points and decisions", () => {
  assert.match(refusal(document(["signal", "decide"]), "any", "decide") ?? "", /one connection only/);
  assert.match(refusal(document(["signal", "not"]), "expression", "not") ?? "", /one connection only/);
  assert.match(refusal(document(["combine", "least"]), "weight", "least") ?? "", /one connection only/);
  assert.equal(refusal(document(["signal", "any"]), "expression", "any"), undefined);
});

test("nothing runs in a circle or stands twice", () => {
  const d = document(["any", "weight"], ["weight", "combine"], ["combine", "least"]);
  assert.ok(leads(d, "any", "least"));
  assert.ok(!leads(d, "least", "any"));
  assert.match(refusal(d, "least", "any") ?? "", /circle/);
  assert.match(refusal(d, "any", "weight") ?? "", /already/);
  assert.match(refusal(d, "any", "any") ?? "", /itself/);
  assert.ok(leads(document(["any", "not"], ["not", "any"]), "any", "not")); // a circle that is there already ends
  assert.ok(!leads(document(["any", "not"], ["not", "any"]), "any", "decide"));
});

test("a connection to nowhere is refused", () => {
  assert.ok(refusal(document(), "any", "gone"));
});
