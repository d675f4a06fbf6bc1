import { settings, type Choice, type Form, type Roles } from "./form.ts";
import type { Edge, PolicyDocument, PolicyNode, Signal, Verdict } from "./types.ts";

const slug = (name: string) => name.replaceAll("_", "-");
const width = 280;
const height = 100;

// write gives the graph of a form. What had a part in it before keeps its id, label and
// place; what is new comes below, from left to right. A signal that two rules read in
// the same way is one node.
export function write(form: Form, signals: Signal[], roles: Roles = new Map()): PolicyDocument {
  const nodes: PolicyNode[] = [];
  const edges: Edge[] = [];
  const known = [...roles.values()];
  const used = new Set<string>();
  const fresh = (id: string) => {
    let name = id;
    for (let i = 2; used.has(name) || reserved.has(name); i++) name = `${id}-${i}`;
    return name;
  };
  // Ids of signals that stay as they are; nothing else may take them.
  const reserved = new Set([form.refuse, form.ask, form.points].flat().map((c) => roles.get(settings(c))?.id).filter((id) => id !== undefined));

  const add = (column: number, id: string, was: PolicyNode | undefined, part: Omit<PolicyNode, "id" | "x" | "y">, from: string[] = []): string => {
    const keeps = was !== undefined && !used.has(was.id);
    const n: PolicyNode = { id: keeps ? was.id : fresh(id), ...part, x: 0, y: 0 };
    if (keeps) [n.x, n.y] = [was.x, was.y];
    else {
      const there = [...nodes, ...known].filter((o) => Math.abs(o.x - column * width) < width / 2);
      [n.x, n.y] = [column * width, there.length ? Math.max(...there.map((o) => o.y)) + height : 0];
    }
    used.add(n.id);
    nodes.push(n);
    for (const f of from) edges.push({ from: f, to: n.id });
    return n.id;
  };
  // label is what people called it, unless it is one of ours that no longer fits.
  const label = (was: PolicyNode | undefined, standard: string, ...others: string[]) => (was?.label && !others.includes(was.label) ? was.label : standard);

  const order = new Map(signals.map((s, i) => [s.name, i]));
  const sorted = <T extends Choice>(list: T[]) => [...list].sort((a, b) => (order.get(a.signal) ?? 99) - (order.get(b.signal) ?? 99));
  const made = new Map<string, string>();
  const signal = (group: string, c: Choice): string => {
    const key = settings(c);
    const same = made.get(key);
    if (same) return same;
    let was = roles.get(key);
    if (!was) {
      const other = roles.get(`${group}:${c.signal}`);
      if (other && !reserved.has(other.id)) was = other;
    }
    const part: Omit<PolicyNode, "id" | "x" | "y"> = { type: "signal", signal: c.signal };
    if (was?.label && (was.unknown ?? "neutral") === c.unknown) part.label = was.label;
    if (c.unknown === "raises") part.unknown = "raises";
    if (Object.keys(c.params).length) part.params = c.params;
    const id = add(0, slug(c.signal), was, part);
    made.set(key, id);
    return id;
  };
  const join = (group: "refuse" | "ask", id: string, op: "any" | "all", list: Choice[]) => {
    const was = roles.get(`join:${group}`);
    const from = sorted(list).map((c) => signal(group, c));
    return add(1, id, was, { type: "condition", op, label: op === "all" ? label(was, "All of these", "Any of these") : label(was, "Any of these", "All of these") }, from);
  };

  const rules: [string, string, string, Verdict, string][] = [];
  if (form.refuse.length) rules.push(["rule:refuse", "refuse", "Refuse", "deny", join("refuse", "refuse-if", form.refuseAll ? "all" : "any", form.refuse)]);
  if (form.ask.length) rules.push(["rule:ask", "ask-any", "Ask for a face", "step_up", join("ask", "any", "any", form.ask)]);
  if (form.points.length) {
    const weights = sorted(form.points).map((p) => {
      const was = roles.get(`weight:${p.signal}`);
      const part: Omit<PolicyNode, "id" | "x" | "y"> = { type: "weight" };
      if (was?.label) part.label = was.label;
      if (p.weight !== null) part.weight = p.weight;
      return add(1, `${slug(p.signal)}-points`, was, part, [signal("points", p)]);
    });
    const sum = add(2, "score", roles.get("sum"), { type: "combine", how: "sum", label: label(roles.get("sum"), "Points") }, weights);
    const enough = roles.get("enough");
    rules.push(["rule:points", "ask-points", "Ask for a face", "step_up", add(3, "enough", enough, { type: "condition", op: "at_least", value: form.enough, label: label(enough, "Enough points") }, [sum])]);
  }
  for (const [role, id, standard, decision, from] of rules) add(4, id, roles.get(role), { type: "decide", label: label(roles.get(role), standard), decision }, [from]);
  const doc: PolicyDocument = { format: 1, name: form.name, nodes, edges, otherwise: form.otherwise };
  if (form.description) doc.description = form.description;
  return doc;
}
