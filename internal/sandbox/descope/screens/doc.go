// Package screens serves what a browser loads from the local Descope: a project's
// static pages as Descope's own web component asks for them (config.json, theme.json
// and the HTML of each screen), that web component, and the elements that the HTML
// is made of.
//
// The HTML is made from a flow's own file, from what the screen editor left in it: a
// tree of nodes with ROOT on top. Descope has a renderer for that, which is not
// public. This one is ours, written against the published elements
// (@descope/web-components-ui) and against how the published client reads a screen
// (@descope/web-component). What it knows, by the names of names.yaml:
//
//	Container     direction: column, row                     the only one with nodes in it
//	Text          children; variant: h1-h3, subtitle1,       {{key}} in children
//	              subtitle2, body1, body2
//	Button        id, children; variant: contained,          id is the interaction
//	              outline, link; formnovalidate;
//	              data-descope-NAME                          sent as NAME with a click
//	EmailInput    name, label; required, placeholder
//	TextInput     name, label; required, placeholder
//	Passcode      name; digits: 4 to 8 (6), label, required
//	Link          children, href; target                     {{key}} in both
//	Image         src, alt                                   {{key}} in both
//	ErrorMessage                                             the client fills it in
//	PollingLoader                                            the client polls while it is shown
//
// data-type may stand where Descope writes it. A node that is hidden is left out with
// all in it. Linked nodes are not supported. Anything else, be it a component, a
// property or a value, is an error that names the screen and the node: what is shown
// is the file, or nothing.
//
// A text is a heading, a message of an error is announced, and a waiting element has
// a name, as far as attributes can say so.
package screens
