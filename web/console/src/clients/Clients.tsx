import { useEffect, useState } from "react";
import { call, of, type Session } from "../api.ts";
import { Dialog, Loading, Trouble, useLoad } from "../parts.tsx";
import { Keys } from "./Keys.tsx";
import { acrName, profiles, type ClientList } from "./types.ts";

interface Props { session: Session; tenant: string; say: (text: string) => void }

// Clients lists who may have people signed in, and what is signed with.
export function Clients({ session, tenant, say }: Props) {
  const { data, error } = useLoad(`clients ${tenant}`, () => call<ClientList>("GET", of(tenant, "clients")));
  const [choosing, setChoosing] = useState(false);
  const operator = session.role === "operator";
  useEffect(() => {
    document.title = "Clients – Kosmoscope";
  }, []);
  return (
    <>
      <div className="head">
        <div>
          <h1 tabIndex={-1}>Clients</h1>
          <p className="soft">Who sends people here to be proofed or recognised, by OpenID Connect or SAML.</p>
        </div>
        <button type="button" disabled={!operator || !data} aria-describedby={operator ? undefined : "new-why"} onClick={() => setChoosing(true)}>New client…</button>
      </div>
      {!operator && <p id="new-why" className="note">You are signed in as a viewer. Changing anything here needs the role operator.</p>}
      <Trouble>{error}</Trouble>
      {!data && !error && <Loading what="the clients" />}
      {data && (
        <section aria-label="Clients">
          {data.clients.length === 0 && <p>There is none yet.</p>}
          <ul className="versions bare" role="list">
            {data.clients.map((c) => (
              <li key={`${c.fixed} ${c.client_id}`}>
                <div>
                  <a href={`#/clients/${encodeURIComponent(c.client_id)}`}><b>{c.name || c.client_id}</b></a>{" "}
                  <span className="chip">{c.protocol === "oidc" ? "OpenID Connect" : "SAML"}</span>{" "}
                  {c.profile && <span className="chip">{profiles[c.profile] ?? c.profile}</span>}{" "}
                  {c.disabled && <span className="chip deny">disabled</span>} {c.fixed && <span className="chip">configuration file</span>} {c.hidden && <span className="chip deny">hidden by the configuration</span>}
                  <div className="soft">{c.client_id}{(c.default_acr ?? []).length > 0 && ` · ${(c.default_acr ?? []).map(acrName).join(", else ")}`}</div>
                </div>
              </li>
            ))}
          </ul>
        </section>
      )}
      <Keys {...{ session, tenant, say }} />
      <Dialog title="A new client" open={choosing} onClose={() => setChoosing(false)}>
        <p>What it begins with; everything can be changed afterwards, but for the protocol.</p>
        <ul className="versions" role="list">
          {data?.options.presets.map((p) => (
            <li key={p.name}>
              <div><a href={`#/clients/new/${p.name}`} onClick={() => setChoosing(false)}>{p.title}</a><div className="soft">{p.help}</div></div>
            </li>
          ))}
        </ul>
        <div className="row end"><button type="button" className="quiet" onClick={() => setChoosing(false)}>Cancel</button></div>
      </Dialog>
    </>
  );
}
