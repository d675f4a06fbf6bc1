// Package vault keeps keys, and seals and opens what is encrypted under them. It
// implements journey.Vault.
//
//	master key file ──┬── wrapping keys (AES-256-GCM; rotation adds one)
//	   (0600)         │      ├── one data key per subject, wrapped, in the subject's row
//	                  │      │      └── everything sealed that belongs to the subject
//	                  │      └── the tenant's own secrets
//	                  └── hash key (HMAC-SHA-256; rotation leaves it alone)
//
// Erasing a subject is erasing the wrapped key in its row: what was sealed under
// it, here or in a backup without that row, opens no more. For that reason
// nothing unwrapped is kept between calls.
//
// Every sealed value is bound to its Place, and every wrapped key to its tenant
// and subject, as associated data in an unambiguous encoding.
package vault
