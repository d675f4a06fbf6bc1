package kosmos

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// Services with a key pair of their own. A separate one for each catches
// clients that mix keys up. The name is the path under the tenant's host;
// the community's key is the admin console's.
const (
	svcDocuverify = "docuverify"
	svcCommunity  = "community"
	svcUsers      = "users-mgmt"
)

var services = []string{
	svcDocuverify, svcCommunity, "sessions", "events", "vcs", "licenses", "reports", "idproofingapi", "workflowapi", svcUsers,
}

// keyring holds the current key pair of each service.
type keyring struct {
	curve blockid.Curve
	mu    sync.RWMutex
	keys  map[string]*blockid.PrivateKey
}

func openKeyring(ctx context.Context, st *store, curve blockid.Curve) (*keyring, error) {
	k := &keyring{curve: curve, keys: map[string]*blockid.PrivateKey{}}
	return k, k.load(ctx, st, false, services)
}

func (k *keyring) rotate(ctx context.Context, st *store, names ...string) error {
	if len(names) == 0 {
		names = services
	}
	return k.load(ctx, st, true, names)
}

func (k *keyring) load(ctx context.Context, st *store, renew bool, names []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		if renew && k.keys[name] == nil {
			return fmt.Errorf("kosmos: no service %q", name)
		}
		// The curve is kept with the key: a scalar alone belongs to either.
		text, err := st.secret(ctx, "key/"+string(k.curve)+"/"+name, renew, func() ([]byte, error) {
			key, err := blockid.GenerateKey(k.curve)
			if err != nil {
				return nil, err
			}
			return []byte(key.Encode()), nil
		})
		if err != nil {
			return fmt.Errorf("key of %s: %w", name, err)
		}
		if k.keys[name], err = blockid.ParsePrivateKey(k.curve, string(text)); err != nil {
			return fmt.Errorf("key of %s: %w", name, err)
		}
	}
	return nil
}

func (k *keyring) key(service string) *blockid.PrivateKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[service]
}

func randomKey() ([]byte, error) {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	return b, err
}
