package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// maxParameter bounds one parameter of an address.
const maxParameter = 1024

// maxBesides bounds a body apart from the documents in it.
const maxBesides = 16 << 10

// field is one field of a body: where it goes, and whether it must be there.
type field struct {
	name     string
	into     any
	optional bool
}

// documentField is a policy, of which only the size is looked at here: what else is
// wrong with it the one who draws it is told as problems.
func documentField(name string, into *json.RawMessage) field { return field{name: name, into: into} }

// decode reads a body that is one JSON object with these fields and no other. Unlike
// encoding/json it minds case, and refuses a name that is given twice.
func decode(w http.ResponseWriter, r *http.Request, fields ...field) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return proof.Invalid("", "send JSON, with Content-Type: application/json")
	}
	limit := int64(maxBesides)
	for _, f := range fields {
		if _, ok := f.into.(*json.RawMessage); ok {
			limit += policy.MaxBytes
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Message: fmt.Sprintf("the body is larger than %d KiB", large.Limit>>10)}
	}
	if err != nil {
		return proof.Invalid("", "the body could not be read")
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		return proof.Invalid("", "the body is not one well-formed JSON value in UTF-8")
	}
	given, err := object(body)
	if err != nil {
		return err
	}
	for _, f := range fields {
		raw, ok := given[f.name]
		delete(given, f.name)
		if !ok || string(raw) == "null" {
			if !f.optional {
				return proof.Invalid(f.name, "%s is missing", f.name)
			}
			continue
		}
		if err := fill(f, raw); err != nil {
			return err
		}
	}
	if len(given) > 0 {
		unknown := make([]string, 0, len(given))
		for name := range given {
			unknown = append(unknown, fmt.Sprintf("%.40q", name))
		}
		slices.Sort(unknown)
		return proof.Invalid("", "unknown field %s", unknown[0])
	}
	return nil
}

func fill(f field, raw json.RawMessage) error {
	if document, ok := f.into.(*json.RawMessage); ok {
		if len(raw) > policy.MaxBytes {
			return &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Message: fmt.Sprintf("%s is larger than %d KiB", f.name, policy.MaxBytes>>10)}
		}
		*document = bytes.Clone(raw)
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f.into); err != nil {
		return decodeError(f.name, err)
	}
	return nil
}

// decodeError says what is wrong with a field, without the value.
func decodeError(name string, err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field != "" {
			name += "." + e.Field
		}
		return proof.Invalid(name, "%s is of the wrong type, %s", name, e.Value)
	}
	if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return proof.Invalid(name, "%s has an unknown field %.42s", name, unknown)
	}
	return proof.Invalid(name, "%s cannot be read", name)
}

// object takes a JSON object apart, one level deep.
func object(body []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, proof.Invalid("", "the body must be a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		var raw json.RawMessage
		if err == nil && ok {
			err = dec.Decode(&raw)
		}
		if err != nil || !ok {
			return nil, proof.Invalid("", "the body is not one well-formed JSON value in UTF-8")
		}
		if _, twice := fields[name]; twice {
			return nil, proof.Invalid("", "%.40q is given twice", name)
		}
		fields[name] = raw
	}
	return fields, nil
}

// query reads the parameters of an address: these, each at most once, and no other.
func query(r *http.Request, names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, proof.Invalid("", "the parameters of the address cannot be read")
	}
	given := make(map[string]string, len(values))
	for name, list := range values {
		if !slices.Contains(names, name) {
			return nil, proof.Invalid("", "unknown parameter %.40q", name)
		}
		if len(list) != 1 || len(list[0]) > maxParameter || !utf8.ValidString(list[0]) || strings.ContainsRune(list[0], 0) {
			return nil, proof.Invalid(name, "%s must be given once, in at most %d bytes of UTF-8", name, maxParameter)
		}
		given[name] = list[0]
	}
	return given, nil
}
