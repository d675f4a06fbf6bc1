package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/beevik/etree"
	validator "github.com/mattermost/xml-roundtrip-validator"
)

// Bounds of a document. A request with a signature and all its options has about 40
// elements, six deep.
const (
	maxDepth    = 24
	maxElements = 500
	maxAttrs    = 50 // of one element
)

// parse reads a document that two parsers cannot read differently: no document type
// (and so no entities), no comments, no processing instructions, one root, nothing
// beside it, UTF-8, and nothing that encoding/xml would write differently than it
// read it (CVE-2020-29509 to 29511).
func parse(b []byte) (*etree.Element, error) {
	if err := scan(b); err != nil {
		return nil, bad("the XML is not acceptable: " + err.Error())
	}
	if err := validator.Validate(bytes.NewReader(b)); err != nil {
		return nil, bad("the XML is ambiguous")
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{MaxDepth: maxDepth + 1, PreserveDuplicateAttrs: true}
	if err := doc.ReadFromBytes(b); err != nil || doc.Root() == nil {
		return nil, bad("the XML cannot be parsed")
	}
	return doc.Root(), nil
}

// scan's errors hold nothing of the document.
func scan(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b)) // without a CharsetReader it knows UTF-8 only
	depth, elements, roots := 0, 0, 0
	for first := true; ; first = false {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if roots != 1 {
				return errors.New("not one root")
			}
			return nil
		}
		if err != nil {
			return errors.New("not well-formed")
		}
		switch t := t.(type) {
		case xml.Directive:
			return errors.New("a document type")
		case xml.Comment:
			return errors.New("a comment")
		case xml.ProcInst:
			if t.Target != "xml" || !first {
				return errors.New("a processing instruction")
			}
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text beside the root")
			}
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			elements++
			if depth > maxDepth || elements > maxElements || len(t.Attr) > maxAttrs {
				return errors.New("too deep, too many elements or attributes")
			}
			if err := scanAttrs(t.Attr); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		}
	}
}

func scanAttrs(attrs []xml.Attr) error {
	seen := map[xml.Name]bool{}
	for _, a := range attrs {
		if seen[a.Name] {
			return errors.New("an attribute is there twice")
		}
		seen[a.Name] = true
		// The signature library looks for ID in any namespace.
		if strings.EqualFold(a.Name.Local, "id") && a.Name.Space != "" {
			return errors.New("an ID of another namespace")
		}
	}
	return nil
}

// attr is an attribute without a namespace. (etree's own lookup takes any.)
func attr(el *etree.Element, name string) (value string, ok bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value, true
		}
	}
	return "", false
}

func is(el *etree.Element, ns, tag string) bool { return el.Tag == tag && el.NamespaceURI() == ns }

// children are the child elements of one name.
func children(el *etree.Element, ns, tag string) []*etree.Element {
	var out []*etree.Element
	for _, c := range el.ChildElements() {
		if is(c, ns, tag) {
			out = append(out, c)
		}
	}
	return out
}

// child is the one child of a name; nil if there is none.
func child(el *etree.Element, ns, tag string) (*etree.Element, error) {
	switch all := children(el, ns, tag); len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return nil, bad("an element is there twice")
}

// text is what an element without child elements holds.
func text(el *etree.Element) (string, error) {
	var s strings.Builder
	for _, c := range el.Child {
		t, ok := c.(*etree.CharData)
		if !ok {
			return "", bad("a value holds more than text")
		}
		s.WriteString(t.Data)
	}
	return strings.TrimSpace(s.String()), nil
}
