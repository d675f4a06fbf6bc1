import { useEffect, useState } from "react";
import { call, Failed, of, type Change, type Standing, type VersionInfo } from "./api.ts";
import { Dialog, Trouble } from "./parts.tsx";
import type { PolicyDocument } from "./types.ts";
import { when } from "./words.ts";

interface PublishProps {
  tenant: string; standing: Standing; draft: PolicyDocument; base: number; open: boolean;
  onClose: () => void; onDone: (v: VersionInfo) => void; onTheirs: () => void; onKeep: (latest: number) => void;
}

export function PublishDialog({ tenant, standing, draft, base, open, onClose, onDone, onTheirs, onKeep }: PublishProps) {
  const [mode, setMode] = useState<"enforce" | "shadow">("enforce");
  const [comment, setComment] = useState("");
  const [changes, setChanges] = useState<Change[] | null>(null);
  const [error, setError] = useState("");
  const [stale, setStale] = useState(0);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!open) return;
    setError("");
    setStale(0);
    setChanges(null);
    call<{ changes: Change[] }>("POST", "policy/diff", { from: standing.enforced.document, to: draft }).then((a) => setChanges(a.changes), (e: Error) => setError(e.message));
  }, [open, standing, draft]);
  const publish = async () => {
    setBusy(true);
    setError("");
    try {
      const v = await call<VersionInfo>("POST", of(tenant, "policy/publish"), { application: standing.application, document: draft, base, mode, comment });
      setComment("");
      onDone(v);
    } catch (e) {
      if (e instanceof Failed && e.status === 409 && e.trouble.latest !== undefined) setStale(e.trouble.latest);
      else setError((e as Error).message + (e instanceof Failed ? (e.trouble.problems ?? []).map((p) => ` ${p.message}`).join("") : ""));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title="Publish the draft" open={open} onClose={onClose}>
      <h3>What changes</h3>
      {changes === null ? <p className="soft">…</p> : changes.length === 0 ? <p>Nothing, compared with what holds now.</p> : <ul>{changes.map((c, i) => <li key={i}>{c.text}</li>)}</ul>}
      <fieldset>
        <legend>What it does</legend>
        <label className="inline"><input type="radio" name="mode" checked={mode === "enforce"} onChange={() => setMode("enforce")} /> Enforce</label>
        <span className="soft"> decides from the next login on</span>
        <br />
        <label className="inline"><input type="radio" name="mode" checked={mode === "shadow"} onChange={() => setMode("shadow")} /> Shadow</label>
        <span className="soft"> is evaluated and recorded, and does not act</span>
      </fieldset>
      <label className="block">Comment <input type="text" maxLength={500} value={comment} onChange={(e) => setComment(e.target.value)} /></label>
      {stale > 0 && (
        <div className="trouble" role="alert">
          <p>Somebody else published version {stale} meanwhile. Nothing of yours is lost.</p>
          <div className="row">
            <button type="button" className="quiet" onClick={onTheirs}>Drop the draft and load theirs</button>
            <button type="button" className="quiet" onClick={() => (setStale(0), onKeep(stale))}>Keep the draft and publish over it</button>
          </div>
        </div>
      )}
      <Trouble>{error}</Trouble>
      <div className="row end">
        <button type="button" className="quiet" onClick={onClose}>Cancel</button>
        <button type="button" disabled={busy || stale > 0} onClick={() => void publish()}>Publish</button>
      </div>
    </Dialog>
  );
}

interface VersionsProps { tenant: string; standing: Standing; operator: boolean; onChanged: (said: string) => void; onView: (d: PolicyDocument, version: number) => void }

export function Versions({ tenant, standing, operator, onChanged, onView }: VersionsProps) {
  const [back, setBack] = useState<number | null>(null);
  const [changes, setChanges] = useState<{ version: number; list: Change[] } | null>(null);
  const [error, setError] = useState("");
  const load = (version: number) => call<{ document: PolicyDocument }>("GET", of(tenant, `policy/${version}?application=${encodeURIComponent(standing.application)}`));
  const guard = (work: () => Promise<void>) => {
    setError("");
    work().catch((e: Error) => setError(e.message));
  };
  const rollback = () => guard(async () => {
    const to = back ?? 0;
    setBack(null);
    const v = await call<VersionInfo>("POST", of(tenant, "policy/rollback"), { application: standing.application, to, base: standing.base, comment: "" });
    onChanged(`Rolled back to version ${to}, as version ${v.version}.`);
  });
  const list: VersionInfo[] = [...standing.versions, { version: 0, mode: "enforce", author: "", comment: "The preset that comes with the program.", at: "" }];
  return (
    <section aria-labelledby="versions-title">
      <h2 id="versions-title">Versions</h2>
      <Trouble>{error}</Trouble>
      <ol className="versions" role="list">
        {list.map((v) => {
          const holds = standing.enforced.from === "own" ? v.version === standing.enforced.version : v.version === 0 && standing.enforced.from === "preset";
          return (
            <li key={v.version}>
              <div>
                <b>{v.version === 0 ? "Preset" : `Version ${v.version}`}</b> {holds && <span className="chip clear">holds</span>}{" "}
                {v.version > 0 && v.version === standing.shadow?.version && <span className="chip">in shadow</span>} {v.mode === "shadow" && <span className="soft">shadow</span>}
                <div className="soft">{[v.author, v.at && when(v.at)].filter(Boolean).join(", ")}</div>
                {v.comment && <div>{v.comment}</div>}
              </div>
              <div className="row">
                <button type="button" className="quiet" aria-label={`Load version ${v.version} into the draft`} onClick={() => guard(async () => onView((await load(v.version)).document, v.version))}>Load</button>
                <button type="button" className="quiet" aria-label={`Compare version ${v.version} with what holds`}
                  onClick={() => guard(async () => setChanges({ version: v.version, list: (await call<{ changes: Change[] }>("POST", "policy/diff", { from: (await load(v.version)).document, to: standing.enforced.document })).changes }))}>Compare</button>
                {!holds && standing.base > 0 && (
                  <button type="button" className="quiet" disabled={!operator} title={operator ? undefined : "This needs the role operator."} onClick={() => setBack(v.version)}>
                    Roll back to {v.version === 0 ? "the preset" : `version ${v.version}`}
                  </button>
                )}
              </div>
            </li>
          );
        })}
      </ol>
      <Dialog title={back === 0 ? "Roll back to the preset?" : `Roll back to version ${back}?`} open={back !== null} onClose={() => setBack(null)}>
        <p>It is published as a new version and holds from the next login on.</p>
        <div className="row end">
          <button type="button" className="quiet" onClick={() => setBack(null)}>Cancel</button>
          <button type="button" onClick={rollback}>Roll back</button>
        </div>
      </Dialog>
      <Dialog title={`From version ${changes?.version} to what holds now`} open={changes !== null} onClose={() => setChanges(null)}>
        {changes?.list.length ? <ul>{changes.list.map((c, i) => <li key={i}>{c.text}</li>)}</ul> : <p>Nothing differs.</p>}
        <div className="row end"><button type="button" onClick={() => setChanges(null)}>Close</button></div>
      </Dialog>
    </section>
  );
}
