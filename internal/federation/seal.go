package federation

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"
	daead "github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// maxSealed bounds what is opened, in bytes of its text.
	maxSealed = 128 << 10
	// packAbove is from where on compressing is worth its time, in bytes.
	packAbove = 1 << 10
	// maxUnpacked bounds what is unpacked. Only what we sealed ourselves is.
	maxUnpacked = 64 << 10
)

// What is sealed begins with one of these.
const (
	plainly = 'p'
	packed  = 'f'
)

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is a valid one
	return w
}}

func (s *Service) sealedPlace(tenant, kind string) journey.Place {
	return journey.Place{Tenant: tenant, Table: "federation", Column: kind}
}

// Seal encrypts what travels through browsers, bound to tenant and kind.
func (s *Service) Seal(tenant, kind string, plain []byte) (string, error) {
	var b bytes.Buffer
	if len(plain) <= packAbove {
		b.WriteByte(plainly)
		b.Write(plain)
	} else {
		b.WriteByte(packed)
		z := deflaters.Get().(*flate.Writer)
		defer deflaters.Put(z)
		z.Reset(&b)
		if _, err := z.Write(plain); err != nil {
			return "", err
		}
		if err := z.Close(); err != nil {
			return "", err
		}
	}
	sealed, err := s.Vault.SealOwn(s.sealedPlace(tenant, kind), b.Bytes())
	if err != nil {
		return "", fmt.Errorf("sealing %s: %w", kind, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open is the reverse of Seal. What we did not seal for this tenant and kind is
// proof.ErrNotFound.
func (s *Service) Open(tenant, kind, sealed string) ([]byte, error) {
	if len(sealed) > maxSealed {
		return nil, proof.ErrNotFound
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, proof.ErrNotFound
	}
	b, err := s.Vault.OpenOwn(s.sealedPlace(tenant, kind), raw)
	if err != nil || len(b) == 0 {
		return nil, proof.ErrNotFound
	}
	if b[0] == plainly {
		return b[1:], nil
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b[1:])), maxUnpacked+1))
	if err != nil || len(plain) > maxUnpacked {
		return nil, errors.Join(proof.ErrNotFound, err)
	}
	return plain, nil
}

// SealFor seals under the subject's key.
func (s *Service) SealFor(subject *proof.Subject, table, column, row string, plain []byte) ([]byte, error) {
	return s.Vault.Seal(subject.WrappedKey, journey.Place{Tenant: subject.Tenant, Subject: subject.ID, Table: table, Column: column, Row: row}, plain)
}

// OpenFor is the reverse of SealFor. The key of somebody erased opens nothing.
func (s *Service) OpenFor(subject *proof.Subject, table, column, row string, sealed []byte) ([]byte, error) {
	if subject.WrappedKey == nil {
		return nil, proof.ErrNotFound
	}
	return s.Vault.Open(subject.WrappedKey, journey.Place{Tenant: subject.Tenant, Subject: subject.ID, Table: table, Column: column, Row: row}, sealed)
}

// pairwise is the cipher of a client's sector: AES-SIV (RFC 5297), which gives the same
// name for the same subject, and can be undone. That a sub may be made by encryption is
// OpenID Connect Core 8.1.
func (s *Service) pairwise(c *Client) (*daead.AESSIV, []byte, error) {
	sector := c.Sector
	if sector == "" {
		sector = "client\x00" + c.ID
	} else {
		sector = "sector\x00" + sector
	}
	key := append(s.Vault.MAC(c.Tenant, "federation-sub-1", sector), s.Vault.MAC(c.Tenant, "federation-sub-2", sector)...)
	siv, err := daead.NewAESSIV(key)
	return siv, []byte(c.Tenant + "\x00" + sector), err
}

// sub is the subject's name for the client's sector: 43 characters.
func (s *Service) sub(c *Client, subject string) (string, error) {
	id, err := uuid.Parse(subject)
	if err != nil {
		return "", err
	}
	siv, about, err := s.pairwise(c)
	if err != nil {
		return "", err
	}
	sealed, err := siv.EncryptDeterministically(id[:], about)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// SubjectOf undoes a sub of this client's sector.
func (s *Service) SubjectOf(c *Client, sub string) (subject string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(sub)
	if err != nil || len(raw) != 32 {
		return "", false
	}
	siv, about, err := s.pairwise(c)
	if err != nil {
		return "", false
	}
	plain, err := siv.DecryptDeterministically(raw, about)
	if err != nil {
		return "", false
	}
	id, err := uuid.FromBytes(plain)
	return id.String(), err == nil
}
