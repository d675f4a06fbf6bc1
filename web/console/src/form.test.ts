import assert from "node:assert/strict";
import { test } from "node:test";
import { read, write, type Form } from "./form.ts";
import type { PolicyDocument } from "./types.ts";

const form: Form = {
  name: "Ours", description: "", otherwise: "allow", enough: 60, refuseAll: true,
  refuse: [{ signal: "anonymiser", unknown: "neutral", params: {} }, { signal: "new_device", unknown: "neutral", params: {} }],
  ask: [{ signal: "geo_anomaly", unknown: "neutral", params: {} }, { signal: "new_device", unknown: "raises", params: {} }, { signal: "sensitive_scope", unknown: "neutral", params: { scopes: ["a"] } }],
  points: [{ signal: "dormant_account", unknown: "neutral", params: { days: 30 }, weight: 20 }, { signal: "velocity", unknown: "neutral", params: {}, weight: null }],
};

test("a form that is written as a graph reads back as the form", () => {
  const doc = write(form, []);
  assert.deepEqual(read(doc), form);
  assert.deepEqual(write(read(doc) as Form, []), doc);
});

test("a signal that is read in two ways is two nodes, in one way one", () => {
  const ids = write(form, []).nodes.filter((n) => n.signal === "new_device").map((n) => [n.id, n.unknown]);
  assert.deepEqual(ids, [["new-device", undefined], ["new-device-2", "raises"]]);
  const same = write({ ...form, ask: form.refuse }, []);
  assert.equal(same.nodes.filter((n) => n.signal === "new_device").length, 1);
  assert.deepEqual((read(same) as Form).ask, form.refuse);
});

test("an empty form is a graph without rules", () => {
  const empty = { ...form, refuse: [], ask: [], points: [], refuseAll: false, enough: 50 };
  assert.deepEqual(read(write(empty, [])), empty);
});

test("what the form cannot show, it says", () => {
  const doc = (change: (d: PolicyDocument) => void) => {
    const d = structuredClone(write(form, []));
    change(d);
    return read(d);
  };
  assert.match(doc((d) => (d.nodes[0]!.type = "expression")) as string, /only the graph/);
  assert.match(doc((d) => d.nodes.push({ id: "x", type: "signal", signal: "velocity", x: 0, y: 0 })) as string, /no rule/);
  assert.match(doc((d) => (d.nodes.find((n) => n.id === "score")!.how = "max")) as string, /another way/);
  assert.match(doc((d) => (d.nodes.find((n) => n.id === "ask-any")!.decision = "allow")) as string, /only the graph/);
});
