import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { read, type Form } from "./form.ts";
import { write } from "./formwrite.ts";
import type { Palette, PolicyDocument } from "./types.ts";

// What the program offers: signals and presets.
const { signals, presets } = JSON.parse(readFileSync("testdata/palette.json", "utf8")) as Pick<Palette, "signals" | "presets">;

const form: Form = {
  name: "Ours", description: "", otherwise: "allow", enough: 60, refuseAll: true,
  refuse: [{ signal: "new_device", unknown: "neutral", params: {} }, { signal: "anonymiser", unknown: "neutral", params: {} }],
  ask: [{ signal: "new_device", unknown: "raises", params: {} }, { signal: "geo_anomaly", unknown: "neutral", params: {} }, { signal: "sensitive_scope", unknown: "neutral", params: { scopes: ["a"] } }],
  points: [{ signal: "dormant_account", unknown: "neutral", params: { days: 30 }, weight: 20 }, { signal: "recent_proofing", unknown: "neutral", params: {}, weight: null }],
};
const written = (f: Form) => write(f, signals);
const again = (doc: PolicyDocument, change: (f: Form) => void) => {
  const r = read(doc, signals);
  change(r.form);
  return write(r.form, signals, r.roles);
};
const byId = (doc: PolicyDocument) => new Map(doc.nodes.map((n) => [n.id, n]));
const edges = (doc: PolicyDocument) => doc.edges.map((e) => `${e.from}>${e.to}`).sort();

test("a form that is written as a graph reads back as the form", () => {
  const doc = written(form);
  const { form: back, beyond } = read(doc, signals);
  assert.deepEqual([back.refuse.map((c) => c.signal), beyond], [["new_device", "anonymiser"], []]);
  const ordered = (f: Form) => ({ ...f, points: [...f.points].sort((a, b) => (a.signal < b.signal ? -1 : 1)), ask: [...f.ask].sort((a, b) => (a.signal < b.signal ? -1 : 1)) });
  assert.deepEqual(ordered(back), ordered(form));
  assert.deepEqual(again(doc, () => {}), doc);
});

for (const p of presets) {
  test(`the preset ${p.name} is a form, and stays as it is when written again`, () => {
    assert.deepEqual(read(p.document, signals).beyond, []);
    const doc = again(p.document, () => {});
    assert.deepEqual(byId(doc), byId(p.document));
    assert.deepEqual(edges(doc), edges(p.document));
    const rules = (d: PolicyDocument) => d.nodes.filter((n) => n.type === "decide").map((n) => n.id);
    assert.deepEqual(rules(doc), rules(p.document));
  });
  test(`one choice less changes nothing else of the preset ${p.name}`, () => {
    const doc = again(p.document, (f) => (f.points.length ? f.points.pop() : f.ask.pop()));
    const gone = p.document.nodes.filter((n) => !byId(doc).has(n.id));
    assert.ok(gone.length > 0 && gone.length <= 2, gone.map((n) => n.id).join());
    for (const n of doc.nodes) assert.deepEqual(n, byId(p.document).get(n.id));
  });
}

test("a signal that is read in two ways is two nodes, in one way one", () => {
  const two = written(form).nodes.filter((n) => n.signal === "new_device").map((n) => [n.id, n.unknown]);
  assert.deepEqual(two, [["new-device", undefined], ["new-device-2", "raises"]]);
  const same = written({ ...form, ask: form.refuse });
  assert.equal(same.nodes.filter((n) => n.signal === "new_device").length, 1);
  assert.deepEqual(read(same, signals).form.ask, form.refuse);
});

test("what is set otherwise keeps its node; a label that says the opposite goes", () => {
  const doc = written(form);
  const named = { ...doc, nodes: doc.nodes.map((n) => (n.id === "geo-anomaly" ? { ...n, label: "Surely abroad", x: 7, y: 9 } : n)) };
  const raised = byId(again(named, (f) => f.ask.forEach((c) => c.signal === "geo_anomaly" && (c.unknown = "raises"))));
  assert.deepEqual(raised.get("geo-anomaly"), { id: "geo-anomaly", type: "signal", signal: "geo_anomaly", unknown: "raises", x: 7, y: 9 });
  const any = byId(again(named, (f) => (f.refuseAll = false)));
  assert.deepEqual([any.get("refuse-if")?.op, any.get("refuse-if")?.label, any.get("geo-anomaly")?.label], ["any", "Any of these", "Surely abroad"]);
});

test("new parts have names and places of their own", () => {
  const doc = again(written({ ...form, ask: [], points: [] }), (f) => Object.assign(f, { ask: form.ask, points: form.points }));
  assert.equal(new Set(doc.nodes.map((n) => n.id)).size, doc.nodes.length);
  assert.equal(new Set(doc.nodes.map((n) => `${n.x},${n.y}`)).size, doc.nodes.length);
  assert.deepEqual(read(doc, signals).beyond, []);
});

test("all of one stays all of one", () => {
  const one = read(written({ ...form, refuse: form.refuse.slice(0, 1) }), signals);
  assert.equal(one.form.refuseAll, true);
});

test("an empty form is a graph without rules", () => {
  const empty = { ...form, refuse: [], ask: [], points: [], refuseAll: false, enough: 50 };
  assert.deepEqual(read(written(empty), signals), { form: empty, beyond: [], roles: new Map() });
});

test("what the form cannot show, it says, and shows the rest", () => {
  const beyond = (change: (d: PolicyDocument) => void) => {
    const d = structuredClone(written(form));
    change(d);
    return read(d, signals);
  };
  const node = (d: PolicyDocument, id: string) => d.nodes.find((n) => n.id === id)!;
  const rest = beyond((d) => (node(d, "any").op = "count"));
  assert.deepEqual([rest.beyond, rest.form.ask, rest.form.refuse.length, rest.form.points.length], [["rule “Ask for a face”"], [], 2, 2]);
  for (const change of [
    (d: PolicyDocument) => (node(d, "new-device").type = "expression"),
    (d: PolicyDocument) => (node(d, "new-device").signal = "of_the_future"),
    (d: PolicyDocument) => (node(d, "geo-anomaly").signal = "recent_proofing"), // lowers: no reason to ask
    (d: PolicyDocument) => d.nodes.push({ id: "x", type: "signal", signal: "velocity", x: 0, y: 0 }),
    (d: PolicyDocument) => (node(d, "score").how = "max"),
    (d: PolicyDocument) => (node(d, "ask-any").decision = "allow"),
    (d: PolicyDocument) => (node(d, "any").op = "all"),
    (d: PolicyDocument) => d.edges.push({ from: "new-device", to: "ask-any" }),
    (d: PolicyDocument) => d.nodes.reverse(), // refuses after it asks
  ]) assert.notDeepEqual(beyond(change).beyond, [], String(change));
});
