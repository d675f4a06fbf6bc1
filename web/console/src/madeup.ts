import type { Observation } from "./api.ts";

export type Three = "yes" | "no" | "unknown";

// MadeUp is a login that somebody made up, in the words of the form. An empty text cannot
// be told.
export interface MadeUp {
  device: Three; // known
  network: Three; // familiar
  country: Three; // familiar
  kmh: string; // since the last login
  scopes: string;
  hour: Three; // usual
  failures: string; // of this person, just before
  crowd: string; // failures of anybody from this network, just before
  dormant: string; // days since the last login
  anonymiser: Three;
  score: string; // Descope's, 0 to 1
  bot: Three;
  vpn: Three;
  proofed: string; // hours ago
}

const usual: MadeUp = {
  device: "yes", network: "yes", country: "yes", kmh: "", scopes: "openid", hour: "yes", failures: "0", crowd: "0", dormant: "1", anonymiser: "no", score: "", bot: "no", vpn: "no", proofed: "",
};

// starts are logins to start from.
export const starts: { title: string; login: MadeUp }[] = [
  { title: "a usual one", login: usual },
  { title: "one from a new country", login: { ...usual, network: "no", country: "no" } },
  { title: "a stolen password", login: { ...usual, device: "no", network: "no", country: "no", kmh: "3000", hour: "no", failures: "5", crowd: "50", anonymiser: "yes", vpn: "yes" } },
  {
    title: "nothing can be told",
    login: { device: "unknown", network: "unknown", country: "unknown", kmh: "", scopes: "", hour: "unknown", failures: "", crowd: "", dormant: "", anonymiser: "unknown", score: "", bot: "unknown", vpn: "unknown", proofed: "" },
  },
];

const tri = (t: Three) => (t === "unknown" ? null : t === "yes");

// observation turns it into what signals read (internal/risk/observation.go).
export function observation(m: MadeUp, now: Date): Observation {
  const back = (ms: number) => new Date(now.getTime() - ms).toISOString();
  const o: Observation = {
    at: now.toISOString(), device_known: tri(m.device), device_trusted: null,
    address_seen: tri(m.network), network_seen: tri(m.network), as_seen: tri(m.network), country_seen: tri(m.country), descope_travel: null,
    attempts: { subject: m.failures === "" ? 0 : 1, device: 0, network: 0 }, failures: { subject: Number(m.failures) || 0, device: 0, network: Number(m.crowd) || 0 }, logins: m.dormant === "" ? 0 : 10,
    vpn: tri(m.vpn), bot: tri(m.bot),
  };
  if (m.failures !== "" || m.crowd !== "") o.window = 900e9;
  if (m.device !== "unknown") o.device_source = "cookie";
  if (m.network !== "unknown" || m.country !== "unknown" || m.anonymiser !== "unknown" || m.kmh !== "") {
    Object.assign(o, { address: "public", ip: "203.0.113.7", asn: 64496, as_name: "a made-up network" });
  }
  if (m.country !== "unknown") Object.assign(o, { country: m.country === "yes" ? "DE" : "AU", known_countries: ["DE"] });
  if (m.scopes !== "") Object.assign(o, { scopes: m.scopes.split(/[\s,]+/).filter(Boolean), scopes_given: true });
  // 200 km are what the signal takes off, unless it is set otherwise: far in many hours, it hardly matters.
  if (m.kmh !== "") o.travels = [{ from_country: "DE", km: 10 * Number(m.kmh) + 200, radius_km: 0, hours: 10 }];
  if (m.dormant !== "") o.last_login = back(Number(m.dormant) * 864e5);
  if (m.hour !== "unknown") Object.assign(o, { hour_samples: 100, hour_share: m.hour === "yes" ? 0.4 : 0 });
  if (m.anonymiser !== "unknown") Object.assign(o, { listed: true, ...(m.anonymiser === "yes" ? { anonymiser: "a VPN" } : {}) });
  if (m.score !== "") o.risk_score = Number(m.score);
  if (m.proofed !== "") Object.assign(o, { proofed_at: back(Number(m.proofed) * 36e5), proofed_by: "verification", proofing_known: true });
  return o;
}
