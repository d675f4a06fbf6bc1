// The side panel of one node: its settings, and what it is connected with.

import type { Palette, PolicyDocument, PolicyNode, Problem, Step } from "../types.ts";
import { change, operate, setParam } from "./edit.ts";
import { ChoiceField, ListField, NumberField, TextField } from "./fields.tsx";
import { opWords, plain, points, signalOf, usualWeight } from "./words.ts";
import { verdicts } from "../words.ts";

export interface Settings {
  document: PolicyDocument;
  palette: Palette;
  node: PolicyNode;
  problems: Problem[]; // of this node
  step?: Step;
  apply: (next: PolicyDocument, key: string) => void;
}

export function NodeFields(props: Settings) {
  const { document, palette, node, problems, apply } = props;
  const set = (fields: Partial<PolicyNode>) => apply(change(document, node.id, fields), `${node.id} ${Object.keys(fields).join()}`);
  return (
    <>
      <TextField
        label="Label"
        value={node.label ?? ""}
        most={80}
        placeholder={plain(document, palette, { ...node, label: undefined })}
        problems={of(problems, "label")}
        onChange={(v) => set({ label: v || undefined })}
      />
      <Own {...props} set={set} />
    </>
  );
}

function of(problems: Problem[], field: string): Problem[] {
  return problems.filter((p) => p.field === field);
}

function Own({ document, palette, node, problems, apply, set }: Settings & { set: (f: Partial<PolicyNode>) => void }) {
  switch (node.type) {
    case "signal":
      return <SignalFields {...{ document, palette, node, problems, apply }} />;
    case "condition": {
      const ops = Object.entries(opWords) as [NonNullable<PolicyNode["op"]>, string][];
      return (
        <>
          <ChoiceField
            label="Holds if"
            value={node.op}
            options={ops}
            problems={of(problems, "op")}
            onChange={(op) => apply(operate(document, node.id, op), "")}
          />
          {(node.op === "count" || node.op === "at_least") && (
            <NumberField
              key={node.op}
              label={node.op === "count" ? "How many must hold" : "From this number on"}
              value={node.value}
              needed
              whole={node.op === "count"}
              min={node.op === "count" ? 1 : undefined}
              help={node.op === "at_least" ? `Points go up to ${palette.limits.score}. Connected to a signal, it is the signal's value.` : undefined}
              problems={of(problems, "value")}
              onChange={(value) => set({ value })}
            />
          )}
        </>
      );
    }
    case "expression":
      return <ExpressionField {...{ palette, node, problems, set }} />;
    case "weight": {
      const usual = usualWeight(document, palette, node);
      const { weight: most } = palette.limits;
      return (
        <NumberField
          label="Points if it holds"
          value={node.weight}
          usual={usual}
          min={-most}
          max={most}
          help={usual === undefined ? `−${most} to ${most}.` : `−${most} to ${most}. Empty: the signal's own, ${points(usual)}.`}
          problems={of(problems, "weight")}
          onChange={(weight) => set({ weight })}
        />
      );
    }
    case "combine":
      return (
        <ChoiceField
          label="The score is"
          value={node.how}
          options={[["sum", "the sum of the points"], ["max", "the highest of the points"]]}
          help={`It is held to 0 to ${palette.limits.score}.`}
          problems={of(problems, "how")}
          onChange={(how) => set({ how })}
        />
      );
    case "decide":
      return (
        <ChoiceField
          label="Decision"
          value={node.decision}
          options={[["step_up", verdicts.step_up], ["deny", verdicts.deny], ["allow", verdicts.allow]]}
          help={node.decision === "allow" ? "It lets through only on what is sure." : undefined}
          problems={of(problems, "decision")}
          onChange={(decision) => set({ decision })}
        />
      );
  }
}

function SignalFields({ document, palette, node, problems, apply }: Settings) {
  const signal = signalOf(palette, node);
  const names = palette.signals.map((s): [string, string] => [s.name, s.title]);
  return (
    <>
      <ChoiceField
        label="Signal"
        value={node.signal}
        options={names}
        help={signal?.help}
        problems={of(problems, "signal")}
        onChange={(name) => apply(change(document, node.id, { signal: name, params: undefined }), "")}
      />
      <ChoiceField
        label="If it cannot be told"
        value={node.unknown ?? "neutral"}
        options={[["neutral", "Ignore: as if it did not hold"], ["raises", "Ask: as if it did hold"]]}
        help={signal?.lowers ? "It lowers the risk: what cannot be told never counts as good news." : undefined}
        problems={of(problems, "unknown")}
        onChange={(v) => apply(change(document, node.id, { unknown: v === "neutral" ? undefined : v }), "")}
      />
      {signal?.params.map((p) => {
        const key = `${node.id} ${signal.name} ${p.name}`;
        const value = node.params?.[p.name];
        const tell = (v?: number | string[]) => apply(setParam(document, palette, node.id, p.name, v), key);
        if (p.kind === "list") {
          return <ListField key={key} label={p.title} help={p.help} value={Array.isArray(value) ? value : (p.list ?? [])} onChange={tell} />;
        }
        const range = p.min !== undefined && p.max !== undefined ? `From ${p.min} to ${p.max}, usually ${p.number}.` : "";
        return (
          <NumberField
            key={key}
            label={p.title}
            unit={p.unit}
            min={p.min}
            max={p.max}
            usual={p.number}
            needed
            value={typeof value === "number" ? value : p.number}
            help={[p.help, range].filter(Boolean).join(" ")}
            onChange={tell}
          />
        );
      })}
    </>
  );
}

function ExpressionField({ palette, node, problems, set }: Pick<Settings, "palette" | "node" | "problems"> & { set: (f: Partial<PolicyNode>) => void }) {
  const variables = palette.expression?.variables ?? [];
  return (
    <>
      <TextField
        label="Expression, in CEL"
        code
        lines={5}
        value={node.expression ?? ""}
        most={palette.limits.expression}
        help={'As: network.country != "DE" && attempts.subject > 3'}
        problems={of(problems, "expression")}
        onChange={(expression) => set({ expression })}
      />
      {variables.length > 0 && (
        <details className="graph-variables">
          <summary>What it can name ({variables.length})</summary>
          <dl>
            {variables.map((v) => (
              <div key={v.name}>
                <dt>
                  <button
                    type="button"
                    className="graph-variable"
                    aria-label={`Write ${v.name} into the expression`}
                    onClick={() => set({ expression: `${node.expression ?? ""}${/[\s(!]$|^$/.test(node.expression ?? "") ? "" : " "}${v.name}` })}
                  >
                    {v.name}
                  </button>{" "}
                  <span className="graph-note">{v.type}</span>
                </dt>
                <dd>{v.help}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </>
  );
}
