import { lazy, Suspense, useEffect, useState } from "react";
import { call, of, query, type Explanation, type Session, type Summary } from "./api.ts";
import { Loading, Sources, Trouble, useLoad } from "./parts.tsx";
import { ResultView } from "./ResultView.tsx";
import type { Palette } from "./types.ts";
import { decided, endings, number, policyName, reason, verdicts, when } from "./words.ts";

const Graph = lazy(() => import("./graph/index.tsx"));

interface Props { session: Session; palette: Palette; tenant: string }

export function Decisions({ session, palette, tenant, application }: Props & { application: string }) {
  const [filter, setFilter] = useState({ user: "", decision: "", outcome: "" });
  const [user, setUser] = useState("");
  const [more, setMore] = useState<Summary[]>([]);
  const [next, setNext] = useState("");
  const [failed, setFailed] = useState("");
  const path = (cursor: string) => of(tenant, "decisions") + query({ ...filter, application, cursor });
  const first = useLoad(path(""), () => call<{ decisions: Summary[]; next: string }>("GET", path("")));
  useEffect(() => {
    setMore([]);
    setNext(first.data?.next ?? "");
  }, [first.data]);
  const all = [...(first.data?.decisions ?? []), ...more];
  const loadMore = () => {
    setFailed("");
    call<{ decisions: Summary[]; next: string }>("GET", path(next)).then((p) => (setMore([...more, ...p.decisions]), setNext(p.next)), (e: Error) => setFailed(e.message));
  };
  return (
    <>
      <h1>Decisions</h1>
      <form className="row" role="search" aria-label="Filter decisions" onSubmit={(e) => (e.preventDefault(), setFilter({ ...filter, user }))}>
        <label className="inline">User identifier <input type="search" value={user} onChange={(e) => setUser(e.target.value)} /></label>
        <label className="inline">Decision{" "}
          <select value={filter.decision} onChange={(e) => setFilter({ ...filter, decision: e.target.value })}>
            <option value="">any</option>
            {Object.entries(verdicts).map(([v, text]) => <option key={v} value={v}>{text}</option>)}
          </select>
        </label>
        <label className="inline">How it ended{" "}
          <select value={filter.outcome} onChange={(e) => setFilter({ ...filter, outcome: e.target.value })}>
            <option value="">any</option>
            {Object.entries(endings).filter(([k]) => k).map(([k, text]) => <option key={k} value={k}>{text}</option>)}
          </select>
        </label>
        <button type="submit">Filter</button>
        <button type="button" className="quiet" onClick={first.reload}>Refresh</button>
      </form>
      <Trouble>{first.error || failed}</Trouble>
      {!first.data && !first.error && <Loading what="decisions" />}
      {first.data && all.length === 0 && <p>No login has been weighed yet that this filter lets through.</p>}
      {all.length > 0 && (
        <div className="scroll" tabIndex={0} role="group" aria-label="Decisions">
          <table>
            <thead>
              <tr><th scope="col">When</th><th scope="col">User</th><th scope="col">Decision</th><th scope="col">Points</th><th scope="col">Reasons</th><th scope="col">Ended</th><th scope="col">Policy</th></tr>
            </thead>
            <tbody>
              {all.map((d) => (
                <tr key={d.id}>
                  <td><a href={`#/decisions/${d.id}`}>{when(d.at)}</a></td>
                  <td>{d.user || <span className="soft">erased</span>}</td>
                  <td><span className={`chip ${d.decision}`}>{verdicts[d.decision]}</span>{d.shadow_decision && d.shadow_decision !== d.decision && <div className="soft">shadow: {verdicts[d.shadow_decision]}</div>}</td>
                  <td>{d.score === null ? "" : number(d.score)}</td>
                  <td>{(d.reasons ?? []).map((r) => reason(r, palette)).join(", ")}</td>
                  <td>{endings[d.outcome] ?? d.outcome}</td>
                  <td>{policyName(d.policy_application, d.policy_version)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next && <div className="row"><button type="button" className="quiet" onClick={loadMore}>Older ones</button></div>}
      <Sources sources={session.sources} />
    </>
  );
}

export function Why({ session, palette, tenant, id }: Props & { id: string }) {
  const { data: e, error } = useLoad(`explain ${tenant} ${id}`, () => call<Explanation>("GET", of(tenant, `decisions/${encodeURIComponent(id)}`)));
  if (error) return <><h1>Decision</h1><Trouble>{error}</Trouble><p><a href="#/decisions">All decisions</a></p></>;
  if (!e) return <Loading what="the decision" />;
  return (
    <>
      <p><a href="#/decisions">All decisions</a></p>
      <h1>Why: {decided[e.decision]}</h1>
      <dl className="facts">
        <div><dt>When</dt><dd>{when(e.at)}</dd></div>
        <div><dt>User</dt><dd>{e.user || "erased"}</dd></div>
        {e.application && <div><dt>Application</dt><dd>{e.application}</dd></div>}
        <div><dt>Policy</dt><dd>{policyName(e.policy_application, e.policy_version)}</dd></div>
        <div><dt>How it ended</dt><dd>{endings[e.outcome] ?? e.outcome}{e.outcome_at && `, ${when(e.outcome_at)}`}</dd></div>
        {e.shadow_version ? <div><dt>In shadow</dt><dd>version {e.shadow_version}: {e.shadow_decision && verdicts[e.shadow_decision]}</dd></div> : null}
        <div><dt>Id</dt><dd><code>{e.id}</code></dd></div>
      </dl>
      {e.erased && <p className="note">The person was erased. What the decision rested on is gone with them.</p>}
      {e.differs && <p className="note">This version of the program would decide otherwise: {e.result && verdicts[e.result.decision]}.</p>}
      {e.result && e.policy && (
        <>
          <ResultView result={e.result} document={e.policy} palette={palette} />
          <h2>The branch that was taken</h2>
          <Suspense fallback={<Loading what="the graph" />}>
            <Graph document={e.policy} palette={palette} problems={[]} steps={e.result.steps} readOnly />
          </Suspense>
        </>
      )}
      <Sources sources={session.sources} />
    </>
  );
}
