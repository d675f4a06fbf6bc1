import { useState } from "react";
import { call, Failed, of, query, type Standing, type VersionInfo } from "./api.ts";
import { Changes } from "./Changes.tsx";
import { Dialog, Trouble } from "./parts.tsx";
import type { Change, PolicyDocument } from "./types.ts";
import { when } from "./words.ts";

interface Props {
  tenant: string; standing: Standing; operator: boolean;
  onRolledBack: (said: string, version: number) => void;
  onStale: () => void; // somebody else published: the list is old
  onLoad: (d: PolicyDocument, name: string) => void;
}

const named = (version: number) => (version === 0 ? "the preset" : `version ${version}`);

// Versions lists what was published, newest first, down to the preset that it began with.
export function Versions({ tenant, standing, operator, onRolledBack, onStale, onLoad }: Props) {
  const { application, enforced, shadow } = standing;
  const [asked, setAsked] = useState<{ to: number; back: boolean } | null>(null); // a version to compare with, or to go back to
  const [changes, setChanges] = useState<Change[] | null>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  const load = async (version: number) => (await call<{ document: PolicyDocument }>("GET", of(tenant, `policy/${version}`) + query({ application }))).document;
  const guard = (work: () => Promise<void>) => {
    setError("");
    setBusy(true);
    work().catch((e: Error) => {
      setAsked(null);
      setError(e.message);
      if (e instanceof Failed && e.status === 409) onStale();
    }).finally(() => setBusy(false));
  };
  const ask = (to: number, back: boolean) => {
    setAsked({ to, back });
    setChanges(null);
    guard(async () => {
      const document = await load(to);
      const ends = back ? { from: enforced.document, to: document } : { from: document, to: enforced.document };
      setChanges((await call<{ changes: Change[] }>("POST", "policy/diff", ends)).changes);
    });
  };
  const rollBack = (to: number) => guard(async () => {
    const v = await call<VersionInfo>("POST", of(tenant, "policy/rollback"), { application, to, base: standing.base, comment: "" });
    setAsked(null);
    onRolledBack(`Rolled back to version ${to}, as version ${v.version}.`, v.version);
  });

  const list: VersionInfo[] = [...standing.versions, { version: 0, mode: "enforce", author: "", comment: "Comes with the program.", at: "" }];
  const holding = enforced.from === "own" ? enforced.version : enforced.from === "preset" ? 0 : -1;
  return (
    <section aria-labelledby="versions-title">
      <h2 id="versions-title">Versions</h2>
      <Trouble>{error}</Trouble>
      <ol className="versions" role="list">
        {list.map((v) => (
          <li key={v.version}>
            <div>
              <b>{v.version === 0 ? "Preset" : `Version ${v.version}`}</b>{" "}
              {v.version === holding && <span className="chip clear">holds</span>}{" "}
              {v.version > 0 && v.version === shadow?.version ? <span className="chip fired">in shadow</span> : v.mode === "shadow" && <span className="soft">was in shadow</span>}
              <div className="soft">{[v.author, v.at && when(v.at)].filter(Boolean).join(", ")}</div>
              {v.comment && <div>{v.comment}</div>}
            </div>
            <div className="row">
              <button type="button" className="quiet" aria-label={`Load ${named(v.version)} into the draft`} onClick={() => guard(async () => onLoad(await load(v.version), named(v.version)))}>Load</button>
              {v.version !== holding && <button type="button" className="quiet" aria-label={`Compare ${named(v.version)} with what holds`} onClick={() => ask(v.version, false)}>Compare</button>}
              {v.version !== holding && standing.base > 0 && (
                <button type="button" className="quiet" disabled={!operator} aria-describedby={operator ? undefined : "role-why"} onClick={() => ask(v.version, true)}>Roll back to {named(v.version)}</button>
              )}
            </div>
          </li>
        ))}
      </ol>
      {!operator && <p id="role-why" className="soft">Rolling back needs the role operator.</p>}
      <Dialog title={!asked ? "" : asked.back ? `Roll back to ${named(asked.to)}?` : `From ${named(asked.to)} to what holds now`} open={asked !== null} onClose={() => setAsked(null)}>
        {asked?.back && <p>It is published as a new version and holds from the next login on. This is what changes:</p>}
        <Changes list={changes} none="Nothing differs." />
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setAsked(null)}>{asked?.back ? "Cancel" : "Close"}</button>
          {asked?.back && <button type="button" disabled={busy} onClick={() => rollBack(asked.to)}>Roll back</button>}
        </div>
      </Dialog>
    </section>
  );
}
