package kosmos

import "context"

// What black-box tests of step-ups need to see inside.

// ParseAnswer reads the body with which a UWL session is answered.
func ParseAnswer(body []byte) (data, did string, err error) {
	a, err := parseAnswer(body)
	if err != nil {
		return "", "", err
	}
	return a.Data, a.DID, nil
}

// ReadParts reads an upload.
var ReadParts = readParts

// Shown makes foreign text fit to be shown; MaskAccount hides most of an account's name.
var (
	Shown       = shown
	MaskAccount = maskAccount
)

// Bounds of step-ups.
const (
	MaxPoor    = maxPoor
	MaxGuesses = maxGuesses
	MaxOpens   = maxOpens
)

// Begin uses up the code of an upload, as takeFace does once it has let it in.
func (s *Server) Begin(ctx context.Context, id, code, username string) error {
	_, err := s.begin(ctx, id, code, s.who(bucketTyped, username))
	return err
}

// ErrReplayed is why a code is not taken.
var ErrReplayed = errReplayed
