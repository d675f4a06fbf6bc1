// The document as React Flow draws it.

import type { Edge } from "@xyflow/react";
import type { Palette, PolicyDocument, Problem, Step } from "../types.ts";
import type { PartNode } from "./Part.tsx";
import { gives } from "./rules.ts";
import { detail, kind, state, title } from "./words.ts";

export interface Drawn {
  document: PolicyDocument;
  palette: Palette;
  problems: Problem[];
  steps?: Step[];
}

// drawNodes keeps of the nodes that are drawn already what React Flow has measured, and
// which are chosen.
export function drawNodes(d: Drawn, drawn: PartNode[]): PartNode[] {
  const before = new Map(drawn.map((n) => [n.id, n]));
  const steps = new Map(d.steps?.map((s) => [s.node, s]));
  return d.document.nodes.map((node): PartNode => {
    const problems = d.problems.filter((p) => p.node === node.id);
    const step = steps.get(node.id);
    const about = { kind: kind(d.document, node), title: title(d.document, d.palette, node), detail: detail(d.document, d.palette, node) };
    const spoken = [`${about.kind}: ${about.title}`, ...about.detail, state(step, node), ...problems.map((p) => `Problem: ${p.message}`)];
    return {
      ...before.get(node.id),
      id: node.id,
      type: "part",
      position: { x: node.x, y: node.y },
      ariaLabel: spoken.filter(Boolean).join(", "),
      data: { node, ...about, problems, step },
    };
  });
}

export function edgeID(e: { from: string; to: string }): string {
  return `${e.from}>${e.to}`;
}

export function drawEdges(d: Drawn, chosen: string | undefined): Edge[] {
  const nodes = new Map(d.document.nodes.map((n) => [n.id, n]));
  const onPath = new Set(d.steps?.filter((s) => s.on_path).map((s) => s.node));
  const wrong = new Set(d.problems.flatMap((p) => (p.edge ? [edgeID(p.edge)] : [])));
  const list: Edge[] = [];
  const seen = new Set<string>();
  for (const e of d.document.edges) {
    const [from, to, id] = [nodes.get(e.from), nodes.get(e.to), edgeID(e)];
    if (!from || !to || seen.has(id) || !gives(from) || to.type === "signal" || to.type === "expression") continue; // the check tells of these
    seen.add(id);
    const classes = [`carries-${gives(from)}`];
    if (onPath.has(e.from) && onPath.has(e.to)) classes.push("is-lit");
    if (wrong.has(id)) classes.push("is-wrong");
    list.push({
      id,
      source: e.from,
      target: e.to,
      className: classes.join(" "),
      selected: id === chosen,
      ariaLabel: `From ${title(d.document, d.palette, from)} to ${title(d.document, d.palette, to)}`,
    });
  }
  return list;
}
