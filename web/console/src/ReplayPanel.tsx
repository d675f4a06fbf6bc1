import { useState } from "react";
import type { Replay, Tally } from "./api.ts";
import { Trouble } from "./parts.tsx";
import type { PolicyDocument } from "./types.ts";
import { useRun } from "./useRun.ts";
import { number } from "./words.ts";

interface Props { tenant: string; application: string; document: PolicyDocument; sound: boolean }

// ReplayPanel has the server evaluate the draft on logins that were recorded. Leaving the
// page cancels it.
export function ReplayPanel({ tenant, application, document, sound }: Props) {
  const [days, setDays] = useState("7");
  const [result, setResult] = useState<{ of: PolicyDocument; replay: Replay } | null>(null);
  const [error, setError] = useState("");
  const [said, setSaid] = useState("");
  const { running, run: begin, cancel } = useRun<Replay>(tenant);

  const run = async () => {
    setError("");
    setSaid("");
    setResult(null);
    try {
      const replay = await begin("replay", { application, document, days: Number(days) });
      if (!replay) return;
      setResult({ of: document, replay });
      setSaid(`Replayed ${replay.logins.toLocaleString()} logins in ${number(replay.seconds)} s.`);
    } catch (e) {
      setError((e as Error).message);
    }
  };
  return (
    <section aria-labelledby="replay-title">
      <h2 id="replay-title">Replay the draft over recorded logins</h2>
      <form className="row" onSubmit={(e) => (e.preventDefault(), void run())}>
        <label className="inline">
          Of the last{" "}
          <select value={days} onChange={(e) => setDays(e.target.value)}>
            {["1", "7", "30", "90"].map((d) => <option key={d} value={d}>{d === "1" ? "day" : `${d} days`}</option>)}
          </select>
        </label>
        <button type="submit" disabled={!!running || !sound}>Replay</button>
        {running && (
          <>
            <progress aria-label="Logins replayed" max={running.total || 1} value={running.done} />
            <span className="soft">{running.done.toLocaleString()} of {running.total.toLocaleString()}</span>
            <button type="button" className="quiet" onClick={() => (cancel(), setSaid("The replay was cancelled."))}>Cancel the replay</button>
          </>
        )}
      </form>
      <p className="soft" role="status">{said}</p>
      <Trouble>{error}</Trouble>
      <div role="region" aria-label="Replay result" className={result && result.of !== document ? "stale" : undefined}>
        {result && result.of !== document && <p className="soft">The draft was changed since. Replay it again.</p>}
        {result && <Shown replay={result.replay} />}
      </div>
    </section>
  );
}

function Shown({ replay }: { replay: Replay }) {
  const share = (n: number) => (replay.logins ? `${((100 * n) / replay.logins).toFixed(1)} %` : "");
  const row = (name: string, t: Tally) => (
    <tr>
      <th scope="row">{name}</th>
      <td className="n">{t.allow.toLocaleString()} <span className="soft">{share(t.allow)}</span></td>
      <td className="n">{t.step_up.toLocaleString()} <span className="soft">{share(t.step_up)}</span></td>
      <td className="n">{t.deny.toLocaleString()} <span className="soft">{share(t.deny)}</span></td>
    </tr>
  );
  const change = (a: Tally, b: Tally) =>
    ([["let through", "allow"], ["asked", "step_up"], ["refused", "deny"]] as const).filter(([, k]) => a[k] !== b[k]).map(([w, k]) => `${w} ${a[k]} → ${b[k]}`).join(", ") || "some stricter, some milder";
  if (replay.logins === 0) return <p>No logins were recorded in that time.</p>;
  return (
    <>
      <p>
        Of {replay.logins.toLocaleString()} logins the draft is stricter with <b>{replay.stricter.toLocaleString()}</b> and milder with <b>{replay.milder.toLocaleString()}</b>,
        of {replay.people.toLocaleString()} people.{replay.unread > 0 && ` ${replay.unread.toLocaleString()} could not be read.`}
      </p>
      <div className="scroll" tabIndex={0} role="group" aria-label="Now and draft compared">
        <table>
          <thead><tr><th scope="col">Policy</th><th scope="col" className="n">Let through</th><th scope="col" className="n">Asked for a face</th><th scope="col" className="n">Refused</th></tr></thead>
          <tbody>
            {row("As it was decided then", replay.then)}
            {row("What holds now", replay.now)}
            {row("The draft", replay.draft)}
          </tbody>
        </table>
      </div>
      {(replay.who ?? []).length > 0 && (
        <>
          <h3>Who</h3>
          <ul>
            {(replay.who ?? []).map((a) => (
              <li key={a.decision_id}><a href={`#/decisions/${a.decision_id}`}>{a.user || "somebody"}</a>: {a.logins} {a.logins === 1 ? "login" : "logins"}, {change(a.now, a.draft)}</li>
            ))}
          </ul>
          {replay.people > (replay.who ?? []).length && <p className="soft">And {replay.people - (replay.who ?? []).length} more.</p>}
        </>
      )}
    </>
  );
}
