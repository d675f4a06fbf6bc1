package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// web/console builds into this folder; what is there is committed, so that building the
// program needs no Node.
//
//go:embed all:static
var static embed.FS

func embedded() fs.FS {
	sub, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the name is well-formed
	}
	return sub
}

// built are the built pages, ready to send.
type built struct {
	index  *asset // nil: not built
	assets map[string]*asset
}

type asset struct {
	kind          string
	plain, packed []byte // packed by gzip; nil where that gains nothing
}

// kinds are the types of the files that a build consists of. What is not in it is not
// served.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
}

// build reads index.html and what is below assets/. It panics if files cannot be read:
// they are embedded.
func build(files fs.FS) built {
	p := built{assets: map[string]*asset{}}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		kind := kinds[path.Ext(name)]
		if err != nil || d.IsDir() || kind == "" {
			return err
		}
		plain, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		a := &asset{kind: kind, plain: plain}
		var packed bytes.Buffer
		z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		z.Write(plain) // a bytes.Buffer takes everything
		z.Close()
		if packed.Len() < len(plain) {
			a.packed = packed.Bytes()
		}
		if name == "index.html" {
			p.index = a
		} else if below, ok := strings.CutPrefix(name, "assets/"); ok {
			p.assets[below] = a
		}
		return nil
	})
	if err != nil {
		panic("console: reading the built pages: " + err.Error())
	}
	return p
}

// servePages mounts the built pages. Assets have a hash in their name, hold no secret,
// and are anybody's; the page itself is for who is signed in, whatever the rest of the
// address is: the page reads that.
func (c *Console) servePages(mux *http.ServeMux) {
	mux.HandleFunc("GET /console/assets/{name...}", func(w http.ResponseWriter, r *http.Request) {
		a, ok := c.pages.assets[r.PathValue("name")]
		if !ok {
			http.Error(w, "there is no such file", http.StatusNotFound)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		a.send(w, r)
	})
	mux.HandleFunc("/console/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this is a page", http.StatusMethodNotAllowed)
			return
		}
		_, err := c.o.Signin.Who(r.Context(), c.secretOf(r))
		switch {
		case proof.CodeOf(err) == proof.CodeUnauthenticated:
			c.showSignIn(w, r)
		case err != nil:
			c.notIn(w, r, err)
		case c.pages.index == nil:
			c.log(r, http.StatusServiceUnavailable, reasonNoPages, nil)
			c.showEntry(w, r, http.StatusServiceUnavailable, entry{
				Heading: "The console's pages are not built", Reason: reasonNoPages,
				Say:  "This program was built without them. Its API works, and so does everything else.",
				Hint: "In the sources: npm ci and npm run build in web/console, then build the program again.",
			})
		default:
			c.pages.index.send(w, r)
		}
	})
}

func (a *asset) send(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), a.plain
	h.Set("Content-Type", a.kind)
	if a.packed != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = a.packed
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
