// Package mrz_test measures the reader of machine-readable zones on photographs of random
// specimen documents. It is not part of the tests: without -documents it skips.
//
//	go test ./bench/mrz -run Figures -v -documents 40   # a table per level of the recipe
//	go test ./bench/mrz -run Stress -v -documents 48    # what lies outside the recipe, a quarter as many per row
//	go test ./bench/mrz -run Limits -v -documents 1     # the time that pictures without a zone cost
//	go test ./bench/mrz -bench Read                     # milliseconds per photograph
//
// Other documents: -documents-seed N. To see what was misread: -save FOLDER.
package mrz_test

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

var (
	documents = flag.Int("documents", 0, "documents per level")
	seed      = flag.Uint64("documents-seed", 1, "seed of the documents and their photographs")
	only      = flag.String("only", "", "part of the names of the stress rows to run")
	save      = flag.String("save", "", "folder for the photographs that were misread")
)

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// figures are the counts of one level.
type figures struct {
	read, exact, notFound, digitsOK int
	falselyValid                    int // digits hold, but a field that they cover was misread
	sureButWrong                    int // digits hold, no Problem, and any character was misread
	wrongChars, chars               int
	total, slowest                  time.Duration
}

// TestFigures photographs random documents at each level, reads them, and
// prints how many were read without one wrong character. It fails if any
// misread document came out valid.
func TestFigures(t *testing.T) {
	needDocuments(t)
	t.Logf("level  exact  digits ok  not found  char. error  falsely valid  sure but wrong  ms mean  ms max")
	for level := range 4 {
		f := measure(t, level)
		t.Logf("%5d  %3d/%3d  %8d  %9d  %9.2f %%  %13d  %14d  %7.0f  %6.0f", level, f.exact, *documents, f.digitsOK, f.notFound,
			100*float64(f.wrongChars)/float64(f.chars), f.falselyValid, f.sureButWrong,
			float64(f.total.Milliseconds())/float64(*documents), float64(f.slowest.Milliseconds()))
		if f.falselyValid > 0 {
			t.Errorf("level %d: %d misread documents passed all check digits", level, f.falselyValid)
		}
	}
}

func needDocuments(t *testing.T) {
	if *documents == 0 {
		t.Skip("a measurement, not a test: give -documents 40")
	}
}

func measure(t *testing.T, level int) figures {
	var f figures
	const batch = 16 // photographs held at once
	for from := 0; from < *documents; from += batch {
		f.some(t, level, from, min(from+batch, *documents))
	}
	return f
}

// some measures some documents of a level.
func (f *figures) some(t *testing.T, level, from, to int) {
	var wg sync.WaitGroup
	photos := make([]image.Image, to-from)
	texts := make([][]string, to-from)
	limit := make(chan struct{}, runtime.NumCPU())
	for i := range photos {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			photos[i], texts[i] = document(level, from+i)
		})
	}
	wg.Wait()
	for i := range photos { // one at a time, for honest times
		start := time.Now()
		r, err := mrz.Read(photos[i], now)
		took := time.Since(start)
		f.total += took
		f.slowest = max(f.slowest, took)
		wrong := compare(r, texts[i])
		for _, l := range texts[i] {
			f.chars += len(l)
		}
		f.wrongChars += wrong
		switch {
		case errors.Is(err, mrz.ErrNotFound):
			f.notFound++
		case err != nil:
			t.Logf("level %d document %d: %v", level, from+i, err)
		default:
			f.read++
			if r.DigitsOK {
				f.digitsOK++
				if want, err := mrz.Parse(texts[i], now); err != nil || covered(r) != covered(want) {
					f.falselyValid++
				}
				if wrong > 0 && len(r.Problems) == 0 {
					f.sureButWrong++
				}
			}
		}
		if wrong == 0 {
			f.exact++
		} else {
			report(t, level, from+i, photos[i], texts[i], r, err)
		}
	}
}

// covered are the fields that check digits protect.
func covered(r *mrz.Result) string {
	f := r.Fields
	return fmt.Sprint(f.Number, "|", f.BirthDate, "|", f.ExpiryDate, "|", f.PersonalNumber, "|", f.Optional, "|", f.Optional2)
}

// compare counts the wrong characters; all of them if nothing, or another format, was read.
func compare(r *mrz.Result, want []string) int {
	n := 0
	for i, line := range want {
		if r == nil || len(r.Lines) != len(want) || len(r.Lines[i]) != len(line) {
			n += len(line)
			continue
		}
		for j := range line {
			if r.Lines[i][j] != line[j] {
				n++
			}
		}
	}
	return n
}

// document photographs the i-th random document of a level.
func document(level, i int) (image.Image, []string) {
	side, text := flat(level, i)
	return specimen.Photograph(side, level, *seed<<32+uint64(1000*level+i)), text
}

// flat renders the side with the zone; half are passports, half cards.
func flat(level, i int) (image.Image, []string) {
	r := rand.New(rand.NewPCG(*seed, uint64(1000*level+i)))
	word := func(letters string, low, high int) string {
		b := make([]byte, low+r.IntN(high-low+1))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	const alpha, alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	d := specimen.Passport(nil)
	if i%2 == 1 {
		d = specimen.IDCard(nil)
	}
	d.Surname, d.GivenNames = word(alpha, 3, 10), word(alpha, 3, 7)
	if r.IntN(2) == 0 {
		d.GivenNames += " " + word(alpha, 2, 6)
	}
	d.Number = word(alnum, 7, 9)
	d.Issuer = []string{"UTO", "D", "XOM", "UNO"}[r.IntN(4)]
	d.Nationality = d.Issuer
	d.Sex = []string{"F", "M", "X"}[r.IntN(3)]
	d.BirthDate = fmt.Sprintf("%04d-%02d-%02d", 1935+r.IntN(88), 1+r.IntN(12), 1+r.IntN(28))
	d.ExpiryDate = fmt.Sprintf("%04d-%02d-%02d", 2027+r.IntN(10), 1+r.IntN(12), 1+r.IntN(28))
	d.Optional = ""
	if r.IntN(2) == 0 {
		d.Optional = word(alnum, 6, 13)
	}
	front, back := d.Render()
	if back != nil {
		front = back
	}
	return front, d.MRZ()
}

func BenchmarkRead(b *testing.B) {
	for level := range 4 {
		img, _ := document(level, 0)
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			for b.Loop() {
				if _, err := mrz.Read(img, now); err != nil && !errors.Is(err, mrz.ErrNotFound) {
					b.Fatal(err)
				}
			}
		})
	}
}
