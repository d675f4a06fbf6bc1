package kosmos_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		want, read string
		lead, cut  bool
		same       bool
	}{
		{"", "ANNA", true, false, true},
		{"  ", "ANNA", true, false, true},
		{"anna", "ANNA MARIA", true, false, true},
		{"Anna Maria", "ANNA MARIA", true, false, true},
		{"Maria", "ANNA MARIA", true, false, false},
		{"Ann", "ANNA", true, false, false},
		{"Anna Maria Luise", "ANNA MARIA", true, false, false},
		{"Anna Maria Luise", "ANNA MARIA", true, true, true},
		{"Anna Marialuise", "ANNA MARIA", true, true, true},
		{"Eriksson", "ERIKSSON", false, false, true},
		{"Eriksson", "ERIKSSON BERG", false, false, false},
		{"Müller", "MUELLER", false, false, true},
		{"Müller", "MULLER", false, false, true},
		{"Mueller", "MUELLER", false, false, true},
		{"Mueller", "MULLER", false, false, false},
		{"Mu\u0308ller", "MUELLER", false, false, true},
		{"Groß", "GROSS", false, false, true},
		{"Ångström", "AANGSTROEM", false, false, true},
		{"Núñez", "NUNEZ", false, false, true},
		{"Núñez", "NUNXXEZ", false, false, true},
		{"O'Connor", "OCONNOR", false, false, true},
		{"D’Artagnan", "DARTAGNAN", false, false, true},
		{"Smith-Jones", "SMITH JONES", false, false, true},
		{"Łukasiewicz", "LUKASIEWICZ", false, false, true},
		{"Þórr", "THORR", false, false, true},
		{"Иванов", "IVANOV", false, false, true},
		{"山田", "YAMADA", false, false, false},
		{"-", "", false, false, false},
		{"Anna", "", true, true, false},
	} {
		if got := kosmos.SameName(tt.want, tt.read, tt.lead, tt.cut); got != tt.same {
			t.Errorf("%q and %q: %v", tt.want, tt.read, got)
		}
	}
	for _, tt := range []struct {
		first, last    string
		given, surname string
		zone           string // line with the names
		module         string
	}{
		{"Anna", "Eriksson", "ANNA", "ERIKSSON", "P<UTOERIKSSON<<ANNA<<<<<<<<<<<<<<<<<<<<<<<<<", ""},
		{"Eva", "Berg", "ANNA", "ERIKSSON", "P<UTOERIKSSON<<ANNA<<<<<<<<<<<<<<<<<<<<<<<<<", "firstname check"},
		{"Anna", "Berg", "ANNA", "ERIKSSON", "P<UTOERIKSSON<<ANNA<<<<<<<<<<<<<<<<<<<<<<<<<", "lastname check"},
		// The given names were cut, and with them nothing of the surname.
		{"Chayapa Dejthamrong Krasuang", "Nilavadhanananda", "CHAYAPA DEJTHAMRONG K", "NILAVADHANANANDA", "P<UTONILAVADHANANANDA<<CHAYAPA<DEJTHAMRONG<K", ""},
		{"Chayapa", "Nilavadhanananda-Berg", "CHAYAPA DEJTHAMRONG K", "NILAVADHANANANDA", "P<UTONILAVADHANANANDA<<CHAYAPA<DEJTHAMRONG<K", "lastname check"},
		{"Chayapa", "Nilavadhananandason", "CHAYAPA DEJTHAMRONG K", "NILAVADHANANANDA", "P<UTONILAVADHANANANDA<<CHAYAPA<DEJTHAMRONG<K", "lastname check"},
		// The surname fills the field, so that it may itself be cut.
		{"", "Papandropoulous Lambrinidis Theodoropoulos", "", "PAPANDROPOULOUS LAMBRINIDIS THEODOROPOU", "P<UTOPAPANDROPOULOUS<LAMBRINIDIS<THEODOROPOU", ""},
		{"", "Papandropoulous", "", "PAPANDROPOULOUS LAMBRINIDIS THEODOROPOU", "P<UTOPAPANDROPOULOUS<LAMBRINIDIS<THEODOROPOU", "lastname check"},
		{"Jonathon", "Papandropoulous Lambrinidis Theodoropoulos", "", "PAPANDROPOULOUS LAMBRINIDIS THEODOROPOU", "P<UTOPAPANDROPOULOUS<LAMBRINIDIS<THEODOROPOU", "firstname check"},
		// No given names, but room for more.
		{"", "Erikssonsdottir", "", "ERIKSSON", "P<UTOERIKSSON<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "lastname check"},
	} {
		if len(tt.zone) != 44 {
			t.Errorf("%q is no line of a passport", tt.zone)
		}
		d := &api.Document{Surname: tt.surname, GivenNames: tt.given, MRZ: []string{tt.zone, "x"}}
		if got := kosmos.NameModule(tt.first, tt.last, d); got != tt.module {
			t.Errorf("%s %s and %s %s: %q", tt.first, tt.last, tt.given, tt.surname, got)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("Jürgen Groß-Ðá", "JUERGEN GROSS DA")
	f.Fuzz(func(t *testing.T, want, read string) {
		same := kosmos.SameName(want, read, false, false)
		if same && strings.TrimSpace(want) != "" && strings.TrimSpace(read) == "" {
			t.Errorf("%q is nobody's name", want)
		}
	})
}

func TestAlpha2(t *testing.T) {
	for icao, iso := range map[string]string{
		"D": "DE", "FRA": "FR", "USA": "US", "GBR": "GB", "GBD": "GB", "RKS": "XK", "UTO": "UTO", "UNO": "UNO", "XXA": "XXA", "": "", "ZZZ": "ZZZ", "CHE": "CH", "ROU": "RO",
	} {
		if got := kosmos.Alpha2(icao); got != iso {
			t.Errorf("%s: %s, want %s", icao, got, iso)
		}
	}
}

func TestSpoken(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Hour: "one hour", 90 * time.Minute: "one hour", 24 * time.Hour: "24 hours", 7 * 24 * time.Hour: "7 days", time.Second: "one minute", 10 * time.Minute: "10 minutes",
	} {
		if got := kosmos.Spoken(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

// withOrientation adds an EXIF segment that holds nothing but an orientation.
func withOrientation(jpg []byte, o uint16, order binary.AppendByteOrder) []byte {
	mark := map[bool]string{true: "MM", false: "II"}[order == binary.AppendByteOrder(binary.BigEndian)]
	tiff := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(order.AppendUint16(tiff, 0x0112), 3)
	tiff = order.AppendUint16(order.AppendUint16(order.AppendUint32(tiff, 1), o), 0)
	body := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return bytes.Join([][]byte{jpg[:2], segment, body, jpg[2:]}, nil)
}

func TestWireImage(t *testing.T) {
	// Left half dark, right half light, wider than high.
	img := image.NewRGBA(image.Rect(0, 0, 400, 200))
	for y := range 200 {
		for x := range 400 {
			img.Set(x, y, color.Gray{uint8(x / 200 * 255)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
		// Where the dark half is afterwards.
		for o, dark := range map[uint16]string{1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom", 9: "left"} {
			out, err := kosmos.WireImage(withOrientation(b.Bytes(), o, order), 100)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(out, []byte("Exif")) {
				t.Error("metadata survived")
			}
			got, err := jpeg.Decode(bytes.NewReader(out))
			if err != nil {
				t.Fatal(err)
			}
			size := got.Bounds().Size()
			if wide := dark == "left" || dark == "right"; wide != (size == image.Pt(100, 50)) || !wide != (size == image.Pt(50, 100)) {
				t.Errorf("orientation %d: %v", o, size)
			}
			at := map[string]image.Point{"left": {5, 25}, "right": {95, 25}, "top": {25, 5}, "bottom": {25, 95}}[dark]
			if y, _, _, _ := got.At(at.X, at.Y).RGBA(); y > 0x4000 {
				t.Errorf("orientation %d: not dark %s", o, dark)
			}
		}
	}
	if _, err := kosmos.WireImage([]byte("x"), 100); err == nil {
		t.Error("made an image out of nothing")
	}
}

// pngHeader is a PNG that states a size and holds nothing.
func pngHeader(w, h uint32, depth, kind, interlace byte) []byte {
	data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
	data = append(data, depth, kind, 0, 0, interlace)
	b := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), uint32(len(data)-4))
	return binary.BigEndian.AppendUint32(append(b, data...), crc32.ChecksumIEEE(data))
}

// What would take too much memory is refused before it is decoded.
func TestWireImageMemory(t *testing.T) {
	progressive := func(w, h int) []byte { // as far as the header says
		b := bytes.Clone(photo(8, 8, color.White))
		at := bytes.Index(b, []byte{0xff, 0xc0})
		b[at+1] = 0xc2
		binary.BigEndian.PutUint16(b[at+5:], uint16(h))
		binary.BigEndian.PutUint16(b[at+7:], uint16(w))
		return b
	}
	for name, tt := range map[string]struct {
		picture []byte
		refused bool
	}{
		"16 bit":             {pngHeader(8000, 5000, 16, 2, 0), true},
		"16 bit grey":        {pngHeader(8000, 5000, 16, 0, 0), true},
		"interlaced":         {pngHeader(8000, 5000, 8, 2, 1), true},
		"8 bit":              {pngHeader(8000, 5000, 8, 2, 0), false},
		"too many pixels":    {pngHeader(8000, 5001, 8, 0, 0), true},
		"overflow":           {pngHeader(1<<25, 1<<25, 8, 0, 0), true},
		"progressive":        {progressive(8000, 5000), true},
		"progressive, 12 MP": {progressive(4000, 3000), false},
	} {
		_, err := kosmos.WireImage(tt.picture, 100)
		if err == nil || (err.Error() == "the picture takes too much memory to decode") != tt.refused {
			// Without pixels it cannot be made in any case.
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A picture that cannot be laid out costs the result the picture alone.
func TestResultWithoutPictures(t *testing.T) {
	s := start(t, &engine{}, nil)
	id := s.create("default", "ppt_object", nil)
	s.act(id, "start", nil, "")
	s.upload(id, "front", pngHeader(8000, 5000, 16, 2, 0))
	s.upload(id, "selfie", pngHeader(8000, 5000, 16, 2, 0))
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	var r struct {
		ResponseStatus string
		Document       struct{ Image, Face string } `json:"ppt_object"`
		LiveID         any                          `json:"liveid_object"`
	}
	if err := json.Unmarshal(s.result("v1", "default", id), &r); err != nil {
		t.Fatal(err)
	}
	if r.ResponseStatus != "SUCCESS" || r.Document.Image != "" || r.Document.Face == "" || r.LiveID != nil {
		t.Errorf("got %+v", r)
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(withOrientation(frontPhoto, 6, binary.BigEndian))
	f.Add(withOrientation(frontPhoto, 3, binary.LittleEndian))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o := kosmos.Orientation(b); o < 1 || o > 8 {
			t.Errorf("orientation %d", o)
		}
	})
}
