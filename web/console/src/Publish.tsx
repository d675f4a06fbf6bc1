import { useEffect, useState } from "react";
import { call, Failed, of, type Change, type Standing, type VersionInfo } from "./api.ts";
import { Changes } from "./Changes.tsx";
import { Dialog, Trouble } from "./parts.tsx";
import type { PolicyDocument } from "./types.ts";

interface PublishProps {
  tenant: string; standing: Standing; draft: PolicyDocument; base: number; open: boolean;
  onClose: () => void; onDone: (v: VersionInfo) => void;
  onTheirs: (latest: number) => void; onKeep: (latest: number) => void; // what to do if somebody else was faster
}

const modes = [
  ["enforce", "Enforce", "It decides from the next login on."],
  ["shadow", "Shadow", "It is evaluated and recorded beside what holds, and does not act."],
] as const;

export function PublishDialog({ tenant, standing, draft, base, open, onClose, onDone, onTheirs, onKeep }: PublishProps) {
  const [mode, setMode] = useState<"enforce" | "shadow">("enforce");
  const [comment, setComment] = useState("");
  const [changes, setChanges] = useState<Change[] | null>(null);
  const [error, setError] = useState("");
  const [stale, setStale] = useState(0);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    if (!open) return;
    let wanted = true;
    setError("");
    setStale(0);
    setChanges(null);
    call<{ changes: Change[] }>("POST", "policy/diff", { from: standing.enforced.document, to: draft }).then((a) => wanted && setChanges(a.changes), (e: Error) => wanted && setError(e.message));
    return () => {
      wanted = false;
    };
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
      <h3>What changes{standing.enforced.from === "preset" ? " from the preset" : ` from version ${standing.enforced.version}`}</h3>
      <Changes list={changes} none="Nothing, compared with what holds now." />
      <form onSubmit={(e) => (e.preventDefault(), void publish())}>
        <fieldset>
          <legend>What it does</legend>
          {modes.map(([id, title, help]) => (
            <div key={id} className="choice">
              <label className="inline"><input type="radio" name="mode" checked={mode === id} aria-describedby={`mode-${id}`} onChange={() => setMode(id)} /> {title}</label>
              <span id={`mode-${id}`} className="soft">{help}</span>
            </div>
          ))}
        </fieldset>
        <label className="block">Comment <input type="text" maxLength={500} value={comment} onChange={(e) => setComment(e.target.value)} /></label>
        <div role="alert" className={stale ? "trouble" : undefined}>
          {stale > 0 && (
            <>
              <p>Somebody else published version {stale} meanwhile. Nothing of yours is lost.</p>
              <div className="row">
                <button type="button" className="quiet" onClick={() => onTheirs(stale)}>Drop the draft and load theirs</button>
                <button type="button" className="quiet" onClick={() => (setStale(0), onKeep(stale))}>Keep the draft and publish over it</button>
              </div>
            </>
          )}
        </div>
        <Trouble>{error}</Trouble>
        <div className="row end">
          <button type="button" className="quiet" onClick={onClose}>Cancel</button>
          <button type="submit" disabled={busy || stale > 0}>Publish</button>
        </div>
      </form>
    </Dialog>
  );
}
