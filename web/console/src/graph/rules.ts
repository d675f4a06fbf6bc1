// What may be joined with what: as the server's check does (internal/risk/policy/check.go), so
// that nobody draws what it would refuse.

import type { PolicyDocument, PolicyNode } from "../types.ts";

export type Kind = "truth" | "number";

// gives is what comes out of a node; nothing comes out of a decision.
export function gives(node: PolicyNode): Kind | undefined {
  switch (node.type) {
    case "signal":
    case "condition":
    case "expression":
      return "truth";
    case "weight":
    case "combine":
      return "number";
    case "decide":
      return undefined;
  }
}

// takes is what goes into a node. Into "at least" goes a number, or a signal: its value is meant.
export function takes(node: PolicyNode): Kind | undefined {
  switch (node.type) {
    case "signal":
    case "expression":
      return undefined;
    case "combine":
      return "number";
    case "condition":
      return node.op === "at_least" ? "number" : "truth";
    case "weight":
    case "decide":
      return "truth";
  }
}

// takesOne says that a single connection may go into the node.
export function takesOne(node: PolicyNode): boolean {
  return (
    node.type === "weight" || node.type === "decide" || (node.type === "condition" && (node.op === "not" || node.op === "at_least"))
  );
}

function fits(from: PolicyNode, to: PolicyNode): boolean {
  return gives(from) === takes(to) || (from.type === "signal" && to.type === "condition" && to.op === "at_least");
}

// leads says whether a way runs along the edges from one node to another.
export function leads(document: PolicyDocument, from: string, to: string): boolean {
  const seen = new Set<string>();
  const open = [from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (id === to) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    for (const e of document.edges) if (e.from === id) open.push(e.to);
  }
  return false;
}

// refusal says in a sentence why two nodes cannot be joined; undefined if they can.
export function refusal(document: PolicyDocument, from: string, to: string): string | undefined {
  const a = document.nodes.find((n) => n.id === from);
  const b = document.nodes.find((n) => n.id === to);
  if (!a || !b) return "One end of the connection is not there.";
  if (from === to) return "A node cannot be connected to itself.";
  if (!gives(a)) return "Nothing comes out of a decision.";
  if (!takes(b)) return `Nothing goes into ${b.type === "signal" ? "a signal" : "an expression"}.`;
  if (document.edges.some((e) => e.from === from && e.to === to)) return "The two are connected already.";
  if (!fits(a, b)) {
    return takes(b) === "number"
      ? "It takes a number, and this is a truth. Put points between them."
      : "It takes a truth, and this is a number. Put a condition (points reach) between them.";
  }
  if (takesOne(b) && document.edges.some((e) => e.to === to)) return "It takes one connection only. Put an any or all before it.";
  if (leads(document, to, from)) return "That would run in a circle.";
  return undefined;
}
