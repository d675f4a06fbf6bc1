// What a node is and does, in words.

import type { Palette, Param, PolicyDocument, PolicyNode, Signal, Step } from "../types.ts";
import { verdicts } from "../words.ts";
import { rules } from "./edit.ts";

export const opWords: Record<NonNullable<PolicyNode["op"]>, string> = {
  any: "Any of these holds",
  all: "All of these hold",
  not: "This does not hold",
  count: "So many of these hold",
  at_least: "The points reach a number",
};

export function signalOf(palette: Palette, node: PolicyNode | undefined): Signal | undefined {
  return node?.type === "signal" ? palette.signals.find((s) => s.name === node.signal) : undefined;
}

const amount = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export function number(n: number): string {
  return amount.format(n).replace("-", "−");
}

function unit(u: string | undefined): string {
  return u ? ` ${u}` : "";
}

export function points(n: number): string {
  return `${n > 0 ? "+" : ""}${number(n)} ${Math.abs(n) === 1 ? "point" : "points"}`;
}

// input is the node that leads to one; undefined if none or several do.
export function input(document: PolicyDocument, node: PolicyNode): PolicyNode | undefined {
  const from = document.edges.filter((e) => e.to === node.id);
  return from.length === 1 ? document.nodes.find((n) => n.id === from[0]?.from) : undefined;
}

// usualWeight is what a weight node gives if it says nothing: the points of its signal.
export function usualWeight(document: PolicyDocument, palette: Palette, node: PolicyNode): number | undefined {
  return signalOf(palette, input(document, node))?.weight;
}

// kind is what stands above the title: what sort of node it is.
export function kind(document: PolicyDocument, node: PolicyNode): string {
  switch (node.type) {
    case "signal":
      return "Signal";
    case "condition":
      return "Condition";
    case "expression":
      return "Expression";
    case "weight":
      return "Points";
    case "combine":
      return "Score";
    case "decide":
      return `Rule ${rules(document).findIndex((n) => n.id === node.id) + 1}`;
    default:
      return "Unknown";
  }
}

// title is what people call the node.
export function title(document: PolicyDocument, palette: Palette, node: PolicyNode): string {
  return node.label || plain(document, palette, node);
}

// plain is what the node would be called without a label.
export function plain(document: PolicyDocument, palette: Palette, node: PolicyNode): string {
  switch (node.type) {
    case "signal":
      return signalOf(palette, node)?.title ?? node.signal ?? "Signal";
    case "condition":
      return operation(document, palette, node);
    case "expression":
      return "Expression";
    case "weight": {
      const weight = node.weight ?? usualWeight(document, palette, node);
      return weight === undefined ? "Points" : points(weight);
    }
    case "combine":
      return node.how === "max" ? "Highest of the points" : "Sum of the points";
    case "decide":
      return node.decision ? verdicts[node.decision] : "Decision";
    default:
      return node.id;
  }
}

function operation(document: PolicyDocument, palette: Palette, node: PolicyNode): string {
  const value = node.value === undefined ? "…" : number(node.value);
  switch (node.op) {
    case "count":
      return `At least ${value} of these hold`;
    case "at_least": {
      const from = input(document, node);
      return `${value}${from?.type === "signal" ? unit(signalOf(palette, from)?.unit) : " points"} or more`;
    }
    case undefined:
      return "Condition";
    default:
      return opWords[node.op] ?? node.op;
  }
}

export function setting(param: Param, value: number | string[]): string {
  return `${param.title}: ${Array.isArray(value) ? value.join(", ") || "none" : number(value) + unit(param.unit)}`;
}

// detail is what stands below the title: what the node does, as far as the title does not say.
export function detail(document: PolicyDocument, palette: Palette, node: PolicyNode): string[] {
  const lines: string[] = [];
  const named = !!node.label && node.label !== plain(document, palette, node);
  switch (node.type) {
    case "signal": {
      const signal = signalOf(palette, node);
      if (named && signal) lines.push(signal.title);
      for (const p of signal?.params ?? []) {
        const value = node.params?.[p.name];
        if (value !== undefined) lines.push(setting(p, value));
      }
      if (signal?.lowers) lines.push("lowers the risk");
      else lines.push(`if it cannot be told: ${node.unknown === "raises" ? "ask" : "ignore"}`);
      return lines;
    }
    case "expression":
      return [node.expression?.trim() || "nothing written yet"];
    case "weight":
      if (named) lines.push(plain(document, palette, node));
      lines.push(node.weight === undefined && usualWeight(document, palette, node) !== undefined ? "the signal's own" : "if it holds");
      return lines;
    case "combine":
      if (named) lines.push(plain(document, palette, node));
      lines.push("0 to 100");
      return lines;
    default:
      return named ? [plain(document, palette, node)] : [];
  }
}

// state is what the node gave when the policy was tried.
export function state(step: Step | undefined, node: PolicyNode): string {
  if (!step) return "";
  if (node.type === "signal" && !step.sure) return step.holds ? "cannot be told: ask" : "cannot be told";
  const sure = step.sure ? "" : ", not sure";
  if (step.holds !== undefined) return (step.holds ? "holds" : "does not hold") + sure;
  if (step.number !== undefined) return number(step.number) + (Math.abs(step.number) === 1 ? " point" : " points") + sure;
  return step.sure ? "" : "not sure";
}

// short is as state, where there is little room.
export function short(step: Step | undefined, node: PolicyNode): string {
  if (!step || step.sure || node.type === "signal") return state(step, node);
  if (step.holds !== undefined) return step.holds ? "holds, not sure" : "not sure";
  return step.number === undefined ? "not sure" : `${number(step.number)}, not sure`;
}
