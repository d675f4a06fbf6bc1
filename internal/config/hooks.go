package config

import (
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
)

// Hooks is door C of a tenant: what its events lead to is said by rules, in the console.
type Hooks struct {
	// Caller is the id of the caller as whom rules start verifications and challenges;
	// default: the tenant's first.
	Caller       string          `yaml:"caller"`
	Registration in.Registration `yaml:"registration"`
	// CallbackSecrets are what 1Kosmos' callbacks have in their path:
	// PUBLIC_URL/kosmos/v1/callbacks/TENANT/SECRET. None: no callbacks.
	CallbackSecrets []callers.Secret `yaml:"callback_secrets"`
	// CallbackHMAC are keys, any of which must have signed a callback; none: the path is enough.
	CallbackHMAC []callers.Secret `yaml:"callback_hmac"`
	// Mapping is how an outcome is written to a Descope user: attribute -> expression over
	// event.* and result.*; without it kosmosIdvStatus, kosmosIal, kosmosIalExpiresAt, kosmosVerifiedAt.
	Mapping map[string]string `yaml:"mapping"`
	// Mail has links sent through 1Kosmos' messaging, where a rule says so.
	Mail *bool `yaml:"mail"`
	// Retention is how long events, what they led to and what other tools were told is kept.
	Retention time.Duration `yaml:"retention"`
}

const minCallbackSecret = 22 // 16 random bytes in base64url

func (h *Hooks) complete(tenant string, all []callers.Config) {
	orDefault(&h.Retention, 30*24*time.Hour)
	if h.Caller == "" {
		for _, c := range all {
			if c.Tenant == tenant && !c.EventsOnly {
				h.Caller = c.ID
				break
			}
		}
	}
}

func (h *Hooks) check(at, tenant string, all []callers.Config, bad func(field, format string, args ...any)) {
	if h.Caller != "" && !slices.ContainsFunc(all, func(c callers.Config) bool { return c.ID == h.Caller && c.Tenant == tenant && !c.EventsOnly }) {
		bad(at+".caller", "%q is no caller of this tenant that may start something", h.Caller)
	}
	if h.Retention < 24*time.Hour {
		bad(at+".retention", "must be at least 24h: by then Descope has sent again what it sends twice")
	}
	for _, s := range h.CallbackSecrets {
		if len(s) < minCallbackSecret {
			bad(at+".callback_secrets", "each must be at least %d characters; `openssl rand -hex 16` makes a good one", minCallbackSecret)
		}
	}
}
