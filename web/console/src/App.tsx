import { useEffect, useState } from "react";
import { call, of, session as load, type Session, type Slot } from "./api.ts";
import { Decisions, Why } from "./Decisions.tsx";
import { Loading, Trouble, useLoad } from "./parts.tsx";
import { PolicyPage } from "./PolicyPage.tsx";
import type { Palette } from "./types.ts";

// pages of the console, in the order of the navigation.
const pages = [["policy", "Policy"], ["decisions", "Decisions"]] as const;

function useRoute(): string[] {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const go = () => {
      setRoute(read());
      document.getElementById("main")?.focus();
    };
    addEventListener("hashchange", go);
    return () => removeEventListener("hashchange", go);
  }, []);
  return route;
}

export function App() {
  const session = useLoad("session", load);
  const palette = useLoad("palette", () => call<Palette>("GET", "palette"));
  if (session.error || palette.error) return <main><Trouble>{session.error || palette.error}</Trouble></main>;
  if (!session.data || !palette.data) return <main><Loading what="the console" /></main>;
  return <Shell session={session.data} palette={palette.data} />;
}

function Shell({ session, palette }: { session: Session; palette: Palette }) {
  const route = useRoute();
  const page = route[0] ?? "policy";
  const [tenant, setTenant] = useState(session.tenants[0] ?? "");
  const [application, setApplication] = useState("");
  const [added, setAdded] = useState<string[]>([]);
  const [said, setSaid] = useState("");
  const [scheme, setScheme] = useState(localStorage.getItem("scheme") ?? "");
  const slots = useLoad(`slots ${tenant}`, () => call<{ slots: Slot[] }>("GET", of(tenant, "policies")));
  useEffect(() => {
    if (scheme) document.documentElement.dataset.scheme = scheme;
    else delete document.documentElement.dataset.scheme;
    localStorage.setItem("scheme", scheme);
  }, [scheme]);
  const names = [...new Set(["", ...(slots.data?.slots ?? []).map((s) => s.application), ...added])];
  const out = async () => {
    await call("POST", "signout").catch(() => {});
    location.assign("/console/");
  };
  return (
    <>
      <a className="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById("main")?.focus())}>Skip to the content</a>
      <header>
        <strong className="brand">Kosmoscope</strong>
        <nav aria-label="Pages">
          {pages.map(([id, text]) => <a key={id} href={`#/${id}`} aria-current={page === id ? "page" : undefined}>{text}</a>)}
        </nav>
        <div className="row choosers">
          {session.tenants.length > 1 && (
            <label className="inline">Tenant{" "}
              <select value={tenant} onChange={(e) => (setTenant(e.target.value), setApplication(""))}>{session.tenants.map((t) => <option key={t}>{t}</option>)}</select>
            </label>
          )}
          <label className="inline">Application{" "}
            <select value={application} onChange={(e) => {
              let name = e.target.value;
              if (name === "\u0000new") {
                name = prompt("Name of the application, as the flow gives it")?.trim() ?? application;
                if (name && !names.includes(name)) setAdded([...added, name]);
              }
              setApplication(name);
            }}>
              {names.map((n) => <option key={n} value={n}>{n || (page === "decisions" ? "All" : "All without their own")}</option>)}
              {page === "policy" && <option value={"\u0000new"}>Another one …</option>}
            </select>
          </label>
          <label className="inline">Colours{" "}
            <select value={scheme} onChange={(e) => setScheme(e.target.value)}>
              <option value="">as the system</option>
              <option value="light">light</option>
              <option value="dark">dark</option>
            </select>
          </label>
          <span className="soft">{session.name} ({session.role})</span>
          <button type="button" className="quiet" onClick={() => void out()}>Sign out</button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        <p className="said" role="status">{said}</p>
        {page === "decisions" ? (
          route[1] ? <Why session={session} palette={palette} tenant={tenant} id={route[1]} /> : <Decisions session={session} palette={palette} tenant={tenant} application={application} />
        ) : (
          <PolicyPage session={session} palette={palette} tenant={tenant} application={application} say={setSaid} />
        )}
      </main>
      <footer className="soft">Kosmoscope {session.version}</footer>
    </>
  );
}
