import { lazy, Suspense, useEffect, type ReactNode } from "react";
import { call, of, type Explanation, type Session } from "./api.ts";
import { Guard, Loading, Sources, Trouble, useLoad } from "./parts.tsx";
import { ResultView } from "./ResultView.tsx";
import type { Palette } from "./types.ts";
import { decided, endings, number, policyName, reason, verdicts, when } from "./words.ts";

const Graph = lazy(() => import("./graph/index.tsx"));

interface Props { session: Session; palette: Palette; tenant: string; id: string }

// Why explains one decision: what was known, what each signal said, and the branch.
export function Why({ session, palette, tenant, id }: Props) {
  const { data: e, error } = useLoad(`explain ${tenant} ${id}`, () => call<Explanation>("GET", of(tenant, `decisions/${encodeURIComponent(id)}`)));
  useEffect(() => {
    document.title = e ? `Why: ${decided[e.decision]} – Kosmoscope` : "Decision – Kosmoscope";
  }, [e]);
  const back = <p><a href="#/decisions">All decisions</a></p>;
  if (error) return <>{back}<h1>Decision</h1><Trouble>{error}</Trouble></>;
  if (!e) return <>{back}<Loading what="the decision" /></>;
  return (
    <>
      {back}
      <div className="head">
        <h1>Why: {decided[e.decision]}</h1>
        <Facts e={e} />
      </div>
      {e.erased && <p className="note">The person was erased. What the decision rested on is gone with them; only the policy is left.</p>}
      {e.differs && <p className="note">This version of the program would decide otherwise than was recorded: {e.result && verdicts[e.result.decision]}.</p>}
      {e.result && e.policy && (
        <section aria-labelledby="signals-title">
          <h2 id="signals-title">What decided</h2>
          <ResultView result={e.result} document={e.policy} palette={palette} />
        </section>
      )}
      {e.shadow && (
        <section aria-labelledby="shadow-title">
          <h2 id="shadow-title">In shadow</h2>
          <p>
            Version {e.shadow_version} would have decided: <b>{verdicts[e.shadow.decision]}</b>
            {e.shadow.score !== null && <>, with {number(e.shadow.score)} points</>}
            {(e.shadow.reasons ?? []).length > 0 && <>, because of: {(e.shadow.reasons ?? []).map((r) => reason(r, palette)).join(", ")}</>}.
          </p>
        </section>
      )}
      {e.policy && (
        <section aria-labelledby="branch-title">
          <h2 id="branch-title">{e.result ? "The branch that was taken" : "The policy"}</h2>
          <Guard>
            <Suspense fallback={<Loading what="the graph" />}>
              <Graph document={e.policy} palette={palette} problems={[]} steps={e.result?.steps} readOnly />
            </Suspense>
          </Guard>
        </section>
      )}
      {e.observation && (
        <section aria-label="What was recorded">
          <details>
            <summary>All that was recorded of the login</summary>
            <pre tabIndex={0} aria-label="All that was recorded of the login">{JSON.stringify(e.observation, null, 2)}</pre>
          </details>
        </section>
      )}
      <Sources sources={session.sources} />
    </>
  );
}

function Facts({ e }: { e: Explanation }) {
  const o = (e.observation ?? {}) as { country?: string; city?: string; known_countries?: string[]; as_name?: string; asn?: number; ip?: string };
  const place = [o.city, o.country].filter(Boolean).join(", ");
  const facts: [string, ReactNode][] = [
    ["When", when(e.at)],
    ["User", e.user || "erased"],
    ["Application", e.application],
    ["Policy", policyName(e.policy_application, e.policy_version)],
    ["How it ended", `${endings[e.outcome] ?? e.outcome}${e.outcome_at ? `, ${when(e.outcome_at)}` : ""}`],
    ["In shadow", e.shadow_version ? `version ${e.shadow_version}: ${e.shadow_decision ? verdicts[e.shadow_decision] : ""}` : ""],
    ["From", place && `${place}${o.known_countries?.length ? ` (earlier: ${o.known_countries.join(", ")})` : ""}`],
    ["Network", [o.ip, o.as_name, o.asn && `AS${o.asn}`].filter(Boolean).join(", ")],
    ["Id", <code>{e.id}</code>],
  ];
  return (
    <dl className="facts">
      {facts.filter(([, value]) => value).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
