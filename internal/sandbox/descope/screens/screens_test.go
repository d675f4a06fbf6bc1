package screens_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/screens"
)

const project = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

func readDocument(file string) (*flow.Document, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	doc := new(flow.Document)
	return doc, json.Unmarshal(b, doc)
}

// installed is a folder like bin/web after make build.
func installed() map[string]string {
	return map[string]string{
		"@descope/web-component/package.json":                   `{"name":"@descope/web-component","version":"4.3.2"}`,
		"@descope/web-component/dist/index.js":                  "element()",
		"@descope/web-component/dist/secret.js":                 "not served",
		"@descope/web-components-ui/package.json":               `{"name":"@descope/web-components-ui","version":"3.14.1"}`,
		"@descope/web-components-ui/dist/umd/index.js":          "index()",
		"@descope/web-components-ui/dist/umd/1.js":              "chunk()",
		"@descope/web-components-ui/dist/umd/1.js.LICENSE.txt":  "MIT",
		"@descope/web-components-ui/dist/umd/folder.js/file.js": "deeper",
		"theme.json": `{"light":{"globals":"*{}","components":{"descope-text":{"host":":host{}"}}},"dark":{"globals":"*{}","components":{}}}`,
	}
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	web := filepath.Join(dir, "web")
	if err := os.WriteFile(filepath.Join(dir, "outside.js"), []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, body := range files {
		file := filepath.Join(web, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return web
}

func serve(t *testing.T, docs ...*flow.Document) http.Handler {
	t.Helper()
	h, err := screens.New(screens.Options{ProjectID: project, Names: flow.DefaultNames(), Flows: func() []*flow.Document { return docs }, WebDir: folder(t, installed())})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	return call(h, http.MethodGet, path, header...)
}

func call(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://descope.example/", nil)
	r.URL.Path, r.URL.RawPath = path, ""
	r.Header.Set("Origin", "https://app.example")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func document(id string, list ...*flow.Screen) *flow.Document {
	d := &flow.Document{FlowID: id}
	for _, s := range list {
		d.Screens = append(d.Screens, *s)
	}
	return d
}

func TestConfig(t *testing.T) {
	t.Parallel()
	doc := document("in", fields())
	w := get(serve(t, doc), "/pages/"+project+"/v2-beta/config.json")
	var got struct {
		ComponentsVersion string
		CSSTemplate       map[string]any
		Flows             map[string]map[string]any
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	in := got.Flows["in"]
	if got.ComponentsVersion != "3.14.1" || len(got.Flows) != 1 || in["version"] != float64(runner.Version(doc)) || in["fingerprintEnabled"] != false {
		t.Errorf("config.json: %s", w.Body)
	}
	if _, there := in["startScreenId"]; there {
		t.Error("a start screen is named: start would not be called")
	}
	if strings.Contains(w.Body.String(), "url") {
		t.Errorf("a font to be fetched: %s", w.Body)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	two := wait()
	h := serve(t, document("in", fields(), two), document("other", two))
	pages := "/pages/" + project + "/v2-beta/"
	const ui = "/npm/@descope/web-components-ui@3.14.1/"
	for path, want := range map[string][3]string{ // type, caching, a part of the body
		pages + "config.json":                             {"application/json", "no-store", "3.14.1"},
		pages + "theme.json":                              {"application/json", "no-store", "descope-text"},
		pages + "SCfields.html":                           {"text/html; charset=utf-8", "no-store", "<descope-container"},
		pages + "in/SCfields.html":                        {"text/html; charset=utf-8", "no-store", "<descope-container"},
		pages + "SCwait.html":                             {"text/html; charset=utf-8", "no-store", `data-type="polling"`},
		ui + "dist/umd/index.js":                          {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "index()"},
		ui + "dist/umd/1.js":                              {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "chunk()"},
		ui + "dist/umd/1.js.LICENSE.txt":                  {"text/plain; charset=utf-8", "public, max-age=31536000, immutable", "MIT"},
		"/npm/@descope/web-component@4.3.2/dist/index.js": {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "element()"},
		"/vendor/descope-web-component.js":                {"text/javascript; charset=utf-8", "no-cache", "element()"},
	} {
		w := get(h, path)
		head := w.Header()
		if w.Code != 200 || head.Get("Content-Type") != want[0] || head.Get("Cache-Control") != want[1] || !strings.Contains(w.Body.String(), want[2]) {
			t.Errorf("%s: %d %v %s", path, w.Code, head, w.Body)
		}
		if head.Get("Access-Control-Allow-Origin") != "*" || head.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, head)
		}
		if tag := head.Get("ETag"); tag != "" {
			if again := get(h, path, "If-None-Match", tag); again.Code != http.StatusNotModified {
				t.Errorf("%s again: %d", path, again.Code)
			}
		} else if want[1] != "no-store" {
			t.Errorf("%s has no ETag", path)
		}
		if w := call(h, http.MethodHead, path); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestNothingElse(t *testing.T) {
	t.Parallel()
	h := serve(t, document("in", fields()))
	pages := "/pages/" + project + "/v2-beta/"
	const umd = "/npm/@descope/web-components-ui@3.14.1/dist/umd/"
	for _, path := range []string{
		"/", "/pages/", "/pages/other/v2-beta/config.json", "/pages/" + project + "/v2-alpha/config.json", pages, pages + "T1/theme.json",
		pages + "SCnone.html", pages + "SCfields-de.html", pages + ".html", pages + "in/.html", pages + "other/SCfields.html", pages + "../v2-beta/config.json",
		pages + "SCfields.html/", "/vendor/", "/vendor/x.js",
		"/npm/@descope/web-components-ui@3.14.2/dist/umd/index.js", "/npm/@descope/web-components-ui@latest/dist/umd/index.js", umd, umd + "none.js",
		umd + "folder.js", umd + "folder.js/file.js", umd + "../../package.json", umd + "..%2f..%2fpackage.json", umd + `..\..\x.js`, umd + "../../../../../outside.js",
		umd + "/etc/passwd", umd + "a\x00.js", "/npm/@descope/web-component@4.3.2/dist/secret.js", "/npm/@descope/web-component@4.3.2/package.json",
		"/npm/../../outside.js", "//npm",
	} {
		w := get(h, path)
		var body struct{ ErrorCode, ErrorMessage string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != http.StatusNotFound || err != nil || body.ErrorCode == "" || body.ErrorMessage == "" {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q may be kept", path)
		}
	}
	if w := call(h, http.MethodPost, pages+"config.json"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	if w := call(h, http.MethodOptions, pages+"config.json"); w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("OPTIONS: %d %v", w.Code, w.Header())
	}
}

// A screen that cannot be shown says why, and never half of itself.
func TestBrokenScreen(t *testing.T) {
	t.Parallel()
	bad := screen("SCbad", node("Text", "children", "half"), node("Captcha"))
	another := screen("SCfields", node("Text", "children", "not the same"))
	h := serve(t, document("in", bad, fields()), document("out", another))
	pages := "/pages/" + project + "/v2-beta/"
	for path, want := range map[string]string{
		"SCbad.html":    `flow in: screen SCbad: node n2: component \"Captcha\" is not supported`,
		"SCfields.html": "flows in and out have different screens SCfields",
	} {
		if w := get(h, pages+path); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "half") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := get(h, pages+"out/SCfields.html"); w.Code != 200 || !strings.Contains(w.Body.String(), "not the same") {
		t.Errorf("with its flow: %d %s", w.Code, w.Body)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	ok := screens.Options{ProjectID: project, Names: flow.DefaultNames(), Flows: func() []*flow.Document { return nil }, WebDir: folder(t, installed())}
	if _, err := screens.New(ok); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*screens.Options){
		"no project": func(o *screens.Options) { o.ProjectID = "" },
		"no names":   func(o *screens.Options) { o.Names = nil },
		"no flows":   func(o *screens.Options) { o.Flows = nil },
	} {
		o := ok
		if change(&o); func() error { _, err := screens.New(o); return err }() == nil {
			t.Error(name)
		}
	}
	spoil := map[string]string{
		"@descope/web-component/package.json":          `{"name":"@descope/web-component","version":"../x"}`,
		"@descope/web-components-ui/package.json":      `{"name":"another","version":"1.0.0"}`,
		"@descope/web-component/dist/index.js":         "",
		"@descope/web-components-ui/dist/umd/index.js": "",
		"theme.json": `{"light":{}}`,
	}
	for _, name := range slices.Sorted(maps.Keys(spoil)) {
		files := installed()
		if files[name] = spoil[name]; spoil[name] == "" {
			delete(files, name)
		}
		o := ok
		o.WebDir = folder(t, files)
		if _, err := screens.New(o); err == nil || !strings.Contains(err.Error(), "hint: make build") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none")} {
		o := ok
		o.WebDir = dir
		if _, err := screens.New(o); err == nil || !strings.Contains(err.Error(), "hint: make build") {
			t.Errorf("%q: %v", dir, err)
		}
	}
}
