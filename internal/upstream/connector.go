package upstream

import (
	"context"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Connector makes the client of one tenant when it is first needed, and again
// until that succeeds: which curve our key pair must lie on is known only once
// the tenant has been asked. All that speak to the same tenant share one.
type Connector struct {
	connect   func(context.Context) (*blockid.Client, error)
	turn      chan struct{} // holds one value while nobody is connecting
	connected *blockid.Client
}

// Connect makes a connector that finds the tenant's curve, unless cfg names one,
// and takes our key pair on that curve from key.
func Connect(cfg blockid.Config, key func(context.Context, blockid.Curve) (*blockid.PrivateKey, error)) *Connector {
	k := &Connector{turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	k.connect = func(ctx context.Context) (*blockid.Client, error) {
		curve := cfg.Curve
		if curve == "" || curve == blockid.Auto {
			asking, err := blockid.NewClient(cfg)
			if err != nil {
				return nil, err
			}
			theirs, err := asking.ServiceKey(ctx, blockid.ServiceDocuverify)
			if err != nil {
				return nil, err
			}
			curve = theirs.Curve()
		}
		ours, err := key(ctx, curve)
		if err != nil {
			return nil, err
		}
		cfg := cfg
		cfg.Curve, cfg.Key = curve, ours
		return blockid.NewClient(cfg)
	}
	return k
}

func (k *Connector) client(ctx context.Context) (*blockid.Client, error) {
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done(): // somebody else is at it, and it takes too long
		return nil, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamTimeout, Message: "1Kosmos did not answer in time", Temporary: true, Err: ctx.Err()}
	}
	if k.connected == nil {
		c, err := k.connect(ctx)
		if err != nil {
			return nil, translate(err)
		}
		k.connected = c
	}
	return k.connected, nil
}
