// Package keys holds what door B signs with: for each tenant, use and algorithm one key
// that signs and one that is published ahead of its turn, in the store, sealed under the
// tenant's own key.
//
//	          Rotate, or Lifetime (oidc)      Overlap
//	made ──▶ next ──▶ active ──▶ retiring ──▶ retired
//	         └───── published ───────────┘    the private half is gone
//
// Whoever verifies has seen a key before anything is signed with it, and still finds it
// when what it signed comes back. Replicas share the store and follow each other within
// seconds; that one signs a little longer with the key that the other has retired from
// signing does no harm, since it is still published.
//
// What is published comes out of the sealed private half, so that whoever can write to
// the database, but does not have the master key, cannot have us publish a key of theirs.
package keys
