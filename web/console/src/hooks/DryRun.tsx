import { useState } from "react";
import { Trouble } from "../parts.tsx";
import { useRun } from "../useRun.ts";
import { when } from "../words.ts";
import type { Report, Rule } from "./types.ts";

// DryRun tells what the draft would have done about recorded events, without doing it.
export function DryRun({ tenant, rules, sound }: { tenant: string; rules: Rule[]; sound: boolean }) {
  const [events, setEvents] = useState("10000");
  const [result, setResult] = useState<{ of: Rule[]; report: Report } | null>(null);
  const [error, setError] = useState("");
  const [said, setSaid] = useState("");
  const { running, run, cancel } = useRun<Report>(tenant);
  const begin = async () => {
    setError("");
    setSaid("");
    setResult(null);
    try {
      const report = await run("rules/dryrun", { rules, events: Number(events) });
      if (!report) return;
      setResult({ of: rules, report });
      setSaid(`Looked at ${report.events.toLocaleString()} events.`);
    } catch (e) {
      setError((e as Error).message);
    }
  };
  return (
    <section aria-labelledby="dry-title">
      <h2 id="dry-title">Run the draft dry over recorded events</h2>
      <form className="row" onSubmit={(e) => (e.preventDefault(), void begin())}>
        <label className="inline">
          The newest{" "}
          <select value={events} onChange={(e) => setEvents(e.target.value)}>{["1000", "10000", "100000"].map((n) => <option key={n} value={n}>{Number(n).toLocaleString()} events</option>)}</select>
        </label>
        <button type="submit" disabled={!!running || !sound}>Run it dry</button>
        {running && (
          <>
            <progress aria-label="Events looked at" max={running.total || 1} value={running.done} />
            <span className="soft">{running.done.toLocaleString()}</span>
            <button type="button" className="quiet" onClick={() => (cancel(), setSaid("It was cancelled."))}>Cancel</button>
          </>
        )}
      </form>
      <p className="soft" role="status">{said}</p>
      <Trouble>{error}</Trouble>
      <div role="region" aria-label="Dry run result" className={result && result.of !== rules ? "stale" : undefined}>
        {result && result.of !== rules && <p className="soft">The draft was changed since. Run it again.</p>}
        {result && <Shown report={result.report} />}
      </div>
    </section>
  );
}

function Shown({ report: r }: { report: Report }) {
  if (!r.events) return <p>No events were recorded.</p>;
  return (
    <>
      <p className="soft">
        {r.since && r.until && `From ${when(r.since)} to ${when(r.until)}.`} {r.unreadable > 0 && `${r.unreadable.toLocaleString()} could not be read, or are of people who were erased.`} {r.more && "There are older ones that were not looked at."}
      </p>
      <div className="scroll" tabIndex={0} role="group" aria-label="What each rule would have done">
        <table>
          <thead><tr><th scope="col">Rule</th><th scope="col" className="n">Listened to</th><th scope="col" className="n">Condition held</th><th scope="col" className="n">Fired</th><th scope="col" className="n">People</th><th scope="col">Would have done</th></tr></thead>
          <tbody>
            {r.rules.map((x) => (
              <tr key={x.rule}>
                <th scope="row">{x.name} {x.off && <span className="chip">off</span>}</th>
                <td className="n">{x.heard.toLocaleString()}</td>
                <td className="n">{x.matched.toLocaleString()}</td>
                <td className="n">{x.fired.toLocaleString()}</td>
                <td className="n">{x.persons.toLocaleString()}</td>
                <td>
                  {x.fired > 0 && x.actions.map((a, i) => <div key={i}>{a.words}: {a.times.toLocaleString()} ×</div>)}
                  {x.examples.length > 0 && <div className="soft">such as {x.examples.map((id, i) => <span key={id}>{i > 0 && ", "}<a href={`#/events/${id}`}>event {i + 1}</a></span>)}</div>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
