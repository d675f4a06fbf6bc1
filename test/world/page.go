package world

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// page is what a browser has loaded.
type page struct {
	at     *url.URL
	status int
	node   *html.Node
}

func (pg *page) find(name, value string) *html.Node {
	for n := range pg.node.Descendants() {
		if n.Type == html.ElementNode && attr(n, name) == value {
			return n
		}
	}
	return nil
}

// step is the kind of a page of the bridge.
func (pg *page) step() string { return attr(pg.find("id", "page"), "data-step") }

func (pg *page) forms(yield func(*html.Node) bool) {
	for n := range pg.node.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" && !yield(n) {
			return
		}
	}
}

func (pg *page) action(form *html.Node) *url.URL {
	to, err := pg.at.Parse(attr(form, "action"))
	if err != nil {
		return pg.at
	}
	return to
}

// formTo is the form that leads to an address that begins with home.
func (pg *page) formTo(home string) *html.Node {
	for form := range pg.forms {
		if attr(form, "action") != "" && strings.HasPrefix(pg.action(form).String(), home) {
			return form
		}
	}
	return nil
}

// formWith is the form whose action ends like this.
func (pg *page) formWith(end string) *html.Node {
	for form := range pg.forms {
		if strings.HasSuffix(attr(form, "action"), end) {
			return form
		}
	}
	return nil
}

// question is the form that asks for a name or a way, and the name of its text field;
// the field is "" if it has none.
func (pg *page) question() (form *html.Node, field string) {
	for f := range pg.forms {
		for n := range f.Descendants() {
			if name := attr(n, "name"); name == "way" || name == "who" {
				form = f
			}
			if n.Data == "input" && attr(n, "name") == "who" && attr(n, "type") != "hidden" {
				return f, "who"
			}
		}
	}
	return form, ""
}

// fieldsOf is what a form posts that nobody has touched.
func fieldsOf(form *html.Node) url.Values {
	in := url.Values{}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			in.Add(attr(n, "name"), attr(n, "value"))
		}
	}
	return in
}

func (pg *page) submit(ctx context.Context, form *html.Node, more url.Values) (*http.Request, error) {
	in := fieldsOf(form)
	for name, values := range more {
		in[name] = values
	}
	to := pg.action(form)
	if !strings.EqualFold(attr(form, "method"), "post") {
		to.RawQuery = in.Encode()
		return http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(in.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

func attr(n *html.Node, name string) string {
	if n != nil {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
	}
	return ""
}

// words is what a person can read.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
