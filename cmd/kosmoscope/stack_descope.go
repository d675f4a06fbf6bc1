package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
)

// bootstrapDescope creates in the local Descope's project what a customer creates
// by hand (docs/flows.md), and by the same API.
func (s *stack) bootstrapDescope(ctx context.Context, client *http.Client) error {
	call := func(method, path string, body, answer any) error {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, method, s.descopeURL()+path, bytes.NewReader(b))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+projectID+":"+s.secrets.ManagementKey)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		b, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("local Descope: %s: %s %s", path, res.Status, b)
		}
		if answer == nil {
			return nil
		}
		return json.Unmarshal(b, answer)
	}
	type attribute struct {
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
		Type        int    `json:"type"` // 1 is text
	}
	var have struct {
		Data []attribute `json:"data"`
	}
	if err := call(http.MethodGet, "/v1/mgmt/user/customattributes", struct{}{}, &have); err != nil {
		return err
	}
	var missing []attribute
	for _, name := range shipped.Attributes {
		if !slices.ContainsFunc(have.Data, func(a attribute) bool { return a.Name == name }) {
			missing = append(missing, attribute{name, name, 1})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return call(http.MethodPost, "/v1/mgmt/user/customattribute/create", map[string]any{"attributes": missing}, nil)
}
