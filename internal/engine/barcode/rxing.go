package barcode

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"golang.org/x/sync/semaphore"
)

const (
	// instances is how many copies of the program exist at most; one serves one
	// try at a time.
	instances = 2
	// pages bounds the memory of one copy: pages of 64 KiB. A try on a symbol of the
	// specimens takes 2 MB in all.
	pages = 48 << 20 >> 16
	// retire is the memory at which a copy is thrown away after a try: its memory
	// never shrinks.
	retire = 16 << 20
	// maxPixels bounds one picture that is handed to the program.
	maxPixels = 4_000_000
	// maxText bounds what a symbol may hold, bytes. PDF417 holds 1850 characters
	// of text; in UTF-8 they take more.
	maxText = 4 << 10
)

// Codes of the program's interface.
const (
	formatPDF417        = 10
	hintPossibleFormats = 2
	hintErrorCorrection = 0
	hintMargin          = 6
)

// program is rxing as WebAssembly, compiled once, and a bounded pool of its
// instances. It can reach nothing outside its own memory: every function that it
// asks for is a stub.
type program struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	slots    *semaphore.Weighted

	mu   sync.Mutex
	idle []*instance
}

// instance is one copy with its own memory, for one caller at a time.
type instance struct {
	mod   api.Module
	hints uint64 // a dictionary that allows PDF417 only
}

// load compiles the program in the file path, which takes about a second.
func load(path string) (*program, error) {
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("barcode: %w", err)
	}
	ctx := context.Background()
	p := &program{slots: semaphore.NewWeighted(instances)}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithMemoryLimitPages(pages).
		// A context that ends stops the program in the middle of a loop.
		WithCloseOnContextDone(true))
	if p.compiled, err = p.runtime.CompileModule(ctx, code); err == nil {
		err = p.stubs(ctx)
	}
	if err != nil {
		p.runtime.Close(ctx)
		return nil, fmt.Errorf("barcode: %w", err)
	}
	return p, nil
}

// stubs gives the program what it imports from JavaScript: dates, maps and a
// canvas, none of which reading needs. Every function answers zero, which stands
// for an object that nobody looks at; only the one that throws ends the call.
func (p *program) stubs(ctx context.Context) error {
	const module = "./rxing_wasm_bg.js"
	host := p.runtime.NewHostModuleBuilder(module)
	for _, f := range p.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		if from != module {
			return fmt.Errorf("the program wants %q of %q", name, from)
		}
		throws := strings.HasPrefix(name, "__wbg___wbindgen_throw")
		results := len(f.ResultTypes())
		host.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			if throws {
				panic(errThrown)
			}
			clear(stack[:results])
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	_, err := host.Instantiate(ctx)
	return err
}

var errThrown = errors.New("the program threw")

func (p *program) close() error { return p.runtime.Close(context.Background()) }

// borrow runs f with an instance. One in which f failed, or that has grown, is
// not used again. Errors are the context's, or f's.
func (p *program) borrow(ctx context.Context, f func(*instance) error) error {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.slots.Release(1)
	in, err := p.take(ctx)
	if err == nil {
		err = f(in)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if in == nil {
		return err
	}
	if err != nil || in.mod.Memory().Size() > retire {
		in.mod.Close(context.Background())
		return err
	}
	p.mu.Lock()
	p.idle = append(p.idle, in)
	p.mu.Unlock()
	return nil
}

func (p *program) take(ctx context.Context) (*instance, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		in := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return in, nil
	}
	p.mu.Unlock()
	mod, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, fmt.Errorf("barcode: %w", err)
	}
	in := &instance{mod: mod}
	if in.hints, err = in.dictionary(ctx, "decode", map[uint64]string{hintPossibleFormats: "PDF417"}); err != nil {
		mod.Close(context.Background())
		return nil, err
	}
	return in, nil
}

// call calls an exported function and gives its first result, or 0.
func (in *instance) call(ctx context.Context, name string, args ...uint64) (uint64, error) {
	f := in.mod.ExportedFunction(name)
	if f == nil {
		return 0, fmt.Errorf("barcode: the program has no %s", name)
	}
	out, err := f.Call(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("barcode: %s: %w", name, err)
	}
	if len(out) == 0 {
		return 0, nil
	}
	return out[0], nil
}

// put copies bytes into memory that the callee frees.
func (in *instance) put(ctx context.Context, b []byte) (uint64, error) {
	at, err := in.call(ctx, "__wbindgen_export", uint64(len(b)), 1)
	if err == nil && !in.mod.Memory().Write(uint32(at), b) {
		err = errors.New("barcode: no room in the program's memory")
	}
	return at, err
}

// answer calls a function that writes n words to where its first argument says.
func (in *instance) answer(ctx context.Context, n int, name string, args ...uint64) ([]uint32, error) {
	at, err := in.call(ctx, "__wbindgen_add_to_stack_pointer", api.EncodeI32(-16))
	if err != nil {
		return nil, err
	}
	if _, err := in.call(ctx, name, append([]uint64{at}, args...)...); err != nil {
		return nil, err
	}
	words := make([]uint32, n)
	for i := range words {
		w, ok := in.mod.Memory().ReadUint32Le(uint32(at) + uint32(4*i))
		if !ok {
			return nil, errors.New("barcode: an answer outside the program's memory")
		}
		words[i] = w
	}
	_, err = in.call(ctx, "__wbindgen_add_to_stack_pointer", 16)
	return words, err
}

// text takes a string out of the program and frees it there.
func (in *instance) text(ctx context.Context, at, length, most uint32) (string, error) {
	if length > most {
		return "", errors.New("barcode: an answer that is too long")
	}
	b, ok := in.mod.Memory().Read(at, length)
	if !ok {
		return "", errors.New("barcode: an answer outside the program's memory")
	}
	s := string(b)
	_, err := in.call(ctx, "__wbindgen_export3", uint64(at), uint64(length), 1)
	return s, err
}

// dictionary makes a dictionary of hints, for "decode" or "encode".
func (in *instance) dictionary(ctx context.Context, kind string, hints map[uint64]string) (uint64, error) {
	d, err := in.call(ctx, kind+"hintdictionary_new")
	if err != nil {
		return 0, err
	}
	for hint, value := range hints {
		at, err := in.put(ctx, []byte(value))
		if err != nil {
			return 0, err
		}
		if ok, err := in.call(ctx, kind+"hintdictionary_set_hint", d, hint, at, uint64(len(value))); err != nil {
			return 0, err
		} else if ok == 0 {
			return 0, errors.New("barcode: the program refuses a hint")
		}
	}
	return d, nil
}

// decode looks for a symbol in a grey picture and gives its text; found is false
// where there is none. Errors are the context's, or of a program that broke.
func (p *program) decode(ctx context.Context, img *image.Gray) (text string, found bool, err error) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if w < 8 || h < 8 || w > maxPixels/h {
		return "", false, nil
	}
	luma := img.Pix
	if img.Stride != w {
		luma = make([]byte, 0, w*h)
		for y := range h {
			luma = append(luma, img.Pix[y*img.Stride:y*img.Stride+w]...)
		}
	}
	err = p.borrow(ctx, func(in *instance) error {
		at, err := in.put(ctx, luma[:w*h])
		if err != nil {
			return err
		}
		r, err := in.answer(ctx, 3, "decode_barcode_with_hints", at, uint64(w*h), uint64(w), uint64(h), in.hints, 0)
		if err != nil || r[2] != 0 {
			return err
		}
		result := uint64(r[0])
		format, err := in.call(ctx, "barcoderesult_format", result)
		if err != nil {
			return err
		}
		t, err := in.answer(ctx, 2, "barcoderesult_text", result)
		if err != nil {
			return err
		}
		if text, err = in.text(ctx, t[0], t[1], maxText); err != nil {
			return err
		}
		found = format == formatPDF417
		_, err = in.call(ctx, "__wbg_barcoderesult_free", result, 0)
		return err
	})
	return text, found && err == nil, err
}

// encode makes a symbol of a level of error correction (0 to 8), without a quiet
// zone, one pixel wide per module, and as many high per row as the program chooses.
func (p *program) encode(ctx context.Context, text string, correction int) (*image.Gray, error) {
	var drawn string
	err := p.borrow(ctx, func(in *instance) error {
		hints, err := in.dictionary(ctx, "encode", map[uint64]string{hintErrorCorrection: fmt.Sprint(correction), hintMargin: "0"})
		if err != nil {
			return err
		}
		at, err := in.put(ctx, []byte(text))
		if err != nil {
			return err
		}
		r, err := in.answer(ctx, 4, "encode_barcode_with_hints", at, uint64(len(text)), 1, 1, formatPDF417, hints)
		if err != nil {
			return err
		}
		if r[3] != 0 {
			return errors.New("barcode: the text does not fit into a symbol")
		}
		if drawn, err = in.text(ctx, r[0], r[1], 8<<20); err != nil {
			return err
		}
		_, err = in.call(ctx, "__wbg_encodehintdictionary_free", hints, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	rows := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	// Every module is two characters: an X or a blank, and a blank.
	img := image.NewGray(image.Rect(0, 0, len(rows[0])/2, len(rows)))
	for y, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, errors.New("barcode: the program drew something else than a symbol")
		}
		for x := range img.Rect.Dx() {
			if row[2*x] != 'X' {
				img.Pix[y*img.Stride+x] = 255
			}
		}
	}
	return img, nil
}
