import assert from "node:assert/strict";
import { test } from "node:test";
import type { Palette, PolicyDocument, PolicyNode } from "../types.ts";
import { add, change, connect, free, freshID, move, operate, remove, reorder, rules, setParam } from "./edit.ts";

const at = { x: 0, y: 0 };
const node = (n: Partial<PolicyNode> & Pick<PolicyNode, "id" | "type">): PolicyNode => ({ ...at, ...n });

function sample(): PolicyDocument {
  return {
    format: 1,
    name: "Sample",
    otherwise: "allow",
    nodes: [
      node({ id: "new-device", type: "signal", signal: "new_device" }),
      node({ id: "far", type: "signal", signal: "impossible_travel", y: 100 }),
      node({ id: "any", type: "condition", op: "any", x: 280 }),
      node({ id: "refuse", type: "decide", decision: "deny", x: 560 }),
      node({ id: "ask", type: "decide", decision: "step_up", x: 560, y: 100 }),
    ],
    edges: [{ from: "new-device", to: "any" }, { from: "any", to: "refuse" }],
  };
}

const palette: Palette = {
  signals: [
    {
      name: "impossible_travel", title: "Impossible travel", help: "", asks: "", weight: 60, lowers: false, unit: "km/h",
      params: [
        { name: "kmh", title: "Fastest", help: "", kind: "number", unit: "km/h", number: 900, min: 100, max: 5000 },
        { name: "places", title: "Places", help: "", kind: "list", unit: "", list: ["a", "b"] },
      ],
    },
  ],
  presets: [],
  limits: { nodes: 200, edges: 600, expression: 1000, score: 100, weight: 1000 },
};

// unchanged runs an edit and makes sure that the document that it was given stays as it was.
function unchanged<T>(edit: (d: PolicyDocument) => T): T {
  const d = sample();
  const result = edit(d);
  assert.deepEqual(d, sample());
  return result;
}

test("an id is fresh, short and of the letters that the server takes", () => {
  const d = sample();
  assert.equal(freshID(d, "geo_anomaly"), "geo-anomaly");
  assert.equal(freshID(d, "new_device"), "new-device-2");
  assert.equal(freshID(d, "Ärger & so"), "rger-so");
  assert.equal(freshID(d, "???"), "node");
  const long = freshID(d, "x".repeat(80));
  d.nodes.push(node({ id: long, type: "combine" }));
  assert.match(freshID(d, "x".repeat(80)), /^[a-z0-9-]{1,40}$/);
});

test("what is added is connected with what is chosen, if that fits", () => {
  const after = unchanged((d) => add(d, { type: "decide", decision: "step_up" }, ["any"]));
  assert.deepEqual(after.document.edges.at(-1), { from: "any", to: "ask-2" });
  assert.deepEqual(after.joined, ["any"]);

  const before = unchanged((d) => add(d, { type: "signal", signal: "geo_anomaly" }, ["any"]));
  assert.deepEqual(before.document.edges.at(-1), { from: "geo-anomaly", to: "any" });
  assert.ok((before.document.nodes.at(-1)?.x ?? 0) < 280);

  const both = unchanged((d) => add(d, { type: "condition", op: "all" }, ["new-device", "far"]));
  assert.deepEqual(both.joined, ["new-device", "far"]);

  const neither = unchanged((d) => add(d, { type: "combine", how: "sum" }, ["any"]));
  assert.deepEqual(neither.joined, []);
  assert.equal(neither.document.edges.length, 2);
});

test("points of a condition begin with a number, those of a signal with its own", () => {
  const own = add(sample(), { type: "weight" }, ["far"]).document.nodes.at(-1);
  assert.equal(own?.weight, undefined);
  assert.equal(add(sample(), { type: "weight" }, ["any"]).document.nodes.at(-1)?.weight, 10);
});

test("what is added covers nothing", () => {
  let d = sample();
  for (let i = 0; i < 6; i++) d = add(d, { type: "condition", op: "any" }, i % 2 ? ["far"] : []).document;
  d.nodes.forEach((a, i) => d.nodes.slice(i + 1).forEach((b) => assert.ok(Math.abs(a.x - b.x) >= 240 || Math.abs(a.y - b.y) >= 90, `${a.id} ${b.id}`)));
  assert.deepEqual(free({ ...d, nodes: [] }, 10.4, 20.6), { x: 10, y: 21 });
});

test("a field that is undefined is taken away", () => {
  const d = unchanged((d) => change(change(d, "any", { label: "One" }), "any", { label: undefined }));
  assert.ok(!("label" in (d.nodes[2] ?? {})));
  assert.equal(operate(d, "any", "count").nodes[2]?.value, 2);
  assert.ok(!("value" in (operate(operate(d, "any", "at_least"), "any", "not").nodes[2] ?? {})));
});

test("only what differs from the default is written down", () => {
  const set = (d: PolicyDocument, name: string, v?: number | string[]) => setParam(d, palette, "far", name, v);
  const fast = unchanged((d) => set(d, "kmh", 500));
  assert.deepEqual(fast.nodes[1]?.params, { kmh: 500 });
  assert.deepEqual(set(fast, "places", ["a"]).nodes[1]?.params, { kmh: 500, places: ["a"] });
  assert.ok(!("params" in (set(set(fast, "places", ["a", "b"]), "kmh", 900).nodes[1] ?? {})));
  assert.ok(!("params" in (set(fast, "kmh", undefined).nodes[1] ?? {})));
});

test("removing a node removes its connections", () => {
  const d = unchanged((d) => remove(d, ["any"]));
  assert.deepEqual(d.edges, []);
  assert.equal(d.nodes.length, 4);
  assert.deepEqual(remove(sample(), [], [{ from: "any", to: "refuse" }]).edges, [{ from: "new-device", to: "any" }]);
});

test("what does not fit is not connected", () => {
  const d = sample();
  assert.equal(connect(d, "far", "refuse"), d);
  assert.equal(unchanged((d) => connect(d, "far", "any")).edges.length, 3);
});

test("places are whole pixels, and no move is no change", () => {
  const d = sample();
  assert.equal(move(d, new Map([["far", { x: 0.2, y: 99.8 }]])), d);
  const moved = unchanged((d) => move(d, new Map([["far", { x: 10.6, y: -3.2 }]])));
  assert.deepEqual([moved.nodes[1]?.x, moved.nodes[1]?.y], [11, -3]);
});

test("rules change places, and nothing else does", () => {
  const d = unchanged((d) => reorder(d, "ask", -1));
  assert.deepEqual(rules(d).map((n) => n.id), ["ask", "refuse"]);
  assert.deepEqual(d.nodes.slice(0, 3), sample().nodes.slice(0, 3));
  assert.deepEqual(reorder(d, "ask", -1), d);
  assert.deepEqual(reorder(d, "any", 1), d);
});
