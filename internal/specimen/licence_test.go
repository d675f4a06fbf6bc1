package specimen_test

import (
	"bytes"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// The record has its subfile where the table says, and dates as the country
// writes them.
func TestLicenceRecord(t *testing.T) {
	for _, c := range []struct {
		licence specimen.Licence
		want    []string
	}{
		{specimen.USLicence(nil), []string{"@\n\x1e\rANSI 636000100001DL0031", "\nDBB08121974\n", "\nDBA04152034\n", "\nDCGUSA\n", "\nDBC2\n", "\nDACANNA\n", "\nDADMARIA\n"}},
		{specimen.CALicence(nil), []string{"@\n\x1e\rANSI 636012100001DL0031", "\nDBB19740812\n", "\nDBA20340415\n", "\nDCGCAN\n"}},
	} {
		got := c.licence.AAMVA()
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in %q", c.licence.Kind, w, got)
			}
		}
		if got[31:36] != "DLDAQ" || !strings.HasSuffix(got, "\r") {
			t.Errorf("%s: the subfile is elsewhere: %q", c.licence.Kind, got)
		}
	}
}

func TestLicenceRender(t *testing.T) {
	symbol := image.NewGray(image.Rect(0, 0, 300, 80))
	for i := range symbol.Pix {
		symbol.Pix[i] = byte(i % 2 * 255)
	}
	l := specimen.USLicence(nil)
	front, back := l.Render(symbol)
	again, _ := l.Render(symbol)
	_, empty := l.Render(nil)
	if front.Bounds() != back.Bounds() || front.Bounds().Dx() != specimen.Width {
		t.Error(front.Bounds(), back.Bounds())
	}
	if !bytes.Equal(pix(front), pix(again)) || bytes.Equal(pix(back), pix(empty)) {
		t.Error("two renderings differ, or the symbol leaves no trace")
	}
	dark := 0
	for x := range specimen.Width {
		if color.GrayModel.Convert(back.At(x, 700)).(color.Gray).Y < 60 {
			dark++
		}
	}
	if dark < 300 {
		t.Errorf("%d dark pixels across the symbol", dark)
	}
}
