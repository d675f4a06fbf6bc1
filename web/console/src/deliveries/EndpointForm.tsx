import { useState } from "react";
import { Field, left, LinesField, Tick, Wrong } from "../fields.tsx";
import { shapeName, tokenName, type Endpoint, type Input, type ShapeInfo } from "./types.ts";

interface Props { input: Input; shapes: ShapeInfo[]; endpoint: Endpoint | null; wrong: Record<string, string>; readOnly: boolean; onChange: (i: Input) => void; onLeave: (field: string) => void }

const example = `{
  "what": "{{type}}",
  "when": "{{timestamp}}",
  "text": "{{text}}",
  "all": "{{data}}"
}`;

// EndpointForm edits where messages go, and as what.
export function EndpointForm({ input: i, shapes, endpoint, wrong, readOnly, onChange, onLeave }: Props) {
  const set = (part: Partial<Input>) => onChange({ ...i, ...part });
  const shape = shapes.find((s) => s.shape === i.shape);
  const sameTool = endpoint?.shape === i.shape;
  const choose = (next: string) => {
    const { token: _t, headers: _h, signing: _s, ...rest } = i;
    onChange({ ...rest, shape: next, template: next === "template" ? i.template || example : "" });
  };
  return (
    <fieldset className="plain columns" disabled={readOnly} onBlur={(e) => left(e) && onLeave(left(e))}>
      <legend className="hidden">The endpoint</legend>
      <fieldset>
        <legend>Where to</legend>
        <Field label="Name" name="name" wrong={wrong.name}>{(n) => <input {...n} type="text" maxLength={100} value={i.name} onChange={(e) => set({ name: e.target.value })} />}</Field>
        <Field label="Shape" name="shape" wrong={wrong.shape}>{(n) => <select {...n} value={i.shape} onChange={(e) => choose(e.target.value)}>{shapes.map((s) => <option key={s.shape} value={s.shape}>{shapeName(s.shape)}</option>)}</select>}</Field>
        <Field label="Address" name="url" wrong={wrong.url} help={endpoint ? "What is secret in it is not shown; left as it is, it stays." : "https. Redirects are not followed."}>
          {(n) => <input {...n} type="url" spellCheck={false} value={i.url} onChange={(e) => set({ url: e.target.value.trim() })} />}
        </Field>
        <Tick label="It may be in a private network" checked={i.allow_private} help="Then http will do, too, and you answer for what is there." onChange={(allow_private) => set({ allow_private })} />
        <Tick label="Switched off" checked={i.disabled} onChange={(disabled) => set({ disabled })} />
      </fieldset>
      <fieldset>
        <legend>What, and as whom</legend>
        <LinesField label="Events (one a line)" name="events" wrong={wrong.events} value={i.events} help="Types of messages, as verification.ended; verification.* is all that begin so. Empty: all." onChange={(events) => set({ events })} />
        {shape?.token && (
          <Field label={tokenName[i.shape] ?? "Token"} name="token" wrong={wrong.token} help={sameTool && endpoint?.has_token ? "One is saved. Left empty, it stays." : "Never shown again."}>
            {(n) => <input {...n} type="password" autoComplete="off" spellCheck={false} value={i.token ?? ""} onChange={(e) => set({ token: e.target.value || undefined })} />}
          </Field>
        )}
        {i.shape === "template" && (
          <Field label="Template" name="template" wrong={wrong.template} help="JSON. In its strings {{id}}, {{type}}, {{timestamp}}, {{text}}, {{data}} and parts such as {{data.status}} stand for what is told.">
            {(n) => <textarea {...n} className="code" rows={8} spellCheck={false} value={i.template} onChange={(e) => set({ template: e.target.value })} />}
          </Field>
        )}
        {shape?.signs && <Headers saved={sameTool || shapes.find((s) => s.shape === endpoint?.shape)?.signs ? endpoint?.headers ?? [] : []} wrong={wrong.headers} onChange={(headers) => set({ headers })} />}
        {shape?.signs && !(endpoint?.signing ?? []).length && (
          <Field label="Signature" name="signing" wrong={wrong.signing} help="By the Standard Webhooks scheme. Its secret is shown once.">
            {(n) => <select {...n} value={i.signing ?? "hmac"} onChange={(e) => set({ signing: e.target.value })}><option value="hmac">with a shared secret (HMAC)</option><option value="ed25519">with a key pair (Ed25519)</option></select>}
          </Field>
        )}
      </fieldset>
    </fieldset>
  );
}

// Headers are credentials: of those that are saved only the names are known. undefined
// means that nothing was changed.
function Headers({ saved, wrong, onChange }: { saved: string[]; wrong?: string; onChange: (headers: Record<string, string> | undefined) => void }) {
  const [rows, setRows] = useState<[string, string][]>(() => saved.map((name) => [name, ""]));
  const change = (next: [string, string][]) => {
    setRows(next);
    const same = next.length === saved.length && next.every(([n, v], i) => n === saved[i] && v === "");
    onChange(same ? undefined : Object.fromEntries(next.filter(([n]) => n)));
  };
  return (
    <fieldset className="inner">
      <legend>Headers of your own</legend>
      {rows.map(([name, value], i) => (
        <div key={i} className="row pair">
          <input type="text" data-field={i === 0 ? "headers" : undefined} aria-label={`Name of header ${i + 1}`} placeholder="Authorization" spellCheck={false} value={name} onChange={(e) => change(rows.map((r, j) => (j === i ? [e.target.value.trim(), r[1]] : r)))} />
          <input type="password" autoComplete="off" aria-label={`Value of header ${i + 1}`} placeholder={saved.includes(name) ? "as it is saved" : ""} value={value} onChange={(e) => change(rows.map((r, j) => (j === i ? [r[0], e.target.value] : r)))} />
          <button type="button" className="quiet" aria-label={`Remove header ${name || i + 1}`} onClick={() => change(rows.filter((_, j) => j !== i))}>Remove</button>
        </div>
      ))}
      <Wrong>{wrong}</Wrong>
      <button type="button" className="quiet" data-field={rows.length ? undefined : "headers"} onClick={() => change([...rows, ["", ""]])}>Add a header</button>
    </fieldset>
  );
}
