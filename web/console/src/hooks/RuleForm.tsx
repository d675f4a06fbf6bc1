import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import { Field, LinesField, Tick, Wrong } from "../fields.tsx";
import { NumberInput } from "../parts.tsx";
import { kindName, slug, type Action, type Rule, type RuleProblem, type RulesState, type Variable } from "./types.ts";

interface Props { rule: Rule; fresh: boolean; state: RulesState; problems: RuleProblem[]; path: string; onChange: (r: Rule) => void }

// told finds what is said about a part of the document: what is wrong with it, else what
// is worth a warning.
function told(problems: RuleProblem[], path: string): { wrong?: string; warning?: string } {
  const about = problems.filter((p) => p.path === path || p.path.startsWith(`${path}[`) || p.path.startsWith(`${path}.`));
  const words = (warning: boolean) => about.filter((p) => !!p.warning === warning).map((p) => p.message).join(" ") || undefined;
  return { wrong: words(false), warning: words(true) };
}

const Warning = ({ children }: { children: ReactNode }) => (children ? <p className="note">{children}</p> : null);

// RuleForm edits one rule.
export function RuleForm({ rule: r, fresh, state, problems, path, onChange }: Props) {
  const set = (part: Partial<Rule>) => onChange({ ...r, ...part });
  const at = (part: string) => told(problems, `${path}.${part}`);
  const follows = useRef(fresh && (r.id === "" || r.id === slug(r.name)));
  return (
    <>
      <div className="columns">
        <Field label="Name" name={`${path}.name`} wrong={at("name").wrong}>
          {(n) => <input {...n} type="text" maxLength={80} value={r.name} onChange={(e) => set({ name: e.target.value, ...(follows.current && { id: slug(e.target.value) }) })} />}
        </Field>
        <Field label="ID" name={`${path}.id`} wrong={at("id").wrong} help="Stays when the rule is changed: what was done once for it is known by it.">
          {(n) => <input {...n} type="text" maxLength={40} spellCheck={false} value={r.id} onChange={(e) => ((follows.current = false), set({ id: e.target.value }))} />}
        </Field>
      </div>
      <On on={r.on} known={state.actions} wrong={at("on").wrong} onChange={(on) => set({ on })} />
      <Warning>{at("on").warning}</Warning>
      <Expression label="If (empty: always)" name={`${path}.if`} value={r.if ?? ""} variables={state.variables} wrong={at("if").wrong} onChange={(text) => set({ if: text || undefined })} />
      <Warning>{at("if").warning}</Warning>
      <Tick label="Only when so many came of one person" checked={!!r.count} onChange={(on) => set({ count: on ? { at_least: 3, within: "1h" } : undefined })} help="Then it fires once, and not again until that time has passed." />
      {r.count && (
        <div className="row">
          <span>At least</span> <NumberInput label="How many events" whole min={1} max={1000} value={r.count.at_least} onChange={(n) => n !== undefined && set({ count: { ...r.count!, at_least: n } })} />
          <span>within</span> <input type="text" className="short" aria-label="Within which time, such as 15m or 1h" spellCheck={false} value={r.count.within} onChange={(e) => set({ count: { ...r.count!, within: e.target.value.trim() } })} />
          <Wrong>{at("count").wrong}</Wrong>
        </div>
      )}
      <h2 className="then">Then</h2>
      {r.do.map((a, i) => (
        <ActionForm key={i} action={a} name={`Action ${i + 1}`} state={state} problems={problems} path={`${path}.do[${i}]`} onChange={(next) => set({ do: r.do.map((o, j) => (j === i ? next : o)) })}
          onRemove={r.do.length > 1 ? () => set({ do: r.do.filter((_, j) => j !== i) }) : undefined} />
      ))}
      {r.do.length === 0 && <Wrong>{at("do").wrong}</Wrong>}
      {r.do.length < state.limits.actions && <button type="button" className="quiet" onClick={() => set({ do: [...r.do, { do: "notify" }] })}>Add an action</button>}
    </>
  );
}

// On is the events that a rule listens to.
function On({ on, known, wrong, onChange }: { on: string[]; known: string[]; wrong?: string; onChange: (on: string[]) => void }) {
  const [text, setText] = useState("");
  const id = useId();
  const add = () => {
    const action = text.trim();
    setText("");
    if (action && !on.includes(action)) onChange([...on, action]);
  };
  return (
    <fieldset className="inner">
      <legend>When one of these happens</legend>
      <ul className="path" role="list">
        {on.map((action) => (
          <li key={action}>{action === "*" ? "anything" : action} <button type="button" className="link remove" aria-label={`Remove ${action}`} onClick={() => onChange(on.filter((o) => o !== action))}>×</button></li>
        ))}
      </ul>
      <div className="row">
        <label htmlFor={id} className="hidden">Another event</label>
        <input id={id} list={`${id}-known`} value={text} spellCheck={false} placeholder="UserCreated" aria-invalid={wrong ? true : undefined} aria-describedby={`${id}-wrong`} onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => e.key === "Enter" && (e.preventDefault(), add())} />
        <datalist id={`${id}-known`}>{known.filter((a) => !on.includes(a)).map((a) => <option key={a} value={a} />)}</datalist>
        <button type="button" className="quiet" disabled={!text.trim()} onClick={add}>Add the event</button>
      </div>
      <Wrong id={`${id}-wrong`}>{wrong}</Wrong>
    </fieldset>
  );
}

// Expression is a condition or a value, with what it can name at hand.
function Expression({ label, name, value, variables, wrong, onChange }: { label: string; name: string; value: string; variables: Variable[]; wrong?: string; onChange: (text: string) => void }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const insert = (word: string) => {
    const a = area.current;
    const [from, to] = a ? [a.selectionStart, a.selectionEnd] : [value.length, value.length];
    onChange(value.slice(0, from) + word + value.slice(to));
    requestAnimationFrame(() => (a?.focus(), a?.setSelectionRange(from + word.length, from + word.length)));
  };
  return (
    <>
      <Field label={label} name={name} wrong={wrong}>
        {(n) => <textarea {...n} ref={area} className="code" rows={2} spellCheck={false} value={value} onChange={(e) => onChange(e.target.value)} />}
      </Field>
      <details className="palette">
        <summary>What it can name</summary>
        <dl>
          {variables.map((v) => (
            <div key={v.name}>
              <dt><button type="button" className="link" aria-label={`Insert ${v.name}`} onClick={() => insert(v.name)}><code>{v.name}</code></button> <span className="soft">{v.type}</span></dt>
              <dd>{marked(v.help)}</dd>
            </div>
          ))}
        </dl>
      </details>
    </>
  );
}

// marked shows what stands in backticks as code.
const marked = (text: string) => text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part));

interface ActionProps { action: Action; name: string; state: RulesState; problems: RuleProblem[]; path: string; onChange: (a: Action) => void; onRemove?: () => void }

function ActionForm({ action: a, name, state, problems, path, onChange, onRemove }: ActionProps) {
  const set = (part: Partial<Action>) => onChange({ ...a, ...part });
  const at = (part: string) => told(problems, `${path}.${part}`).wrong;
  const { warning } = told(problems, path);
  const starts = a.do === "start_verification" || a.do === "start_challenge";
  const tells = a.do === "notify" || (starts && a.deliver === "none");
  const own = problems.filter((p) => p.path === path && !p.warning).map((p) => p.message).join(" ");
  return (
    <fieldset className="inner action">
      <legend>{name}</legend>
      <div className="row">
        <select aria-label={`${name}: what to do`} data-field={`${path}.do`} value={a.do} onChange={(e) => onChange(blank(e.target.value))}>{state.kinds.map((k) => <option key={k} value={k}>{kindName(k)}</option>)}</select>
        {onRemove && <button type="button" className="quiet" aria-label={`Remove ${name.toLowerCase()}`} onClick={onRemove}>Remove</button>}
      </div>
      <Wrong>{at("do") || own}</Wrong>
      {starts && (
        <Field label="How the link gets to the person" wrong={at("deliver")}>
          {(n) => (
            <select {...n} value={a.deliver ?? ""} onChange={(e) => set({ deliver: e.target.value, flow: undefined, type: undefined, text: undefined })}>
              <option value="message">1Kosmos sends it</option>
              <option value="flow">a Descope flow sends it</option>
              <option value="none">it is in the message to your endpoints</option>
            </select>
          )}
        </Field>
      )}
      {starts && a.deliver === "flow" && <Field label="ID of the Descope flow" wrong={at("flow")}>{(n) => <input {...n} type="text" spellCheck={false} value={a.flow ?? ""} onChange={(e) => set({ flow: e.target.value.trim() })} />}</Field>}
      {starts && <Field label="As which caller" wrong={at("caller")} help="Empty: the tenant's own for hooks.">{(n) => <input {...n} type="text" spellCheck={false} value={a.caller ?? ""} onChange={(e) => set({ caller: e.target.value.trim() || undefined })} />}</Field>}
      {a.do === "write_status" && (
        <Field label="Status" wrong={at("status")}>
          {(n) => <select {...n} value={a.status ?? ""} onChange={(e) => set({ status: e.target.value })}><option value="disabled">disabled: the account is locked</option><option value="enabled">enabled</option></select>}
        </Field>
      )}
      {(a.do === "add_roles" || a.do === "remove_roles") && <LinesField label="Roles (one a line)" rows={2} wrong={at("roles")} value={a.roles ?? []} onChange={(roles) => set({ roles })} />}
      {a.do === "write_attributes" && <Attributes value={a.attributes} variables={state.attribute_variables} problems={problems} path={path} onChange={(attributes) => set({ attributes })} />}
      {a.do === "write_audit" && <Field label="Action of the entry" wrong={at("type")} help="As KosmosIdvCompleted.">{(n) => <input {...n} type="text" spellCheck={false} value={a.type ?? ""} onChange={(e) => set({ type: e.target.value.trim() })} />}</Field>}
      {tells && <Field label="Type of the message" wrong={at("type")} help="What endpoints filter by. Empty: hook. and the rule's ID.">{(n) => <input {...n} type="text" spellCheck={false} value={a.type ?? ""} onChange={(e) => set({ type: e.target.value.trim() || undefined })} />}</Field>}
      {tells && <Field label="Text for people" wrong={at("text")}>{(n) => <input {...n} type="text" maxLength={500} value={a.text ?? ""} onChange={(e) => set({ text: e.target.value || undefined })} />}</Field>}
      <Warning>{warning}</Warning>
    </fieldset>
  );
}

// blank is an action of a kind as it begins.
function blank(kind: string): Action {
  if (kind === "start_verification" || kind === "start_challenge") return { do: kind, deliver: "message" };
  if (kind === "write_status") return { do: kind, status: "disabled" };
  if (kind === "add_roles" || kind === "remove_roles") return { do: kind, roles: [] };
  return { do: kind };
}

// Attributes has rows with an order of their own while they are edited.
function Attributes({ value, variables, problems, path, onChange }: { value: Record<string, string> | undefined; variables: Variable[]; problems: RuleProblem[]; path: string; onChange: (v: Record<string, string> | undefined) => void }) {
  const [rows, setRows] = useState<[string, string][]>(() => Object.entries(value ?? {}));
  // Another action may have moved up into this place.
  useEffect(() => setRows((now) => (JSON.stringify(Object.fromEntries(now.filter(([n]) => n))) === JSON.stringify(value ?? {}) ? now : Object.entries(value ?? {}))), [value]);
  const change = (next: [string, string][]) => {
    setRows(next);
    const given = next.filter(([n]) => n);
    onChange(given.length ? Object.fromEntries(given) : undefined);
  };
  return (
    <>
      {rows.length === 0 && <p className="soft">By the outcome mapping of the configuration.</p>}
      {rows.map(([name, text], i) => (
        <div key={i}>
          <div className="row pair">
            <input type="text" aria-label={`Attribute ${i + 1}`} placeholder="kosmosIdvStatus" spellCheck={false} value={name} onChange={(e) => change(rows.map((r, j) => (j === i ? [e.target.value.trim(), r[1]] : r)))} />
            <span>becomes</span>
            <input type="text" className="code" aria-label={`Value of attribute ${i + 1}`} placeholder="result.status" spellCheck={false} value={text} onChange={(e) => change(rows.map((r, j) => (j === i ? [r[0], e.target.value] : r)))} />
            <button type="button" className="quiet" aria-label={`Remove attribute ${name || i + 1}`} onClick={() => change(rows.filter((_, j) => j !== i))}>Remove</button>
          </div>
          <Wrong>{name && told(problems, `${path}.attributes.${name}`).wrong}</Wrong>
        </div>
      ))}
      <Wrong>{problems.filter((p) => p.path === `${path}.attributes` && !p.warning).map((p) => p.message).join(" ")}</Wrong>
      <button type="button" className="quiet" onClick={() => change([...rows, ["", ""]])}>Add an attribute</button>
      <details className="palette">
        <summary>What values can name</summary>
        <dl>{variables.map((v) => <div key={v.name}><dt><code>{v.name}</code> <span className="soft">{v.type}</span></dt><dd>{marked(v.help)}</dd></div>)}</dl>
      </details>
    </>
  );
}
