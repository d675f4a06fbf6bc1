import assert from "node:assert/strict";
import { test } from "node:test";
import type { PolicyDocument } from "../types.ts";
import { begin, record, redo, same, undo } from "./history.ts";
import { tidy } from "./layout.ts";

const named = (name: string): PolicyDocument => ({ format: 1, name, nodes: [], edges: [], otherwise: "allow" });

test("edits are taken back and done again", () => {
  const [a, b, c] = [named("a"), named("b"), named("c")];
  let h = record(record(begin(a), b, "", 0), c, "", 1);
  h = undo(h);
  assert.equal(h.present, b);
  h = undo(h);
  assert.equal(h.present, a);
  assert.equal(undo(h), h);
  h = redo(redo(h));
  assert.equal(h.present, c);
  assert.equal(redo(h), h);
  assert.equal(record(undo(h), named("d"), "", 2).future.length, 0);
});

test("typing is taken back at once, unless there was a pause or another field", () => {
  const a = begin(named(""));
  const typed = record(record(record(a, named("x"), "name", 0), named("xy"), "name", 900), named("xyz"), "name", 1800);
  assert.equal(typed.past.length, 1);
  assert.equal(undo(typed).present, a.present);
  assert.equal(record(typed, named("xyz!"), "name", 9000).past.length, 2);
  assert.equal(record(typed, named("xyz!"), "other", 1900).past.length, 2);
  const back = undo(typed);
  assert.equal(record(back, named("z"), "name", 1900).past.length, 1); // does not join what was taken back
});

test("the past is bounded", () => {
  let h = begin(named("0"));
  for (let i = 1; i < 500; i++) h = record(h, named(String(i)), "", i);
  assert.equal(h.past.length, 100);
});

test("documents are the same by content", () => {
  assert.ok(same(named("a"), named("a")));
  assert.ok(!same(named("a"), named("b")));
});

test("tidied up, nothing covers another, all goes from left to right, and rules stand in their order", () => {
  const nodes: PolicyDocument["nodes"] = [];
  const edges: PolicyDocument["edges"] = [];
  for (let i = 0; i < 12; i++) {
    nodes.push({ id: `s${i}`, type: "signal", x: 7, y: 7 });
    edges.push({ from: `s${i}`, to: i < 4 ? "all" : "any" });
  }
  nodes.push({ id: "second", type: "decide", x: 0, y: 0 }, { id: "any", type: "condition", op: "any", x: 0, y: 0 });
  nodes.push({ id: "first", type: "decide", x: 0, y: 0 }, { id: "all", type: "condition", op: "all", x: 0, y: 0 });
  edges.push({ from: "all", to: "first" }, { from: "any", to: "deep" }, { from: "deep", to: "second" }, { from: "gone", to: "any" });
  nodes.push({ id: "deep", type: "condition", op: "not", x: 0, y: 0 });
  const d = tidy({ ...named("x"), nodes, edges }, new Map([["s3", { width: 220, height: 200 }]]));
  const by = new Map(d.nodes.map((n) => [n.id, n]));
  const height = (id: string) => (id === "s3" ? 200 : 76);
  for (const a of d.nodes) {
    assert.ok(Number.isInteger(a.x) && Number.isInteger(a.y));
    for (const b of d.nodes) {
      if (a === b) continue;
      const apart = Math.abs(a.x - b.x) >= 220 || (a.y <= b.y ? b.y - a.y >= height(a.id) : a.y - b.y >= height(b.id));
      assert.ok(apart, `${a.id} covers ${b.id}`);
    }
  }
  for (const e of d.edges) {
    const [from, to] = [by.get(e.from), by.get(e.to)];
    if (from && to) assert.ok(from.x + 220 < to.x, `${e.from} to ${e.to}`);
  }
  assert.ok((by.get("second")?.y ?? 0) < (by.get("first")?.y ?? 0)); // by the list of nodes
  assert.equal(by.get("second")?.x, by.get("first")?.x);
  assert.deepEqual(tidy(named("empty"), new Map()), named("empty"));
});
