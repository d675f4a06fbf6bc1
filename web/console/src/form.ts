// The form is the graph, in a shape that it can read back:
//
//   signals ─▶ any or all ─▶ refuse          (rule "refuse")
//   signals ─▶ any ─▶ ask for a face         (rule "ask-any")
//   signals ─▶ weights ─▶ sum ─▶ at least ─▶ ask for a face   (rule "ask-points")
//
// Of a graph of another shape it shows what it can, and says what it cannot: such a one
// is edited as a graph.
import type { PolicyDocument, PolicyNode, Signal, Verdict } from "./types.ts";

export interface Choice { signal: string; unknown: "neutral" | "raises"; params: Record<string, number | string[]> }
export interface Weighed extends Choice { weight: number | null } // null: the signal's own
export interface Form {
  name: string;
  description: string;
  refuse: Choice[];
  refuseAll: boolean; // all of them together, not any
  ask: Choice[];
  points: Weighed[];
  enough: number;
  otherwise: Verdict;
}

// Roles are the nodes that play a part of the form, so that writing it again leaves
// their names and places as they are.
export type Roles = Map<string, PolicyNode>;

export interface Reading {
  form: Form;
  beyond: string[]; // what only the graph shows; empty: the form is the whole policy
  roles: Roles;
}

type Group = "refuse" | "ask" | "points";

const choice = (n: PolicyNode): Choice => ({ signal: n.signal ?? "", unknown: n.unknown ?? "neutral", params: n.params ?? {} });

// settings are what makes two signals the same part.
export const settings = (c: Choice): string => JSON.stringify([c.signal, c.unknown, Object.entries(c.params).sort(([a], [b]) => (a < b ? -1 : 1))]);

// read gives the form of a document, as far as it has one.
export function read(doc: PolicyDocument, signals: Signal[]): Reading {
  const node = new Map(doc.nodes.map((n) => [n.id, n]));
  const inputs = (n: PolicyNode) => doc.edges.filter((e) => e.to === n.id).map((e) => node.get(e.from)).filter((i): i is PolicyNode => !!i);
  const form: Form = { name: doc.name, description: doc.description ?? "", refuse: [], refuseAll: false, ask: [], points: [], enough: 50, otherwise: doc.otherwise };
  const roles: Roles = new Map();
  const seen = new Set<PolicyNode>();
  const beyond: string[] = [];
  const offered = new Map(signals.map((s) => [s.name, s]));
  const shown = (list: PolicyNode[], group: Group) =>
    list.length > 0 && new Set(list.map((n) => n.signal)).size === list.length &&
    list.every((n) => n.type === "signal" && offered.has(n.signal ?? "") && (group === "points" || !offered.get(n.signal ?? "")?.lowers));
  const take = (group: Group, list: PolicyNode[], parts: Record<string, PolicyNode>) => {
    for (const n of list) {
      roles.set(`${group}:${n.signal}`, n);
      roles.set(settings(choice(n)), n);
      seen.add(n);
    }
    for (const [role, n] of Object.entries(parts)) {
      roles.set(role, n);
      seen.add(n);
    }
    had.add(group);
  };
  const had = new Set<Group>();

  const readRule = (rule: PolicyNode): boolean => {
    const [from, more] = inputs(rule);
    if (!from || more) return false;
    if (from.type === "condition" && from.op === "at_least") {
      const [sum, another] = inputs(from);
      if (rule.decision !== "step_up" || had.has("points") || !sum || another || sum.type !== "combine" || (sum.how ?? "sum") !== "sum") return false;
      const weights = inputs(sum);
      const weighed = weights.map((w) => (w.type === "weight" && inputs(w).length === 1 ? inputs(w)[0] : undefined)).filter((n): n is PolicyNode => !!n);
      if (weighed.length !== weights.length || !shown(weighed, "points")) return false;
      form.points = weighed.map((n, i) => ({ ...choice(n), weight: weights[i]?.weight ?? null }));
      form.enough = from.value ?? 0;
      take("points", weighed, { "rule:points": rule, sum, enough: from, ...Object.fromEntries(weights.map((w, i) => [`weight:${weighed[i]?.signal}`, w])) });
      return true;
    }
    const joins = from.type === "condition" && (from.op === "any" || from.op === "all");
    const list = joins ? inputs(from) : [from];
    const all = joins && from.op === "all";
    const group = rule.decision === "deny" ? "refuse" : "ask";
    if (rule.decision === "allow" || had.has(group) || !shown(list, group)) return false;
    if (group === "refuse" ? had.has("ask") || had.has("points") : all && list.length > 1) return false;
    form[group] = list.map(choice);
    if (group === "refuse") form.refuseAll = all;
    take(group, list, { [`rule:${group}`]: rule, ...(joins ? { [`join:${group}`]: from } : {}) });
    return true;
  };

  for (const rule of doc.nodes.filter((n) => n.type === "decide")) {
    seen.add(rule);
    if (!readRule(rule)) beyond.push(`rule “${rule.label || rule.id}”`);
  }
  const rest = doc.nodes.filter((n) => !seen.has(n));
  if (rest.length && beyond.length === 0) beyond.push(`parts that no rule uses (${rest.map((n) => n.label || n.id).join(", ")})`);
  return { form, beyond, roles };
}
