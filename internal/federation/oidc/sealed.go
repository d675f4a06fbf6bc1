package oidc

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"io"
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// maxCode is how long a code may get: it travels in a query. Together with a state of
// maxState the address stays below what proxies take.
const maxCode = 4 << 10

// packAbove is from where on flate is worth its time: an ordinary code is shorter.
const packAbove = 1 << 10

// maxUnpacked bounds what is opened, though nobody but us can have sealed it.
const maxUnpacked = 64 << 10

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is a valid one
	return w
}}

// pack is the JSON of v behind one byte that says whether it is compressed.
func pack(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(plain) <= packAbove {
		return append([]byte{'p'}, plain...), nil
	}
	var out bytes.Buffer
	out.WriteByte('f')
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(b []byte, v any) error {
	if len(b) == 0 {
		return errNotOurs
	}
	plain := b[1:]
	switch b[0] {
	case 'p':
	case 'f':
		var err error
		if plain, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(plain)), maxUnpacked+1)); err != nil {
			return err
		}
		if len(plain) > maxUnpacked {
			return errNotOurs
		}
	default:
		return errNotOurs
	}
	return json.Unmarshal(plain, v)
}

var errNotOurs = &proof.Error{Code: proof.CodeNotFound, Message: "This is not one of ours."}

// sealCode makes the text of a code or a refresh token; kind is kindCode or
// kindRefresh. What only the redirect needed is left out.
func (p *Provider) sealCode(tenant, kind string, c code) (string, error) {
	c.Request.State, c.Request.HasState, c.Request.ResponseMode = nil, false, ""
	b, err := pack(c)
	if err != nil {
		return "", err
	}
	return p.Core.Seal(tenant, kind, b)
}

// openCode opens what sealCode made. It looks at no time and no client.
func (p *Provider) openCode(tenant, kind, sealed string) (code, error) {
	var c code
	if len(sealed) > 2*maxCode {
		return c, errNotOurs
	}
	b, err := p.Core.Open(tenant, kind, sealed)
	if err != nil {
		return c, err
	}
	return c, unpack(b, &c)
}
