// Endpoints and deliveries, as the console's API speaks of them (internal/console/deliveries.go).

export interface Signing { kind: "hmac" | "ed25519"; public_key?: string; ends?: string }
export interface Endpoint {
  id: string; name: string; url: string; events?: string[] | null; shape: string; template?: string; allow_private?: boolean; disabled?: boolean; why?: string; failing_since?: string;
  created_at: string; updated_at: string; version: number; has_token: boolean; headers?: string[] | null; signing?: Signing[] | null;
}
export interface ShapeInfo { shape: string; signs: boolean; token: boolean }
export interface EndpointList { endpoints: Endpoint[]; shapes: ShapeInfo[] }
// Input is an endpoint as it is sent.
export interface Input { name: string; url: string; events: string[]; shape: string; template: string; allow_private: boolean; disabled: boolean; token?: string; headers?: Record<string, string>; signing?: string; version: number }
export interface Delivery {
  id: string; message: string; endpoint: string; type: string; state: "waiting" | "delivered" | "failed"; reason?: string; attempts: number; next_at?: string; created_at: string; ended_at?: string; replay?: boolean; test?: boolean;
}
export interface Exchange {
  method: string; url: string; request_headers: Record<string, string>; request_body: string; response_headers?: Record<string, string>; response_body?: string; cut?: boolean; connected_ms?: number; first_byte_ms?: number;
}
export interface Attempt { number: number; at: string; took_ms: number; status: number; error?: string; exchange?: Exchange; gone?: string; hidden?: boolean }
export interface ReplayProgress { queued: number; skipped: number; next: string }

const shapes: Record<string, string> = {
  standard: "Standard Webhooks, signed", slack: "Slack, incoming webhook", splunk_hec: "Splunk, HTTP event collector", datadog: "Datadog, logs", segment: "Segment, track", template: "A body of your own, signed",
};
export const shapeName = (shape: string) => shapes[shape] ?? shape;
export const tokenName: Record<string, string> = { splunk_hec: "HEC token", datadog: "API key", segment: "Write key" };
export const deliveryChips: Record<Delivery["state"], string> = { waiting: "step_up", delivered: "clear", failed: "deny" };

export const inputOf = (e: Endpoint): Input => ({
  name: e.name, url: e.url, events: e.events ?? [], shape: e.shape, template: e.template ?? "", allow_private: !!e.allow_private, disabled: !!e.disabled, version: e.version,
});
export const blank: Input = { name: "", url: "", events: [], shape: "standard", template: "", allow_private: false, disabled: false, version: 0 };

const fieldLabels: Record<string, string> = { name: "Name", url: "Address", events: "Events", shape: "Shape", template: "Template", token: "Token", headers: "Headers", signing: "Signature" };
export const fieldLabel = (field: string) => `${fieldLabels[field] ?? field}:`;
