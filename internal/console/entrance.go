package console

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const maxForm = 4 << 10 // bytes of a form; ours has about 50

//go:embed entry
var entryFiles embed.FS

var entryPage = template.Must(template.ParseFS(entryFiles, "entry/entry.html"))

// entry is what the page before the console says.
type entry struct {
	Heading, Say, Hint string
	Reason             proof.Reason // of a failure
	Form               bool         // the button that takes the link
	Onward             bool         // a way to the console for who is signed in already
}

// entrance mounts the page that a link opens. Opening it takes nothing: the secret is
// in the fragment, and only the button sends it.
func (c *Console) entrance(mux *http.ServeMux) {
	for name, kind := range map[string]string{"entry.css": "text/css; charset=utf-8", "entry.js": "text/javascript; charset=utf-8"} {
		body, err := entryFiles.ReadFile("entry/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		mux.HandleFunc("GET /console/in/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(body)
		})
	}
	mux.HandleFunc("GET /console/in", func(w http.ResponseWriter, r *http.Request) {
		c.showEntry(w, r, http.StatusOK, entry{
			Heading: "Sign in to the console", Say: "You have a link that signs in this browser, once.", Form: true,
		})
	})
	mux.HandleFunc("POST /console/in", c.signIn)
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || !c.fromUs(r) {
		c.log(r, http.StatusForbidden, proof.ReasonInvalidRequest, nil)
		c.showEntry(w, r, http.StatusForbidden, entry{
			Heading: "That did not come from our page", Reason: proof.ReasonInvalidRequest,
			Say: "Nothing has happened, and your link is still good.", Hint: "Open the link again, and press the button on the page.",
		})
		return
	}
	from, now := c.o.ClientIP(r), c.o.Now()
	if wait := c.wrong.wait(from, now); wait > 0 {
		c.notIn(w, r, &proof.Error{
			Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, RetryAfter: wait, Message: "there were too many wrong links from your network",
		})
		return
	}
	before := c.secretOf(r)
	cookie, session, err := c.o.Signin.In(r.Context(), r.PostForm.Get("secret"), before)
	if err != nil {
		if proof.CodeOf(err) == proof.CodeNotFound {
			c.wrong.add(from, now)
		}
		c.notIn(w, r, err)
		return
	}
	if isSecret(before) {
		c.replays.dropAll(hash("session", before))
	}
	c.setCookie(w, cookie, int(SessionTTL/time.Second))
	c.o.Logger.InfoContext(r.Context(), "console: signed in", "session", session.ID, "role", session.Role)
	toConsole(w)
}

// notIn says why a link did not let the browser in.
func (c *Console) notIn(w http.ResponseWriter, r *http.Request, err error) {
	e := sorted(err)
	page := entry{Heading: "This link does not sign you in", Say: "It has been used, is too old, or is not complete.", Hint: howToGetIn, Reason: reasonOf(e), Onward: true}
	if e.Code != proof.CodeNotFound {
		page = entry{Heading: "That did not work", Say: sentence(e.Message), Hint: hints[e.Code], Reason: page.Reason}
	}
	c.log(r, e.Code.HTTPStatus(), page.Reason, err)
	retryAfter(w, e)
	c.showEntry(w, r, e.Code.HTTPStatus(), page)
}

const howToGetIn = "Whoever runs this program makes a new one: kosmoscope console link --role viewer, or --role operator for who may publish."

// showSignIn is what a browser sees of the console that is not signed in. 401 would
// have to name a scheme, and there is none that browsers know.
func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request) {
	c.showEntry(w, r, http.StatusForbidden, entry{
		Heading: "You are not signed in", Say: "The console opens with a link that is good once.", Hint: howToGetIn, Reason: proof.ReasonUnauthenticated, Onward: true,
	})
}

// showEntry fills the template before it sends a byte. Its form tells our own origin
// where it comes from, and nobody else anything; under no-referrer, browsers without
// Sec-Fetch-Site would not even tell us.
func (c *Console) showEntry(w http.ResponseWriter, r *http.Request, status int, e entry) {
	var body bytes.Buffer
	if err := entryPage.Execute(&body, e); err != nil {
		c.log(r, http.StatusInternalServerError, proof.ReasonInternal, err)
		http.Error(w, "something went wrong on our side", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

// sentence makes one of a message of the core.
func sentence(s string) string {
	if s == "" {
		return "Something went wrong."
	}
	b := []byte(s)
	if 'a' <= b[0] && b[0] <= 'z' {
		b[0] -= 'a' - 'A'
	}
	return string(b) + "."
}
