// Laying a policy out from left to right.

import { Graph, layout } from "@dagrejs/dagre";
import type { PolicyDocument } from "../types.ts";
import { move } from "./edit.ts";

export interface Size {
  width: number;
  height: number;
}

const usual: Size = { width: 220, height: 76 };

// tidy places every node anew. Rules stand from top to bottom in their order.
export function tidy(document: PolicyDocument, sizes: Map<string, Size>): PolicyDocument {
  const g = new Graph();
  g.setGraph({ rankdir: "LR", nodesep: 20, ranksep: 70 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const n of document.nodes) g.setNode(n.id, { ...(sizes.get(n.id) ?? usual) });
  for (const e of document.edges) if (g.hasNode(e.from) && g.hasNode(e.to)) g.setEdge(e.from, e.to);
  layout(g);
  const places = new Map<string, { x: number; y: number }>();
  for (const n of document.nodes) {
    const at = g.node(n.id) as Size & { x: number; y: number };
    places.set(n.id, { x: at.x - at.width / 2, y: at.y - at.height / 2 });
  }
  orderRules(document, places);
  const left = Math.min(...[...places.values()].map((p) => p.x));
  const top = Math.min(...[...places.values()].map((p) => p.y));
  for (const p of places.values()) {
    p.x -= left;
    p.y -= top;
  }
  return move(document, places);
}

// orderRules puts the rules into one column, the last, and shares the heights there out
// among them in their order.
function orderRules(document: PolicyDocument, places: Map<string, { x: number; y: number }>) {
  const list = document.nodes.filter((n) => n.type === "decide").flatMap((n) => places.get(n.id) ?? []);
  if (list.length === 0) return;
  const x = Math.max(...list.map((p) => p.x));
  const heights = list.map((p) => p.y).sort((a, b) => a - b);
  let least = -Infinity;
  list.forEach((p, i) => {
    p.x = x;
    p.y = Math.max(heights[i] ?? p.y, least);
    least = p.y + usual.height + 20;
  });
}
