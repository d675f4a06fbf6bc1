import { useEffect } from "react";
import { call, of, type Session } from "../api.ts";
import { Loading, Trouble, useLoad } from "../parts.tsx";
import { when } from "../words.ts";
import { Deliveries } from "./Deliveries.tsx";
import { shapeName, type EndpointList } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

// Endpoints lists who is told, and what was told.
export function Endpoints({ session, tenant, say }: Props) {
  const { data, error } = useLoad(`endpoints ${tenant}`, () => call<EndpointList>("GET", of(tenant, "endpoints")));
  const operator = session.role === "operator";
  useEffect(() => {
    document.title = "Endpoints – Kosmoscope";
  }, []);
  return (
    <>
      <div className="head">
        <div>
          <h1 tabIndex={-1}>Endpoints</h1>
          <p className="soft">Other tools that are told what happened.</p>
        </div>
        {operator && <a className="button" href="#/endpoints/new">New endpoint…</a>}
      </div>
      {!operator && <p className="note">You are signed in as a viewer. Changing anything here needs the role operator.</p>}
      <Trouble>{error}</Trouble>
      {!data && !error && <Loading what="the endpoints" />}
      {data && (
        <section aria-label="Endpoints">
          {data.endpoints.length === 0 && <p>There is none yet: nobody is told.</p>}
          <ul className="versions bare" role="list">
            {data.endpoints.map((e) => (
              <li key={e.id}>
                <div>
                  <a href={`#/endpoints/${e.id}`}><b>{e.name}</b></a> <span className="chip">{shapeName(e.shape)}</span>{" "}
                  {e.disabled ? <span className="chip deny">{e.why ? "switched off by itself" : "off"}</span> : e.failing_since && <span className="chip deny">failing since {when(e.failing_since)}</span>}
                  <div className="soft">{e.url}</div>
                  <div className="soft">{(e.events ?? []).length ? (e.events ?? []).join(", ") : "all events"}{e.why && ` · ${e.why}`}</div>
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
      <Deliveries {...{ session, tenant, say }} endpoints={data?.endpoints ?? []} />
    </>
  );
}
