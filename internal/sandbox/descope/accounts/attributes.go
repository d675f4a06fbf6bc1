package accounts

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"
)

// Types of custom attributes, by Descope's numbers.
const (
	typeText = iota + 1
	typeNumber
	typeBoolean
	typeSingle
	typeMulti
	typeDate
	typeMonthDay
)

// Attribute is the definition of a custom attribute of users. Its names are
// Descope's.
type Attribute struct {
	Name            string            `json:"name"`
	DisplayName     string            `json:"displayName"`
	Type            int               `json:"type"` // 1 text, 2 number, 3 boolean, 4 single-select, 5 multi-select, 6 date, 7 month and day
	Options         []AttributeOption `json:"options"`
	DefaultValue    any               `json:"defaultValue,omitempty"`
	ViewPermissions []string          `json:"viewPermissions"`
	EditPermissions []string          `json:"editPermissions"`
}

// AttributeOption is a choice of a select.
type AttributeOption struct {
	Value string `json:"value"`
	Label string `json:"label"`
}

var attributeName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,59}$`)

// kind says what values are, for people.
func (t *Attribute) kind() string {
	return [...]string{"text", "a number", "true or false", "one of its options", "a list of its options", "a date", "a month and a day"}[t.Type-1]
}

// takes reports whether a value is one of the attribute's.
func (t *Attribute) takes(v any) bool {
	switch v := v.(type) {
	case string:
		fits := utf8.RuneCountInString(v) <= maxText && printable(v)
		return fits && (t.Type == typeText || t.Type == typeDate || t.Type == typeMonthDay || t.Type == typeSingle && t.offers(v))
	case float64:
		return t.Type == typeNumber || t.Type == typeDate
	case bool:
		return t.Type == typeBoolean
	case []any:
		return t.Type == typeMulti && len(v) <= maxListed && !slices.ContainsFunc(v, func(item any) bool {
			s, ok := item.(string)
			return !ok || !t.offers(s)
		})
	}
	return false
}

func (t *Attribute) offers(value string) bool {
	return slices.ContainsFunc(t.Options, func(o AttributeOption) bool { return o.Value == value })
}

// Attributes are the definitions, by name.
func (a *Accounts) Attributes(context.Context) []Attribute {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]Attribute, 0, len(a.attributes))
	for _, name := range slices.Sorted(maps.Keys(a.attributes)) {
		out = append(out, a.attributes[name])
	}
	return out
}

// DefineAttributes adds definitions. One that is there already may come again as it
// is.
func (a *Accounts) DefineAttributes(ctx context.Context, list []Attribute) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh := map[string]Attribute{}
	var changes []change
	for _, t := range list {
		if !attributeName.MatchString(t.Name) || utf8.RuneCountInString(t.DisplayName) > maxText || len(t.Options) > maxListed {
			return bad("The name of an attribute begins with a letter and has letters, digits, - and _ after that, at most 60; or this one says too much.")
		}
		if t.Type < typeText || t.Type > typeMonthDay {
			return bad("Attribute %q: type is a number from %d to %d.", t.Name, typeText, typeMonthDay)
		}
		if old, ok := a.attributes[t.Name]; ok && old.Type != t.Type {
			return bad("Attribute %q exists already, with another type.", t.Name)
		}
		fresh[t.Name] = t
		changes = append(changes, change{kind: kindAttribute, id: t.Name, value: t})
	}
	if len(a.attributes)+len(fresh) > maxListed {
		return bad("These are more attributes than the local Descope holds: %d.", maxListed)
	}
	if err := a.store.save(ctx, changes); err != nil {
		return a.failed(err)
	}
	maps.Copy(a.attributes, fresh)
	return nil
}

// DropAttributes removes definitions, and what users have of them.
func (a *Accounts) DropAttributes(ctx context.Context, names []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var changes []change
	changed := map[*record]*record{}
	for _, name := range names {
		if _, ok := a.attributes[name]; !ok {
			return bad("Attribute %.60q does not exist.", name)
		}
		changes = append(changes, change{kind: kindAttribute, id: name})
	}
	for id, r := range a.users {
		c := &record{User: *clone(&r.User), Devices: r.Devices, Logins: r.Logins}
		for _, name := range names {
			delete(c.User.CustomAttributes, name)
		}
		if len(c.User.CustomAttributes) != len(r.User.CustomAttributes) {
			changed[r] = c
			changes = append(changes, change{kind: kindUser, id: id, value: c})
		}
	}
	if err := a.store.save(ctx, changes); err != nil {
		return a.failed(err)
	}
	for old, r := range changed {
		a.put(old, r)
	}
	for _, name := range names {
		delete(a.attributes, name)
	}
	return nil
}
