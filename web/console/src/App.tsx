import { useEffect, useState } from "react";
import { call, of, session as load, type Session, type Slot } from "./api.ts";
import { ApplicationChooser } from "./ApplicationChooser.tsx";
import { ClientPage, NewClient } from "./clients/ClientPage.tsx";
import { Clients } from "./clients/Clients.tsx";
import { Decisions } from "./Decisions.tsx";
import { DeliveryPage } from "./deliveries/Deliveries.tsx";
import { EndpointPage } from "./deliveries/EndpointPage.tsx";
import { Endpoints } from "./deliveries/Endpoints.tsx";
import { EventPage, Events } from "./hooks/Events.tsx";
import { RulesPage } from "./hooks/Rules.tsx";
import { Guard, Loading, Trouble, useLoad } from "./parts.tsx";
import { PolicyPage } from "./PolicyPage.tsx";
import { remember, remembered } from "./remember.ts";
import type { Palette } from "./types.ts";
import { Why } from "./Why.tsx";

// pages of the console, in the order of the navigation.
const pages: [id: string, text: string, door?: keyof Session["doors"]][] = [["policy", "Policy"], ["decisions", "Decisions"], ["clients", "Clients", "federation"],
  ["rules", "Rules", "hooks"], ["events", "Events", "hooks"], ["endpoints", "Endpoints", "deliveries"]];

function readRoute(): string[] {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return []; // somebody's typing
  }
}

function useRoute(): string[] {
  const [route, setRoute] = useState(readRoute);
  useEffect(() => {
    const go = () => {
      setRoute(readRoute());
      document.getElementById("main")?.focus();
      scrollTo(0, 0);
    };
    addEventListener("hashchange", go);
    return () => removeEventListener("hashchange", go);
  }, []);
  return route;
}

export function App() {
  const session = useLoad("session", load);
  const palette = useLoad("palette", () => call<Palette>("GET", "palette"));
  if (session.error || palette.error) return <main><h1>Kosmoscope</h1><Trouble>{session.error || palette.error}</Trouble></main>;
  if (!session.data || !palette.data) return <main><Loading what="the console" /></main>;
  return <Shell session={session.data} palette={palette.data} />;
}

function Shell({ session, palette }: { session: Session; palette: Palette }) {
  const route = useRoute();
  const page = route[0] ?? "policy";
  const where = route.join("/");
  const [tenant, setTenant] = useState(() => session.tenants.find((t) => t === remembered("tenant")) ?? session.tenants[0] ?? "");
  const [application, setApplication] = useState(() => remembered("application"));
  const [said, setSaid] = useState("");
  useEffect(() => {
    remember("tenant", tenant);
    remember("application", application);
    setSaid("");
  }, [tenant, application, where]);
  const slots = useLoad(`slots ${tenant}`, () => call<{ slots: Slot[] }>("GET", of(tenant, "policies")));
  const shared = { session, palette, tenant };
  const ofApplication = page === "policy" || page === "decisions";
  return (
    <>
      <a className="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById("main")?.focus())}>Skip to the content</a>
      <header>
        <strong className="brand">Kosmoscope</strong>
        <nav aria-label="Pages">
          {pages.filter(([, , door]) => !door || session.doors[door]).map(([id, text]) => <a key={id} href={`#/${id}`} aria-current={page === id || (page === "deliveries" && id === "endpoints") ? "page" : undefined}>{text}</a>)}
        </nav>
        <div className="row choosers">
          {session.tenants.length > 1 && (
            <label className="inline">Tenant{" "}
              <select value={tenant} onChange={(e) => (setTenant(e.target.value), setApplication(""))}>{session.tenants.map((t) => <option key={t}>{t}</option>)}</select>
            </label>
          )}
          {ofApplication && <ApplicationChooser slots={slots.data?.slots ?? []} whole={page === "decisions" ? "all" : "all others"} application={application} onChoose={setApplication} />}
        </div>
        <Account session={session} />
      </header>
      <main id="main" tabIndex={-1}>
        <p className="said" role="status">{said}</p>
        <Guard key={`${tenant}/${where}`}>
          {page === "decisions" && route[1] ? <Why {...shared} id={route[1]} />
            : page === "decisions" ? <Decisions {...shared} application={application} />
            : page === "clients" && route[1] === "new" ? <NewClient {...shared} preset={route[2] ?? ""} say={setSaid} />
            : page === "clients" && route[1] ? <ClientPage {...shared} id={route[1]} say={setSaid} />
            : page === "clients" ? <Clients {...shared} say={setSaid} />
            : page === "rules" ? <RulesPage {...shared} say={setSaid} />
            : page === "events" && route[1] ? <EventPage {...shared} id={route[1]} say={setSaid} />
            : page === "events" ? <Events {...shared} say={setSaid} />
            : page === "endpoints" && route[1] ? <EndpointPage {...shared} id={route[1]} say={setSaid} />
            : page === "endpoints" ? <Endpoints {...shared} say={setSaid} />
            : page === "deliveries" && route[1] ? <DeliveryPage {...shared} id={route[1]} say={setSaid} />
            : <PolicyPage {...shared} application={application} say={setSaid} />}
        </Guard>
      </main>
      <footer className="soft">Kosmoscope {session.version}</footer>
    </>
  );
}

function Account({ session }: { session: Session }) {
  const [scheme, setScheme] = useState(() => remembered("scheme", "browser"));
  const [failed, setFailed] = useState("");
  useEffect(() => {
    if (scheme) document.documentElement.dataset.scheme = scheme;
    else delete document.documentElement.dataset.scheme;
    remember("scheme", scheme, "browser");
  }, [scheme]);
  const out = () => call("POST", "signout").then(() => location.assign("/console/"), (e: Error) => setFailed(e.message));
  return (
    <div className="row account">
      <select aria-label="Colours" value={scheme} onChange={(e) => setScheme(e.target.value)}>
        <option value="">system colours</option>
        <option value="light">light</option>
        <option value="dark">dark</option>
      </select>
      <span className="soft">{session.name} ({session.role})</span>
      <button type="button" className="quiet" onClick={() => void out()}>Sign out</button>
      <Trouble>{failed}</Trouble>
    </div>
  );
}
