package journey

import (
	"encoding/base32"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// What a link to a verification and a link to a challenge have in common: a
// secret apart from the id, bound to the first browser that opens it, with an
// explicit hand-over to one phone.

var (
	errLinkEnded = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonLinkEnded, Message: "this link is wrong or no longer good"}
	errLinkUsed  = &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonLinkUsed, Message: "this link was opened in another browser before"}
)

// enter lets a browser in by the secret of the link and says which cookie it is
// to have. over means that what the link leads to has ended. A link that belongs
// into a Descope flow (e) opens first only with the id of Descope's request; from
// then on what else a browser brings is passed over.
func enter(l *proof.Link, e *proof.External, secret, browser, request string, over bool, now time.Time) (cookie string, changed bool, err error) {
	switch {
	case !sameHash(l.SecretHash, secret):
		return "", false, errLinkEnded
	case belongs(l, browser):
		return browser, false, nil
	case l.BrowserHash != nil:
		return "", false, errLinkUsed
	case over || !now.Before(l.ExpiresAt):
		return "", false, errLinkEnded
	case e.Status != "" && !proof.ValidExternalRequest(request):
		return "", false, errLinkPart
	}
	cookie = newSecret()
	l.BrowserHash = hash(cookie)
	return cookie, true, nil
}

// offer opens a hand-over to a phone and ends the one before. first says that
// there was none yet.
func offer(l *proof.Link, browser, secret string, expires time.Time) (first bool, err error) {
	if !sameHash(l.BrowserHash, browser) {
		return false, errLinkEnded
	}
	first = l.HandoverHash == nil && l.PhoneHash == nil
	l.HandoverHash, l.HandoverExpires = hash(secret), expires
	return first, nil
}

// takeOver lets the phone in. A browser that is in already keeps its cookie, and
// the hand-over stays open.
func takeOver(l *proof.Link, secret, browser string, over bool, now time.Time) (cookie string, changed bool, err error) {
	if !sameHash(l.HandoverHash, secret) || over || !now.Before(l.HandoverExpires) {
		return "", false, errLinkEnded
	}
	if belongs(l, browser) {
		return browser, false, nil
	}
	cookie = newSecret()
	l.HandoverHash, l.HandoverExpires = nil, time.Time{}
	l.PhoneHash = hash(cookie)
	return cookie, true, nil
}

// belongs reports whether a browser was let in.
func belongs(l *proof.Link, browser string) bool {
	return sameHash(l.BrowserHash, browser) || sameHash(l.PhoneHash, browser)
}

// typeable is for links that a person may have to type: 128 bits and more in
// letters and digits that are not taken for one another.
var typeable = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func newShortSecret() string {
	return typeable.EncodeToString(newSecretBytes(16))
}

// plainSecret undoes what typing does to a short secret.
func plainSecret(s string) string {
	return strings.NewReplacer("-", "", " ", "", "o", "0", "i", "1", "l", "1").Replace(strings.ToLower(s))
}
