import { useEffect, useMemo, useRef, useState } from "react";
import { call, Failed, of, type Change, type Session } from "../api.ts";
import { Changes } from "../Changes.tsx";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { remember, remembered } from "../remember.ts";
import { when } from "../words.ts";
import { DryRun } from "./DryRun.tsx";
import { RuleForm } from "./RuleForm.tsx";
import { authorName, kindName, type Rule, type RuleProblem, type RulesState, type RulesVersion } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

export function RulesPage(props: Props) {
  const { data, error, reload } = useLoad(`rules ${props.tenant}`, () => call<RulesState>("GET", of(props.tenant, "rules")));
  useEffect(() => {
    document.title = "Rules – Kosmoscope";
  }, []);
  if (error && !data) return <><h1>Rules</h1><Trouble>{error}</Trouble></>;
  if (!data) return <><h1>Rules</h1><Loading what="the rules" /></>;
  return <><Trouble>{error}</Trouble><Editor {...props} state={data} reload={reload} /></>;
}

// Entry is a rule of the draft, with a name of its own for as long as it is edited: its id
// may change.
interface Entry { key: number; rule: Rule; fresh: boolean }
interface Draft { rules: Rule[]; base: number }

let last = 0;
const entries = (rules: Rule[]): Entry[] => rules.map((rule) => ({ key: ++last, rule, fresh: false }));

function kept(tenant: string): Draft | null {
  try {
    const d = JSON.parse(remembered(`rules ${tenant}`)) as Draft;
    return Array.isArray(d.rules) ? d : null;
  } catch {
    return null; // nothing, or of an older console
  }
}

function Editor({ session, tenant, say, state, reload }: Props & { state: RulesState; reload: () => void }) {
  const operator = session.role === "operator";
  const holding = state.in_force.rules ?? [];
  const [draft, setDraft] = useState(() => kept(tenant));
  const [list, setList] = useState(() => entries(draft?.rules ?? holding));
  const [open, setOpen] = useState(0); // key of the one that is edited
  const [asking, setAsking] = useState<"publish" | null>(null);
  const rules = useMemo(() => list.map((e) => e.rule), [list]);
  const base = draft?.base ?? state.in_force.version;
  const changed = JSON.stringify(rules) !== JSON.stringify(holding);
  const { problems, sound } = useProblems(tenant, rules);
  const errors = problems.filter((p) => !p.warning);
  const top = useRef<HTMLHeadingElement>(null);

  const edit = (next: Entry[], from = base) => {
    setList(next);
    const d = { rules: next.map((e) => e.rule), base: from };
    setDraft(d);
    remember(`rules ${tenant}`, JSON.stringify(d));
  };
  const drop = (to: Rule[]) => {
    setDraft(null);
    setList(entries(to));
    setOpen(0);
    remember(`rules ${tenant}`, "");
  };
  const version = state.in_force.version;
  useEffect(() => {
    if (!draft) setList(entries(holding)); // untouched, it follows what holds
  }, [version]);
  const published = (v: RulesVersion, said: string) => {
    setAsking(null);
    drop(v.rules ?? []);
    reload();
    say(said);
    top.current?.focus();
    scrollTo(0, 0);
  };
  const add = () => {
    const entry: Entry = { key: ++last, rule: { id: "", name: "", on: [], do: [{ do: "notify" }] }, fresh: true };
    edit([...list, entry]);
    setOpen(entry.key);
  };
  return (
    <>
      <div className="head">
        <div>
          <h1 tabIndex={-1} ref={top}>Rules</h1>
          <p className="soft">What an event leads to. {version === 0 ? "The rules as shipped hold." : `Version ${version} holds, by ${authorName(state.in_force.author)}.`} {changed && "You have a draft that is not published."}</p>
        </div>
        <div className="row">
          <button type="button" className="quiet" disabled={!changed} onClick={() => (drop(holding), say("The draft is dropped."))}>Drop the draft</button>
          <button type="button" disabled={!operator || !changed || !sound} aria-describedby="publish-why" onClick={() => setAsking("publish")}>Publish…</button>
          <span id="publish-why" className="hidden">{!operator ? "Publishing needs the role operator." : errors.length ? "The draft has problems." : !changed ? "There is nothing to publish yet." : ""}</span>
        </div>
      </div>
      {!operator && <p className="note">You are signed in as a viewer: you can edit a draft and run it dry. Publishing and rolling back need the role operator.</p>}
      {changed && base !== version && <p className="note">Version {version} was published since this draft was begun. Compare before you publish over it.</p>}
      {errors.length > 0 && (
        <div className="trouble" role="status">
          <p>{errors.length === 1 ? "One thing keeps the draft from being published:" : `${errors.length} things keep the draft from being published:`}</p>
          <ul>
            {errors.slice(0, 8).map((p, i) => {
              const at = Number(/^rules\[(\d+)\]/.exec(p.path)?.[1] ?? -1);
              const entry = list[at];
              return <li key={i}>{entry && <button type="button" className="link" onClick={() => setOpen(entry.key)}>{entry.rule.name || `Rule ${at + 1}`}:</button>} {p.message}</li>;
            })}
          </ul>
        </div>
      )}
      <section aria-label="Rules">
        <ul className="versions rules" role="list">
          {list.map((e, i) => (
            <RuleItem key={e.key} {...{ state, problems }} entry={e} path={`rules[${i}]`} open={open === e.key} onOpen={(on) => setOpen(on ? e.key : 0)}
              onChange={(rule) => edit(list.map((o) => (o.key === e.key ? { ...o, rule } : o)))} onRemove={() => edit(list.filter((o) => o.key !== e.key))} />
          ))}
        </ul>
        {list.length === 0 && <p>There is no rule: nothing is done about any event.</p>}
        <div className="row"><button type="button" className="quiet" disabled={list.length >= state.limits.rules} onClick={add}>Add a rule</button></div>
      </section>
      <DryRun tenant={tenant} rules={rules} sound={sound} />
      <History {...{ tenant, state, operator }} onLoad={(v) => (edit(entries(v.rules ?? []), version), say(`The draft is now ${named(v.version)}.`))} onBack={published} onStale={reload} />
      <Publish {...{ tenant, rules, base, holding }} open={asking === "publish"} onClose={() => setAsking(null)} onStale={reload} onKeep={() => edit(list, version)}
        onDone={(v) => published(v, `Version ${v.version} is published and holds.`)} />
    </>
  );
}

// useProblems has the server check the draft, a moment after its last change.
function useProblems(tenant: string, rules: Rule[]): { problems: RuleProblem[]; sound: boolean } {
  const [got, setGot] = useState<{ of: Rule[] | null; problems: RuleProblem[] }>({ of: null, problems: [] });
  useEffect(() => {
    let wanted = true;
    const wait = setTimeout(() => {
      call<{ problems: RuleProblem[] }>("POST", of(tenant, "rules/check"), { rules }).then(
        (a) => wanted && setGot({ of: rules, problems: a.problems }),
        (e: Error) => wanted && setGot({ of: rules, problems: [{ path: "", code: "unchecked", message: e.message }] }),
      );
    }, 200);
    return () => {
      wanted = false;
      clearTimeout(wait);
    };
  }, [tenant, rules]);
  return { problems: got.problems, sound: got.of === rules && got.problems.every((p) => p.warning) };
}

interface ItemProps { entry: Entry; state: RulesState; problems: RuleProblem[]; path: string; open: boolean; onOpen: (on: boolean) => void; onChange: (r: Rule) => void; onRemove: () => void }

function RuleItem({ entry, state, problems, path, open, onOpen, onChange, onRemove }: ItemProps) {
  const r = entry.rule;
  const name = r.name || "A rule without a name";
  const mine = problems.filter((p) => p.path.startsWith(`${path}.`));
  return (
    <li className={r.off ? "off" : undefined}>
      <div className="grow">
        <div className="row">
          <label className="inline"><input type="checkbox" role="switch" aria-label={`${name}: on`} checked={!r.off} onChange={(e) => onChange({ ...r, off: !e.target.checked || undefined })} /> <b>{name}</b></label>
          {r.off && <span className="chip">off</span>}
          {mine.some((p) => !p.warning) && <span className="chip deny">to be corrected</span>}
          {mine.some((p) => p.warning) && <span className="chip step_up">to be considered</span>}
        </div>
        {!open && <div className="soft">{sentence(r)}</div>}
      </div>
      <div className="row">
        <button type="button" className="quiet" aria-expanded={open} aria-label={`${open ? "Close" : "Edit"} ${name}`} onClick={() => onOpen(!open)}>{open ? "Close" : "Edit"}</button>
        <button type="button" className="quiet" aria-label={`Remove ${name}`} onClick={onRemove}>Remove</button>
      </div>
      {open && <div className="whole"><RuleForm rule={r} fresh={entry.fresh} {...{ state, problems, path, onChange }} /></div>}
    </li>
  );
}

function sentence(r: Rule): string {
  const count = r.count ? `, ${r.count.at_least} times within ${r.count.within}` : "";
  return `On ${r.on.join(", ") || "nothing"}${r.if ? `, if ${r.if}` : ""}${count}: ${r.do.map((a) => kindName(a.do)).join(", then ")}.`;
}

const named = (version: number) => (version === 0 ? "what was shipped" : `version ${version}`);

function useChanges(tenant: string, from: Rule[], to: Rule[], open: boolean): { changes: Change[] | null; error: string } {
  const [got, setGot] = useState<{ changes: Change[] | null; error: string }>({ changes: null, error: "" });
  useEffect(() => {
    if (!open) return;
    let wanted = true;
    setGot({ changes: null, error: "" });
    call<{ changes: Change[] }>("POST", of(tenant, "rules/diff"), { from, to }).then((a) => wanted && setGot({ changes: a.changes, error: "" }), (e: Error) => wanted && setGot({ changes: null, error: e.message }));
    return () => {
      wanted = false;
    };
  }, [tenant, from, to, open]);
  return got;
}

interface PublishProps { tenant: string; rules: Rule[]; holding: Rule[]; base: number; open: boolean; onClose: () => void; onDone: (v: RulesVersion) => void; onStale: () => void; onKeep: () => void }

function Publish({ tenant, rules, holding, base, open, onClose, onDone, onStale, onKeep }: PublishProps) {
  const [comment, setComment] = useState("");
  const [trouble, setTrouble] = useState("");
  const [stale, setStale] = useState(false);
  const [busy, setBusy] = useState(false);
  const { changes, error } = useChanges(tenant, holding, rules, open);
  const publish = async () => {
    setBusy(true);
    setTrouble("");
    try {
      const v = await call<RulesVersion>("POST", of(tenant, "rules/publish"), { rules, base, comment });
      setComment("");
      onDone(v);
    } catch (e) {
      if (e instanceof Failed && e.status === 409) (setStale(true), onStale());
      else setTrouble((e as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title="Publish the rules" open={open} onClose={() => (setStale(false), onClose())}>
      <h3>What changes</h3>
      <Changes list={changes} none="Nothing, compared with what holds now." />
      <form onSubmit={(e) => (e.preventDefault(), void publish())}>
        <label className="block">Comment <input type="text" maxLength={500} value={comment} onChange={(e) => setComment(e.target.value)} /></label>
        <div role="alert" className={stale ? "trouble" : undefined}>
          {stale && (
            <>
              <p>Somebody else published meanwhile. Above is what changes from theirs; nothing of yours is lost.</p>
              <div className="row"><button type="button" className="quiet" onClick={() => (setStale(false), onKeep())}>Publish over theirs all the same</button></div>
            </>
          )}
        </div>
        <Trouble>{trouble || error}</Trouble>
        <div className="row end">
          <button type="button" className="quiet" onClick={onClose}>Cancel</button>
          <button type="submit" disabled={busy || stale}>Publish</button>
        </div>
      </form>
    </Dialog>
  );
}

interface HistoryProps { tenant: string; state: RulesState; operator: boolean; onLoad: (v: RulesVersion) => void; onBack: (v: RulesVersion, said: string) => void; onStale: () => void }

function History({ tenant, state, operator, onLoad, onBack, onStale }: HistoryProps) {
  const [asked, setAsked] = useState<RulesVersion | null>(null);
  const [error, setError] = useState("");
  const holding = useMemo(() => state.in_force.rules ?? [], [state]);
  const to = useMemo(() => asked?.rules ?? [], [asked]);
  const { changes, error: failed } = useChanges(tenant, holding, to, asked !== null);
  const fetched = (version: number, then: (v: RulesVersion) => void) => {
    setError("");
    call<RulesVersion>("GET", of(tenant, `rules/${version}`)).then(then, (e: Error) => setError(e.message));
  };
  const back = async () => {
    if (!asked) return;
    try {
      const v = await call<RulesVersion>("POST", of(tenant, "rules/rollback"), { to: asked.version, base: state.in_force.version });
      onBack(v, `Rolled back to ${named(asked.version)}, as version ${v.version}.`);
    } catch (e) {
      setError((e as Error).message);
      if (e instanceof Failed && e.status === 409) onStale();
    }
    setAsked(null);
  };
  return (
    <section aria-labelledby="history-title">
      <h2 id="history-title">Versions</h2>
      <Trouble>{error || failed}</Trouble>
      <ol className="versions" role="list">
        {state.versions.map((v) => (
          <li key={v.version}>
            <div>
              <b>{v.version === 0 ? "As shipped" : `Version ${v.version}`}</b> {v.version === state.in_force.version && <span className="chip clear">holds</span>}
              {v.version > 0 && <div className="soft">{authorName(v.author)}, {when(v.at)}</div>}
              {v.version > 0 && v.comment && <div>{v.comment}</div>}
            </div>
            <div className="row">
              <button type="button" className="quiet" aria-label={`Load ${named(v.version)} into the draft`} onClick={() => fetched(v.version, onLoad)}>Load</button>
              {v.version !== state.in_force.version && <button type="button" className="quiet" disabled={!operator} onClick={() => fetched(v.version, setAsked)}>Roll back to {named(v.version)}</button>}
            </div>
          </li>
        ))}
      </ol>
      <Dialog title={asked ? `Roll back to ${named(asked.version)}?` : ""} open={asked !== null} onClose={() => setAsked(null)}>
        <p>It is published as a new version and holds from the next event on. This is what changes:</p>
        <Changes list={changes} none="Nothing differs." />
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setAsked(null)}>Cancel</button>
          <button type="button" onClick={() => void back()}>Roll back</button>
        </div>
      </Dialog>
    </section>
  );
}
