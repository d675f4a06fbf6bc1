import { useId } from "react";
import type { Choice, Form as FormShape, Weighed } from "./form.ts";
import type { Palette, Param, Signal, Verdict } from "./types.ts";
import { verdicts } from "./words.ts";

interface Props { form: FormShape; palette: Palette; readOnly: boolean; onChange: (f: FormShape) => void }

// FormView is the policy for people who do not like graphs.
export function FormView({ form, palette, readOnly, onChange }: Props) {
  const raising = palette.signals.filter((s) => !s.lowers);
  const set = (part: Partial<FormShape>) => onChange({ ...form, ...part });
  return (
    <fieldset className="plain" disabled={readOnly}>
      <legend className="hidden">The policy as a form</legend>
      <Group legend="Ask for a face when any of these holds" signals={raising} list={form.ask} onChange={(ask) => set({ ask })} />
      <fieldset>
        <legend>Ask for a face when the points of these reach a sum</legend>
        <Rows signals={palette.signals} list={form.points} onChange={(points) => set({ points: points.map((p) => ({ ...p, weight: p.weight ?? null })) })}
          extra={(s, c, change) => <Points signal={s} choice={c as Weighed} limit={palette.limits.weight} onChange={change} />} />
        <NumberField label="Points that it takes" value={form.enough} min={0} max={palette.limits.score} onChange={(enough) => set({ enough })} />
      </fieldset>
      <Group legend="Refuse when" signals={raising} list={form.refuse} onChange={(refuse) => set({ refuse })}>
        <div className="row">
          {[false, true].map((all) => (
            <label key={String(all)} className="inline">
              <input type="radio" name="refuse-all" checked={form.refuseAll === all} onChange={() => set({ refuseAll: all })} /> {all ? "all of these hold" : "any of these holds"}
            </label>
          ))}
        </div>
      </Group>
      <fieldset>
        <legend>Otherwise</legend>
        <div className="row">
          {(["allow", "step_up"] as Verdict[]).map((v) => (
            <label key={v} className="inline">
              <input type="radio" name="otherwise" checked={form.otherwise === v} onChange={() => set({ otherwise: v })} /> {verdicts[v]}
            </label>
          ))}
        </div>
      </fieldset>
    </fieldset>
  );
}

function Group({ legend, children, ...rows }: { legend: string; signals: Signal[]; list: Choice[]; onChange: (list: Choice[]) => void; children?: React.ReactNode }) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      {children}
      <Rows {...rows} />
    </fieldset>
  );
}

interface RowsProps<T extends Choice> {
  signals: Signal[]; list: T[]; onChange: (list: T[]) => void;
  extra?: (s: Signal, c: T, change: (part: Partial<T>) => void) => React.ReactNode;
}

function Rows<T extends Choice>({ signals, list, onChange, extra }: RowsProps<T>) {
  return (
    <ul className="signals">
      {signals.map((s) => {
        const c = list.find((e) => e.signal === s.name);
        const change = (part: Partial<T>) => onChange(list.map((e) => (e.signal === s.name ? { ...e, ...part } : e)));
        const toggle = (on: boolean) => onChange(on ? [...list, { signal: s.name, unknown: "neutral", params: {} } as unknown as T] : list.filter((e) => e.signal !== s.name));
        return (
          <li key={s.name}>
            <label className="inline grow">
              <input type="checkbox" checked={!!c} onChange={(e) => toggle(e.target.checked)} /> {s.asks}
            </label>
            {c && extra?.(s, c, change)}
            {c && (
              <details>
                <summary aria-label={`Settings of: ${s.asks}`}>Settings</summary>
                <p className="soft">{s.help}</p>
                {!s.lowers && (
                  <label className="inline">
                    If it cannot be told:{" "}
                    <select value={c.unknown} onChange={(e) => change({ unknown: e.target.value as Choice["unknown"] } as Partial<T>)}>
                      <option value="neutral">as if it did not hold</option>
                      <option value="raises">as if it held</option>
                    </select>
                  </label>
                )}
                {s.params.map((p) => (
                  <ParamField key={p.name} param={p} value={c.params[p.name]} onChange={(v) => {
                    const params = { ...c.params };
                    if (v === undefined) delete params[p.name];
                    else params[p.name] = v;
                    change({ params } as Partial<T>);
                  }} />
                ))}
              </details>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Points({ signal, choice, limit, onChange }: { signal: Signal; choice: Weighed; limit: number; onChange: (part: Partial<Weighed>) => void }) {
  return (
    <label className="inline">
      <input type="number" className="short" min={-limit} max={limit} aria-label={`Points when ${signal.asks}`} value={choice.weight ?? signal.weight}
        onChange={(e) => onChange({ weight: e.target.value === "" || Number(e.target.value) === signal.weight ? null : Number(e.target.value) })} /> points
    </label>
  );
}

function NumberField({ label, value, min, max, onChange }: { label: string; value: number; min: number; max: number; onChange: (n: number) => void }) {
  return (
    <label className="inline">
      {label}: <input type="number" className="short" min={min} max={max} value={value} onChange={(e) => e.target.value !== "" && onChange(Number(e.target.value))} />
    </label>
  );
}

function ParamField({ param, value, onChange }: { param: Param; value: number | string[] | undefined; onChange: (v: number | string[] | undefined) => void }) {
  const id = useId();
  const field = param.kind === "list" ? (
    <textarea id={id} rows={3} aria-describedby={`${id}-help`} defaultValue={((value as string[] | undefined) ?? param.list ?? []).join("\n")}
      onBlur={(e) => onChange(e.target.value.split("\n").map((l) => l.trim()).filter(Boolean))} />
  ) : (
    <input id={id} type="number" className="short" step="any" min={param.min} max={param.max} aria-describedby={`${id}-help`} value={(value as number | undefined) ?? param.number}
      onChange={(e) => onChange(e.target.value === "" || Number(e.target.value) === param.number ? undefined : Number(e.target.value))} />
  );
  return (
    <div className="param">
      <label htmlFor={id}>{param.title}{param.kind === "list" ? " (one a line)" : ""}</label> {field} {param.unit}
      <div id={`${id}-help`} className="soft">{param.help}</div>
    </div>
  );
}
