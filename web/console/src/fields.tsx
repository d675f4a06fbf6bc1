import { useEffect, useId, useRef, useState, type FocusEvent, type ReactNode } from "react";

// Named is what a control gets from its Field, so that its label, its help and what is
// wrong with it belong to it.
export interface Named { id: string; "aria-describedby": string | undefined; "aria-invalid": true | undefined; "data-field": string | undefined }

interface FieldProps { label: string; name?: string; help?: ReactNode; wrong?: string; children: (named: Named) => ReactNode }

export function Field({ label, name, help, wrong, children }: FieldProps) {
  const id = useId();
  const described = [help && `${id}-help`, wrong && `${id}-wrong`].filter(Boolean).join(" ");
  return (
    <div className="entry">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": wrong ? true : undefined, "data-field": name })}
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
      {help && <div id={`${id}-help`} className="soft">{help}</div>}
    </div>
  );
}

// left is the name of the field that somebody has just left, "" if that is not to be told:
// what is wrong there would appear while a button is being pressed, and move it away from
// under the pointer. Whoever saves is told all that is wrong anyway.
export function left({ target, relatedTarget }: FocusEvent): string {
  return relatedTarget instanceof HTMLButtonElement || !(target instanceof HTMLElement) ? "" : target.dataset.field ?? "";
}

export function Wrong({ id, children }: { id?: string; children: ReactNode }) {
  return children ? <div id={id} className="wrong">{children}</div> : null;
}

// lines takes a text apart, one entry a line.
const lines = (text: string) => text.split("\n").map((l) => l.trim()).filter(Boolean);

// LinesField is a list, one entry a line. It keeps what is being typed, and takes on a
// list that comes from elsewhere.
export function LinesField({ value, onChange, rows = 3, ...field }: Omit<FieldProps, "children"> & { value: string[]; onChange: (list: string[]) => void; rows?: number }) {
  const [text, setText] = useState(value.join("\n"));
  useEffect(() => setText((t) => (lines(t).join("\n") === value.join("\n") ? t : value.join("\n"))), [value]);
  return (
    <Field {...field}>
      {(named) => <textarea {...named} rows={rows} spellCheck={false} value={text} onChange={(e) => (setText(e.target.value), onChange(lines(e.target.value)))} />}
    </Field>
  );
}

interface SomeOfProps { legend: string; name: string; all: string; options: [string, string][]; value: string[] | undefined; wrong?: string; help?: ReactNode; onChange: (list: string[] | undefined) => void }

// SomeOf is a choice of several, or of all that there are (undefined), which is not the
// same as of every one by name.
export function SomeOf({ legend, name, all, options, value, wrong, help, onChange }: SomeOfProps) {
  const id = useId();
  const last = useRef(value);
  if (value) last.current = value;
  return (
    <fieldset className="inner" aria-describedby={[help && `${id}-help`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined}>
      <legend>{legend}</legend>
      <div className="row">
        <label className="inline"><input type="radio" name={id} data-field={name} checked={!value} onChange={() => onChange(undefined)} /> {all}</label>
        <label className="inline"><input type="radio" name={id} checked={!!value} onChange={() => onChange(last.current ?? [])} /> Only these</label>
      </div>
      {value && (
        <div className="row ticks">
          {options.map(([v, text]) => (
            <label key={v} className="inline">
              <input type="checkbox" checked={value.includes(v)} onChange={(e) => onChange(options.map(([o]) => o).filter((o) => (o === v ? e.target.checked : value.includes(o))))} /> {text}
            </label>
          ))}
        </div>
      )}
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
      {help && <div id={`${id}-help`} className="soft">{help}</div>}
    </fieldset>
  );
}

// Preferred is a choice of several in an order, the best first.
export function Preferred({ legend, name, options, value, wrong, help, onChange }: Omit<SomeOfProps, "all" | "value" | "onChange"> & { value: string[]; onChange: (list: string[]) => void }) {
  const id = useId();
  const left = options.filter(([v]) => !value.includes(v));
  return (
    <fieldset className="inner" aria-describedby={[help && `${id}-help`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined}>
      <legend>{legend}</legend>
      <div className="row">
        {[...value, ""].map((chosen, i) => (chosen || left.length > 0) && (
          <select key={i} data-field={i === 0 ? name : undefined} aria-label={i === 0 ? "First choice" : `Choice ${i + 1}`} value={chosen}
            onChange={(e) => onChange([...value.slice(0, i), e.target.value, ...value.slice(i + 1)].filter(Boolean))}>
            <option value="">{i === 0 ? "nothing" : "and nothing else"}</option>
            {options.filter(([v]) => v === chosen || !value.includes(v)).map(([v, text]) => <option key={v} value={v}>{text}</option>)}
            {chosen && !options.some(([v]) => v === chosen) && <option value={chosen}>{chosen}</option>}
          </select>
        ))}
      </div>
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
      {help && <div id={`${id}-help`} className="soft">{help}</div>}
    </fieldset>
  );
}

export function Tick({ label, name, checked, disabled, help, wrong, onChange }: { label: string; name?: string; checked: boolean; disabled?: boolean; help?: ReactNode; wrong?: string; onChange: (on: boolean) => void }) {
  const id = useId();
  return (
    <div className="entry">
      <label className="inline">
        <input type="checkbox" data-field={name} checked={checked} disabled={disabled} aria-invalid={wrong ? true : undefined} aria-describedby={[help && `${id}-help`, wrong && `${id}-wrong`].filter(Boolean).join(" ") || undefined}
          onChange={(e) => onChange(e.target.checked)} /> {label}
      </label>
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
      {help && <div id={`${id}-help`} className="soft">{help}</div>}
    </div>
  );
}

// Copy puts a text on the clipboard, and says so for a moment.
export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return;
    const wait = setTimeout(() => setSaid(""), 3000);
    return () => clearTimeout(wait);
  }, [said]);
  const copy = () => navigator.clipboard.writeText(text).then(() => setSaid("Copied"), () => setSaid("Not copied: select the text"));
  return (
    <span className="inline">
      <button type="button" className="quiet" aria-label={`Copy ${what}`} onClick={() => void copy()}>Copy</button>
      <span role="status" className="soft">{said}</span>
    </span>
  );
}

// Once shows a secret that is never shown again. It takes the focus.
export function Once({ what, secret, onClose }: { what: string; secret: string; onClose: () => void }) {
  const title = useRef<HTMLHeadingElement>(null);
  const id = useId();
  useEffect(() => title.current?.focus(), [secret]);
  return (
    <section className="once" aria-labelledby={id}>
      <h2 id={id} ref={title} tabIndex={-1}>{what}</h2>
      <p>This is the only time that it is shown. Put it where it belongs now.</p>
      <div className="row">
        <code className="secret">{secret}</code>
        <Copy text={secret} what="the secret" />
        <button type="button" className="quiet" onClick={onClose}>I have it: hide it</button>
      </div>
    </section>
  );
}

// Corrections lists what is wrong with a form that somebody wanted to save, each a way
// to its field.
export function Corrections({ fields, labels }: { fields: Record<string, string>; labels: (field: string) => string }) {
  const list = Object.entries(fields);
  if (!list.length) return null;
  const go = (field: string) => document.querySelector<HTMLElement>(`[data-field="${CSS.escape(field)}"]`)?.focus();
  return (
    <div className="trouble" role="alert">
      <p>{list.length === 1 ? "One thing is to be corrected:" : `${list.length} things are to be corrected:`}</p>
      <ul>{list.map(([field, text]) => <li key={field}><button type="button" className="link" onClick={() => go(field)}>{labels(field)}</button> {text}</li>)}</ul>
    </div>
  );
}
