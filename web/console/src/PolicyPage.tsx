import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { call, of, query, type Session, type Standing } from "./api.ts";
import { forget, keep, kept, type Draft } from "./draft.ts";
import { FormView } from "./Form.tsx";
import { read, type Form } from "./form.ts";
import { write } from "./formwrite.ts";
import { Guard, Loading, Tabs, Trouble, useLoad } from "./parts.tsx";
import { PublishDialog } from "./Publish.tsx";
import { ReplayPanel } from "./ReplayPanel.tsx";
import { TryIt } from "./TryIt.tsx";
import type { Palette, PolicyDocument, Problem, Result } from "./types.ts";
import { useCheck } from "./useCheck.ts";
import { Versions } from "./Versions.tsx";

const Graph = lazy(() => import("./graph/index.tsx"));

interface PageProps { session: Session; palette: Palette; tenant: string; application: string; say: (text: string) => void }

export function PolicyPage({ session, palette, tenant, application, say }: PageProps) {
  const { data, error, reload } = useLoad(`policy ${tenant} ${application}`, () => call<Standing>("GET", of(tenant, "policy") + query({ application })));
  if (error && !data) return <><h1>Policy</h1><Trouble>{error}</Trouble></>;
  if (!data) return <><h1>Policy</h1><Loading what="the policy" /></>;
  return <><Trouble>{error}</Trouble><Editor key={`${tenant} ${application}`} {...{ session, palette, tenant, say, reload, error }} standing={data} /></>;
}

interface EditorProps { session: Session; palette: Palette; tenant: string; standing: Standing; error: string; reload: () => void; say: (text: string) => void }

function Editor({ session, palette, tenant, standing, error, reload, say }: EditorProps) {
  const operator = session.role === "operator";
  const { application, enforced } = standing;
  const [edited, setEdited] = useState(() => kept(tenant, application));
  const document = edited?.document ?? enforced.document; // untouched, it follows what holds
  const form = useMemo(() => read(document, palette.signals), [document, palette]);
  const whole = form.beyond.length === 0;
  const [view, setView] = useState<"form" | "graph">(whole ? "form" : "graph");
  const { problems, sound } = useCheck(document);
  const [tried, setTried] = useState<{ of: PolicyDocument; result: Result } | null>(null);
  const [focus, setFocus] = useState<{ node: string; at: number }>();
  const [publishing, setPublishing] = useState(false);
  const changed = edited !== null && JSON.stringify(document) !== JSON.stringify(enforced.document);
  const top = useRef<HTMLHeadingElement>(null);
  const done = useRef(""); // what to say once the published draft is loaded as a version

  const hold = (next: Draft) => {
    done.current = "";
    setEdited(next);
    keep(tenant, application, next);
  };
  const edit = (next: PolicyDocument) => hold({ document: next, base: edited?.base ?? standing.base });
  const drop = () => {
    setEdited(null);
    forget(tenant, application);
  };
  // finish is after a version was published: what was the draft stays in view until the
  // version is loaded, and the focus has a place.
  const finish = (said: string) => {
    done.current = said;
    forget(tenant, application);
    setPublishing(false);
    reload();
    top.current?.focus();
  };
  useEffect(() => {
    if (!done.current) return;
    say(done.current);
    setEdited(null);
    done.current = "";
  }, [standing, error]);
  useEffect(() => {
    globalThis.document.title = `Policy${application && ` of ${application}`} – Kosmoscope`;
  }, [application]);

  const why = !operator ? "Publishing needs the role operator." : problems.length ? "The draft has problems." : !changed ? "There is nothing to publish yet." : "";
  return (
    <>
      <div className="head">
        <div>
          <h1 tabIndex={-1} ref={top}>Policy{application && <> of {application}</>}</h1>
          <p className="soft">{words(standing)} {changed ? "You have a draft that is not published." : ""}</p>
        </div>
        <div className="row">
          <PresetChooser palette={palette} onChoose={(title, d) => (edit(d), say(`The draft is now the preset ${title}.`))} />
          <button type="button" className="quiet" disabled={!changed} onClick={() => (drop(), say("The draft is dropped."))}>Drop the draft</button>
          <button type="button" disabled={!operator || !changed || !sound} aria-describedby="publish-why" onClick={() => setPublishing(true)}>Publish…</button>
          <span id="publish-why" className="hidden">{why}</span>
        </div>
      </div>
      {!operator && <p className="note">You are signed in as a viewer: you can edit a draft, try it and replay it. Publishing and rolling back need the role operator.</p>}
      {edited && edited.base !== standing.base && (
        <p className="note">Version {standing.base} was published since this draft was begun. Compare before you publish over it.</p>
      )}
      <Problems problems={problems} onShow={(node) => (setView("graph"), setFocus({ node, at: Date.now() }))} />
      <Tabs label="How to look at the policy" tabs={[["form", "Form"], ["graph", "Graph"]]} chosen={view} onChoose={setView}>
        {view === "form" ? (
          <>
            {!whole && <p className="note">This policy has parts that only the graph shows: {form.beyond.join(", ")}. Here is the rest, to be read; edit it as a graph, or start from a preset.</p>}
            <FormView form={form.form} palette={palette} readOnly={!whole} onChange={(f) => edit(write(adapted(f, palette), palette.signals, form.roles))} />
          </>
        ) : (
          <Guard>
            <Suspense fallback={<Loading what="the graph" />}>
              <Graph document={document} palette={palette} problems={problems} steps={tried?.of === document ? tried.result.steps : undefined} focus={focus} onChange={edit} />
            </Suspense>
          </Guard>
        )}
      </Tabs>
      <TryIt document={document} sound={sound} palette={palette} onResult={(result) => setTried(result && { of: document, result })} />
      <ReplayPanel tenant={tenant} application={application} document={document} sound={sound} />
      <Versions tenant={tenant} standing={standing} operator={operator} onStale={reload}
        onRolledBack={(said, version) => (changed ? (hold({ document, base: version }), say(`${said} Your draft is still here.`), reload()) : finish(said))}
        onLoad={(d, name) => (edit(d), say(`The draft is now ${name}.`), top.current?.focus())} />
      <PublishDialog tenant={tenant} standing={standing} draft={document} base={edited?.base ?? standing.base} open={publishing} onClose={() => setPublishing(false)}
        onDone={(v) => finish(v.mode === "shadow" ? `Version ${v.version} is published in shadow.` : `Version ${v.version} is published and holds.`)}
        onTheirs={(latest) => finish(`The draft is dropped. Version ${latest} is loaded.`)}
        onKeep={(latest) => (hold({ document, base: latest }), reload())} />
    </>
  );
}

// adapted takes a preset's name from what is no longer that preset.
function adapted(f: Form, palette: Palette): Form {
  return palette.presets.some((p) => p.document.name === f.name && (p.document.description ?? "") === f.description) ? { ...f, name: `${f.name}, adapted`, description: "" } : f;
}

function words({ enforced, shadow }: Standing): string {
  const holds = enforced.from === "own" ? `Version ${enforced.version} holds.`
    : enforced.from === "tenant" ? `It has none of its own: version ${enforced.version} of the whole tenant holds.` : "The preset holds until a version is published.";
  return shadow ? `${holds} Version ${shadow.version} is in shadow.` : holds;
}

function PresetChooser({ palette, onChoose }: { palette: Palette; onChoose: (title: string, d: PolicyDocument) => void }) {
  return (
    <label className="inline">Start from{" "}
      <select value="" onChange={(e) => {
        const p = palette.presets.find((x) => x.name === e.target.value);
        if (p) onChoose(p.title, p.document);
      }}>
        <option value="">a preset …</option>
        {palette.presets.map((p) => <option key={p.name} value={p.name} title={p.description}>{p.title}</option>)}
      </select>
    </label>
  );
}

function Problems({ problems, onShow }: { problems: Problem[]; onShow: (node: string) => void }) {
  return (
    <div role="alert" className={problems.length ? "trouble" : undefined}>
      {problems.length > 0 && (
        <>
          <p>The draft has {problems.length === 1 ? "a problem" : `${problems.length} problems`}:</p>
          <ul>
            {problems.map((p, i) => (
              <li key={i}>
                {p.message}{" "}
                {p.node && <button type="button" className="link" onClick={() => onShow(p.node ?? "")}>Show {p.node}</button>}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
