package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// demoDomain is whose people are sent a link when they register: a rule that the demo turns on.
const demoDomain = "hooks.example"

// firstHooks makes, at the first start in a folder, what an operator makes in the console:
// the shop's sink as an endpoint, and a rule for people who register. What the sink checks
// signatures with, the shop's configuration has.
func (s *stack) firstHooks(ctx context.Context) error {
	secret, err := os.ReadFile(s.path("sink.secret"))
	if errors.Is(err, fs.ErrNotExist) {
		var text string
		if text, err = s.makeHooks(ctx); err == nil {
			secret = []byte(text)
			err = os.WriteFile(s.path("sink.secret"), secret, 0o600)
		}
	}
	if err != nil {
		return err
	}
	shop, err := json.MarshalIndent(s.shopConfig([]string{string(secret)}), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("shop.json"), append(shop, '\n'), 0o600)
}

func (s *stack) makeHooks(ctx context.Context) (secret string, err error) {
	cfg, err := config.Load(s.path("kosmoscope.yaml"))
	if err != nil {
		return "", err
	}
	b, err := openBridge(ctx, cfg, logger(os.Stderr, "error"))
	if err != nil {
		return "", err
	}
	defer b.close()
	tenant, actor := cfg.Tenants[0].ID, "operator:demo"
	for _, in := range []deliveries.Input{
		{Name: "The shop's own tool", URL: s.shopURL() + "/sink/webhook", Shape: deliveries.ShapeStandard, AllowPrivate: true},
		{Name: "The shop's chat", URL: s.shopURL() + "/sink/slack", Shape: deliveries.ShapeSlack, AllowPrivate: true},
	} {
		_, made, problems, err := b.deliveries.Create(ctx, tenant, actor, in)
		if err != nil {
			return "", err
		}
		if len(problems) > 0 {
			return "", fmt.Errorf("an endpoint of the demo: %s: %s", problems[0].Field, problems[0].Message)
		}
		if made != "" {
			secret = made
		}
	}
	rules := hooks.Defaults()
	for i := range rules {
		if rules[i].ID == "verify-registered" {
			rules[i].Off, rules[i].If = false, `event.email_domain == "`+demoDomain+`"`
			rules[i].Name = "Send whoever registers from " + demoDomain + " the link to a verification"
		}
	}
	now, err := b.hooks.InForce(ctx, tenant)
	if err != nil {
		return "", err
	}
	_, err = b.hooks.Publish(ctx, tenant, actor, now.Version, rules, "as the demo has it")
	return secret, err
}
