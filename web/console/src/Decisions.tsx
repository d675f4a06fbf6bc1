import { useEffect, useRef, useState } from "react";
import { call, of, query, type Session, type Summary } from "./api.ts";
import { Loading, Sources, Trouble, useLoad } from "./parts.tsx";
import type { Palette } from "./types.ts";
import { endings, number, policyName, reason, verdicts, when } from "./words.ts";

interface Props { session: Session; palette: Palette; tenant: string; application: string }
interface Page { decisions: Summary[]; next: string }
interface Filter { user: string; decision: string; outcome: string; since: string }

const spans: [string, string][] = [["", "ever"], ["1", "the last hour"], ["24", "the last day"], ["168", "the last 7 days"], ["720", "the last 30 days"]];

// Decisions lists them, newest first, as the filter says.
export function Decisions({ session, palette, tenant, application }: Props) {
  const [filter, setFilter] = useState<Filter>({ user: "", decision: "", outcome: "", since: "" });
  const path = (cursor: string) => of(tenant, "decisions") + query({ ...filter, application, cursor });
  const first = useLoad(path(""), () => call<Page>("GET", path("")));
  const [more, setMore] = useState<{ after: Page | null; decisions: Summary[]; next: string }>({ after: null, decisions: [], next: "" });
  const [failed, setFailed] = useState("");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    document.title = "Decisions – Kosmoscope";
  }, []);

  // Pages that were loaded go on from the first one; when that is another, they are gone.
  const shown = useRef(first.data);
  shown.current = first.data;
  const rest = more.after === first.data ? more : { decisions: [], next: first.data?.next ?? "" };
  const all = [...(first.data?.decisions ?? []), ...rest.decisions];
  const older = async () => {
    const after = first.data;
    setFailed("");
    setBusy(true);
    try {
      const page = await call<Page>("GET", path(rest.next));
      if (shown.current === after) setMore({ after, decisions: [...rest.decisions, ...page.decisions], next: page.next });
    } catch (e) {
      setFailed((e as Error).message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <div className="head">
        <h1>Decisions</h1>
        <FilterForm onFilter={setFilter} onRefresh={first.reload} />
      </div>
      <Trouble>{first.error || failed}</Trouble>
      <section aria-label="Decisions">
        {!first.data && !first.error && <Loading what="decisions" />}
        {first.data && <p className="soft" role="status">{all.length === 0 ? "No login that was weighed is like that." : `${all.length === 1 ? "One decision" : `${all.length} decisions`}${rest.next ? ", and older ones" : ""}`}</p>}
        {all.length > 0 && <List decisions={all} palette={palette} />}
        {rest.next && <div className="row"><button type="button" className="quiet" disabled={busy} onClick={() => void older()}>Older ones</button></div>}
      </section>
      <Sources sources={session.sources} />
    </>
  );
}

function FilterForm({ onFilter, onRefresh }: { onFilter: (f: Filter) => void; onRefresh: () => void }) {
  const [user, setUser] = useState("");
  const [rest, setRest] = useState({ decision: "", outcome: "", hours: "" });
  const apply = (next: typeof rest) => {
    setRest(next);
    // To the minute, so that the same filter is the same.
    const since = next.hours && new Date(Math.floor((Date.now() - Number(next.hours) * 36e5) / 6e4) * 6e4).toISOString();
    onFilter({ user: user.trim(), decision: next.decision, outcome: next.outcome, since });
  };
  return (
    <form className="row" role="search" aria-label="Filter decisions" onSubmit={(e) => (e.preventDefault(), apply(rest))}>
      <label className="inline">User identifier <input type="search" value={user} onChange={(e) => setUser(e.target.value)} /></label>
      <label className="inline">Decision{" "}
        <select value={rest.decision} onChange={(e) => apply({ ...rest, decision: e.target.value })}>
          <option value="">any</option>
          {Object.entries(verdicts).map(([v, text]) => <option key={v} value={v}>{text}</option>)}
        </select>
      </label>
      <label className="inline">How it ended{" "}
        <select value={rest.outcome} onChange={(e) => apply({ ...rest, outcome: e.target.value })}>
          <option value="">any</option>
          {Object.entries(endings).filter(([k]) => k).map(([k, text]) => <option key={k} value={k}>{text}</option>)}
        </select>
      </label>
      <label className="inline">Within{" "}
        <select value={rest.hours} onChange={(e) => apply({ ...rest, hours: e.target.value })}>{spans.map(([h, text]) => <option key={h} value={h}>{text}</option>)}</select>
      </label>
      <button type="submit">Filter</button>
      <button type="button" className="quiet" onClick={onRefresh}>Refresh</button>
    </form>
  );
}

function List({ decisions, palette }: { decisions: Summary[]; palette: Palette }) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label="List of decisions">
      <table className="decisions">
        <thead>
          <tr><th scope="col">When</th><th scope="col">User</th><th scope="col">Application</th><th scope="col">Decision</th><th scope="col" className="n">Points</th><th scope="col">Reasons</th><th scope="col">Ended</th><th scope="col">Policy</th></tr>
        </thead>
        <tbody>
          {decisions.map((d) => (
            <tr key={d.id}>
              <td className="when"><a href={`#/decisions/${encodeURIComponent(d.id)}`}>{when(d.at)}</a></td>
              <td>{d.user || <span className="soft">erased</span>}</td>
              <td>{d.application}</td>
              <td><span className={`chip ${d.decision}`}>{verdicts[d.decision]}</span>{d.shadow_decision && d.shadow_decision !== d.decision && <div className="soft">shadow: {verdicts[d.shadow_decision]}</div>}</td>
              <td className="n" data-name="Points">{d.score === null ? "" : number(d.score)}</td>
              <td className="why">{(d.reasons ?? []).map((r) => reason(r, palette)).join(", ")}</td>
              <td data-name="Ended:">{endings[d.outcome] ?? d.outcome}</td>
              <td data-name="By">{policyName(d.policy_application, d.policy_version)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
