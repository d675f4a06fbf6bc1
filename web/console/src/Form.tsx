import { useId, type ReactNode } from "react";
import type { Choice, Form as FormShape, Weighed } from "./form.ts";
import { NumberInput } from "./parts.tsx";
import type { Palette, Param, Signal, Verdict } from "./types.ts";
import { verdicts } from "./words.ts";

interface Props { form: FormShape; palette: Palette; readOnly: boolean; onChange: (f: FormShape) => void }

// FormView is the policy for people who do not like graphs.
export function FormView({ form, palette, readOnly, onChange }: Props) {
  const raising = palette.signals.filter((s) => !s.lowers);
  const set = (part: Partial<FormShape>) => onChange({ ...form, ...part });
  return (
    <fieldset className="plain form" disabled={readOnly}>
      <legend className="hidden">The policy as a form</legend>
      <Group legend="Ask for a face when any of these holds" signals={raising} list={form.ask} onChange={(ask) => set({ ask })} />
      <fieldset>
        <legend>Or when the points of these add up</legend>
        <Rows signals={palette.signals} list={form.points} start={{ weight: null }} onChange={(points) => set({ points })}
          extra={(s, c, change) => <Points signal={s} choice={c} limit={palette.limits.weight} onChange={change} />} />
        {form.points.length > 0 && (
          <label className="inline sum">
            Points that it takes: <NumberInput value={form.enough} min={0} max={palette.limits.score} onChange={(n) => n !== undefined && set({ enough: n })} />
            <span className="soft">of {palette.limits.score} at most</span>
          </label>
        )}
      </fieldset>
      <Group legend="Refuse when" signals={raising} list={form.refuse} onChange={(refuse) => set({ refuse })}>
        {form.refuse.length > 0 && (
          <div className="row">
            {[false, true].map((all) => (
              <label key={String(all)} className="inline">
                <input type="radio" name="refuse-all" checked={form.refuseAll === all} onChange={() => set({ refuseAll: all })} /> {all ? "all of these hold" : "any of these holds"}
              </label>
            ))}
          </div>
        )}
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
        <p className="soft">If nothing can be told, or the evaluation fails, a face is asked for all the same.</p>
        <label className="block">Name of the policy <input type="text" maxLength={80} value={form.name} onChange={(e) => set({ name: e.target.value })} /></label>
        <label className="block">Description <textarea rows={3} maxLength={500} value={form.description} onChange={(e) => set({ description: e.target.value })} /></label>
      </fieldset>
    </fieldset>
  );
}

interface GroupProps { legend: string; signals: Signal[]; list: Choice[]; onChange: (list: Choice[]) => void; children?: ReactNode }

function Group({ legend, children, ...rows }: GroupProps) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      {children}
      <Rows start={{}} {...rows} />
    </fieldset>
  );
}

interface RowsProps<T extends Choice> {
  signals: Signal[]; list: T[]; onChange: (list: T[]) => void;
  start: Omit<T, keyof Choice>; // what a new choice has beside a signal
  extra?: (s: Signal, c: T, change: (part: Partial<T>) => void) => ReactNode;
}

function Rows<T extends Choice>({ signals, list, start, onChange, extra }: RowsProps<T>) {
  return (
    <ul className="signals">
      {signals.map((s) => {
        const c = list.find((e) => e.signal === s.name);
        const change = (part: Partial<T>) => onChange(list.map((e) => (e.signal === s.name ? { ...e, ...part } : e)));
        const toggle = (on: boolean) => onChange(on ? [...list, { signal: s.name, unknown: "neutral", params: {}, ...start } as T] : list.filter((e) => e.signal !== s.name));
        return (
          <li key={s.name} className={c && "chosen"}>
            <label className="inline grow">
              <input type="checkbox" checked={!!c} onChange={(e) => toggle(e.target.checked)} /> {s.asks}
            </label>
            {c && extra?.(s, c, change)}
            {c && <Settings signal={s} choice={c} onChange={change as (part: Partial<Choice>) => void} />}
          </li>
        );
      })}
    </ul>
  );
}

function Settings({ signal, choice, onChange }: { signal: Signal; choice: Choice; onChange: (part: Partial<Choice>) => void }) {
  const set = choice.unknown === "raises" || Object.keys(choice.params).length > 0;
  return (
    <details>
      <summary aria-label={`Settings of: ${signal.asks}${set ? " (changed)" : ""}`}>Settings{set && " •"}</summary>
      <p className="soft">{signal.help}</p>
      {!signal.lowers && (
        <label className="inline">
          If it cannot be told:{" "}
          <select value={choice.unknown} onChange={(e) => onChange({ unknown: e.target.value as Choice["unknown"] })}>
            <option value="neutral">as if it did not hold</option>
            <option value="raises">as if it held</option>
          </select>
        </label>
      )}
      {signal.params.map((p) => (
        <ParamField key={p.name} param={p} value={choice.params[p.name]} onChange={(v) => {
          const params = { ...choice.params };
          if (v === undefined) delete params[p.name];
          else params[p.name] = v;
          onChange({ params });
        }} />
      ))}
    </details>
  );
}

function Points({ signal, choice, limit, onChange }: { signal: Signal; choice: Weighed; limit: number; onChange: (part: Partial<Weighed>) => void }) {
  return (
    <span className="inline">
      <NumberInput label={`Points when ${signal.asks}`} min={-limit} max={limit} value={choice.weight ?? signal.weight} onChange={(n) => onChange({ weight: n === undefined || n === signal.weight ? null : n })} /> points
    </span>
  );
}

function ParamField({ param, value, onChange }: { param: Param; value: number | string[] | undefined; onChange: (v: number | string[] | undefined) => void }) {
  const id = useId();
  const help = `${id}-help`;
  return (
    <div className="param">
      <label htmlFor={id}>{param.title}{param.kind === "list" ? " (one a line)" : ""}</label>{" "}
      {param.kind === "list" ? <ListField id={id} help={help} param={param} value={value as string[] | undefined} onChange={onChange} />
        : <NumberInput id={id} describedBy={help} min={param.min} max={param.max} value={(value as number | undefined) ?? param.number} onChange={(n) => onChange(n === param.number ? undefined : n)} />}{" "}
      {param.unit}
      <div id={help} className="soft">{param.help}</div>
    </div>
  );
}

function ListField({ id, help, param, value, onChange }: { id: string; help: string; param: Param; value: string[] | undefined; onChange: (v: string[] | undefined) => void }) {
  const given = param.list ?? [];
  const shown = (value ?? given).join("\n");
  return (
    <textarea key={shown} id={id} rows={3} aria-describedby={help} defaultValue={shown} onBlur={(e) => {
      const list = e.target.value.split("\n").map((l) => l.trim()).filter(Boolean);
      if (list.join("\n") !== shown) onChange(list.join("\n") === given.join("\n") ? undefined : list);
    }} />
  );
}
