package screens

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// Options wires the pages. ProjectID, Names, Flows and WebDir must be given.
type Options struct {
	ProjectID string
	Names     *flow.Names
	Flows     func() []*flow.Document  // those installed now
	Version   func(*flow.Document) int // default runner.Version; the runner has to have the same
	WebDir    string                   // what `make build` leaves in bin/web
	Logger    *slog.Logger             // default: silent
}

// Where the packages are in WebDir, and what of them is served.
const (
	uiPackage      = "@descope/web-components-ui"
	elementPackage = "@descope/web-component"
	elementScript  = "dist/index.js"
	themeFile      = "theme.json" // written by web/descope/theme.mjs
	maxTheme       = 8 << 20
)

// The error codes are ours: Descope's files come from a store that has no such.
var (
	errNoPage   = &project.Error{Code: "E062001", Status: http.StatusNotFound, Message: "There is no such page in this project."}
	errProject  = &project.Error{Code: "E062002", Status: http.StatusNotFound, Message: "This page is set up for another project. Its project id is not the one here."}
	errNoScreen = &project.Error{Code: "E062003", Status: http.StatusNotFound, Message: "There is no such screen in this project's flows."}
	errMethod   = &project.Error{Code: "E062004", Status: http.StatusMethodNotAllowed, Message: "Pages can only be read."}
	errScreen   = &project.Error{Code: "E062005", Status: http.StatusInternalServerError, Message: "This screen cannot be shown."}
)

type server struct {
	Options
	log     *slog.Logger
	web     fs.FS
	theme   []byte
	ui      string // versions of the packages
	element string
}

// New makes the handler of /pages/, /npm/ and /vendor/:
//
//	/pages/{project}/v2-beta/config.json        flows and their versions, that of the elements
//	/pages/{project}/v2-beta/theme.json         light and dark
//	/pages/{project}/v2-beta/{screen}.html      also {flow}/{screen}.html
//	/npm/@descope/web-components-ui@{version}/dist/umd/...
//	/npm/@descope/web-component@{version}/dist/index.js
//	/vendor/descope-web-component.js            the same
//
// All of it is public, and any origin may read it. What is a version's own may be
// kept for ever, and the rest not at all (reference 4.5). Errors are Descope's JSON.
func New(o Options) (http.Handler, error) {
	if o.ProjectID == "" || o.Names == nil || o.Flows == nil {
		return nil, errors.New("screens: a project, names and flows are needed")
	}
	if o.Version == nil {
		o.Version = runner.Version
	}
	s := &server{Options: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler)), web: os.DirFS(o.WebDir)}
	if o.WebDir == "" {
		return nil, errors.New("screens: the folder of Descope's web component is needed\nhint: make build leaves it in bin/web")
	}
	var err error
	if s.ui, err = s.version(uiPackage, "dist/umd/index.js"); err == nil {
		s.element, err = s.version(elementPackage, elementScript)
	}
	if err == nil {
		s.theme, err = s.readTheme()
	}
	if err != nil {
		return nil, fmt.Errorf("screens: Descope's web component is not in %s: %w\nhint: make build fetches it", o.WebDir, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/pages/{project}/v2-beta/{file...}", s.page)
	mux.HandleFunc("/npm/@descope/{package}/{file...}", s.npm)
	mux.HandleFunc("/vendor/descope-web-component.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		s.file(w, r, elementPackage, s.element, elementScript)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.fail(w, errNoPage) })
	return s.public(mux), nil
}

// public lets any page read, and nobody do anything else.
func (s *server) public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		switch {
		case r.Method == http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, HEAD")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			s.fail(w, errMethod)
		case path.Clean(r.URL.Path) != r.URL.Path: // the mux would redirect
			s.fail(w, errNoPage)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

var version = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)

// version is that of an installed package, which has to have the file that makes it
// worth serving.
func (s *server) version(name, file string) (string, error) {
	b, err := fs.ReadFile(s.web, name+"/package.json")
	if err != nil {
		return "", err
	}
	var p struct{ Name, Version string }
	if err := json.Unmarshal(b, &p); err != nil || p.Name != name || !version.MatchString(p.Version) {
		return "", fmt.Errorf("%s/package.json is not that of the package", name)
	}
	if _, err := fs.Stat(s.web, name+"/"+file); err != nil {
		return "", err
	}
	return p.Version, nil
}

func (s *server) readTheme() ([]byte, error) {
	f, err := s.web.Open(themeFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTheme+1))
	if err != nil {
		return nil, err
	}
	type style struct {
		Globals    string                       `json:"globals"`
		Components map[string]map[string]string `json:"components"`
	}
	var t struct{ Light, Dark style }
	if err := json.Unmarshal(b, &t); err != nil || len(b) > maxTheme || t.Light.Globals == "" || t.Dark.Globals == "" || t.Light.Components == nil || t.Dark.Components == nil {
		return nil, errors.New(themeFile + " is no theme")
	}
	return b, nil
}

func (s *server) page(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("project") != s.ProjectID {
		s.fail(w, errProject)
		return
	}
	switch file := r.PathValue("file"); {
	case file == "config.json":
		s.config(w, r)
	case file == themeFile:
		s.write(w, r, "application/json", s.theme)
	case strings.HasSuffix(file, ".html"):
		s.screen(w, r, strings.TrimSuffix(file, ".html"))
	default:
		s.fail(w, errNoPage)
	}
}

// config is what the client reads first. A start screen is not named, so that every
// run begins with start; and there is no fingerprint, which would be fetched from
// Descope.
type config struct {
	ComponentsVersion string                  `json:"componentsVersion"`
	CSSTemplate       map[string]fonts        `json:"cssTemplate"`
	Flows             map[string]configOfFlow `json:"flows"`
}

type fonts struct {
	Fonts map[string]any `json:"fonts"`
}

type configOfFlow struct {
	Version            int  `json:"version"`
	FingerprintEnabled bool `json:"fingerprintEnabled"`
}

func (s *server) config(w http.ResponseWriter, r *http.Request) {
	none := fonts{map[string]any{}} // those of the theme are of the system: nothing to fetch
	c := config{s.ui, map[string]fonts{"light": none, "dark": none}, map[string]configOfFlow{}}
	for _, doc := range s.Flows() {
		c.Flows[doc.FlowID] = configOfFlow{Version: s.Version(doc)}
	}
	b, err := json.Marshal(c)
	if err != nil {
		s.log.Error("config.json", "error", err)
		s.fail(w, errScreen)
		return
	}
	s.write(w, r, "application/json", append(b, '\n'))
}

// screen answers a screen by its id, or by flow and id. An id alone has to mean one
// screen, or several that look the same.
func (s *server) screen(w http.ResponseWriter, r *http.Request, id string) {
	var page []byte
	var of string
	for _, doc := range s.Flows() {
		for i := range doc.Screens {
			if sc := &doc.Screens[i]; sc.ScreenID != id && doc.FlowID+"/"+sc.ScreenID != id {
				continue
			}
			b, err := Render(s.Names, &doc.Screens[i])
			if err != nil {
				s.refuse(w, fmt.Errorf("flow %s: %w", doc.FlowID, err))
				return
			}
			if page != nil && !bytes.Equal(page, b) {
				s.refuse(w, fmt.Errorf("flows %s and %s have different screens %s", of, doc.FlowID, id))
				return
			}
			page, of = b, doc.FlowID
		}
	}
	if page == nil {
		s.fail(w, errNoScreen)
		return
	}
	// It is a piece of a page. On its own it shall do nothing.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	s.write(w, r, "text/html; charset=utf-8", page)
}

// refuse says why to whoever made the flow.
func (s *server) refuse(w http.ResponseWriter, err error) {
	s.log.Warn("screen", "error", err)
	s.fail(w, &project.Error{Code: errScreen.Code, Status: errScreen.Status, Message: errScreen.Message + " " + err.Error()})
}

// Files of the elements: the scripts, and the licences of what is in them.
var uiFile = regexp.MustCompile(`^dist/umd/[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.(js|js\.LICENSE\.txt)$`)

func (s *server) npm(w http.ResponseWriter, r *http.Request) {
	file := r.PathValue("file")
	switch r.PathValue("package") {
	case "web-components-ui@" + s.ui:
		if uiFile.MatchString(file) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			s.file(w, r, uiPackage, s.ui, file)
			return
		}
	case "web-component@" + s.element:
		if file == elementScript {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
			s.file(w, r, elementPackage, s.element, file)
			return
		}
	}
	s.fail(w, errNoPage)
}

func (s *server) file(w http.ResponseWriter, r *http.Request, pkg, version, name string) {
	f, err := s.web.Open(pkg + "/" + name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("file", "error", err)
		}
		s.fail(w, errNoPage)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	body, ok := f.(io.ReadSeeker)
	if err != nil || !info.Mode().IsRegular() || !ok {
		s.fail(w, errNoPage)
		return
	}
	kind := "text/javascript; charset=utf-8"
	if strings.HasSuffix(name, ".txt") {
		kind = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("ETag", fmt.Sprintf(`"%s-%x"`, version, info.Size()))
	http.ServeContent(w, r, "", time.Time{}, body)
}

func (s *server) write(w http.ResponseWriter, r *http.Request, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// fail answers an error.
func (s *server) fail(w http.ResponseWriter, p *project.Error) { p.Answer(w, "Page not served") }
