import { useState } from "react";
import type { Slot } from "./api.ts";
import { Dialog } from "./parts.tsx";

const another = "\u0000"; // no application is called so

interface Props { slots: Slot[]; whole: string; application: string; onChoose: (application: string) => void }

// ApplicationChooser offers those that there are, and one that nobody has named yet, so
// that it can have a policy before its first login.
export function ApplicationChooser({ slots, whole, application, onChoose }: Props) {
  const [asking, setAsking] = useState(false);
  const [name, setName] = useState("");
  const names = [...new Set([...slots.map((s) => s.application), application])].filter(Boolean).sort();
  const add = () => {
    setAsking(false);
    if (name.trim()) onChoose(name.trim());
  };
  return (
    <>
      <label className="inline">Application{" "}
        <select value={application} onChange={(e) => (e.target.value === another ? (setName(""), setAsking(true)) : onChoose(e.target.value))}>
          <option value="">{whole}</option>
          {names.map((n) => <option key={n}>{n}</option>)}
          <option value={another}>another one …</option>
        </select>
      </label>
      <Dialog title="Another application" open={asking} onClose={() => setAsking(false)}>
        <form onSubmit={(e) => (e.preventDefault(), add())}>
          <label className="block">Its name, as the flow gives it <input type="text" maxLength={200} required value={name} onChange={(e) => setName(e.target.value)} /></label>
          <div className="row end">
            <button type="button" className="quiet" onClick={() => setAsking(false)}>Cancel</button>
            <button type="submit">Choose it</button>
          </div>
        </form>
      </Dialog>
    </>
  );
}
