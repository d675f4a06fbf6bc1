// The side panel while no node is chosen: the policy as a whole.

import type { Palette, PolicyDocument, Problem } from "../types.ts";
import { reorder, rules } from "./edit.ts";
import { ChoiceField, TextField } from "./fields.tsx";
import { Warning } from "./Part.tsx";
import { input, title } from "./words.ts";
import { verdicts } from "../words.ts";

interface WholeProps {
  document: PolicyDocument;
  palette: Palette;
  problems: Problem[]; // of no node
  readOnly: boolean;
  apply: (next: PolicyDocument, key: string, say?: string) => void;
  onShow: (id: string) => void;
}

export function WholePanel({ document, palette, problems, readOnly, apply, onShow }: WholeProps) {
  const of = (field: string) => problems.filter((p) => p.field === field);
  const others = problems.filter((p) => !["name", "description", "otherwise"].includes(p.field ?? ""));
  return (
    <>
      <h2>{readOnly ? document.name : "The policy"}</h2>
      <ul className="graph-problems">
        {others.map((p) => (
          <li key={p.code + p.message}>
            <Warning /> {p.message}
          </li>
        ))}
      </ul>
      {readOnly ? (
        document.description && <p>{document.description}</p>
      ) : (
        <>
          <TextField label="Name" value={document.name} most={80} problems={of("name")} onChange={(name) => apply({ ...document, name }, "name")} />
          <TextField
            label="Description"
            lines={3}
            value={document.description ?? ""}
            most={500}
            problems={of("description")}
            onChange={(v) => apply({ ...document, description: v || undefined }, "description")}
          />
        </>
      )}
      <RuleOrder {...{ document, palette, readOnly, apply, onShow }} />
      {readOnly ? (
        <p>Otherwise: {verdicts[document.otherwise].toLowerCase()}.</p>
      ) : (
        <ChoiceField
          label="If no rule holds"
          value={document.otherwise}
          options={[["allow", verdicts.allow], ["step_up", verdicts.step_up]]}
          problems={of("otherwise")}
          onChange={(otherwise) => apply({ ...document, otherwise }, "")}
        />
      )}
      {!readOnly && <p className="graph-note">Choose a node to change it. Add one from the list: it is connected with the chosen one.</p>}
    </>
  );
}

export function RuleOrder({ document, palette, readOnly, apply, onShow }: Omit<WholeProps, "problems">) {
  const list = rules(document);
  if (list.length === 0) return null;
  const shift = (id: string, by: -1 | 1, name: string, to: number) =>
    apply(reorder(document, id, by), "", `${name} is rule ${to + 1} of ${list.length} now.`);
  return (
    <section className="graph-side">
      <h3>Rules, the first that holds decides</h3>
      <ol className="graph-rules">
        {list.map((n, i) => {
          const name = title(document, palette, n);
          const from = input(document, n);
          return (
            <li key={n.id}>
              <button type="button" className="graph-link" onClick={() => onShow(n.id)}>
                {name}
                {from && <small> if: {title(document, palette, from)}</small>}
              </button>
              {!readOnly && list.length > 1 && (
                <>
                  <button type="button" className="graph-small" aria-label={`Move rule ${i + 1}, ${name}, up`} aria-disabled={i === 0 || undefined} onClick={() => i > 0 && shift(n.id, -1, name, i - 1)}>
                    ↑
                  </button>
                  <button
                    type="button"
                    className="graph-small"
                    aria-label={`Move rule ${i + 1}, ${name}, down`}
                    aria-disabled={i === list.length - 1 || undefined}
                    onClick={() => i < list.length - 1 && shift(n.id, 1, name, i + 1)}
                  >
                    ↓
                  </button>
                </>
              )}
            </li>
          );
        })}
      </ol>
    </section>
  );
}
