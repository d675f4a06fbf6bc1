package descope

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// AttributeType is what values a custom attribute takes, by Descope's numbers
// (reference/descope.md 5.3).
type AttributeType int

// Types of attributes.
const (
	TypeText AttributeType = iota + 1
	TypeNumber
	TypeBoolean
	TypeSingleSelect
	TypeMultiSelect
	TypeDate
	TypeMonthDay
)

// Attribute defines a custom attribute of users.
type Attribute struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"displayName"`
	Type        AttributeType     `json:"type"`
	Options     []AttributeOption `json:"options,omitempty"` // of the selects
}

// AttributeOption is a choice of a select.
type AttributeOption struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

// attributes are the definitions as they were last read. They are only ever added to by
// us, and a user's patch that is refused has them read anew.
type attributes struct {
	turn  chan struct{} // had while they are read or made, so that one does it for all
	known map[string]bool
}

// lock waits for the turn; false if the caller has gone.
func (a *attributes) lock(ctx context.Context) bool {
	select {
	case a.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *attributes) unlock() { <-a.turn }

// Attributes are the custom attributes that the project defines (GET
// /v1/mgmt/user/customattributes).
func (c *Client) Attributes(ctx context.Context) ([]Attribute, error) {
	var out struct {
		Data json.RawMessage `json:"data"`
	}
	if err := c.do(ctx, CallAttributes, nil, nil, &out); err != nil {
		return nil, err
	}
	var entries []fields
	if out.Data != nil && json.Unmarshal(out.Data, &entries) != nil {
		return nil, unavailable(errors.New("descope: the answer has no list of attributes"), 0)
	}
	var list []Attribute
	for _, f := range entries {
		n, _ := f.number("type")
		a := Attribute{Name: f.text("name"), DisplayName: f.text("displayName"), Type: AttributeType(n)}
		_ = json.Unmarshal(f.raw("options"), &a.Options)
		if a.Name != "" {
			list = append(list, a)
		}
	}
	return list, nil
}

// EnsureAttributes creates those that the project does not define yet, and says which
// (POST /v1/mgmt/user/customattribute/create). One that is there stays as it is, also with
// another type. Many may call it at once, in several processes.
func (c *Client) EnsureAttributes(ctx context.Context, list []Attribute) (created []string, err error) {
	for _, a := range list {
		if !word(a.Name, maxName) || len(a.DisplayName) > maxName || a.Type < TypeText || a.Type > TypeMonthDay {
			return nil, invalid("an attribute has a name of 1 to 100 bytes and one of the types")
		}
	}
	if len(list) > maxMany {
		return nil, invalid("these are too many attributes at once")
	}
	if !c.attributes.lock(ctx) {
		return nil, unavailable(unsent{ctx.Err()}, shortly)
	}
	defer c.attributes.unlock()
	if len(c.missing(list)) == 0 {
		return nil, nil
	}
	if err := c.learn(ctx); err != nil {
		return nil, err
	}
	missing := c.missing(list)
	if len(missing) == 0 {
		return nil, nil
	}
	var out map[string]json.RawMessage
	err = c.do(ctx, CallDefineAttributes, nil, map[string]any{"attributes": missing}, &out)
	if err != nil {
		// Somebody else may have made them meanwhile, or the answer got lost: the list tells.
		if c.learn(ctx) != nil || len(c.missing(missing)) > 0 {
			return nil, err
		}
		return nil, nil
	}
	for _, a := range missing {
		c.attributes.known[a.Name] = true
		created = append(created, a.Name)
	}
	return created, nil
}

// learn reads the definitions. The caller has the lock.
func (c *Client) learn(ctx context.Context) error {
	list, err := c.Attributes(ctx)
	if err != nil {
		return err
	}
	c.attributes.known = map[string]bool{}
	for _, a := range list {
		c.attributes.known[a.Name] = true
	}
	return nil
}

// missing are those of a list that are not known. The caller has the lock.
func (c *Client) missing(list []Attribute) (out []Attribute) {
	for _, a := range list {
		if !c.attributes.known[a.Name] && !slices.ContainsFunc(out, func(o Attribute) bool { return o.Name == a.Name }) {
			out = append(out, a)
		}
	}
	return out
}

// forget has the definitions read again before the next write.
func (c *Client) forget(ctx context.Context) {
	if c.attributes.lock(ctx) {
		c.attributes.known = nil
		c.attributes.unlock()
	}
}

// checkAttributes says what is wrong with values of attributes.
func checkAttributes(values map[string]any) error {
	if len(values) > maxMany {
		return invalid("these are too many attributes at once")
	}
	for name, v := range values {
		if !word(name, maxName) {
			return invalid("the name of an attribute is of 1 to 100 bytes without control characters")
		}
		if _, ok := typeOf(v); !ok && v != nil && !isList(v) {
			return invalid("an attribute is a text, a number, true or false, or a list of texts")
		}
	}
	return nil
}

func isList(v any) bool {
	switch v := v.(type) {
	case []string:
		return true
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { _, ok := item.(string); return !ok })
	}
	return false
}

// typeOf is the type that an attribute of this value is created with. Lists would need
// options, which a value does not tell.
func typeOf(v any) (AttributeType, bool) {
	switch v.(type) {
	case string:
		return TypeText, true
	case int, int64, float64, json.Number:
		return TypeNumber, true
	case bool:
		return TypeBoolean, true
	}
	return 0, false
}

// forValues are definitions for values. A null needs none, and for a list we have none: it
// must exist.
func forValues(values map[string]any) (list []Attribute) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if t, ok := typeOf(values[name]); ok {
			list = append(list, Attribute{Name: name, DisplayName: name, Type: t})
		}
	}
	return list
}
