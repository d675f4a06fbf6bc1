import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { call, of, query, type Session, type Standing } from "./api.ts";
import { FormView } from "./Form.tsx";
import { read, write } from "./form.ts";
import { Loading, Tabs, Trouble, useLoad } from "./parts.tsx";
import { PublishDialog, Versions } from "./Publish.tsx";
import { ReplayPanel } from "./ReplayPanel.tsx";
import { TryIt } from "./TryIt.tsx";
import type { Palette, PolicyDocument, Problem, Result } from "./types.ts";

const Graph = lazy(() => import("./graph/index.tsx"));

// kept is the draft of a slot, which survives that the page is loaded again.
interface Kept { document: PolicyDocument; base: number }
const keyOf = (tenant: string, application: string) => `draft:${JSON.stringify([tenant, application])}`;

function kept(key: string): Kept | null {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "null") as Kept | null;
  } catch {
    return null;
  }
}

export function PolicyPage({ session, palette, tenant, application, say }: { session: Session; palette: Palette; tenant: string; application: string; say: (text: string) => void }) {
  const { data, error, reload } = useLoad(`policy ${tenant} ${application}`, () => call<Standing>("GET", of(tenant, "policy") + query({ application })));
  if (error) return <Trouble>{error}</Trouble>;
  if (!data) return <Loading what="the policy" />;
  return <Editor key={`${tenant} ${application}`} {...{ session, palette, tenant, say, reload }} standing={data} />;
}

interface EditorProps { session: Session; palette: Palette; tenant: string; standing: Standing; reload: () => void; say: (text: string) => void }

function Editor({ session, palette, tenant, standing, reload, say }: EditorProps) {
  const operator = session.role === "operator";
  const key = keyOf(tenant, standing.application);
  const start = useMemo(() => kept(key), [key]);
  const [draft, setDraft] = useState(start?.document ?? standing.enforced.document);
  const [base, setBase] = useState(start?.base ?? standing.base);
  const form = useMemo(() => read(draft), [draft]);
  const [view, setView] = useState<"form" | "graph">(typeof form === "string" ? "graph" : "form");
  const [problems, setProblems] = useState<Problem[]>([]);
  const [checked, setChecked] = useState<PolicyDocument | null>(null);
  const [result, setResult] = useState<Result | null>(null);
  const [focus, setFocus] = useState<{ node: string; at: number }>();
  const [publishing, setPublishing] = useState(false);
  const changed = JSON.stringify(draft) !== JSON.stringify(standing.enforced.document);

  const edit = (next: PolicyDocument) => {
    setDraft(next);
    setResult(null);
    sessionStorage.setItem(key, JSON.stringify({ document: next, base } satisfies Kept));
  };
  const drop = (document: PolicyDocument, at: number) => {
    sessionStorage.removeItem(key);
    setDraft(document);
    setBase(at);
    setResult(null);
  };
  // Nobody had touched the draft: it follows what holds.
  useEffect(() => {
    if (!kept(key)) drop(standing.enforced.document, standing.base);
  }, [standing, key]);
  useEffect(() => {
    let wanted = true;
    const wait = setTimeout(() => {
      call<{ problems: Problem[] }>("POST", "policy/check", { document: draft }).then(
        (a) => wanted && (setProblems(a.problems), setChecked(draft)),
        (e: Error) => wanted && (setProblems([{ code: "unchecked", message: e.message }]), setChecked(draft)),
      );
    }, 200);
    return () => {
      wanted = false;
      clearTimeout(wait);
    };
  }, [draft]);

  const from = standing.enforced.from;
  const holds = from === "own" ? `Version ${standing.enforced.version} holds.` : from === "tenant" ? `Version ${standing.enforced.version} of the whole tenant holds here.` : "The preset holds until a version is published.";
  return (
    <>
      <div className="head">
        <div>
          <h1>Policy{standing.application && <> of {standing.application}</>}</h1>
          <p className="soft">{holds} {standing.shadow && `Version ${standing.shadow.version} is in shadow.`} {changed ? "You have a draft that is not published." : ""}</p>
        </div>
        <div className="row">
          <label className="inline">Start from{" "}
            <select value="" onChange={(e) => {
              const p = palette.presets.find((x) => x.name === e.target.value);
              if (p) {
                edit(p.document);
                say(`The draft is now the preset ${p.title}.`);
              }
            }}>
              <option value="">a preset …</option>
              {palette.presets.map((p) => <option key={p.name} value={p.name} title={p.description}>{p.title}</option>)}
            </select>
          </label>
          <button type="button" className="quiet" disabled={!changed} onClick={() => (drop(standing.enforced.document, standing.base), say("The draft is dropped."))}>Drop the draft</button>
          <button type="button" disabled={!operator || !changed || checked !== draft || problems.length > 0} title={!operator ? "This needs the role operator." : problems.length ? "The draft has problems." : undefined}
            onClick={() => setPublishing(true)}>Publish…</button>
        </div>
      </div>
      {!operator && <p className="note">You are signed in as a viewer: you can try and replay, and cannot publish.</p>}
      {problems.length > 0 && (
        <div className="trouble" role="alert">
          <p>The draft has {problems.length === 1 ? "a problem" : `${problems.length} problems`}:</p>
          <ul>
            {problems.map((p, i) => (
              <li key={i}>
                {p.message}{" "}
                {p.node && <button type="button" className="link" onClick={() => (setView("graph"), setFocus({ node: p.node ?? "", at: Date.now() }))}>Show {p.node}</button>}
              </li>
            ))}
          </ul>
        </div>
      )}
      <Tabs label="How to look at the policy" tabs={[["form", "Form"], ["graph", "Graph"]]} chosen={view} onChoose={setView}>
        {view === "form" ? (
          typeof form === "string" ? <p className="note">This policy has parts that only the graph shows: {form}.</p>
            : <FormView form={form} palette={palette} readOnly={false} onChange={(f) => edit(write(f, palette.signals))} />
        ) : (
          <Suspense fallback={<Loading what="the graph" />}>
            <Graph document={draft} palette={palette} problems={problems} steps={result?.steps} focus={focus} onChange={edit} />
          </Suspense>
        )}
      </Tabs>
      <TryIt document={draft} palette={palette} onResult={setResult} />
      <ReplayPanel tenant={tenant} application={standing.application} document={draft} />
      <Versions tenant={tenant} standing={standing} operator={operator}
        onChanged={(said) => (sessionStorage.removeItem(key), say(said), reload())}
        onView={(d, v) => (edit(d), say(`The draft is now version ${v}.`))} />
      <PublishDialog tenant={tenant} standing={standing} draft={draft} base={base} open={publishing} onClose={() => setPublishing(false)}
        onDone={(v) => {
          setPublishing(false);
          sessionStorage.removeItem(key);
          say(v.mode === "shadow" ? `Version ${v.version} is published in shadow.` : `Version ${v.version} is published and holds.`);
          reload();
        }}
        onTheirs={() => (setPublishing(false), sessionStorage.removeItem(key), reload())}
        onKeep={(latest) => (setBase(latest), sessionStorage.setItem(key, JSON.stringify({ document: draft, base: latest } satisfies Kept)))} />
    </>
  );
}
