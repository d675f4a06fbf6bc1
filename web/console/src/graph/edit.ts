// Editing a policy: each operation takes a document and gives a new one.

import type { Palette, PolicyDocument, PolicyNode } from "../types.ts";
import { refusal } from "./rules.ts";

// Columns and rows of a drawing, as the presets have them (internal/risk/policy/presets.go).
export const column = 280;
export const row = 100;

export type Part = Omit<PolicyNode, "id" | "x" | "y">;

const longestID = 40;

// freshID makes an id from a word that no node has yet.
export function freshID(document: PolicyDocument, word: string): string {
  const base = word.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, longestID - 4) || "node";
  const taken = new Set(document.nodes.map((n) => n.id));
  let id = base;
  for (let i = 2; taken.has(id); i++) id = `${base}-${i}`;
  return id;
}

function word(part: Part): string {
  switch (part.type) {
    case "signal":
      return part.signal ?? "signal";
    case "condition":
      return part.op ?? "condition";
    case "decide":
      return part.decision === "deny" ? "refuse" : part.decision === "allow" ? "let-through" : "ask";
    case "weight":
      return "points";
    case "combine":
      return "score";
    case "expression":
      return "expression";
  }
}

// free is the first place at or below one that no node covers.
export function free(document: PolicyDocument, x: number, y: number): { x: number; y: number } {
  const covered = (at: number) => document.nodes.some((n) => Math.abs(n.x - x) < column - 40 && Math.abs(n.y - at) < row - 10);
  let at = y;
  while (covered(at)) at += row;
  return { x: Math.round(x), y: Math.round(at) };
}

function usualColumn(part: Part): number {
  switch (part.type) {
    case "signal":
    case "expression":
      return 0;
    case "condition":
      return part.op === "at_least" ? 3 : 1;
    case "weight":
      return 1;
    case "combine":
      return 2;
    case "decide":
      return 4;
  }
}

export interface Added {
  document: PolicyDocument;
  id: string;
  joined: string[]; // the nodes that it was connected with
}

// add puts a part beside the chosen nodes and connects it with them where that fits: they lead
// to it, or else it leads to one of them. With a place given, it goes there and is not connected.
export function add(document: PolicyDocument, part: Part, chosen: string[], place?: { x: number; y: number }): Added {
  const id = freshID(document, word(part));
  const node: PolicyNode = { ...part, id, x: 0, y: 0 };
  let next: PolicyDocument = { ...document, nodes: [...document.nodes, node] };
  const joined: string[] = [];
  if (place) {
    Object.assign(node, { x: Math.round(place.x), y: Math.round(place.y) });
    return { document: next, id, joined };
  }
  const around = document.nodes.filter((n) => chosen.includes(n.id));
  const join = (from: string, to: string, other: string) => {
    if (refusal(next, from, to)) return;
    next = { ...next, edges: [...next.edges, { from, to }] };
    joined.push(other);
  };
  for (const n of around) join(n.id, id, n.id);
  const after = joined.length > 0;
  if (!after) for (const n of around) join(id, n.id, n.id);
  if (part.type === "weight" && part.weight === undefined && after && around.some((n) => joined.includes(n.id) && n.type !== "signal")) {
    node.weight = 10; // only a signal has points of its own
  }
  if (around.length > 0) {
    const x = after || joined.length === 0 ? Math.max(...around.map((n) => n.x)) + column : Math.min(...around.map((n) => n.x)) - column;
    Object.assign(node, free(document, x, Math.min(...around.map((n) => n.y))));
  } else {
    const left = document.nodes.length > 0 ? Math.min(...document.nodes.map((n) => n.x)) : 0;
    const top = document.nodes.length > 0 ? Math.min(...document.nodes.map((n) => n.y)) : 0;
    Object.assign(node, free(document, left + usualColumn(part) * column, top));
  }
  return { document: next, id, joined };
}

// change sets fields of a node; one that is undefined is taken away.
export function change(document: PolicyDocument, id: string, fields: Partial<PolicyNode>): PolicyDocument {
  return {
    ...document,
    nodes: document.nodes.map((n) => {
      if (n.id !== id) return n;
      const next = { ...n, ...fields };
      for (const [k, v] of Object.entries(fields)) if (v === undefined) delete next[k as keyof PolicyNode];
      return next;
    }),
  };
}

// operate changes what a condition does, with a number where it needs one.
export function operate(document: PolicyDocument, id: string, op: PolicyNode["op"]): PolicyDocument {
  const value = op === "count" ? 2 : op === "at_least" ? 50 : undefined;
  return change(document, id, { op, value });
}

// setParam sets a parameter of a signal; what the palette has as the default is not written down.
export function setParam(document: PolicyDocument, palette: Palette, id: string, name: string, value?: number | string[]): PolicyDocument {
  const node = document.nodes.find((n) => n.id === id);
  const param = palette.signals.find((s) => s.name === node?.signal)?.params.find((p) => p.name === name);
  const params = { ...node?.params };
  const usual = param?.kind === "list" ? JSON.stringify(param.list ?? []) === JSON.stringify(value) : param?.number === value;
  if (value === undefined || usual) delete params[name];
  else params[name] = value;
  return change(document, id, { params: Object.keys(params).length > 0 ? params : undefined });
}

// remove takes nodes away, with their connections, and connections.
export function remove(document: PolicyDocument, ids: string[], edges: { from: string; to: string }[] = []): PolicyDocument {
  const gone = new Set(ids);
  return {
    ...document,
    nodes: document.nodes.filter((n) => !gone.has(n.id)),
    edges: document.edges.filter(
      (e) => !gone.has(e.from) && !gone.has(e.to) && !edges.some((g) => g.from === e.from && g.to === e.to),
    ),
  };
}

// connect joins two nodes, if that is allowed.
export function connect(document: PolicyDocument, from: string, to: string): PolicyDocument {
  return refusal(document, from, to) ? document : { ...document, edges: [...document.edges, { from, to }] };
}

// move puts nodes at other places, in whole pixels; the same document if none did move.
export function move(document: PolicyDocument, places: Map<string, { x: number; y: number }>): PolicyDocument {
  let moved = false;
  const nodes = document.nodes.map((n) => {
    const at = places.get(n.id);
    if (!at) return n;
    const [x, y] = [Math.round(at.x), Math.round(at.y)];
    if (x === n.x && y === n.y) return n;
    moved = true;
    return { ...n, x, y };
  });
  return moved ? { ...document, nodes } : document;
}

// rules are the decide nodes in the order in which they are asked.
export function rules(document: PolicyDocument): PolicyNode[] {
  return document.nodes.filter((n) => n.type === "decide");
}

// reorder lets a rule change places with the one before (-1) or after it (1).
export function reorder(document: PolicyDocument, id: string, by: -1 | 1): PolicyDocument {
  const list = rules(document);
  const at = list.findIndex((n) => n.id === id);
  const other = list[at + by];
  const one = list[at];
  if (!one || !other) return document;
  return { ...document, nodes: document.nodes.map((n) => (n === one ? other : n === other ? one : n)) };
}
