package blockid

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrRequestID reports a decrypted requestid header that is not one.
var ErrRequestID = errors.New("blockid: invalid request id")

// maxRequestID bounds the decrypted header, in bytes.
const maxRequestID = 4 << 10

// RequestID is the plaintext of the requestid header. TS is in seconds since
// the epoch; UUID is fresh for every attempt, so a service can refuse replays.
type RequestID struct {
	TS       int64  `json:"ts"`
	AppID    string `json:"appid"`
	UUID     string `json:"uuid"`
	DeviceID string `json:"deviceId,omitempty"`
}

// ParseRequestID reads a decrypted requestid. It accepts the form that some
// first-party scripts send, with every double quote replaced by a single one.
// TS and UUID must be present; whether TS is recent and UUID new is for the
// caller to judge.
func ParseRequestID(b []byte) (RequestID, error) {
	var r RequestID
	if len(b) > maxRequestID {
		return r, fmt.Errorf("%w: too long", ErrRequestID)
	}
	if !bytes.ContainsRune(b, '"') {
		b = bytes.ReplaceAll(b, []byte{'\''}, []byte{'"'})
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return RequestID{}, fmt.Errorf("%w: not the expected JSON", ErrRequestID)
	}
	if r.TS <= 0 || r.UUID == "" {
		return RequestID{}, fmt.Errorf("%w: ts or uuid missing", ErrRequestID)
	}
	return r, nil
}
